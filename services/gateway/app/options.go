package app

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/auditclient/sink"
	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/tlsfiles"
)

// Options of a Gateway. The zero value of a field stands for its default,
// which Defaults tells, except for DataStorageURL, which is required.
type Options struct {
	// DataStorageURL is the base address of DataStorage, which gets the audit events.
	DataStorageURL string
	// DataStorageTokenFile holds the bearer token for DataStorage. It is read
	// again for each batch. Empty: no token is sent.
	DataStorageTokenFile string
	// DataStorageCAFile holds the authorities that DataStorage's certificate
	// must come from. It is read again for each connection. Empty: the system's.
	DataStorageCAFile string
	// Spool keeps accepted events on disk: with it an answer's events survive
	// the death of the Gateway, without it they do not.
	Spool spool.Flags

	// Listen, ManagementListen and PprofListen are host:port; port 0 picks a
	// free one. An empty PprofListen serves no profiles.
	Listen           string
	ManagementListen string
	PprofListen      string
	Auth             auth.Flags
	// TLS of the API; plain HTTP where it is empty.
	TLS tlsfiles.Flags

	// Kubeconfig is the path of a kubeconfig file; empty means that the
	// Gateway runs in a pod. RESTConfig, where it is set, is used instead.
	Kubeconfig string
	RESTConfig *rest.Config
	// KubeQPS and KubeBurst limit the requests to the API server a second. The
	// reviews of callers have limits of the same size of their own, so that
	// strangers cannot hold up the work on signals.
	KubeQPS   float32
	KubeBurst int

	// Namespace is the Gateway's own: its Leases live there, and the requests
	// whose target has no namespace.
	Namespace string
	// WatchNamespaces are the namespaces that requests may live in besides the
	// own one; all when empty.
	WatchNamespaces []string
	// ClusterName names the cluster that the Gateway works for. A signal that
	// says it is from another cluster is taken without a look at its target.
	ClusterName string
	// CoolDown is how long after its end a request still takes signals.
	CoolDown time.Duration

	// MaxBodyBytes is the size of the largest body.
	MaxBodyBytes int64
	// MaxConcurrent is how many requests are worked on at a time.
	MaxConcurrent int
	// RequestTimeout bounds the work on one request.
	RequestTimeout time.Duration
	// StartupTimeout bounds the wait for the API server at start.
	StartupTimeout time.Duration
	// Grace bounds a graceful stop.
	Grace time.Duration

	// Log is required for a program; a nil one discards everything.
	Log *zap.Logger
	// Clock is the real one when nil.
	Clock clock.WithTicker
}

// Defaults returns the default of every option that has one.
func Defaults() Options {
	return Options{
		Listen:           "127.0.0.1:8081",
		ManagementListen: "127.0.0.1:9091",
		Auth:             auth.Flags{Mode: auth.ModeNone},
		KubeQPS:          200,
		KubeBurst:        400,
		Namespace:        "kubernaut-system",
		CoolDown:         5 * time.Minute,
		MaxBodyBytes:     4 << 20,
		MaxConcurrent:    128,
		RequestTimeout:   10 * time.Second,
		StartupTimeout:   30 * time.Second,
		Grace:            25 * time.Second,
	}
}

