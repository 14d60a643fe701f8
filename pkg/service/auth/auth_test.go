package auth_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/service"
	"kubernaut.ai/pkg/service/auth"
	"kubernaut.ai/pkg/service/problem"
)

func line(name, token string) string {
	hash := sha256.Sum256([]byte(token))
	return name + "  " + hex.EncodeToString(hash[:]) + "\n"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFlags(t *testing.T) {
	good := filepath.Join(t.TempDir(), "tokens")
	write(t, good, line("prometheus", "s3cret"))
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, "# nobody\n\n")
	broken := filepath.Join(t.TempDir(), "broken")
	write(t, broken, "prometheus s3cret\n")
	shared := filepath.Join(t.TempDir(), "shared")
	write(t, shared, line("prometheus", "s3cret")+line("grafana", "s3cret"))
	for name, tc := range map[string]struct {
		flags  auth.Flags
		listen string
		want   string // part of the error; empty where it is usable
	}{
		"none on loopback":          {flags: auth.Flags{Mode: "none"}, listen: "127.0.0.1:1"},
		"none for everybody":        {flags: auth.Flags{Mode: "none"}, listen: ":1", want: "--listen :1"},
		"none, in so many words":    {flags: auth.Flags{Mode: "none", AllowInsecure: true}, listen: ":1"},
		"none with a file":          {flags: auth.Flags{Mode: "none", File: good}, listen: "127.0.0.1:1", want: "--auth-token-file"},
		"token file":                {flags: auth.Flags{Mode: "token-file", File: good}, listen: ":1"},
		"token file without a file": {flags: auth.Flags{Mode: "token-file"}, listen: ":1", want: "--auth-token-file"},
		"missing token file":        {flags: auth.Flags{Mode: "token-file", File: good + "x"}, listen: ":1", want: good + "x"},
		"empty token file":          {flags: auth.Flags{Mode: "token-file", File: empty}, listen: ":1", want: "no caller"},
		"token instead of a hash":   {flags: auth.Flags{Mode: "token-file", File: broken}, listen: ":1", want: "line 1"},
		"a token of two callers":    {flags: auth.Flags{Mode: "token-file", File: shared}, listen: ":1", want: "line 2"},
		"unknown mode":              {flags: auth.Flags{Mode: "magic"}, listen: ":1", want: `"magic"`},
		"unusable address":          {flags: auth.Flags{Mode: "none"}, listen: "here", want: "--listen"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := tc.flags.New("listen", tc.listen, clocktesting.NewFakePassiveClock(time.Now()))
			if tc.want == "" {
				if err != nil || a == nil {
					t.Errorf("authenticator %v, error %v", a, err)
				}
				return
			}
			var usage *service.UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error %v, want a usage error with %q and without secrets", err, tc.want)
			}
		})
	}
}

func TestTokenFileIsReloadedAndFailsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	write(t, path, line("prometheus", "one"))
	c := clocktesting.NewFakePassiveClock(time.Now())
	a, err := auth.NewTokenFile(path, c)
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.HTTPErrorHandler = problem.ErrorHandler(zap.NewNop())
	e.Use(auth.Middleware(a))
	e.GET("/", func(c echo.Context) error {
		return c.String(http.StatusOK, auth.CallerFrom(c.Request().Context()).Name)
	})
	expect := func(header string, status int, body string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, r)
		if rec.Code != status || (status == http.StatusOK && rec.Body.String() != body) {
			t.Errorf("%q: %d %s; want %d %s", header, rec.Code, rec.Body, status, body)
		}
		if status == http.StatusUnauthorized && rec.Header().Get("WWW-Authenticate") == "" {
			t.Error("401 without WWW-Authenticate")
		}
	}
	expect("Bearer one", http.StatusOK, "prometheus")
	expect("bearer one", http.StatusOK, "prometheus")
	expect("", http.StatusUnauthorized, "")
	expect("Bearer two", http.StatusUnauthorized, "")
	expect("Basic one", http.StatusUnauthorized, "")
	write(t, path, line("alertmanager", "two")+line("prometheus", "three"))
	c.SetTime(c.Now().Add(5 * time.Second))
	expect("Bearer one", http.StatusUnauthorized, "")
	expect("Bearer two", http.StatusOK, "alertmanager")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	c.SetTime(c.Now().Add(5 * time.Second))
	expect("Bearer two", http.StatusUnauthorized, "")
}
