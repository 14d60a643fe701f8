package app_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/datastorage/app"
)

const someDatabase = "postgres://alice:pa55word@127.0.0.1:1/audit"

func TestUnusableOptionsNameTheirFlag(t *testing.T) {
	t.Parallel()
	for flag, change := range map[string]func(*app.Options){
		"--database-url is required":                    func(o *app.Options) { o.DatabaseURL = "" },
		"--database-url is not a usable":                func(o *app.Options) { o.DatabaseURL = "postgres://alice:pa55word@host:port/x" },
		"--database-max-connections 7: want at least 8": func(o *app.Options) { o.MaxConnections = 7 },
		"--database-idle-connections 21":                func(o *app.Options) { o.IdleConnections = 21 },
		"--listen nowhere: want host:port":              func(o *app.Options) { o.Listen = "nowhere" },
		"--auth none with --listen":                     func(o *app.Options) { o.Listen = "0.0.0.0:8080" },
		"--auth magic: want":                            func(o *app.Options) { o.Auth.Mode = "magic" },
		"--auth token-file needs":                       func(o *app.Options) { o.Auth = auth.Flags{Mode: auth.ModeTokenFile} },
		"--auth kubernetes needs":                       func(o *app.Options) { o.Auth.Mode = auth.ModeKubernetes },
		"--auth-audience is given":                      func(o *app.Options) { o.Auth.Audiences = []string{"a"} },
		"--auth-namespace is given":                     func(o *app.Options) { o.Auth.Namespace = "a" },
		"--kubeconfig is given but --auth":              func(o *app.Options) { o.Kubeconfig = "/nowhere" },
		"--kubeconfig /nowhere": func(o *app.Options) {
			o.Auth, o.Kubeconfig = auth.Flags{Mode: auth.ModeKubernetes, Namespace: "a"}, "/nowhere"
		},
		"--management-listen x: want":                     func(o *app.Options) { o.ManagementListen = "x" },
		"--pprof-listen 0.0.0.0:1: want a loopback":       func(o *app.Options) { o.PprofListen = "0.0.0.0:1" },
		"--tls-cert and --tls-key":                        func(o *app.Options) { o.TLS.Cert = "cert.pem" },
		"--client-ca needs":                               func(o *app.Options) { o.TLS.ClientCA = "ca.pem" },
		"--tls-cert /nowhere":                             func(o *app.Options) { o.TLS.Cert, o.TLS.Key = "/nowhere", "/nowhere" },
		"--max-body-bytes -1":                             func(o *app.Options) { o.MaxBodyBytes = -1 },
		"--max-page-bytes -1":                             func(o *app.Options) { o.MaxPageBytes = -1 },
		"--database-max-connections 16: want at least 24": func(o *app.Options) { o.Writers = 20 },
		"--retention-default-days 36501":                  func(o *app.Options) { o.Retention.Default = 36501 },
		"--retention-days security: want CATEGORY=DAYS":   func(o *app.Options) { o.Retention.Categories = []string{"security"} },
		"--retention-days: category a is given twice":     func(o *app.Options) { o.Retention.Categories = []string{"a=1", "a=2"} },
		"--grace -1s":                                     func(o *app.Options) { o.Grace = -time.Second },
	} {
		o := app.Options{DatabaseURL: someDatabase}
		change(&o)
		_, err := app.New(o)
		var usage *cli.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: got %v", flag, err)
		}
		if err != nil && strings.Contains(err.Error(), "pa55word") {
			t.Errorf("%s: the password is shown: %v", flag, err)
		}
	}
}

func TestZeroOptionsStandForTheDefaults(t *testing.T) {
	t.Parallel()
	if _, err := app.New(app.Options{DatabaseURL: someDatabase}); err != nil {
		t.Error(err)
	}
}

func TestCallersOfAClusterAreTakenBeyondLoopback(t *testing.T) {
	t.Parallel()
	if _, err := app.New(app.Options{
		DatabaseURL: someDatabase, Listen: "0.0.0.0:8080", RESTConfig: &rest.Config{Host: "https://127.0.0.1:1"},
		Auth: auth.Flags{Mode: auth.ModeKubernetes, Namespace: "kubernaut-system"},
	}); err != nil {
		t.Error(err)
	}
}

func TestFlagsStartWithTheDefaultsAndTakeNoZero(t *testing.T) {
	t.Parallel()
	var o app.Options
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.AddFlags(flags)
	if err := flags.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if want := app.Defaults(); !reflect.DeepEqual(o, want) {
		t.Errorf("got %+v, want %+v", o, want)
	}
	for argument, says := range map[string]string{
		"--writers=0": "--writers", "--grace=0s": "want more than 0", "--queue-events=many": "want a whole number",
		"--database-max-connections=10001": "want 1 to 10000", "--database-idle-connections=0": "want at least 1",
	} {
		if err := flags.Parse([]string{argument}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want %q", argument, err, says)
		}
	}
}
