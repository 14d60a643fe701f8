package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"

	"go.uber.org/zap"
)

// ClientConfig makes the TLS configuration of a client of one host, whose
// certificate must be signed by an authority in a PEM file. The file is read for
// each connection. If it becomes unusable, the last usable authorities stay in
// place, which is logged.
func ClientConfig(caFile, host string, log *zap.Logger) (*tls.Config, error) {
	if host == "" {
		return nil, errors.New("TLS to a host without a name") // any certificate would do
	}
	a := &authorities{file: caFile, log: log}
	var err error
	if a.current, err = readAuthorities(caFile); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// The standard check uses the authorities of the start. Instead, verify
		// does the same with the current ones.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
		VerifyConnection:   func(s tls.ConnectionState) error { return a.verify(s.PeerCertificates, host) },
	}, nil
}

type authorities struct {
	file string
	log  *zap.Logger

	mu      sync.Mutex
	current *x509.CertPool // guarded by mu
	failing bool           // guarded by mu: the last reload failed
}

func (a *authorities) get() *x509.CertPool {
	a.mu.Lock()
	defer a.mu.Unlock()
	read, err := readAuthorities(a.file)
	switch {
	case err == nil && a.failing:
		a.log.Info("authorities reloaded after a failure", zap.String("file", a.file))
	case err != nil && !a.failing:
		a.log.Warn("authorities cannot be reloaded: the last usable ones stay in place", zap.Error(err))
	}
	if a.failing = err != nil; !a.failing {
		a.current = read
	}
	return a.current
}

// verify does what crypto/tls does by default.
func (a *authorities) verify(chain []*x509.Certificate, host string) error {
	if len(chain) == 0 {
		return errors.New("the server presented no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	// The connection's server name is empty for an IP address.
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: a.get(), Intermediates: intermediates})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}

func readAuthorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}
