package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/lifecycle"
)

// service is an App that ends at once.
type service struct{ err error }

func (s service) Run(context.Context) error { return s.err }

func (service) Ready() <-chan struct{} { return nil }

func TestServeLogsVersionAndConfigurationAndRunsTheApp(t *testing.T) {
	t.Parallel()
	var address string
	addFlags := func(set *pflag.FlagSet) {
		var f cli.Flags
		f.String(&address, "database", "", "a database", cli.Secret())
		f.AddTo(set)
	}
	serve := cli.Serve("PROGRAM", "Serve", addFlags, func(*zap.Logger) (lifecycle.App, error) { return service{errors.New("broken")}, nil })
	var out bytes.Buffer
	serve.SetErr(&out)
	code := cli.Execute(t.Context(), serve, []string{"--database", "hunter2", "--log-format=json"}, &out)
	first, rest, _ := strings.Cut(out.String(), "\n")
	var line struct {
		Message       string            `json:"message"`
		Version       string            `json:"version"`
		Revision      string            `json:"revision"`
		Configuration map[string]string `json:"configuration"`
	}
	if err := json.Unmarshal([]byte(first), &line); err != nil {
		t.Fatalf("log %q: %v", first, err)
	}
	build := buildinfo.Get()
	if line.Message != "starting" || line.Version != build.Version || line.Revision != build.Revision {
		t.Errorf("logged %+v, want the start of %+v", line, build)
	}
	if c := line.Configuration; c["database"] != "[redacted]" || c["log-level"] != "info" || len(c) != 4 {
		t.Errorf("logged configuration %v", c)
	}
	if code != cli.ExitFailed || rest != "serve: broken\n" || address != "hunter2" {
		t.Errorf("exit code %d, message %q", code, rest)
	}
}
