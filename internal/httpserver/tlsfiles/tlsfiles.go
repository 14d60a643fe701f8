// Package tlsfiles is TLS with files that are reloaded when they change, for
// servers and for clients.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
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
//	tls_certificate_not_after_seconds{server}  when the certificate expires, in Unix time
type Server struct {
	files    Flags
	clock    clock.PassiveClock
	log      *zap.Logger
	notAfter *prometheus.Desc

	mu      sync.Mutex
	current *tls.Config // guarded by mu
	expiry  time.Time   // guarded by mu: of the certificate in current
	stamp   string      // guarded by mu: what the files looked like before they were read
	checked time.Time   // guarded by mu
	failing bool        // guarded by mu: the last reload failed
}

func newServer(name string, files Flags, c clock.PassiveClock, log *zap.Logger) (*Server, error) {
	s := &Server{
		files: files, clock: c, log: log.With(zap.String("server", name)),
		notAfter: prometheus.NewDesc("tls_certificate_not_after_seconds", "When the server's certificate expires, in Unix time.",
			nil, prometheus.Labels{"server": name}),
	}
	// The files may be replaced while they are read: what they looked like
	// before is what the next check compares with.
	s.stamp, s.checked = s.stamps(), c.Now()
	if err := s.load(); err != nil {
		return nil, err
	}
	if !c.Now().Before(s.expiry) {
		s.log.Warn("the TLS certificate has expired", zap.Time("not_after", s.expiry))
	}
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
func (s *Server) Describe(to chan<- *prometheus.Desc) { to <- s.notAfter }

// Collect implements prometheus.Collector.
func (s *Server) Collect(to chan<- prometheus.Metric) {
	_, expiry := s.get()
	to <- prometheus.MustNewConstMetric(s.notAfter, prometheus.GaugeValue, float64(expiry.Unix()))
}

// get returns the current configuration, reloaded if the files have changed.
func (s *Server) get() (*tls.Config, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clock.Since(s.checked) >= checkInterval {
		s.checked = s.clock.Now()
		s.reload()
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
		s.log.Info("TLS files reloaded", zap.Bool("after_failure", s.failing), zap.Time("not_after", s.expiry))
		s.stamp, s.failing = stamp, false
	case !s.failing:
		s.log.Warn("TLS files cannot be reloaded: the last usable ones stay in place", zap.Error(err), zap.Time("not_after", s.expiry))
		s.failing = true
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
	if s.files.ClientCA != "" {
		if config.ClientCAs, err = readAuthorities(s.files.ClientCA); err != nil {
			return fmt.Errorf("--client-ca: %w", err)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	s.current, s.expiry = config, pair.Leaf.NotAfter
	return nil
}

func readAuthorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s contains no PEM certificate", file)
	}
	return pool, nil
}
