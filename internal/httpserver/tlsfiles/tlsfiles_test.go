package tlsfiles_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"kubernaut.ai/internal/httpserver/tlsfiles"
)

// write makes a self-signed certificate of a name, which expires after a while.
func write(t *testing.T, cert, key, name string, lasts time.Duration) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(lasts)}
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

// server makes a server from files, and returns its log.
func server(t *testing.T, cert, key string, c clock.PassiveClock) (*tlsfiles.Server, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	flags := tlsfiles.Flags{Cert: cert, Key: key}
	s, err := flags.NewServer("api", c, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	return s, logs
}

// expectLogged expects messages, and forgets them.
func expectLogged(t *testing.T, logs *observer.ObservedLogs, when string, want ...string) {
	t.Helper()
	entries := logs.TakeAll()
	got := make([]string, 0, len(entries))
	for _, e := range entries {
		got = append(got, e.Level.String()+" "+e.Message)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: logged %q, want %q", when, got, want)
	}
}

const (
	reloaded = "info TLS files reloaded"
	broken   = "warn TLS files cannot be reloaded: the last usable ones stay in place"
	again    = "info TLS files can be reloaded again"
)

func TestReplacedFilesAreUsed(t *testing.T) {
	t.Parallel()
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	write(t, cert, key, "first", time.Hour)
	fake := testclock.NewFakePassiveClock(time.Now())
	s, logs := server(t, cert, key, fake)
	config := s.Config()
	step := func(when, want string, logged ...string) {
		t.Helper()
		if name := served(t, config); name != want {
			t.Errorf("%s: %s is served, want %s", when, name, want)
		}
		expectLogged(t, logs, when, logged...)
	}
	write(t, cert, key, "the second", time.Hour)
	step("at once", "first")
	fake.SetTime(fake.Now().Add(5 * time.Second))
	step("later", "the second", reloaded)
	if err := os.WriteFile(cert, []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	fake.SetTime(fake.Now().Add(5 * time.Second))
	step("with a broken file", "the second", broken)
	fake.SetTime(fake.Now().Add(5 * time.Second))
	step("with a file that is still broken", "the second")
	flags := tlsfiles.Flags{Cert: cert, Key: key}
	if _, err := flags.NewServer("api", fake, zap.NewNop()); err == nil {
		t.Error("a broken file at start: no error")
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	fake.SetTime(fake.Now().Add(5 * time.Second))
	step("with a missing file", "the second")
	write(t, cert, key, "the third one", time.Hour)
	fake.SetTime(fake.Now().Add(5 * time.Second))
	step("repaired", "the third one", again)
	fake.SetTime(fake.Now().Add(5 * time.Second))
	step("unchanged", "the third one")
}

// expiry is the value of tls_certificate_not_after_seconds of a certificate.
func expiry(t *testing.T, of prometheus.Collector, certificate string) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(of)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "tls_certificate_not_after_seconds" && m.GetLabel()[0].GetValue() == certificate {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no expiry of %s", certificate)
	return 0
}

func TestTheExpiryIsAMetric(t *testing.T) {
	t.Parallel()
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	fake := testclock.NewFakePassiveClock(time.Now())
	write(t, cert, key, "first", time.Hour)
	s, logs := server(t, cert, key, fake)
	expect := func(when string, after time.Duration) {
		t.Helper()
		if got := expiry(t, s, "server"); math.Abs(got-float64(time.Now().Add(after).Unix())) > 60 {
			t.Errorf("%s: expires at %f, want in %s", when, got, after)
		}
	}
	expect("first", time.Hour)
	write(t, cert, key, "the second", 1000*time.Hour)
	fake.SetTime(fake.Now().Add(5 * time.Second))
	expect("replaced, without a connection", 1000*time.Hour)
	expectLogged(t, logs, "a scrape", reloaded)
	if problems, err := testutil.CollectAndLint(s); err != nil || len(problems) > 0 {
		t.Errorf("metric: %v, %v", problems, err)
	}
}

func TestAFailedReloadIsAMetric(t *testing.T) {
	t.Parallel()
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	fake := testclock.NewFakePassiveClock(time.Now())
	write(t, cert, key, "first", time.Hour)
	s, _ := server(t, cert, key, fake)
	expect := func(when, up, success, failure string) {
		t.Helper()
		fake.SetTime(fake.Now().Add(5 * time.Second))
		want := `
# HELP tls_files_up Whether the TLS files as they are now can be used.
# TYPE tls_files_up gauge
tls_files_up{server="api"} ` + up + `
# HELP tls_reloads_total How often changed TLS files were read, by result.
# TYPE tls_reloads_total counter
tls_reloads_total{result="failure",server="api"} ` + failure + `
tls_reloads_total{result="success",server="api"} ` + success + `
`
		if err := testutil.CollectAndCompare(s, strings.NewReader(want), "tls_files_up", "tls_reloads_total"); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	expect("first", "1", "0", "0")
	if err := os.WriteFile(cert, []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("broken", "0", "0", "1")
	expect("still broken", "0", "0", "1")
	write(t, cert, key, "second", time.Hour)
	expect("repaired", "1", "1", "1")
}

func TestTheFirstExpiryOfAuthoritiesIsAMetric(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, late, early := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "late.pem"), filepath.Join(dir, "early.pem")
	write(t, cert, key, "server", time.Hour)
	write(t, late, filepath.Join(dir, "late-key.pem"), "late", 1000*time.Hour)
	write(t, early, filepath.Join(dir, "early-key.pem"), "early", 10*time.Hour)
	both := filepath.Join(dir, "both.pem")
	var text []byte
	for _, file := range []string{late, early} {
		one, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, one...)
	}
	if err := os.WriteFile(both, text, 0o600); err != nil {
		t.Fatal(err)
	}
	flags := tlsfiles.Flags{Cert: cert, Key: key, ClientCA: both}
	fake := testclock.NewFakePassiveClock(time.Now())
	s, err := flags.NewServer("api", fake, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	authorities := tlsfiles.NewAuthorities("datastorage", both, fake, zap.New(core))
	want := float64(time.Now().Add(10 * time.Hour).Unix())
	for what, got := range map[string]float64{"client-ca": expiry(t, s, "client-ca"), "ca": expiry(t, authorities, "ca")} {
		if math.Abs(got-want) > 60 {
			t.Errorf("%s: %f, want %f", what, got, want)
		}
	}
	expectLogged(t, logs, "before")
	fake.SetTime(fake.Now().Add(11 * time.Hour))
	for range 2 {
		expiry(t, authorities, "ca")
	}
	expectLogged(t, logs, "after", "warn an authority has expired")
}

func TestACertificateThatExpiresIsLoggedOnce(t *testing.T) {
	t.Parallel()
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	fake := testclock.NewFakePassiveClock(time.Now())
	write(t, cert, key, "first", time.Hour)
	s, logs := server(t, cert, key, fake)
	for range 3 {
		fake.SetTime(fake.Now().Add(30*time.Minute + time.Second))
		expiry(t, s, "server")
	}
	expectLogged(t, logs, "expired", "warn the TLS certificate has expired")
}

func TestAnExpiredCertificateIsWarnedOfAtStart(t *testing.T) {
	t.Parallel()
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	write(t, cert, key, "old", -time.Minute)
	_, logs := server(t, cert, key, clock.RealClock{})
	expectLogged(t, logs, "start", "warn the TLS certificate has expired")
}
