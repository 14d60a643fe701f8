package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"kubernaut.ai/internal/devstack/consent"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk is full")
	works := &Server{origin: "works"}
	for name, test := range map[string]struct {
		answers []error // nil: this source has a server
		asked   []string
		want    []string // parts of the error
	}{
		"the first that is available": {
			answers: []error{unavailable("not set"), nil, nil},
			asked:   []string{"a", "b"},
		},
		"a failure of an available one is final": {
			answers: []error{unavailable("not set"), broken, nil},
			asked:   []string{"a", "b"},
			want:    []string{"use b", "disk is full"},
		},
		"none": {
			answers: []error{unavailable("not set"), unavailable("no programs"), unavailable("no engine")},
			asked:   []string{"a", "b", "c"},
			want:    []string{"DATABASE_URL", "a: not set", "b: no programs", "c: no engine"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			sources := make([]source, 0, len(test.answers))
			for i, answer := range test.answers {
				name := string(rune('a' + i))
				sources = append(sources, source{name, func(context.Context, Options) (*Server, error) {
					asked = append(asked, name)
					return works, answer
				}})
			}
			got, err := choose(t.Context(), Options{}, sources)
			if !slices.Equal(asked, test.asked) {
				t.Errorf("asked %q, want %q", asked, test.asked)
			}
			if len(test.want) == 0 && (err != nil || got != works) {
				t.Fatalf("got %v, %v", got, err)
			}
			for _, part := range test.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v does not say %q", err, part)
				}
			}
		})
	}
}

func TestChooseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := choose(ctx, Options{}, []source{
		{"a", func(context.Context, Options) (*Server, error) { cancel(); return nil, unavailable("interrupted") }},
		{"b", func(context.Context, Options) (*Server, error) { t.Error("asked after the end"); return &Server{}, nil }},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 18beta1\n":                        18,
		"postgres: command not found\n":                          0,
	} {
		if got, err := parseVersion(text); got != want || (err != nil) != (want == 0) {
			t.Errorf("parseVersion(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestWithDatabase(t *testing.T) {
	t.Parallel()
	for connection, want := range map[string]string{
		"postgres://u:p@/kubernaut?host=%2Ftmp%2Fx": "postgres://u:p@/a%20b?host=%2Ftmp%2Fx",
		"postgresql://u:p@host:5432":                "postgresql://u:p@host:5432/a%20b",
		"host=/tmp user=u":                          "host=/tmp user=u dbname='a b'",
	} {
		if got, err := withDatabase(connection, "a b"); err != nil || got != want {
			t.Errorf("withDatabase(%q) = %q, %v; want %q", connection, got, err, want)
		}
	}
}

func TestWithDatabaseKeepsThePasswordOutOfErrors(t *testing.T) {
	t.Parallel()
	_, err := withDatabase("postgres://u:secret@host:port/x", "y")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestAConnectionStringOfARoleHasItsOwnPassword(t *testing.T) {
	t.Parallel()
	password := rolePassword("p", ServingRole)
	if password == rolePassword("p", MigrationRole) || password == rolePassword("q", ServingRole) || len(password) < 32 {
		t.Errorf("password %q", password)
	}
	for connection, want := range map[string]string{
		"postgres://u:p@/kubernaut?host=%2Ftmp%2Fx": "postgres://kubernaut_serving:" + password + "@/kubernaut?host=%2Ftmp%2Fx",
		"postgresql://u@host:5432/a":                "postgresql://kubernaut_serving@host:5432/a",
		"host=/tmp user=u password=p":               "host=/tmp user=u password=p user='kubernaut_serving' password='" + password + "'",
	} {
		if got, err := As(connection, ServingRole); err != nil || got != want {
			t.Errorf("As(%q) = %q, %v; want %q", connection, got, err, want)
		}
	}
	if _, err := As("postgres://u:secret@host:port/x", ServingRole); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestStartRefusesInvalidOptions(t *testing.T) {
	t.Parallel()
	if _, err := Start(t.Context(), Options{MaxConnections: -1}); err == nil {
		t.Error("accepted -1 connections")
	}
}

func TestAnInstallationNeedsConsent(t *testing.T) {
	t.Parallel()
	broken := errors.New("terminal is gone")
	for name, test := range map[string]struct {
		allow       consent.Func
		want        string // part of the error; empty: allowed
		unavailable bool   // the next source is tried
	}{
		"allowed":     {allow: func(context.Context, consent.Change) error { return nil }},
		"nobody asks": {want: "apt-get install postgresql", unavailable: true},
		"refused": {
			allow: func(_ context.Context, c consent.Change) error {
				return &consent.RefusedError{Change: c, Reason: "declined"}
			},
			want: "declined", unavailable: true,
		},
		"the question failed": {allow: func(context.Context, consent.Change) error { return broken }, want: "terminal is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := permitted(t.Context(), test.allow, "apt-get install postgresql")
			if test.want == "" {
				if err != nil {
					t.Fatalf("not allowed: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not contain %q", err, test.want)
			}
			if _, ok := errors.AsType[unavailable](err); ok != test.unavailable {
				t.Errorf("got %T, want unavailable: %t", err, test.unavailable)
			}
		})
	}
}