// AddFlags registers the flags of the options, with their defaults.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	d := Defaults()
	sink.AddFlags(flags, &o.DataStorageURL, &o.DataStorageTokenFile, &o.DataStorageCAFile)
	o.Spool.AddTo(flags)
	flags.StringVar(&o.Listen, "listen", d.Listen, "host:port of the API")
	flags.StringVar(&o.ManagementListen, "management-listen", d.ManagementListen, "host:port of probes, metrics and the audit flush")
	flags.StringVar(&o.PprofListen, "pprof-listen", "", "loopback host:port of net/http/pprof; empty: off")
	o.Auth.AddTo(flags)
	o.TLS.AddTo(flags)
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig file; empty: the service account of the pod")
	o.KubeQPS = d.KubeQPS
	flags.Var(cli.PositiveFloat32(&o.KubeQPS), "kube-qps", "requests to the API server a second, in the long run")
	o.KubeBurst = d.KubeBurst
	flags.Var(cli.PositiveInt(&o.KubeBurst), "kube-burst", "requests to the API server a second, for a moment")
	flags.StringVar(&o.Namespace, "namespace", d.Namespace, "the Gateway's own namespace")
	flags.StringSliceVar(&o.WatchNamespaces, "watch-namespace", nil, "namespace that requests may live in, may be repeated; none: all")
	flags.StringVar(&o.ClusterName, "cluster-name", "", "name of the cluster, for signals that do not name theirs")
	o.CoolDown = d.CoolDown
	flags.Var(cli.PositiveDuration(&o.CoolDown), "cool-down", "how long after its end a request still takes signals")
	o.MaxBodyBytes = d.MaxBodyBytes
	flags.Var(cli.PositiveInt64(&o.MaxBodyBytes), "max-body-bytes", "size of the largest notification")
	o.MaxConcurrent = d.MaxConcurrent
	flags.Var(cli.PositiveInt(&o.MaxConcurrent), "max-concurrent", "notifications that are worked on at a time")
	o.RequestTimeout = d.RequestTimeout
	flags.Var(cli.PositiveDuration(&o.RequestTimeout), "request-timeout", "time to work on one notification")
	o.StartupTimeout = d.StartupTimeout
	flags.Var(cli.PositiveDuration(&o.StartupTimeout), "startup-timeout", "time to wait for the API server at start")
	o.Grace = d.Grace
	flags.Var(cli.PositiveDuration(&o.Grace), "grace", "time for a graceful stop")
}

// complete puts the defaults in the place of zero values.
func (o *Options) complete() {
	d := Defaults()
	o.Listen = cmp.Or(o.Listen, d.Listen)
	o.ManagementListen = cmp.Or(o.ManagementListen, d.ManagementListen)
	o.Auth.Mode = cmp.Or(o.Auth.Mode, d.Auth.Mode)
	o.KubeQPS = cmp.Or(o.KubeQPS, d.KubeQPS)
	o.KubeBurst = cmp.Or(o.KubeBurst, d.KubeBurst)
	o.Namespace = cmp.Or(o.Namespace, d.Namespace)
	o.CoolDown = cmp.Or(o.CoolDown, d.CoolDown)
	o.MaxBodyBytes = cmp.Or(o.MaxBodyBytes, d.MaxBodyBytes)
	o.MaxConcurrent = cmp.Or(o.MaxConcurrent, d.MaxConcurrent)
	o.RequestTimeout = cmp.Or(o.RequestTimeout, d.RequestTimeout)
	o.StartupTimeout = cmp.Or(o.StartupTimeout, d.StartupTimeout)
	o.Grace = cmp.Or(o.Grace, d.Grace)
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
}

// validate returns a *cli.UsageError that names the flag.
func (o *Options) validate() error {
	if err := httpserver.CheckProfilesAddress(o.PprofListen); err != nil {
		return fmt.Errorf("profiles: %w", err)
	}
	if _, err := httpserver.ParseAddress("management-listen", o.ManagementListen); err != nil {
		return fmt.Errorf("management: %w", err)
	}
	if err := o.Spool.Check(); err != nil {
		return fmt.Errorf("audit store: %w", err)
	}
	return o.validateNumbers()
}

func (o *Options) validateNumbers() error {
	for _, namespace := range slices.Concat([]string{o.Namespace}, o.WatchNamespaces) {
		if complaints := validation.IsDNS1123Label(namespace); len(complaints) > 0 {
			return cli.Usagef("--namespace or --watch-namespace %q: %s", namespace, strings.Join(complaints, ", "))
		}
	}
	for _, number := range []struct {
		flag     string
		positive bool
	}{
		{"kube-burst", o.KubeBurst > 0},
		{"cool-down", o.CoolDown > 0},
		{"max-body-bytes", o.MaxBodyBytes > 0},
		{"max-concurrent", o.MaxConcurrent > 0},
		{"request-timeout", o.RequestTimeout > 0},
		{"startup-timeout", o.StartupTimeout > 0},
		{"grace", o.Grace > 0},
	} {
		if !number.positive {
			return cli.Usagef("--%s must be more than 0", number.flag)
		}
	}
	return nil
}
