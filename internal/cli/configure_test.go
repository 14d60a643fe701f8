package cli_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
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
	serve.Flags().StringVar(&p.listen, "listen-address", "default", "")
	serve.Flags().IntVar(&p.size, "size", 1, "")
	cli.Configure(serve, "PROGRAM")
	cli.Group(p.root).AddCommand(serve)
	return p
}

func run(t *testing.T, p *program, args ...string) (code int, stderr string) {
	t.Helper()
	p.root.SetOut(new(strings.Builder))
	var out strings.Builder
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
		"argument":               {args: []string{"serve", "now"}, want: []string{"now"}},
		"no command":             {want: []string{"needs a command"}},
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
	c := &cobra.Command{Use: "program"}
	c.Flags().String("database-url", "postgres://u:hunter2@h/db", "")
	c.Flags().String("listen", "127.0.0.1:1", "")
	c.Flags().String("other-url", "postgres://h/db?password=hunter2", "")
	c.Flags().String("words-url", "host=h password=hunter2", "")
	c.Flags().String("signing-key", "hunter2", "")
	c.Flags().String("datastorage-url", "http://127.0.0.1:8080", "")
	c.Flags().String("token-file", "/run/token", "")
	want := map[string]string{
		"database-url": "[redacted]", "other-url": "[redacted]", "words-url": "[redacted]", "signing-key": "[redacted]",
		"datastorage-url": "http://127.0.0.1:8080", "token-file": "/run/token", "listen": "127.0.0.1:1",
	}
	if shown := cli.Effective(c.Flags()); !maps.Equal(shown, want) {
		t.Errorf("shown: %v", shown)
	}
	t.Setenv("PROGRAM_API_TOKEN", "hunter2")
	serve := &cobra.Command{Use: "serve", RunE: func(*cobra.Command, []string) error { return nil }}
	serve.Flags().Int("api-token", 0, "")
	cli.Configure(serve, "PROGRAM")
	var out strings.Builder
	if code := cli.Execute(t.Context(), serve, nil, &out); code != cli.ExitUsage || strings.Contains(out.String(), "hunter2") {
		t.Errorf("exit code %d, message %q", code, out.String())
	}
}
