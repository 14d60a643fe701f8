package alerts_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/internal/httpserver/tlsfiles"
)

// certificate makes a certificate for this machine that is its own authority.
func certificate(lifetime time.Duration) tlsfiles.Flags {
	GinkgoHelper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(lifetime), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	Expect(err).NotTo(HaveOccurred())
	private, err := x509.MarshalPKCS8PrivateKey(key)
	Expect(err).NotTo(HaveOccurred())
	dir := GinkgoT().TempDir()
	files := tlsfiles.Flags{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	for path, content := range map[string]*pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: signed}, files.Key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		Expect(os.WriteFile(path, pem.EncodeToMemory(content), 0o600)).To(Succeed())
	}
	return files
}

// trusting is a client that trusts a certificate.
func trusting(files tlsfiles.Flags) *http.Client {
	GinkgoHelper()
	text, err := os.ReadFile(files.Cert)
	Expect(err).NotTo(HaveOccurred())
	pool := x509.NewCertPool()
	Expect(pool.AppendCertsFromPEM(text)).To(BeTrue())
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}}
	DeferCleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// secret makes the Secret in which a deployment has these files.
func (s *siteState) secret(ctx context.Context, files tlsfiles.Flags) {
	GinkgoHelper()
	data := map[string][]byte{}
	for name, path := range map[string]string{corev1.TLSCertKey: files.Cert, corev1.TLSPrivateKeyKey: files.Key, "ca.crt": files.Cert} {
		text, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		data[name] = text
	}
	Expect(env.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "datastorage-tls"}, Type: corev1.SecretTypeTLS, Data: data,
	})).To(Succeed())
}
