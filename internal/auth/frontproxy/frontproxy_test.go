package frontproxy //nolint:testpackage // what was published is an inner part

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/auth"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(signed)
	if err != nil {
		t.Fatal(err)
	}
	return authority{certificate, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}))}
}

// client makes a certificate with a name.
func (a authority) client(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key}
}

func config(data map[string]string) *corev1.ConfigMap {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: configMap}, Data: map[string]string{
		keyNames: `["front-proxy-client"]`, keyUser: `["X-Remote-User"]`, keyUID: `["X-Remote-Uid"]`,
		keyGroups: `["X-Remote-Group"]`, keyExtra: `["X-Remote-Extra-"]`,
	}}
	maps.Copy(m.Data, data)
	return m
}

func newProxy(t *testing.T) (*Proxy, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	p, err := New(&rest.Config{Host: "http://127.0.0.1:1"}, auth.None{}, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	return p, logs
}

// serve starts a server behind a proxy that answers with its caller's name.
func serve(t *testing.T, p *Proxy) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := p.Authenticate(r)
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, caller.Name)
	}))
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	own := newAuthority(t, "server")
	base := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{own.certificate.Raw}, PrivateKey: own.key}}}
	server.TLS = p.TLS(base)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// call returns the status and body of a request that names a user, or the error of the handshake.
func call(ctx context.Context, server *httptest.Server, certificates ...tls.Certificate) (status int, body string, err error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certificates}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("X-Remote-User", "ada")
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

func TestOnlyTheFrontProxyIsBelieved(t *testing.T) {
	t.Parallel()
	p, _ := newProxy(t)
	server := serve(t, p)
	front, other := newAuthority(t, "front"), newAuthority(t, "other")
	proxy := front.client(t, "front-proxy-client")
	if _, _, err := call(t.Context(), server, proxy); err == nil {
		t.Error("the handshake succeeded before the front proxy was known")
	}
	p.take(config(map[string]string{keyAuthority: front.pem, keyClients: other.pem}))
	if status, body, err := call(t.Context(), server, proxy); err != nil || status != http.StatusOK || body != "ada" {
		t.Errorf("the front proxy got %d %q, error %v", status, body, err)
	}
	if status, _, err := call(t.Context(), server, front.client(t, "somebody")); err != nil || status != http.StatusUnauthorized {
		t.Errorf("another name of the authority got %d, error %v, want 401", status, err)
	}
	for name, shown := range map[string][]tls.Certificate{"no certificate": nil, "another authority's": {other.client(t, "front-proxy-client")}} {
		if _, _, err := call(t.Context(), server, shown...); err == nil {
			t.Errorf("%s: the handshake succeeded", name)
		}
	}
	// The authority is replaced: the old one is good for nothing.
	p.take(config(map[string]string{keyAuthority: other.pem}))
	if _, _, err := call(t.Context(), server, proxy); err == nil {
		t.Error("the handshake succeeded with a certificate of the authority that was replaced")
	}
}

func TestAConnectionDoesNotOutliveItsAuthority(t *testing.T) {
	t.Parallel()
	p, _ := newProxy(t)
	front, next := newAuthority(t, "front"), newAuthority(t, "next")
	p.take(config(map[string]string{keyAuthority: front.pem}))
	pair := front.client(t, "front-proxy-client")
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	request := func() *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
		r.Header = http.Header{
			"X-Remote-User": {"ada"}, "X-Remote-Uid": {"17"}, "X-Remote-Group": {"oncall", "system:authenticated"}, "X-Remote-Extra-Scopes": {"a", "b"},
		}
		return r
	}
	caller, err := p.Authenticate(request())
	want := auth.Caller{Name: "ada", UID: "17", Groups: []string{"oncall", "system:authenticated"}, Extra: map[string][]string{"scopes": {"a", "b"}}}
	if err != nil || !reflect.DeepEqual(caller, want) {
		t.Errorf("got %+v, error %v, want %+v", caller, err, want)
	}
	p.take(config(map[string]string{keyAuthority: next.pem}))
	if _, err := p.Authenticate(request()); !errors.As(err, new(*auth.UnauthenticatedError)) {
		t.Errorf("error %v, want an UnauthenticatedError", err)
	}
}

func TestWhatWasKnownLastStaysInForce(t *testing.T) {
	t.Parallel()
	p, logs := newProxy(t)
	front := newAuthority(t, "front")
	p.fault(errors.New("forbidden"))
	p.fault(errors.New("forbidden"))
	if lines := logs.TakeAll(); len(lines) != 1 || lines[0].Level != zap.WarnLevel || !strings.Contains(lines[0].ContextMap()["remedy"].(string), "extension-apiserver-authentication-reader") {
		t.Errorf("logged %v, want one warning with a remedy", lines)
	}
	p.take(config(map[string]string{keyAuthority: front.pem}))
	known := p.current.Load()
	if lines := logs.TakeAll(); known == nil || len(lines) != 1 || lines[0].Level != zap.InfoLevel {
		t.Fatalf("logged %v, want one line for the end", lines)
	}
	for name, data := range map[string]map[string]string{
		"no authority":       {keyAuthority: ""},
		"unusable authority": {keyAuthority: "no PEM"},
		"no header":          {keyAuthority: front.pem, keyUser: ""},
		"unusable names":     {keyAuthority: front.pem, keyNames: "front-proxy-client"},
		"no name, and the authority of all clients": {keyAuthority: front.pem, keyNames: "[]", keyClients: front.pem},
	} {
		p.take(config(data))
		if p.current.Load() != known {
			t.Errorf("%s: it was taken", name)
		}
	}
	if lines := logs.TakeAll(); len(lines) != 1 || !strings.Contains(lines[0].Message, "stays in force") {
		t.Errorf("logged %v, want one warning", lines)
	}
}
