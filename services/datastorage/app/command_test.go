package app_test

import (
	"bytes"
	"strings"
	"testing"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/datastorage/app"
)

// Not parallel: the command configures the logging of the process.
func TestUnusableCommandLines(t *testing.T) {
	for want, args := range map[string][]string{
		"a command is missing":                {},
		`unknown command "fly"`:               {"fly"},
		"unknown flag: --colour":              {"serve", "--colour", "red"},
		"takes no arguments":                  {"serve", "now"},
		"want debug, info, warn or error":     {"serve", "--log-level", "loud"},
		`"0" for "--writers" flag: want 1 to`: {"serve", "--writers", "0"},
		"no such file":                        {"serve", "--config", "/nowhere.yaml"},
		`unknown command "down"`:              {"migrate", "down"},
	} {
		var stderr bytes.Buffer
		c := app.Command()
		c.SetOut(&stderr)
		c.SetErr(&stderr)
		if code := cli.Execute(t.Context(), c, args, &stderr); code != cli.ExitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%v: %s, want %s", args, stderr.String(), want)
		}
	}
}

// Not parallel: the command configures the logging of the process.
func TestTheDatabaseIsRequiredInTheSameWordsByEveryCommand(t *testing.T) {
	for _, args := range [][]string{{"serve"}, {"migrate", "up"}, {"migrate", "status"}} {
		var stderr bytes.Buffer
		code := cli.Execute(t.Context(), app.Command(), args, &stderr)
		if want := "datastorage: --database-url is required: as in "; code != cli.ExitUsage || !strings.HasPrefix(stderr.String(), want) {
			t.Errorf("%v: exit code %d, message %q, want %q", args, code, stderr.String(), want)
		}
	}
}

func TestUnreachableDatabaseFailsWithOneLine(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	args := []string{"migrate", "status", "--database-url", "postgres://alice:secret@127.0.0.1:1/audit?sslmode=disable"}
	if code := cli.Execute(t.Context(), app.Command(), args, &stderr); code != cli.ExitFailed {
		t.Errorf("exit code %d", code)
	}
	if text := stderr.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "unreachable") || strings.Contains(text, "secret") {
		t.Errorf("got %q", text)
	}
}

func TestMigrationSaysThatItWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	c := app.Command()
	c.SetErr(&stderr)
	args := []string{"migrate", "up", "--startup-timeout", "300ms", "--database-url", "postgres://alice:secret@127.0.0.1:1/audit?sslmode=disable"}
	if code := cli.Execute(t.Context(), c, args, &stderr); code != cli.ExitFailed {
		t.Errorf("exit code %d", code)
	}
	said, failed, _ := strings.Cut(stderr.String(), "\n")
	if !strings.HasPrefix(said, `waiting up to 300ms for the database: database "audit" on 127.0.0.1:1 as user "alice": unreachable: `) {
		t.Errorf("said %q", said)
	}
	if !strings.Contains(failed, "unreachable") || !strings.Contains(failed, "--startup-timeout") || strings.Contains(said+failed, "secret") {
		t.Errorf("failed with %q", failed)
	}
}
