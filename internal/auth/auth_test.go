package auth_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/cli"
)

// line is a line of a token file; without grants it permits everything.
func line(name, token string, grants ...string) string {
	hash := sha256.Sum256([]byte(token))
	if len(grants) == 0 {
		grants = []string{"rights=read,write", "types=*", "namespaces=*"}
	}
	return name + "  " + hex.EncodeToString(hash[:]) + "\t" + strings.Join(grants, " ") + "\n"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFlags(t *testing.T) {
	good := filepath.Join(t.TempDir(), "tokens")
	write(t, good, line("prometheus", "s3cret"))
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, "# nobody\n\n")
	broken := filepath.Join(t.TempDir(), "broken")
	write(t, broken, "prometheus s3cret\n")
	shared := filepath.Join(t.TempDir(), "shared")
	write(t, shared, line("prometheus", "s3cret")+line("grafana", "s3cret"))
	cluster := func(change ...func(*auth.Flags)) auth.Flags {
		f := auth.Flags{Mode: "kubernetes", Namespace: "kubernaut-system"}
		for _, c := range change {
			c(&f)
		}
		return f
	}
	for name, tc := range map[string]struct {
		flags  auth.Flags
		listen string
		want   string // part of the error; empty where it is usable
	}{
		"none on loopback":          {flags: auth.Flags{Mode: "none"}, listen: "127.0.0.1:1"},
		"none for everybody":        {flags: auth.Flags{Mode: "none"}, listen: ":1", want: "--listen :1"},
		"none, in so many words":    {flags: auth.Flags{Mode: "none", AllowInsecure: true}, listen: ":1"},
		"none with a file":          {flags: auth.Flags{Mode: "none", File: good}, listen: "127.0.0.1:1", want: "--auth-token-file"},
		"none with an audience":     {flags: auth.Flags{Mode: "none", Audiences: []string{"a"}}, listen: "127.0.0.1:1", want: "--auth-audience is given but --auth is none"},
		"none with a namespace":     {flags: auth.Flags{Mode: "none", Namespace: "a"}, listen: "127.0.0.1:1", want: "--auth-namespace is given but --auth is none"},
		"token file":                {flags: auth.Flags{Mode: "token-file", File: good}, listen: ":1"},
		"token file without a file": {flags: auth.Flags{Mode: "token-file"}, listen: ":1", want: "--auth-token-file"},
		"missing token file":        {flags: auth.Flags{Mode: "token-file", File: good + "x"}, listen: ":1", want: good + "x"},
		"empty token file":          {flags: auth.Flags{Mode: "token-file", File: empty}, listen: ":1", want: "no caller"},
		"token instead of a hash":   {flags: auth.Flags{Mode: "token-file", File: broken}, listen: ":1", want: "line 1"},
		"a token of two callers":    {flags: auth.Flags{Mode: "token-file", File: shared}, listen: ":1", want: "line 2"},
		"file and namespace":        {flags: auth.Flags{Mode: "token-file", File: good, Namespace: "a"}, listen: ":1", want: "--auth-namespace is given but --auth is token-file"},
		"file and audience":         {flags: auth.Flags{Mode: "token-file", File: good, Audiences: []string{"a"}}, listen: ":1", want: "--auth-audience"},
		"kubernetes":                {flags: cluster(), listen: ":1"},
		"kubernetes with audiences": {flags: cluster(func(f *auth.Flags) { f.Audiences = []string{"a", "https://b"} }), listen: ":1"},
		"kubernetes with a file":    {flags: cluster(func(f *auth.Flags) { f.File = good }), listen: ":1", want: "--auth-token-file is given but --auth is kubernetes"},
		"an empty audience":         {flags: cluster(func(f *auth.Flags) { f.Audiences = []string{"a", ""} }), listen: ":1", want: "--auth-audience"},
		"a space in an audience":    {flags: cluster(func(f *auth.Flags) { f.Audiences = []string{" a"} }), listen: ":1", want: "--auth-audience"},
		"not in a pod":              {flags: cluster(func(f *auth.Flags) { f.Namespace = "" }), listen: ":1", want: "needs --auth-namespace outside of a pod"},
		"not a namespace":           {flags: cluster(func(f *auth.Flags) { f.Namespace = "Not One" }), listen: ":1", want: `--auth-namespace "Not One"`},
		"unknown mode":              {flags: auth.Flags{Mode: "magic"}, listen: ":1", want: `"magic"`},
		"unusable address":          {flags: auth.Flags{Mode: "none"}, listen: "here", want: "--listen"},
	} {
		t.Run(name, func(t *testing.T) {
			gate, err := tc.flags.NewGate(auth.Server{
				Flag: "listen", Address: tc.listen, Clock: clocktesting.NewFakePassiveClock(time.Now()), Log: zap.NewNop(),
				Config: func() (*rest.Config, error) { return &rest.Config{Host: "https://127.0.0.1:1"}, nil },
			})
			if tc.want == "" {
				if err != nil || gate == nil {
					t.Errorf("gate %v, error %v", gate, err)
				}
				return
			}
			var usage *cli.UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error %v, want a usage error with %q and without secrets", err, tc.want)
			}
		})
	}
}

func TestModesButKubernetesNeedNoCluster(t *testing.T) {
	noCluster := cli.Usagef("--kubeconfig is required outside of a pod")
	server := auth.Server{
		Flag: "listen", Address: "127.0.0.1:1", Clock: clocktesting.NewFakePassiveClock(time.Now()), Log: zap.NewNop(),
		Config: func() (*rest.Config, error) { return nil, noCluster },
	}
	if _, err := (&auth.Flags{Mode: "none"}).NewGate(server); err != nil {
		t.Error(err)
	}
	_, err := (&auth.Flags{Mode: "kubernetes", Namespace: "a"}).NewGate(server)
	var usage *cli.UsageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Errorf("error %v, want one that names --kubeconfig", err)
	}
}

func TestAudiencesMayBeRepeatedOrListed(t *testing.T) {
	for _, args := range [][]string{{"--auth-audience=a", "--auth-audience=b"}, {"--auth-audience=a,b"}} {
		var f auth.Flags
		var declared cli.Flags
		f.Declare(&declared, "kubernaut-datastorage")
		flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
		declared.AddTo(flags)
		if err := flags.Parse(args); err != nil || !slices.Equal(f.Audiences, []string{"a", "b"}) {
			t.Errorf("%v: audiences %q, error %v", args, f.Audiences, err)
		}
	}
}
