package cli_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"kubernaut.ai/internal/cli"
)

// program is a command with two flags that notes what it was run with.
type program struct {
	root   *cobra.Command
	listen string
	size   int
	color  string
	ran    bool
}

func newProgram() *program {
	p := &program{root: &cobra.Command{Use: "program"}}
	serve := &cobra.Command{
		Use:  "serve",
		Args: cli.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p.ran = true
			return nil
		},
	}
	var flags, others cli.Flags
	flags.String(&p.listen, "listen-address", "default", "address to listen on")
	flags.Int(&p.size, "size", 1, "size of the program")
	flags.String(&p.color, "color", "red", "color of the program", cli.OneOf("red", "blue"))
	flags.AddTo(serve.Flags())
	cli.Configure(serve, "PROGRAM")
	migrate := &cobra.Command{Use: "migrate", RunE: func(*cobra.Command, []string) error { return nil }}
	others.Bool(new(bool), "only-migrate", false, "a flag of this command")
	others.AddTo(migrate.Flags())
	cli.Configure(migrate, "PROGRAM")
	cli.Group(p.root).AddCommand(serve, migrate)
	return p
}

func run(t *testing.T, p *program, args ...string) (code int, stderr string) {
	t.Helper()
	p.root.SetOut(new(strings.Builder))
	var out strings.Builder
	p.root.SetErr(&out)
	code = cli.Execute(t.Context(), p.root, args, &out)
	return code, out.String()
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagWinsOverEnvironmentWinsOverFile(t *testing.T) {
	file := configFile(t, "listen-address: file\nsize: 7\n")
	for name, tc := range map[string]struct {
		environment string
		args        []string
		want        string
	}{
		"default":     {want: "default"},
		"file":        {args: []string{"--config", file}, want: "file"},
		"environment": {environment: "environment", args: []string{"--config", file}, want: "environment"},
		"flag":        {environment: "environment", args: []string{"--config", file, "--listen-address", "flag"}, want: "flag"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.environment != "" {
				t.Setenv("PROGRAM_LISTEN_ADDRESS", tc.environment)
			}
			p := newProgram()
			if code, stderr := run(t, p, append([]string{"serve"}, tc.args...)...); code != cli.ExitOK {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if p.listen != tc.want {
				t.Errorf("listen-address is %q, want %q", p.listen, tc.want)
			}
			if len(tc.args) > 0 && p.size != 7 {
				t.Errorf("size is %d, want the file's 7", p.size)
			}
		})
	}
}

func TestUnusableConfigurationEndsWithExitUsageAndSaysWhere(t *testing.T) {
	for name, tc := range map[string]struct {
		file, environment string
		args              []string
		want              []string
	}{
		"unknown flag":           {args: []string{"serve", "--no-such"}, want: []string{"--no-such", "--help"}},
		"unusable flag":          {args: []string{"serve", "--size", "many"}, want: []string{"size", "many"}},
		"unusable environment":   {environment: "many", args: []string{"serve"}, want: []string{"PROGRAM_SIZE", "many", "--size"}},
		"unknown key":            {file: "sise: 3\n", args: []string{"serve"}, want: []string{"config.yaml", `"sise"`}},
		"unusable value in file": {file: "size: many\n", args: []string{"serve"}, want: []string{"config.yaml", "many", "--size"}},
		"list in file":           {file: "size: [1]\n", args: []string{"serve"}, want: []string{"config.yaml", `"size"`}},
		"file is no map":         {file: "- 1\n", args: []string{"serve"}, want: []string{"config.yaml", "map"}},
		"missing file":           {args: []string{"serve", "--config", "/no/such/file"}, want: []string{"/no/such/file"}},
		"unknown command":        {args: []string{"serf"}, want: []string{`"serf"`, "--help"}},
		"zero":                   {args: []string{"serve", "--size", "0"}, want: []string{"--size", "want at least 1"}},
		"zero in environment":    {environment: "0", args: []string{"serve"}, want: []string{"PROGRAM_SIZE", "--size", "want at least 1"}},
		"empty":                  {args: []string{"serve", "--listen-address="}, want: []string{"--listen-address", "not empty"}},
		"none of the values":     {args: []string{"serve", "--color", "green"}, want: []string{"--color", "want red or blue"}},
		"argument":               {args: []string{"serve", "now"}, want: []string{"now"}},
		"no command":             {want: []string{"a command is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.environment != "" {
				t.Setenv("PROGRAM_SIZE", tc.environment)
			}
			if tc.file != "" {
				tc.args = append(tc.args, "--config", configFile(t, tc.file))
			}
			p := newProgram()
			code, stderr := run(t, p, tc.args...)
			if code != cli.ExitUsage || p.ran {
				t.Errorf("exit code %d, ran %t; want %d and not run", code, p.ran, cli.ExitUsage)
			}
			for _, want := range tc.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("message %q does not name %q", stderr, want)
				}
			}
		})
	}
}

