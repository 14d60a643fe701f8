package main

import (
	"bytes"
	"strings"
	"testing"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/devstack/supervise"
)

func TestUnusableCommandLines(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"a command is missing": {},
		`unknown command "dmo" for "kubernaut" (did you mean demo?)`: {"dmo"},
		"--gateway-listen":                                                 {"up", "--gateway-listen", "0.0.0.0:80"},
		"kubernaut up has no authentication":                               {"up", "--datastorage-listen", "10.0.0.1:80"},
		"want debug, info, warn or error":                                  {"demo", "--log-level", "loud"},
		"/nowhere/addresses.json: its directory does not exist":            {"up", "--addresses", "/nowhere/addresses.json"},
		"kubernaut up --addresses /nowhere.json writes it once everything": {"demo", "--auto", "--addresses", "/nowhere.json"},
		"name a correlation id, or give --filter":                          {"hold", "place", "--reason", "why"},
		"--filter actor_id is given twice":                                 {"hold", "place", "--reason", "why", "--filter", "actor_id=a", "--filter", "actor_id=b"},
		"flag: want NAME=VALUE with one of the names event_type":           {"hold", "place", "--reason", "why", "--filter", "actor"},
		"kubernaut hold place: --reason is required":                       {"hold", "place", "rr-1"},
		"--reason is required":                                             {"hold", "release", "rr-1"},
		"takes one correlation id or id of a hold":                         {"hold", "release", "--reason", "why"},
		"flag: want an id, a UUID":                                         {"hold", "place", "rr-1", "--reason", "why", "--id", "me"},
		"--datastorage-token-file and --datastorage-ca-file go with":       {"hold", "list", "--datastorage-token-file", "/nowhere"},
		"--datastorage-token-file: open /nowhere":                          {"hold", "list", "--datastorage-url", "http://127.0.0.1:1", "--datastorage-token-file", "/nowhere"},
		"there is no terminal to ask for an approval":                      {"demo", "--addresses", "/nowhere.json"},
	} {
		var stderr bytes.Buffer
		c := command()
		c.SetErr(&stderr)
		if code := cli.Execute(t.Context(), c, args, &stderr); code != cli.ExitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("%v: exit code %d, message %q, want %q", args, code, stderr.String(), want)
		}
	}
}

func TestUpAndDemoShareTheirVariables(t *testing.T) {
	t.Setenv("KUBERNAUT_ADDRESSES", "/nowhere/addresses.json")
	t.Setenv("KUBERNAUT_AUTO", "true")
	for _, name := range []string{"up", "demo"} {
		var stderr bytes.Buffer
		c := command()
		c.SetErr(&stderr)
		if code := cli.Execute(t.Context(), c, []string{name}, &stderr); code != cli.ExitUsage || !strings.Contains(stderr.String(), "/nowhere/addresses.json") {
			t.Errorf("%s: exit code %d, message %q", name, code, stderr.String())
		}
	}
}

func TestUpNamesTheFlagOfADirectoryInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner, err := supervise.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = owner.Close() }()
	var stderr bytes.Buffer
	c := command()
	c.SetErr(&stderr)
	code := cli.Execute(t.Context(), c, []string{"up", "--data", dir}, &stderr)
	want := "kubernaut: --data " + dir + ": another kubernaut up stores there: stop it, or choose another directory with --data\n"
	if code != cli.ExitUsage || stderr.String() != want {
		t.Errorf("exit code %d, message %q, want %q", code, stderr.String(), want)
	}
}

func TestTheNameOfTheProgramIsThatOfItsCaller(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		line []string
		want string
	}{
		"by itself":           {[]string{"/usr/local/bin/kubernaut", "approve", "--help"}, "kubernaut approve NAME [flags]"},
		"by kubectl":          {[]string{"/usr/local/bin/kubectl-kubernaut", "approve", "--help"}, "kubectl kubernaut approve NAME [flags]"},
		"by kubectl, no help": {[]string{"/usr/local/bin/kubectl-kubernaut", "dmo"}, `unknown command "dmo" for "kubectl kubernaut"`},
		"by kubectl's shell":  {[]string{"/usr/local/bin/kubectl_complete-kubernaut", "appr"}, "approve\tApprove a proposal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			c := command()
			c.SetOut(&out)
			c.SetErr(&out)
			cli.Execute(t.Context(), c, invoked(c, test.line), &out)
			if !strings.Contains(out.String(), test.want) {
				t.Errorf("want %q in:\n%s", test.want, out.String())
			}
		})
	}
}
