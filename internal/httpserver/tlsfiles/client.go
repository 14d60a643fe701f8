package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
)

// ClientConfig makes the TLS configuration of a client of one host, whose
// certificate must come from an authority in a PEM file. The file is read again
// for each connection; one that becomes unusable later leaves the last usable
// authorities in place.
func ClientConfig(caFile, host string) (*tls.Config, error) {
	if host == "" {
		return nil, errors.New("TLS to a host without a name") // its certificate could be anybody's
	}
	a := &authorities{file: caFile}
	var err error
	if a.current, err = readAuthorities(caFile); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// The standard check knows the authorities of the start only. In its
		// place verify does the same with the present ones.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
		VerifyConnection:   func(s tls.ConnectionState) error { return a.verify(s.PeerCertificates, host) },
	}, nil
}

type authorities struct {
	file string

	mu      sync.Mutex
	current *x509.CertPool // guarded by mu
}

func (a *authorities) get() *x509.CertPool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if read, err := readAuthorities(a.file); err == nil {
		a.current = read
	}
	return a.current
}

// verify does what crypto/tls does where it is not told to skip it.
func (a *authorities) verify(chain []*x509.Certificate, host string) error {
	if len(chain) == 0 {
		return errors.New("the server shows no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	// Not the connection's server name: that is empty for an IP address.
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