func TestNumbersInAFileAreTakenAsTheyAreWritten(t *testing.T) {
	for _, size := range []string{"16777216", "9007199254740993"} {
		p := newProgram()
		if code, stderr := run(t, p, "serve", "--config", configFile(t, "size: "+size+"\n")); code != cli.ExitOK {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		if got := strconv.Itoa(p.size); got != size {
			t.Errorf("size is %s, want %s", got, size)
		}
	}
}

func TestFailedCommandEndsWithExitFailed(t *testing.T) {
	c := &cobra.Command{Use: "program", RunE: func(*cobra.Command, []string) error { return context.DeadlineExceeded }}
	var out strings.Builder
	if code := cli.Execute(t.Context(), c, nil, &out); code != cli.ExitFailed {
		t.Errorf("exit code %d, want %d", code, cli.ExitFailed)
	}
	if out.String() != "program: context deadline exceeded\n" {
		t.Errorf("message %q", out.String())
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	var declared cli.Flags
	var database, address, key, listen string
	var hosts []string
	declared.String(&database, "database", "", "", cli.Secret())
	declared.String(&key, "tls-key", "", "")
	declared.String(&address, "datastorage-url", "", "")
	declared.String(&listen, "listen", "127.0.0.1:1", "")
	declared.Strings(&hosts, "host", "")
	c := &cobra.Command{Use: "program"}
	declared.AddTo(c.Flags())
	for _, test := range []struct{ flag, value, want string }{
		{"database", "postgres://h/db", "[redacted]"},
		{"database", "", ""},
		{"tls-key", "/run/tls/tls.key", "/run/tls/tls.key"},
		{"datastorage-url", "http://127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"datastorage-url", "https://someone@datastorage:8080", "[redacted]"},
		{"datastorage-url", "https://u:hunter2@datastorage:8080/x", "[redacted]"},
		{"datastorage-url", "https://datastorage/x?password=hunter2", "[redacted]"},
		{"listen", "host=h PassWord = hunter2", "[redacted]"},
		{"host", "a,https://u:hunter2@b", "[redacted]"},
	} {
		if err := c.Flags().Set(test.flag, test.value); err != nil {
			t.Fatal(err)
		}
		if got := cli.Effective(c.Flags())[test.flag]; got != test.want {
			t.Errorf("--%s %s is shown as %q, want %q", test.flag, test.value, got, test.want)
		}
	}
}

func TestErrorsDoNotShowSecrets(t *testing.T) {
	file := configFile(t, "api-token: hunter2\n")
	for name, test := range map[string]struct {
		environment string
		args        []string
	}{
		"flag":        {args: []string{"--api-token=hunter2"}},
		"environment": {environment: "hunter2"},
		"file":        {args: []string{"--config", file}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.environment != "" {
				t.Setenv("PROGRAM_API_TOKEN", test.environment)
			}
			var declared cli.Flags
			var token string
			declared.String(&token, "api-token", "", "", cli.Secret(), cli.Check(func(value string) error { return errors.New("bad " + value) }))
			c := &cobra.Command{Use: "program", RunE: func(*cobra.Command, []string) error { return nil }}
			declared.AddTo(c.Flags())
			cli.Configure(c, "PROGRAM")
			var out strings.Builder
			code := cli.Execute(t.Context(), c, test.args, &out)
			if code != cli.ExitUsage || strings.Contains(out.String(), "hunter2") || !strings.Contains(out.String(), "--api-token") {
				t.Errorf("exit code %d, message %q", code, out.String())
			}
		})
	}
}

func TestMisspeltVariablesAreRefused(t *testing.T) {
	for variable, says := range map[string]string{
		"PROGRAM_LISTEN_ADDRSS":  "environment variable PROGRAM_LISTEN_ADDRSS: no flag has this name (did you mean PROGRAM_LISTEN_ADDRESS?)",
		"PROGRAM_SERVICE":        "PROGRAM_SERVICE: no flag",
		"PROGRAM_HELP":           "PROGRAM_HELP: no flag",
		"PROGRAM_CONFIG_FILE":    "PROGRAM_CONFIG_FILE: no flag",
		"PROGRAM_PORT_8080_SCTX": "PROGRAM_PORT_8080_SCTX: no flag",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, "1")
			p := newProgram()
			if code, stderr := run(t, p, "serve"); code != cli.ExitUsage || p.ran || !strings.Contains(stderr, says) {
				t.Errorf("exit code %d, message %q, want %q", code, stderr, says)
			}
		})
	}
}

