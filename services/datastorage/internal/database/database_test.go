package database_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/datastorage/internal/database"
)

func TestEachUseHasItsShareOfTheConnections(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		connections, writers int
		want                 database.Shares
	}{
		"default": {16, 4, database.Shares{Ingest: 5, Probe: 2, Query: 9}},
		"least":   {8, 4, database.Shares{Ingest: 5, Probe: 2, Query: 1}},
		"too few": {7, 4, database.Shares{}},
	} {
		got, err := database.Split(test.connections, test.writers)
		if got != test.want {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
		_, usage := errors.AsType[*cli.UsageError](err)
		if refused := test.want == (database.Shares{}); usage != refused {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestOneOfSeveralHostsIsThePrimary(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{
		"postgres://a:1,b:1/x":                             true,
		"postgres://a:1,b:1/x?target_session_attrs=any":    false,
		"postgres://a:1/x":                                 false,
		"postgres://a:1/x?target_session_attrs=read-write": true,
	} {
		config, err := database.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		if got := config.ConnConfig.ValidateConnect != nil; got != want {
			t.Errorf("%s: checks the server's role: %t, want %t", url, got, want)
		}
	}
}

func TestExplanationsAreOneLineAndNameTheAddressOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ url, want string }{
		"one host":  {"postgres://alice:secret@127.0.0.1:1/audit?sslmode=disable", "127.0.0.1:1"},
		"two hosts": {"postgres://alice:secret@127.0.0.1:1,127.0.0.1:2/audit?sslmode=disable", "127.0.0.1:1,127.0.0.1:2"},
	} {
		config, err := database.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		_, err = database.Connect(t.Context(), config)
		text := database.Explain(config.ConnConfig, err).Error()
		if strings.Count(text, test.want) != 1 || strings.ContainsAny(text, "\n\t") || strings.Contains(text, "secret") ||
			!strings.Contains(text, "unreachable") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

func TestAnErrorOfTheServerHasTheRemedyThatHelps(t *testing.T) {
	t.Parallel()
	for code, advises := range map[string]bool{"28P01": true, "3D000": true, "57P03": false, "25006": false} {
		text := database.Explain(&pgx.ConnConfig{}, &pgconn.PgError{Code: code, Message: "no"}).Error()
		if strings.Contains(text, "check --database-url") != advises {
			t.Errorf("%s: %q", code, text)
		}
	}
}

func TestWhatSaysThatTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	config, err := database.Parse("postgres://127.0.0.1:1/audit?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	_, refused := database.Connect(t.Context(), config)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, gaveUp := database.Connect(canceled, config)
	for name, test := range map[string]struct {
		err  error
		away bool
	}{
		"refused":        {refused, true},
		"cut":            {&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, true},
		"read-only":      {&pgconn.PgError{Code: "25006"}, true},
		"stops":          {&pgconn.PgError{Code: "57P01"}, true},
		"caller gave up": {gaveUp, false},
		"too slow":       {context.DeadlineExceeded, false},
		"stopped":        {&pgconn.PgError{Code: "57014"}, false},
		"data":           {&pgconn.PgError{Code: "22P02"}, false},
	} {
		if got := database.Away(test.err); got != test.away {
			t.Errorf("%s (%v): away is %t, want %t", name, test.err, got, test.away)
		}
	}
}
