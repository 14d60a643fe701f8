package httpsink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// maxTokenBytes bounds what is read of a token file.
const maxTokenBytes = 64 << 10

// readToken reads a bearer token.
func readToken(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxTokenBytes))
	if err = errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("token file %s is empty", path)
	}
	return token, nil
}

// authorities are the certificate authorities in a PEM file, read again for each connection.
type authorities struct {
	file string
	log  *slog.Logger

	mu      sync.Mutex
	current *x509.CertPool // guarded by mu
	failing bool           // guarded by mu: the last reload failed
}

// trustFile makes the TLS configuration of a client of one host, whose certificate must come from an authority in a
// PEM file. A file that becomes unusable later leaves the last usable authorities in place, which is logged.
func trustFile(file, host string, log *slog.Logger) (*tls.Config, error) {
	a := &authorities{file: file, log: log}
	var err error
	if a.current, err = readAuthorities(file); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// The standard verification knows the authorities of the start only. VerifyConnection does the same with
		// those of the moment.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
		VerifyConnection:   func(s tls.ConnectionState) error { return a.verify(s.PeerCertificates, host) },
	}, nil
}

func (a *authorities) get() *x509.CertPool {
	a.mu.Lock()
	defer a.mu.Unlock()
	read, err := readAuthorities(a.file)
	switch {
	case err == nil && a.failing:
		a.log.Info("authorities reloaded after a failure", "file", a.file)
	case err != nil && !a.failing:
		a.log.Warn("authorities cannot be reloaded: the last usable ones stay in place", "error", err)
	}
	if a.failing = err != nil; !a.failing {
		a.current = read
	}
	return a.current
}

// verify does what crypto/tls does unless told to skip it.
func (a *authorities) verify(chain []*x509.Certificate, host string) error {
	if len(chain) == 0 {
		return errors.New("the server presented no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	// Not the connection's server name, which is empty for an IP address.
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
		return nil, fmt.Errorf("%s contains no PEM certificate", file)
	}
	return pool, nil
}
