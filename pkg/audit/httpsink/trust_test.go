package httpsink //nolint:testpackage // the TLS configuration is an inner step

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// handshake connects a client to a server that shows a certificate. It goes
// over a socket: in a pipe without a buffer, an alert waits for its reader.
func handshake(t *testing.T, client *tls.Config, certificate tls.Certificate) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = conn.(*tls.Conn).HandshakeContext(t.Context()) // the client says how it went
		_ = conn.Close()
	}()
	defer func() {
		_ = listener.Close()
		<-served
	}()
	conn, err := (&tls.Dialer{Config: client}).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	return conn.Close()
}

func TestAClientBelievesItsAuthorityAlone(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, "root", nil)
	file := filepath.Join(t.TempDir(), "ca.pem")
	root.writeTo(t, file)
	between := newAuthority(t, "between", root)
	for name, test := range map[string]struct {
		host        string
		certificate tls.Certificate
		good        bool
	}{
		"by name":                {"datastorage", root.issue(t, nil), true},
		"by address":             {"127.0.0.1", root.issue(t, nil), true},
		"with one between":       {"datastorage", between.issue(t, nil), true},
		"another name":           {"gateway", root.issue(t, nil), false},
		"another address":        {"127.0.0.2", root.issue(t, nil), false},
		"another authority":      {"datastorage", newAuthority(t, "root", nil).issue(t, nil), false},
		"expired":                {"datastorage", root.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), false},
		"a client's certificate": {"datastorage", root.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), false},
		"its own authority":      {"datastorage", newAuthority(t, "between", newAuthority(t, "root", nil)).issue(t, nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, err := trustFile(file, test.host, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			err = handshake(t, config, test.certificate)
			var unverified *tls.CertificateVerificationError
			if test.good && err != nil || !test.good && !errors.As(err, &unverified) {
				t.Errorf("error %v, want one that the certificate is not good: %t", err, !test.good)
			}
		})
	}
}

func TestAReplacedAuthorityIsBelieved(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t, "first", nil), newAuthority(t, "second", nil)
	file := filepath.Join(t.TempDir(), "ca.pem")
	first.writeTo(t, file)
	var logs bytes.Buffer
	config, err := trustFile(file, "datastorage", slog.New(slog.NewTextHandler(&logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	expect := func(when string, a *authority, good bool) {
		t.Helper()
		if err := handshake(t, config.Clone(), a.issue(t, nil)); (err == nil) != good {
			t.Errorf("%s: error %v, want one: %t", when, err, !good)
		}
	}
	expectLogged := func(when, want string) {
		t.Helper()
		if text := logs.String(); strings.Count(text, "\n") != min(len(want), 1) || !strings.Contains(text, want) {
			t.Errorf("%s: logged %q, want %q once", when, text, want)
		}
		logs.Reset()
	}
	expect("first", first, true)
	expect("first", second, false)
	second.writeTo(t, file)
	expect("replaced", first, false)
	expect("replaced", second, true)
	if err := os.WriteFile(file, []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("broken", first, false)
	expect("broken", second, true)
	expectLogged("broken", `level=WARN msg="authorities cannot be reloaded: the last usable ones stay in place"`)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	expect("gone", second, true)
	expectLogged("gone", "")
	first.writeTo(t, file)
	expect("repaired", first, true)
	expectLogged("repaired", `level=INFO msg="authorities reloaded after a failure"`)
}

func TestUnusableAuthoritiesAreRefused(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + "x"} {
		if _, err := trustFile(file, "datastorage", slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: no error", file)
		}
	}
}
