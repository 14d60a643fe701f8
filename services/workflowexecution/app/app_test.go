package app_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/workflowexecution/app"
)

func options() app.Options {
	return app.Options{
		DataStorageURL:    "http://127.0.0.1:1",
		ManagementListen:  "127.0.0.1:0",
		RESTConfig:        &rest.Config{Host: "http://127.0.0.1:1"},
		PlatformNamespace: "kubernaut-system",
	}
}

func TestUnusableOptionsNameTheFlag(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*app.Options)
		says   []string
	}{
		"no DataStorage":     {func(o *app.Options) { o.DataStorageURL = "" }, []string{"--datastorage-url", "required"}},
		"DataStorage":        {func(o *app.Options) { o.DataStorageURL = "datastorage" }, []string{"--datastorage-url"}},
		"no token file":      {func(o *app.Options) { o.DataStorageTokenFile = "/nowhere/token" }, []string{"--datastorage-token-file", "/nowhere/token"}},
		"authority for HTTP": {func(o *app.Options) { o.DataStorageCAFile = empty }, []string{"--datastorage-ca-file", "https"}},
		"empty token file":   {func(o *app.Options) { o.DataStorageTokenFile = empty }, []string{"--datastorage-token-file", "empty"}},
		"management address": {func(o *app.Options) { o.ManagementListen = "9092" }, []string{"--management-listen", "host:port"}},
		"pprof address":      {func(o *app.Options) { o.PprofListen = "nothing" }, []string{"--pprof-listen", "host:port"}},
		"pprof for all":      {func(o *app.Options) { o.PprofListen = "0.0.0.0:6060" }, []string{"--pprof-listen", "loopback"}},
		"no kubeconfig":      {func(o *app.Options) { o.RESTConfig = nil }, []string{"--kubeconfig", "required"}},
		"kubeconfig":         {func(o *app.Options) { o.RESTConfig, o.Kubeconfig = nil, "/nowhere/config" }, []string{"--kubeconfig", "/nowhere/config"}},
		"leader election":    {func(o *app.Options) { o.LeaderElect = true }, []string{"--leader-election-namespace", "--leader-elect=false"}},
		"namespace":          {func(o *app.Options) { o.WatchNamespaces = []string{"Shop_1"} }, []string{"--watch-namespace", "Shop_1"}},
		"lease's namespace":  {func(o *app.Options) { o.LeaderElectionNamespace = "-" }, []string{"--leader-election-namespace"}},
		"mode":               {func(o *app.Options) { o.Mode = "always" }, []string{"--mode", "always"}},
		"expiry":             {func(o *app.Options) { o.ApprovalExpiry = -1 }, []string{"--approval-expiry"}},
		"no platform":        {func(o *app.Options) { o.PlatformNamespace = "" }, []string{"--platform-namespace", "required"}},
		"platform":           {func(o *app.Options) { o.PlatformNamespace = "_" }, []string{"--platform-namespace"}},
		"workflows":          {func(o *app.Options) { o.WorkflowsNamespace = "_" }, []string{"--workflows-namespace"}},
		"resolve timeout":    {func(o *app.Options) { o.ResolveTimeout = 10*time.Minute - 1 }, []string{"--resolve-timeout", "--group-interval", "10m0s"}},
		"group interval":     {func(o *app.Options) { o.GroupInterval = 8 * time.Minute }, []string{"--resolve-timeout", "16m0s"}},
		"Alertmanager":       {func(o *app.Options) { o.Alertmanager.URL = "alertmanager:9093" }, []string{"--alertmanager-url", "http://"}},
		"its credentials":    {func(o *app.Options) { o.Alertmanager.URL = "http://u:p@alertmanager" }, []string{"--alertmanager-url", "credentials"}},
		"its token":          {func(o *app.Options) { o.Alertmanager.URL, o.Alertmanager.TokenFile = "http://alertmanager", empty }, []string{"--alertmanager-token-file", "empty"}},
		"its authority":      {func(o *app.Options) { o.Alertmanager.URL, o.Alertmanager.CAFile = "http://alertmanager", empty }, []string{"--alertmanager-ca-file", "https"}},
		"its certificate":    {func(o *app.Options) { o.Alertmanager.URL, o.Alertmanager.CAFile = "https://alertmanager", empty }, []string{"--alertmanager-ca-file", "PEM"}},
		"no Alertmanager":    {func(o *app.Options) { o.Alertmanager.TokenFile = empty }, []string{"--alertmanager-token-file", "--alertmanager-url"}},
		"stale":              {func(o *app.Options) { o.StaleAfter = -1 }, []string{"--stale-after"}},
		"policy deadline":    {func(o *app.Options) { o.PolicyDeadline = -1 }, []string{"--policy-deadline"}},
		"concurrency":        {func(o *app.Options) { o.Concurrency = -1 }, []string{"--concurrency"}},
		"startup timeout":    {func(o *app.Options) { o.StartupTimeout = -1 }, []string{"--startup-timeout"}},
		"spool":              {func(o *app.Options) { o.Spool.MaxBytes = 1 }, []string{"--audit-spool-max-bytes"}},
		"grace":              {func(o *app.Options) { o.Grace = -1 }, []string{"--grace"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options()
			test.change(&o)
			_, err := app.New(o)
			if _, ok := errors.AsType[*cli.UsageError](err); !ok {
				t.Fatalf("error = %v, want a usage error", err)
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error = %q, want it to say %q", err, part)
				}
			}
		})
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	var o app.Options
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.AddFlags(flags)
	if err := flags.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if want := app.Defaults(); !reflect.DeepEqual(o, want) || !want.LeaderElect || want.Mode != "approve" || want.Grace != 25*time.Second {
		t.Errorf("flags give %+v, the defaults are %+v", o, want)
	}
	if err := flags.Parse([]string{"--mode=auto", "--approval-expiry=50m", "--watch-namespace=a,b", "--leader-elect=false"}); err != nil {
		t.Fatal(err)
	}
	if o.Mode != "auto" || o.ApprovalExpiry != 50*time.Minute || len(o.WatchNamespaces) != 2 || o.LeaderElect {
		t.Errorf("options = %+v", o)
	}
	for _, unusable := range []string{"--mode=never", "--approval-expiry=many", "--concurrency=-1", "--grace=0s", "--startup-timeout=soon"} {
		if err := flags.Parse([]string{unusable}); err == nil || !strings.Contains(err.Error(), strings.Split(unusable, "=")[0]) {
			t.Errorf("%s: error = %v", unusable, err)
		}
	}
}

