package tlsfiles_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"kubernaut.ai/internal/httpserver/tlsfiles"
)

// write makes a self-signed certificate of a name.
func write(t *testing.T, cert, key, name string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// served does a handshake and returns the server's name.
func served(t *testing.T, config *tls.Config) string {
	t.Helper()
	near, far := net.Pipe()
	server := tls.Server(far, config)
	go func() { _ = server.HandshakeContext(t.Context()) }()
	client := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	name := client.ConnectionState().PeerCertificates[0].Subject.CommonName
	_ = near.Close()
	_ = far.Close()
	return name
}

func TestReplacedFilesAreUsed(t *testing.T) {
	t.Parallel()
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	write(t, cert, key, "first")
	fake := testclock.NewFakePassiveClock(time.Now())
	config, err := tlsfiles.ServerConfig(cert, key, "", fake)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cert, key, "the second")
	if name := served(t, config); name != "first" {
		t.Errorf("at once: %s, want the first", name)
	}
	fake.SetTime(fake.Now().Add(5 * time.Second))
	if name := served(t, config); name != "the second" {
		t.Errorf("later: %s, want the second", name)
	}
	if err := os.WriteFile(cert, []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	fake.SetTime(fake.Now().Add(5 * time.Second))
	if name := served(t, config); name != "the second" {
		t.Errorf("with a broken file: %s, want the last usable", name)
	}
	if _, err := tlsfiles.ServerConfig(cert, key, "", fake); err == nil {
		t.Error("a broken file at start: no error")
	}
}
