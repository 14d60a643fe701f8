// Package tlsfiles is TLS with files that are reloaded when they change, for
// servers and for clients.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/utils/clock"
)

// checkInterval bounds how long a replaced file goes unnoticed, while there are
// connections or scrapes.
const checkInterval = 5 * time.Second

// Server is the TLS configuration of a server. When its files change and can be
// used, new connections get the new ones; else the last usable ones stay in
// place, which is logged. It is a prometheus.Collector of
//
//	tls_certificate_not_after_seconds{server,certificate}  when the server's certificate, or the first one of client-ca, expires, in Unix time
//	tls_files_up{server}                                   whether the files as they are now can be used (1) or not (0)
//	tls_reloads_total{server,result}                       how often changed files were read: success, failure
//
// Services register it with their prefix.
type Server struct {
	files   Flags
	clock   clock.PassiveClock
	log     *zap.Logger
	metrics *fileMetrics

	mu       sync.Mutex
	current  *tls.Config // guarded by mu
	expiry   time.Time   // guarded by mu: of the certificate in current
	clientCA time.Time   // guarded by mu: the first expiry of its authorities; zero without any
	expired  bool        // guarded by mu: the log says that the certificate has expired
	stamp    string      // guarded by mu: what the files looked like before they were read
	checked  time.Time   // guarded by mu
	failing  bool        // guarded by mu: the last reload failed
	since    time.Time   // guarded by mu: when it began to fail
}

func newServer(name string, files Flags, c clock.PassiveClock, log *zap.Logger) (*Server, error) {
	s := &Server{files: files, clock: c, log: log.With(zap.String("server", name)), metrics: newFileMetrics(name)}
	// The files may be replaced while they are read: what they looked like
	// before is what the next check compares with.
	s.stamp, s.checked = s.stamps(), c.Now()
	if err := s.load(); err != nil {
		return nil, err
	}
	s.warnOfExpiry()
	return s, nil
}

// Config is the configuration for net/http; nil, which means plain HTTP, for a
// nil server.
func (s *Server) Config() *tls.Config {
	if s == nil {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			current, _ := s.get()
			return current, nil
		},
		// ServeTLS wants a certificate or this.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			current, _ := s.get()
			return &current.Certificates[0], nil
		},
	}
}

// Describe implements prometheus.Collector.
func (s *Server) Describe(to chan<- *prometheus.Desc) { s.metrics.describe(to) }

// Collect implements prometheus.Collector.
func (s *Server) Collect(to chan<- prometheus.Metric) {
	_, expiry := s.get()
	s.mu.Lock()
	clientCA, failing := s.clientCA, s.failing
	s.mu.Unlock()
	s.metrics.collect(to, failing, map[string]time.Time{"server": expiry, "client-ca": clientCA})
}

// warnOfExpiry logs once that the certificate has expired. Called with mu, or
// before s is shared.
func (s *Server) warnOfExpiry() {
	if s.expired || s.clock.Now().Before(s.expiry) {
		return
	}
	s.expired = true
	s.log.Warn("the TLS certificate has expired", zap.Time("not_after", s.expiry),
		zap.String("remedy", "renew the files of --tls-cert and --tls-key; they are read again within seconds"))
}

// get returns the current configuration, reloaded if the files have changed.
func (s *Server) get() (*tls.Config, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clock.Since(s.checked) >= checkInterval {
		s.checked = s.clock.Now()
		s.reload()
		s.warnOfExpiry()
	}
	return s.current, s.expiry
}

// reload reads the files if they have changed. A file may be half written: then
// the next reload finds it whole. Called with mu.
func (s *Server) reload() {
	stamp := s.stamps()
	if stamp == s.stamp && !s.failing {
		return
	}
	switch err := s.load(); {
	case err == nil:
		s.metrics.reloads.WithLabelValues(resultSuccess).Inc()
		if s.failing {
			s.log.Info("TLS files can be reloaded again", zap.Duration("failed", s.clock.Since(s.since)), zap.Time("not_after", s.expiry))
		} else {
			s.log.Info("TLS files reloaded", zap.Time("not_after", s.expiry))
		}
		s.stamp, s.failing, s.expired = stamp, false, false
	case !s.failing:
		s.metrics.reloads.WithLabelValues(resultFailure).Inc()
		s.log.Warn("TLS files cannot be reloaded: the last usable ones stay in place", zap.Error(err), zap.Time("not_after", s.expiry),
			zap.String("remedy", "repair the files; they are read again within seconds"))
		s.failing, s.since = true, s.clock.Now()
	}
}

// stamps is what the files look like: times, sizes, and which are missing.
func (s *Server) stamps() string {
	var stamp strings.Builder
	for _, path := range []string{s.files.Cert, s.files.Key, s.files.ClientCA} {
		if info, err := os.Stat(path); err == nil {
			_, _ = fmt.Fprintln(&stamp, info.ModTime().UnixNano(), info.Size())
		} else {
			_, _ = fmt.Fprintln(&stamp, "missing")
		}
	}
	return stamp.String()
}

// load reads the files. Called with mu, or before s is shared.
func (s *Server) load() error {
	pair, err := tls.LoadX509KeyPair(s.files.Cert, s.files.Key)
	if err != nil {
		return fmt.Errorf("--tls-cert %s with --tls-key %s: %w", s.files.Cert, s.files.Key, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{pair}}
	var clientCA time.Time
	if s.files.ClientCA != "" {
		if config.ClientCAs, clientCA, err = readAuthorities(s.files.ClientCA); err != nil {
			return fmt.Errorf("--client-ca: %w", err)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	s.current, s.expiry, s.clientCA = config, pair.Leaf.NotAfter, clientCA
	return nil
}

// readAuthorities also returns the time at which the first of them expires.
func readAuthorities(file string) (*x509.CertPool, time.Time, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read authorities: %w", err)
	}
	pool := x509.NewCertPool()
	var first time.Time
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		// As in a pool made of PEM, what cannot be parsed is left out.
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			pool.AddCert(certificate)
			if first.IsZero() || certificate.NotAfter.Before(first) {
				first = certificate.NotAfter
			}
		}
	}
	if first.IsZero() {
		return nil, time.Time{}, fmt.Errorf("%s contains no PEM certificate", file)
	}
	return pool, first, nil
}
