package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// The authorities of a control plane, as names of files in a folder.
const (
	clientAuthority     = "client-ca"
	frontProxyAuthority = "front-proxy-ca"
	serverAuthority     = "server-ca"
	frontProxyClient    = "front-proxy-client"

	// certificateLife is longer than any run.
	certificateLife = 365 * 24 * time.Hour
)

// Certificate is a certificate and its key, in PEM.
type Certificate struct{ Cert, Key []byte }

// Authorities sign certificates that the API server believes. They are files in
// a folder that their owner alone can read, so other processes may use them.
type Authorities struct{ dir string }

// OpenAuthorities returns the authorities of another process' control plane.
func OpenAuthorities(dir string) Authorities { return Authorities{dir: dir} }

// Dir is the folder, see OpenAuthorities.
func (a Authorities) Dir() string { return a.dir }

// Client makes a certificate with which a user of some groups authenticates.
func (a Authorities) Client(user string, groups ...string) (Certificate, error) {
	return a.sign(clientAuthority, &x509.Certificate{
		Subject: pkix.Name{CommonName: user, Organization: groups}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// FrontProxy makes a certificate with a name, signed by the authority of the API
// server's front proxy. FrontProxyName is the one name that is allowed.
func (a Authorities) FrontProxy(name string) (Certificate, error) {
	return a.sign(frontProxyAuthority, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// FrontProxyName is the name of the API server's front proxy.
const FrontProxyName = frontProxyClient

// Server makes a certificate of a server with some names, on this machine.
func (a Authorities) Server(names ...string) (Certificate, error) {
	return a.sign(serverAuthority, &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, IPAddresses: []net.IP{net.ParseIP(loopback)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// ServerBundle is the certificate, in PEM, of the authority of servers.
func (a Authorities) ServerBundle() ([]byte, error) {
	bundle, err := os.ReadFile(a.certificate(serverAuthority))
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	return bundle, nil
}

func (a Authorities) certificate(name string) string { return filepath.Join(a.dir, name+".crt") }

func (a Authorities) key(name string) string { return filepath.Join(a.dir, name+".key") }

// makeAuthorities makes the authorities, and the certificate of the front proxy.
func makeAuthorities(dir string) (Authorities, error) {
	a := Authorities{dir: dir}
	for _, name := range []string{clientAuthority, frontProxyAuthority, serverAuthority} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return a, fmt.Errorf("make authority: %w", err)
		}
		certificate, err := certutil.NewSelfSignedCACert(certutil.Config{CommonName: name}, key)
		if err != nil {
			return a, fmt.Errorf("make authority: %w", err)
		}
		if err := a.store(name, certificate.Raw, key); err != nil {
			return a, err
		}
	}
	proxy, err := a.FrontProxy(frontProxyClient)
	if err != nil {
		return a, err
	}
	return a, errors.Join(
		os.WriteFile(a.certificate(frontProxyClient), proxy.Cert, 0o600),
		os.WriteFile(a.key(frontProxyClient), proxy.Key, 0o600),
	)
}

func (a Authorities) store(name string, certificate []byte, key *ecdsa.PrivateKey) error {
	encoded, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return fmt.Errorf("encode key of %s: %w", name, err)
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return fmt.Errorf("encode certificate of %s: %w", name, err)
	}
	bundle, err := certutil.EncodeCertificates(parsed)
	if err != nil {
		return fmt.Errorf("encode certificate of %s: %w", name, err)
	}
	if err := errors.Join(os.WriteFile(a.certificate(name), bundle, 0o600), os.WriteFile(a.key(name), encoded, 0o600)); err != nil {
		return fmt.Errorf("store authority: %w", err)
	}
	return nil
}

func (a Authorities) sign(authority string, template *x509.Certificate) (Certificate, error) {
	made, err := a.signed(authority, template)
	if err != nil {
		return Certificate{}, fmt.Errorf("make a certificate of %s: %w", authority, err)
	}
	return made, nil
}

func (a Authorities) signed(authority string, template *x509.Certificate) (Certificate, error) {
	signers, err := certutil.CertsFromFile(a.certificate(authority))
	if err != nil {
		return Certificate{}, err //nolint:wrapcheck // wrapped by the caller
	}
	private, err := keyutil.PrivateKeyFromFile(a.key(authority))
	if err != nil {
		return Certificate{}, err //nolint:wrapcheck // wrapped by the caller
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return Certificate{}, errors.New("the authority's key cannot sign")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, err //nolint:wrapcheck // wrapped by the caller
	}
	const bits = 64
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits)); err != nil {
		return Certificate{}, err //nolint:wrapcheck // wrapped by the caller
	}
	now := time.Now()
	template.NotBefore, template.NotAfter, template.KeyUsage = now.Add(-time.Minute), now.Add(certificateLife), x509.KeyUsageDigitalSignature
	raw, err := x509.CreateCertificate(rand.Reader, template, signers[0], key.Public(), signer)
	if err != nil {
		return Certificate{}, err //nolint:wrapcheck // wrapped by the caller
	}
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		return Certificate{}, err //nolint:wrapcheck // wrapped by the caller
	}
	var made Certificate
	if made.Cert, err = certutil.EncodeCertificates(parsed); err != nil {
		return Certificate{}, err //nolint:wrapcheck // wrapped by the caller
	}
	made.Key, err = keyutil.MarshalPrivateKeyToPEM(key)
	return made, err //nolint:wrapcheck // wrapped by the caller
}
