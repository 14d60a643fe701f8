package httpsink_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/httpsink"
)

func writeFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func certificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestTheTokenFileIsReadForEachWrite(t *testing.T) {
	t.Parallel()
	var sent []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	writeFile(t, token, []byte("one\n"))
	sink, err := httpsink.New(server.URL, httpsink.WithTokenFile(token))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one\n", "two", " \n"} {
		writeFile(t, token, []byte(text))
		var failed *audit.SinkError
		if _, err := sink.Write(t.Context(), batchOf(1)); !errors.As(err, &failed) {
			t.Errorf("write with token %q: %v, want a *SinkError", text, err)
		}
	}
	if got := strings.Join(sent, ","); got != "Bearer one,Bearer two" {
		t.Errorf("sent %s", got)
	}
}

func TestTheCAFileIsReadForEachConnection(t *testing.T) {
	t.Parallel()
	responses := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		responses++
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, file, certificate(otherAuthority(t)))
	sink, err := httpsink.New(server.URL, httpsink.WithCAFile(file))
	if err != nil {
		t.Fatal(err)
	}
	var unverified *tls.CertificateVerificationError
	if _, err := sink.Write(t.Context(), batchOf(1)); !errors.As(err, &unverified) || responses != 0 {
		t.Errorf("certificate of another authority: %v, %d requests arrived", err, responses)
	}
	writeFile(t, file, certificate(server.Certificate().Raw))
	var failed *audit.SinkError
	if _, err := sink.Write(t.Context(), batchOf(1)); !errors.As(err, &failed) || failed.Status != http.StatusServiceUnavailable {
		t.Errorf("right authority: %v", err)
	}
	writeFile(t, file, nil)
	sink.CloseIdleConnections()
	if _, err := sink.Write(t.Context(), batchOf(1)); !errors.As(err, &failed) || failed.Status != http.StatusServiceUnavailable || responses != 2 {
		t.Errorf("unusable file: %v, want the last authorities to stay, %d requests arrived", err, responses)
	}
}

// otherAuthority is the certificate of another authority.
func otherAuthority(t *testing.T) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestNewNamesTheOptionOfAnUnusableFile(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	writeFile(t, empty, []byte("\n"))
	usable := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, usable, certificate(otherAuthority(t)))
	for name, c := range map[string]struct {
		url    string
		option httpsink.Option
		want   string
	}{
		"missing token file": {"http://here", httpsink.WithTokenFile(empty + "x"), "WithTokenFile"},
		"empty token file":   {"http://here", httpsink.WithTokenFile(empty), "WithTokenFile"},
		"missing CA file":    {"https://here", httpsink.WithCAFile(empty + "x"), "WithCAFile"},
		"CA file of none":    {"https://here", httpsink.WithCAFile(empty), "WithCAFile"},
		"no CA file":         {"https://here", httpsink.WithCAFile(""), "WithCAFile"},
		"CA file for http":   {"http://here", httpsink.WithCAFile(usable), "WithCAFile"},
	} {
		var option *httpsink.OptionError
		if _, err := httpsink.New(c.url, c.option); !errors.As(err, &option) || option.Option != c.want {
			t.Errorf("%s: %v, want an error of %s", name, err, c.want)
		}
	}
	for name, other := range map[string]httpsink.Option{
		"client": httpsink.WithHTTPClient(http.DefaultClient), "TLS": httpsink.WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}),
	} {
		if _, err := httpsink.New("https://here", httpsink.WithCAFile(usable), other); err == nil {
			t.Errorf("a CA file beside a %s is accepted", name)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"127.0.0.1:18080":      `URL "127.0.0.1:18080": must be http(s)://host[:port][/path]`,
		"localhost:8080":       "must be http(s)://host[:port][/path]",
		"https:///path":        "must be http(s)://host[:port][/path]",
		"http://u:secret@%zz/": "must be http(s)://host[:port][/path]",
	} {
		_, err := httpsink.New(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	sink := serve(t, http.NotFound)
	_, err := sink.Write(t.Context(), batchOf(1))
	if err == nil || !strings.Contains(err.Error(), "404 Not Found: POST http://127.0.0.1:") || !strings.Contains(err.Error(), "/base/api/v1/audit/events/batch") {
		t.Errorf("write: %v, want method and URL", err)
	}
}

func TestPlainHTTPToATLSPortIsExplained(t *testing.T) {
	t.Parallel()
	const want = "is it https?"
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	alert, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = alert.Close() })
	go func() {
		for {
			conn, err := alert.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<10))
			_, _ = conn.Write([]byte{0x15, 0x03, 0x01, 0, 2, 2, 22, '\n'}) // a TLS alert
			_ = conn.Close()
		}
	}()
	for name, url := range map[string]string{"Go": "http://" + server.Listener.Addr().String(), "an alert": "http://" + alert.Addr().String()} {
		sink, err := httpsink.New(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sink.CloseIdleConnections)
		if _, err := sink.Write(t.Context(), batchOf(1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
