package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// pair is a certificate and its key, both in PEM form.
type pair struct {
	certificate, keyPEM []byte

	parsed *x509.Certificate
	key    crypto.Signer
}

func parse(certificate, key []byte) (*pair, error) {
	both, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("certificate and key: %w", err)
	}
	signer, ok := both.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	return &pair{certificate: certificate, keyPEM: key, parsed: both.Leaf, key: signer}, nil
}

func newAuthority(now time.Time) (*pair, error) {
	return sign(nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: authorityName}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
}

// issue makes a certificate for a server.
func (p *pair) issue(now time.Time, names []string, addresses []net.IP) (*pair, error) {
	return sign(p, &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(serverLife),
		DNSNames: names, IPAddresses: addresses,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// sign makes a certificate and its key. Without an authority it signs itself.
func sign(authority *pair, template *x509.Certificate) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	parent, signer := template, crypto.Signer(key)
	if authority != nil {
		parent, signer = authority.parsed, authority.key
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return parse(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}),
	)
}

// serves reports whether a certificate is of an authority, and for these names and addresses.
func (p *pair) serves(authority *pair, names []string, addresses []net.IP) bool {
	return p.parsed.CheckSignatureFrom(authority.parsed) == nil && slices.Equal(p.parsed.DNSNames, names) &&
		slices.EqualFunc(p.parsed.IPAddresses, addresses, net.IP.Equal)
}
