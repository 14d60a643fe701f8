// Package tlsfiles speaks TLS with files that are read again when they change,
// as servers and as clients.
package tlsfiles

import (
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// checkEvery bounds how long a replaced file goes unnoticed.
const checkEvery = 5 * time.Second

// ServerConfig makes a server's TLS configuration. With a clientCA, clients must show
// a certificate of that authority. Files that become unusable later leave the
// last usable ones in place.
func ServerConfig(cert, key, clientCA string, c clock.PassiveClock) (*tls.Config, error) {
	f := &files{cert: cert, key: key, clientCA: clientCA, clock: c}
	current, err := f.load()
	if err != nil {
		return nil, err
	}
	f.current, f.stamp, f.checked = current, f.stamps(), c.Now()
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return f.get(), nil
		},
		// ServeTLS wants a certificate or this.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &f.get().Certificates[0], nil
		},
	}, nil
}

type files struct {
	cert, key, clientCA string
	clock               clock.PassiveClock

	mu      sync.Mutex
	current *tls.Config // guarded by mu
	stamp   string      // guarded by mu: what the files looked like
	checked time.Time   // guarded by mu
}

func (f *files) get() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.clock.Since(f.checked) < checkEvery {
		return f.current
	}
	f.checked = f.clock.Now()
	// A file may be half written: then the next look finds it whole.
	if stamp := f.stamps(); stamp != f.stamp {
		if loaded, err := f.load(); err == nil {
			f.current, f.stamp = loaded, stamp
		}
	}
	return f.current
}

func (f *files) stamps() string {
	var stamp strings.Builder
	for _, path := range []string{f.cert, f.key, f.clientCA} {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintln(&stamp, info.ModTime().UnixNano(), info.Size())
		}
	}
	return stamp.String()
}

func (f *files) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s with --tls-key %s: %w", f.cert, f.key, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{pair}}
	if f.clientCA == "" {
		return config, nil
	}
	if config.ClientCAs, err = readAuthorities(f.clientCA); err != nil {
		return nil, fmt.Errorf("--client-ca: %w", err)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config, nil
}