func TestVariablesOfOthersAreIgnored(t *testing.T) {
	for _, variable := range []string{
		// Kubernetes sets these for Services called program, program-reader and program-2.
		"PROGRAM_SERVICE_HOST", "PROGRAM_SERVICE_PORT", "PROGRAM_SERVICE_PORT_HTTP", "PROGRAM_PORT", "PROGRAM_PORT_8080_TCP",
		"PROGRAM_PORT_8080_TCP_ADDR", "PROGRAM_PORT_8080_TCP_PORT", "PROGRAM_PORT_8080_TCP_PROTO", "PROGRAM_PORT_53_UDP",
		"PROGRAM_READER_SERVICE_HOST", "PROGRAM_READER_PORT", "PROGRAM_READER_PORT_8080_TCP_ADDR", "PROGRAM_2_SERVICE_PORT",
		// The flag of another command, and other programs' variables.
		"PROGRAM_ONLY_MIGRATE", "PROGRAMS_SIZE", "OTHER_PROGRAM_SIZES",
	} {
		t.Setenv(variable, "tcp://10.0.0.1:8080")
	}
	p := newProgram()
	if code, stderr := run(t, p, "serve"); code != cli.ExitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestUnknownWordsGetASuggestion(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`unknown command "serv" for "program" (did you mean serve?)`:                                {"serv"},
		"unknown flag: --listen-addrss (did you mean --listen-address?) (see program serve --help)": {"serve", "--listen-addrss=x"},
		`unknown key "sise": keys are the flags' names (did you mean size?)`:                        {"serve", "--config", configFile(t, "sise: 1\n")},
		"unknown flag: --xyzzy (see program serve --help)":                                          {"serve", "--xyzzy"},
		`unknown command "xyzzy" for "program" (see program --help)`:                                {"xyzzy"},
	} {
		if code, stderr := run(t, newProgram(), args...); code != cli.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit code %d, message %q, want %q", args, code, stderr, want)
		}
	}
}

func TestAFileListsTheValuesOfAFlag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"item: ['a,b', c]\nname: [d, e]\n": "",
		"item: a,b;c\nname: d,e\n":         "",
		"size: [1, 2]\n":                   `key "size": want one value, not a list`,
		"size: []\n":                       `key "size": want one value, not a list`,
		"item: [[a]]\n":                    `key "item": want a string, a number, true/false, or a list of them`,
	} {
		var items, names []string
		var size int
		c := &cobra.Command{Use: "program", RunE: func(*cobra.Command, []string) error { return nil }}
		var f cli.Flags
		f.List(&items, "item", "items")
		f.Strings(&names, "name", "names")
		f.Int(&size, "size", 1, "a size")
		f.AddTo(c.Flags())
		cli.Configure(c, "PROGRAM")
		var complaints strings.Builder
		code := cli.Execute(t.Context(), c, []string{"--config", configFile(t, text)}, &complaints)
		switch {
		case want == "" && (code != cli.ExitOK || !slices.Equal(items, []string{"a,b", "c"}) || !slices.Equal(names, []string{"d", "e"})):
			t.Errorf("%q: exit code %d, items %q, names %q, message %q", text, code, items, names, complaints.String())
		case want != "" && (code != cli.ExitUsage || !strings.Contains(complaints.String(), want)):
			t.Errorf("%q: exit code %d, message %q, want %q", text, code, complaints.String(), want)
		}
	}
}
