package sink_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		"no URL":            {want: "--datastorage-url"},
		"unusable URL":      {url: "ftp://here", want: "--datastorage-url"},
		"missing file":      {url: "http://here", file: empty + "x", want: "--datastorage-token-file"},
		"file without any":  {url: "http://here", file: empty, want: "is empty"},
		"missing CA file":   {url: "https://here", ca: empty + "x", want: "--datastorage-ca-file"},
		"CA file with none": {url: "https://here", ca: empty, want: "--datastorage-ca-file"},
		"CA file for HTTP":  {url: "http://here", ca: empty, want: "--datastorage-ca-file: URL http://here is not https"},
		"CA file, no host":  {url: "https:///path", ca: empty, want: "--datastorage-url"},
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