// run returns what Run says, which must be soon and on one line.
func run(t *testing.T, o app.Options) error {
	t.Helper()
	a, err := app.New(o)
	if err != nil {
		t.Fatal(err)
	}
	err = a.Run(t.Context())
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("not one line: %q", err)
	}
	select {
	case <-a.Ready():
		t.Error("ready")
	default:
	}
	return err
}

func TestAPIServerUnreachable(t *testing.T) {
	t.Parallel()
	// A port that was free a moment ago.
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	o := options()
	o.RESTConfig = &rest.Config{Host: "http://" + address}
	o.StartupTimeout = 50 * time.Millisecond
	if err := run(t, o); err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "--kubeconfig") ||
		!strings.Contains(err.Error(), "--startup-timeout 50ms") {
		t.Errorf("error = %v", err)
	}
}

func TestSpoolThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	defer server.Close()
	o := options()
	o.RESTConfig = &rest.Config{Host: server.URL}
	o.Spool.Dir = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(o.Spool.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := run(t, o)
	if _, ok := errors.AsType[*cli.UsageError](err); !ok || !strings.Contains(err.Error(), "--audit-spool") || !strings.Contains(err.Error(), o.Spool.Dir) {
		t.Errorf("error = %v, want a usage error that names the flag and the folder", err)
	}
}

func TestItWaitsForTheAPIServer(t *testing.T) {
	t.Parallel()
	const attempts = 2
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < attempts {
			w.WriteHeader(http.StatusServiceUnavailable) // it is starting
			return
		}
		w.WriteHeader(http.StatusNotFound) // ends the wait
	}))
	defer server.Close()
	o := options()
	o.RESTConfig = &rest.Config{Host: server.URL}
	if err := run(t, o); err == nil || !strings.Contains(err.Error(), "CustomResourceDefinitions") || asked.Load() != attempts {
		t.Errorf("asked %d times, error = %v", asked.Load(), err)
	}
}

func TestAStopWhileItWaitsIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		stop()
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	o := options()
	o.RESTConfig = &rest.Config{Host: server.URL}
	a, err := app.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(ctx); err != nil {
		t.Errorf("error = %v", err)
	}
}

func TestAPIServerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	o := options()
	o.RESTConfig = &rest.Config{Host: server.URL}
	o.StartupTimeout = 20 * time.Millisecond
	if err := run(t, o); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), server.URL) {
		t.Errorf("error = %v", err)
	}
}

func TestAPIServerWithoutOurResources(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	o := options()
	o.RESTConfig = &rest.Config{Host: server.URL}
	if err := run(t, o); err == nil || !strings.Contains(err.Error(), "CustomResourceDefinitions") {
		t.Errorf("error = %v", err)
	}
}
