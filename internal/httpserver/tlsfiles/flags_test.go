package tlsfiles_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	testclock "k8s.io/utils/clock/testing"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/httpserver/tlsfiles"
)

func TestFlagsOfAServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, ca := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	write(t, cert, key, "server", time.Hour)
	write(t, ca, filepath.Join(dir, "ca-key.pem"), "root", time.Hour)
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		flags tlsfiles.Flags
		tls   bool
		want  string // part of the error; empty where they are usable
	}{
		"none":              {},
		"certificate":       {flags: tlsfiles.Flags{Cert: cert, Key: key}, tls: true},
		"client authority":  {flags: tlsfiles.Flags{Cert: cert, Key: key, ClientCA: ca}, tls: true},
		"no key":            {flags: tlsfiles.Flags{Cert: cert}, want: "--tls-cert and --tls-key"},
		"no certificate":    {flags: tlsfiles.Flags{Key: key}, want: "--tls-cert and --tls-key"},
		"clients alone":     {flags: tlsfiles.Flags{ClientCA: ca}, want: "--client-ca needs"},
		"missing":           {flags: tlsfiles.Flags{Cert: dir + "/x", Key: key}, want: "--tls-cert " + dir + "/x"},
		"empty authority":   {flags: tlsfiles.Flags{Cert: cert, Key: key, ClientCA: empty}, want: "--client-ca"},
		"missing authority": {flags: tlsfiles.Flags{Cert: cert, Key: key, ClientCA: dir + "/x"}, want: "--client-ca"},
	} {
		made, err := test.flags.NewServer("api", testclock.NewFakePassiveClock(time.Now()), zap.NewNop())
		if test.want == "" {
			if err != nil || (made.Config() != nil) != test.tls {
				t.Errorf("%s: server %v, error %v", name, made, err)
			}
			continue
		}
		var usage *cli.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), test.want) || made != nil {
			t.Errorf("%s: error %v, want a usage error with %q", name, err, test.want)
		}
	}
}
