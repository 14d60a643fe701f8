package auth_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/internal/auth"
)

// tokens is a token file, and an API with one route behind it.
type tokens struct {
	path  string
	clock *clocktesting.FakePassiveClock
	logs  *observer.ObservedLogs
	file  *auth.TokenFile
	api   *echo.Echo
}

func newTokens(t *testing.T, text string) *tokens {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	f := &tokens{path: filepath.Join(t.TempDir(), "tokens"), clock: clocktesting.NewFakePassiveClock(time.Now()), logs: logs}
	write(t, f.path, text)
	var err error
	if f.file, err = auth.NewTokenFile(auth.TokenFileOptions{Path: f.path, Clock: f.clock, Log: zap.New(core)}); err != nil {
		t.Fatal(err)
	}
	f.api = served(t, auth.NewGate(f.file, zap.NewNop()), zap.NewNop())
	return f
}

func (f *tokens) step(d time.Duration) { f.clock.SetTime(f.clock.Now().Add(d)) }

// expect sends a request and compares the answer; body is that of a 200.
func (f *tokens) expect(t *testing.T, when, header string, status int, body string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	answer := httptest.NewRecorder()
	f.api.ServeHTTP(answer, r)
	if answer.Code != status || (status == http.StatusOK && answer.Body.String() != body) || strings.Contains(answer.Body.String(), f.path) {
		t.Errorf("%s: %q: %d %s; want %d %s", when, header, answer.Code, answer.Body, status, body)
	}
	if status == http.StatusUnauthorized && answer.Header().Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
	if status == http.StatusServiceUnavailable && answer.Header().Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
}

// expectLogged compares the lines since the last call.
func (f *tokens) expectLogged(t *testing.T, when string, want ...string) {
	t.Helper()
	entries := f.logs.TakeAll()
	lines := make([]string, 0, len(entries))
	for _, entry := range entries {
		text := entry.Level.String() + " " + entry.Message
		if cause, ok := entry.ContextMap()["error"].(string); ok {
			text += ": " + cause
		}
		lines = append(lines, text)
	}
	if !slices.EqualFunc(lines, want, strings.Contains) {
		t.Errorf("%s: log %q, want %q", when, lines, want)
	}
}

func (f *tokens) expectUp(t *testing.T, when string, want string) {
	t.Helper()
	text := "# HELP auth_token_file_up Whether the token file is usable.\n# TYPE auth_token_file_up gauge\nauth_token_file_up " + want + "\n"
	if err := testutil.CollectAndCompare(f.file, strings.NewReader(text), "auth_token_file_up"); err != nil {
		t.Errorf("%s: %v", when, err)
	}
}

func TestATokenFileIsReloaded(t *testing.T) {
	t.Parallel()
	f := newTokens(t, line("prometheus", "one"))
	f.expect(t, "first", "Bearer one", http.StatusOK, "prometheus")
	f.expect(t, "first", "bearer one", http.StatusOK, "prometheus")
	for _, header := range []string{"", "Bearer two", "Basic one"} {
		f.expect(t, "first", header, http.StatusUnauthorized, "")
	}
	write(t, f.path, line("alertmanager", "two")+line("prometheus", "three"))
	f.step(5*time.Second - 1)
	f.expect(t, "too early", "Bearer one", http.StatusOK, "prometheus")
	f.step(1)
	f.expect(t, "revoked", "Bearer one", http.StatusUnauthorized, "")
	f.expect(t, "added", "Bearer two", http.StatusOK, "alertmanager")
	f.expectLogged(t, "reload", "info token file reloaded")
	f.expectUp(t, "reload", "1")
}

func TestTheLastUsableTokenFileStaysInForceForAMinute(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, f *tokens){
		"typo": func(t *testing.T, f *tokens) {
			t.Helper()
			write(t, f.path, line("prometheus", "one")+"\ngarbage line x=y\n")
		},
		"missing": func(t *testing.T, f *tokens) {
			t.Helper()
			if err := os.Remove(f.path); err != nil {
				t.Fatal(err)
			}
		},
		"empty": func(t *testing.T, f *tokens) {
			t.Helper()
			write(t, f.path, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newTokens(t, line("prometheus", "one"))
			spoil(t, f)
			f.step(5 * time.Second)
			f.expect(t, "at once", "Bearer one", http.StatusOK, "prometheus")
			f.expect(t, "at once", "Bearer two", http.StatusUnauthorized, "")
			f.expectLogged(t, "when it begins", "error token file unusable: its last usable version stays in force for a while, then every request is answered 503")
			f.expectUp(t, "broken", "0")
			f.step(time.Minute - 1)
			f.expect(t, "before the minute is over", "Bearer one", http.StatusOK, "prometheus")
			f.step(1)
			for _, header := range []string{"Bearer one", "Bearer two", ""} {
				f.expect(t, "after a minute", header, http.StatusServiceUnavailable, "")
			}
			f.expectLogged(t, "while it lasts")
			write(t, f.path, line("grafana", "two"))
			f.step(5 * time.Second)
			f.expect(t, "repaired", "Bearer two", http.StatusOK, "grafana")
			f.expect(t, "repaired", "Bearer one", http.StatusUnauthorized, "")
			f.expectLogged(t, "when it ends", "info token file usable again")
			f.expectUp(t, "repaired", "1")
		})
	}
}

