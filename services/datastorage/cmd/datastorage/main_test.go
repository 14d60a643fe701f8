package main

import (
	"bytes"
	"strings"
	"testing"

	"kubernaut.ai/internal/cli"
)

func TestUnusableCommandLines(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"needs a command":               {},
		`unknown command "fly"`:         {"fly"},
		"unknown flag: --colour":        {"serve", "--colour", "red"},
		"takes no arguments":            {"serve", "now"},
		"--database-url is required":    {"serve"},
		"--log-level \"loud\"":          {"serve", "--log-level", "loud"},
		"want more than 0":              {"serve", "--writers", "0"},
		"no such file":                  {"serve", "--config", "/nowhere.yaml"},
		`unknown command "down"`:        {"migrate", "down"},
		"schema status: --database-url": {"migrate", "status"},
		"migrate: --database-url":       {"migrate", "up"},
	} {
		var stderr bytes.Buffer
		c := root()
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

func TestUnreachableDatabaseFailsWithOneLine(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	args := []string{"migrate", "status", "--database-url", "postgres://alice:secret@127.0.0.1:1/audit?sslmode=disable"}
	if code := cli.Execute(t.Context(), root(), args, &stderr); code != cli.ExitFailed {
		t.Errorf("exit code %d", code)
	}
	if text := stderr.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "unreachable") || strings.Contains(text, "secret") {
		t.Errorf("got %q", text)
	}
}

func TestMigrationSaysThatItWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	c := root()
	c.SetErr(&stderr)
	args := []string{"migrate", "up", "--startup-timeout", "10ms", "--database-url", "postgres://alice:secret@127.0.0.1:1/audit?sslmode=disable"}
	if code := cli.Execute(t.Context(), c, args, &stderr); code != cli.ExitFailed {
		t.Errorf("exit code %d", code)
	}
	said, failed, _ := strings.Cut(stderr.String(), "\n")
	if !strings.HasPrefix(said, `waiting up to 10ms for the database: database "audit" on 127.0.0.1:1 as user "alice": unreachable: `) {
		t.Errorf("said %q", said)
	}
	if !strings.Contains(failed, "unreachable") || !strings.Contains(failed, "--startup-timeout") || strings.Contains(said+failed, "secret") {
		t.Errorf("failed with %q", failed)
	}
}
