package app_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/gateway/app"
)

func usable() app.Options {
	return app.Options{
		DataStorageURL:   "http://127.0.0.1:1",
		Listen:           "127.0.0.1:0",
		ManagementListen: "127.0.0.1:0",
		RESTConfig:       &rest.Config{Host: "http://127.0.0.1:1"},
	}
}

func TestUnusableOptionsNameTheFlag(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	broken := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(broken, []byte("no yaml: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		flag   string
		change func(*app.Options)
	}{
		"no DataStorage":         {"--datastorage-url", func(o *app.Options) { o.DataStorageURL = "" }},
		"no address":             {"--datastorage-url", func(o *app.Options) { o.DataStorageURL = "datastorage:8080" }},
		"no token file":          {"--datastorage-token-file", func(o *app.Options) { o.DataStorageTokenFile = missing }},
		"no listen address":      {"--listen", func(o *app.Options) { o.Listen = "8081" }},
		"open to everybody":      {"--listen", func(o *app.Options) { o.Listen = "0.0.0.0:8081" }},
		"no management address":  {"--management-listen", func(o *app.Options) { o.ManagementListen = "nowhere" }},
		"profiles for everybody": {"--pprof-listen", func(o *app.Options) { o.PprofListen = "0.0.0.0:6060" }},
		"unknown authentication": {"--auth", func(o *app.Options) { o.Auth.Mode = "magic" }},
		"senders in a namespace": {"--auth-namespace", func(o *app.Options) { o.Auth = auth.Flags{Mode: auth.ModeKubernetes, Namespace: "a"} }},
		"audience for nobody":    {"--auth-audience", func(o *app.Options) { o.Auth.Audiences = []string{"a"} }},
		"certificate, no key":    {"--tls-key", func(o *app.Options) { o.TLS.Cert = missing }},
		"missing certificate":    {"--tls-cert", func(o *app.Options) { o.TLS.Cert, o.TLS.Key = missing, missing }},
		"clients' authority":     {"--client-ca", func(o *app.Options) { o.TLS.ClientCA = missing }},
		"authority for HTTP":     {"--datastorage-ca-file", func(o *app.Options) { o.DataStorageCAFile = missing }},
		"missing authority": {"--datastorage-ca-file", func(o *app.Options) {
			o.DataStorageURL, o.DataStorageCAFile = "https://127.0.0.1:1", missing
		}},
		"missing target rules":  {"--target-rules", func(o *app.Options) { o.TargetRules = missing }},
		"no cluster":            {"--kubeconfig", func(o *app.Options) { o.RESTConfig = nil }},
		"no kubeconfig":         {"--kubeconfig", func(o *app.Options) { o.RESTConfig = nil; o.Kubeconfig = missing }},
		"broken kubeconfig":     {"--kubeconfig", func(o *app.Options) { o.RESTConfig = nil; o.Kubeconfig = broken }},
		"no namespace":          {"--namespace", func(o *app.Options) { o.Namespace = "Not One" }},
		"no watched namespace":  {"--watch-namespace", func(o *app.Options) { o.WatchNamespaces = []string{"a", "-"} }},
		"negative cool-down":    {"--cool-down", func(o *app.Options) { o.CoolDown = -1 }},
		"negative grace":        {"--grace", func(o *app.Options) { o.Grace = -1 }},
		"small spool":           {"--audit-spool-max-bytes", func(o *app.Options) { o.Spool.MaxBytes = 1 }},
		"negative body":         {"--max-body-bytes", func(o *app.Options) { o.MaxBodyBytes = -1 }},
		"heartbeat of no alert": {"--heartbeat", func(o *app.Options) { o.Heartbeats = []string{"a=b"} }},
		"a heartbeat twice":     {"--heartbeat", func(o *app.Options) { o.Heartbeats = []string{"A", "A,within=1m"} }},
		"no selector":           {"--watch-events-selector", func(o *app.Options) { o.WatchEventsSelector = "type in (Warning)" }},
		"a body without memory": {"--max-body-memory", func(o *app.Options) { o.MaxBodyMemory = 80 << 20 }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := usable()
			test.change(&options)
			_, err := app.New(options)
			var usage *cli.UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), test.flag) {
				t.Errorf("error %v, want a usage error that names %s", err, test.flag)
			}
		})
	}
}

func TestFlagsHaveTheDefaultsOfTheOptions(t *testing.T) {
	t.Parallel()
	var options app.Options
	flags := pflag.NewFlagSet("gateway", pflag.ContinueOnError)
	options.AddFlags(flags)
	if err := flags.Parse(nil); err != nil {
		t.Fatal(err)
	}
	want := app.Defaults()
	if !reflect.DeepEqual(options, want) || want.CoolDown != 5*time.Minute || want.Spool.MaxBytes != 1<<30 || want.Auth.Mode != auth.ModeNone {
		t.Errorf("flags give %+v, the defaults are %+v", options, want)
	}
	for argument, bound := range map[string]string{
		"--cool-down=0s": "more than 0", "--cool-down=soon": "duration", "--max-concurrent=0": "at least 1", "--max-open=0": "at least 1",
		"--max-body-bytes=x": "whole number", "--audit-spool-max-bytes=0": "at least", "--auth=magic": "token-file", "--listen=8081": "host:port",
		"--namespace=Not One": "RFC 1123", "--listen=": "not empty",
	} {
		name, _, _ := strings.Cut(argument, "=")
		if err := flags.Parse([]string{argument}); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), bound) {
			t.Errorf("%s: error %v, want one with %s and %q", argument, err, name, bound)
		}
	}
}

func TestAnUnreachableAPIServerIsSaidInOneLine(t *testing.T) {
	t.Parallel()
	options := usable()
	options.StartupTimeout = 50 * time.Millisecond
	a, err := app.New(options)
	if err != nil {
		t.Fatal(err)
	}
	err = a.Run(t.Context())
	if err == nil {
		t.Fatal("ran without an API server")
	}
	for _, part := range []string{"http://127.0.0.1:1", "--kubeconfig", "refused", "50ms"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has several lines", err)
	}
}

func TestASpoolThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	options := usable()
	options.Spool.Dir = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(options.Spool.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := app.New(options)
	if err != nil {
		t.Fatal(err)
	}
	err = a.Run(t.Context())
	var usage *cli.UsageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "--audit-spool") || !strings.Contains(err.Error(), options.Spool.Dir) {
		t.Errorf("error %v, want a usage error that names the flag and the folder", err)
	}
}

func TestAStopBeforeTheStartIsNoFailure(t *testing.T) {
	t.Parallel()
	a, err := app.New(usable())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	options := usable()
	options.Listen = l.Addr().String()
	a, err := app.New(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--listen "+l.Addr().String()) {
		t.Errorf("error %v does not name the flag and the address", err)
	}
}
