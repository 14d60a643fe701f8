package sink_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/internal/auditclient/sink"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit"
)

func TestUnusableFlagsAreNamed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ url, file, ca, want string }{
		"no URL":            {want: "--datastorage-url is required"},
		"unusable URL":      {url: "ftp://here", want: "--datastorage-url"},
		"missing file":      {url: "http://here", file: empty + "x", want: "--datastorage-token-file"},
		"file without any":  {url: "http://here", file: empty, want: "is empty"},
		"missing CA file":   {url: "https://here", ca: empty + "x", want: "--datastorage-ca-file"},
		"CA file with none": {url: "https://here", ca: empty, want: "--datastorage-ca-file"},
		"CA file for HTTP":  {url: "http://here", ca: empty, want: "--datastorage-ca-file is given but --datastorage-url http://here is not https"},
		"CA file, no host":  {url: "https:///path", ca: empty, want: "--datastorage-ca-file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sink.New(sink.Options{URL: tc.url, TokenFile: tc.file, CAFile: tc.ca, UserAgent: "test"})
			var usage *cli.UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want a usage error with %q", err, tc.want)
			}
		})
	}
}

func TestTheTokenIsReadForEachWrite(t *testing.T) {
	var shown []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = append(shown, r.Header.Get("Authorization")+" "+r.UserAgent())
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	s, err := sink.New(sink.Options{URL: server.URL, TokenFile: token, UserAgent: "test-agent"})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one\n", "two"} {
		write(text)
		if _, err := s.Write(t.Context(), []audit.Event{{ID: uuid.New(), Data: []byte("{}")}}); err == nil {
			t.Error("a 503 was taken for an acknowledgement")
		}
	}
	if got := strings.Join(shown, ","); got != "Bearer one test-agent,Bearer two test-agent" {
		t.Errorf("shown: %s", got)
	}
}

func TestTheAuthorityIsReadForEachConnection(t *testing.T) {
	answered := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answered++
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	write := func(der []byte) {
		t.Helper()
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(somebodyElse(t))
	s, err := sink.New(sink.Options{URL: server.URL, CAFile: file, UserAgent: "test-agent"})
	if err != nil {
		t.Fatal(err)
	}
	send := func() error {
		_, err := s.Write(t.Context(), []audit.Event{{ID: uuid.New(), Data: []byte("{}")}})
		return err
	}
	var unverified *tls.CertificateVerificationError
	if err := send(); !errors.As(err, &unverified) || answered != 0 {
		t.Errorf("a certificate of another authority: error %v, %d requests arrived", err, answered)
	}
	write(server.Certificate().Raw)
	var refused *audit.SinkError
	if err := send(); !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable || answered != 1 {
		t.Errorf("the right authority: error %v, %d requests arrived", err, answered)
	}
}

// somebodyElse is the certificate of another authority.
func somebodyElse(t *testing.T) []byte {
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