func TestABrokenTokenFileIsReportedWithItsLine(t *testing.T) {
	t.Parallel()
	f := newTokens(t, line("prometheus", "one"))
	write(t, f.path, line("prometheus", "one")+"garbage line x=y\n")
	f.step(5 * time.Second)
	f.expectUp(t, "a scrape notices it", "0")
	entries := f.logs.TakeAll()
	if len(entries) != 1 {
		t.Fatalf("%d lines, want one", len(entries))
	}
	fields := entries[0].ContextMap()
	if cause, ok := fields["error"].(string); !ok || !strings.Contains(cause, `line 2: "garbage"'s second column is not a hex SHA-256`) || fields["remedy"] == "" {
		t.Errorf("line with %v", fields)
	}
	// The file as it was before has an old stamp; it counts all the same.
	write(t, f.path, line("prometheus", "one"))
	f.step(5 * time.Second)
	f.expectUp(t, "repaired", "1")
}

func TestALineSaysWhatItsBearerMayDo(t *testing.T) {
	t.Parallel()
	f := newTokens(t, line("auditor", "1", "rights=read")+line("shop", "2", "rights=write", "types=shop,billing")+
		line("both", "3", "rights=read,write", "types=*")+line("team", "4", "namespaces=shop,bank")+line("monitoring", "5", "namespaces=*"))
	list := auth.Action{Group: "audit.kubernaut.ai", Resource: "events", Verb: "list", Role: "audit-reader"}
	acknowledgement := auth.Action{Group: "audit.kubernaut.ai", Resource: "acknowledgements", Verb: "get", Role: "audit-writer"}
	own, shop, all := auth.Scope{}, auth.InNamespace("shop"), auth.Everywhere()
	for _, test := range []struct {
		token   string
		action  auth.Action
		where   auth.Scope
		missing string
	}{
		{"1", list, own, ""},
		{"1", createEvents.Named("shop"), own, "add write to rights="},
		{"1", acknowledgement, own, ""},
		{"1", createSignals, shop, "add shop to namespaces="},
		{"2", createEvents.Named("shop"), own, ""},
		{"2", createEvents.Named("billing"), own, ""},
		{"2", createEvents.Named("gateway"), own, "add gateway to types="},
		{"2", createEvents, own, "add * to types="},
		{"2", list, own, "add read to rights="},
		{"2", acknowledgement, own, ""},
		{"3", list, own, ""},
		{"3", createEvents.Named("gateway"), own, ""},
		{"3", createEvents, own, ""},
		{"4", createSignals, shop, ""},
		{"4", createSignals, auth.InNamespace("other"), "add other to namespaces="},
		{"4", createSignals, all, "add * to namespaces="},
		{"4", list, own, "add read to rights="},
		{"4", acknowledgement, own, "add read to rights="},
		{"5", createSignals, shop, ""},
		{"5", createSignals, all, ""},
		{"5", createEvents.Named("shop"), own, "add write to rights="},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+test.token)
		caller, err := f.file.Authenticate(r)
		if err != nil {
			t.Fatal(err)
		}
		err = f.file.Authorize(t.Context(), caller, test.action, test.where)
		if (err == nil) != (test.missing == "") || (err != nil && !strings.Contains(err.Error(), test.missing+" to its line")) &&
			!strings.Contains(err.Error(), test.missing) {
			t.Errorf("%s: %s in %s: error %v, want %q", caller.Name, test.action, test.where, err, test.missing)
		}
	}
	for name, want := range map[string]bool{"shop": true, "both": true, "auditor": false, "nobody": false, "": false} {
		holds, known, err := f.file.Holds(t.Context(), name, createEvents.Named("shop"))
		if holds != want || !known || err != nil {
			t.Errorf("%q: holds %t, known %t, error %v", name, holds, known, err)
		}
	}
}

func TestUnusableLinesAreNamed(t *testing.T) {
	t.Parallel()
	hashed := strings.Fields(line("sender", "one"))
	first := hashed[0] + " " + hashed[1]
	for text, want := range map[string]string{
		"sender":                                    "line 1: want a name, the hex SHA-256 of a token, and what its bearer may do",
		first:                                       `line 1: "sender": may do nothing`,
		first + " *":                                `line 1: "sender": "*": want rights=, types= or namespaces=`,
		first + " right=read":                       `right=: unknown`,
		first + " rights=read rights=write":         `rights=: given twice`,
		first + " rights=":                          `rights=: "": want read, write, hold or erase`,
		first + " rights=read,delete":               `rights=: "delete": want read, write, hold or erase`,
		first + " rights=*":                         `rights=: "*": want read, write, hold or erase`,
		first + " rights=write":                     "rights=write needs types=",
		first + " rights=read types=shop":           "types= needs rights=write",
		first + " rights=write types=shop.x":        `types=: "shop.x": want the first part`,
		first + " rights=write types=shop,":         `types=: "": want the first part`,
		first + " namespaces=a,":                    `namespaces=: ""`,
		first + " namespaces=Shop":                  `namespaces=: "Shop"`,
		"kubernaut:x " + hashed[1] + " rights=read": "names that begin with kubernaut: are reserved",
		"\n" + first + " namespaces=a":              "no line has rights=",
		first + " rights=read\n" + first + " rights=write types=*":        `line 2: "sender" has this token on another line already`,
		first + " rights=read\nother " + hashed[1] + " rights=read":       `line 2: "other" has the token of "sender"`,
		first + " rights=read,write types=shop-2,* namespaces=a,*\n#\n\n": "",
	} {
		path := filepath.Join(t.TempDir(), "tokens")
		write(t, path, text)
		_, err := auth.NewTokenFile(auth.TokenFileOptions{Path: path, Clock: clocktesting.NewFakePassiveClock(time.Now()), Log: zap.NewNop()})
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "tokens")
	write(t, path, first+" rights=read")
	_, err := auth.NewTokenFile(auth.TokenFileOptions{
		Path: path, Use: auth.UseNamespaces, Clock: clocktesting.NewFakePassiveClock(time.Now()), Log: zap.NewNop(),
	})
	if err == nil || !strings.Contains(err.Error(), "no line has namespaces=") {
		t.Errorf("error %v", err)
	}
}
