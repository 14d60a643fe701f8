package app

import (
	"cmp"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/auditclient/sink"
	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/signalprocessing/internal/classify"
)

// The defaults of Options.
const (
	DefaultManagementListen = "127.0.0.1:9092"
	DefaultMaxAttempts      = 5
	DefaultRetryBackoff     = time.Second
	DefaultMaxRetryBackoff  = 30 * time.Second
	DefaultConcurrency      = 4
	DefaultStartupTimeout   = 15 * time.Second
	DefaultGrace            = 25 * time.Second
)

// Options of an App. A field that is unset has the default that its comment
// names; an unusable one makes New fail.
type Options struct {
	// DataStorageURL is where audit events go, for example "http://127.0.0.1:8080". Required.
	DataStorageURL string
	// DataStorageTokenFile holds the bearer token for DataStorage and is read
	// again for each write; no token is sent where it is empty.
	DataStorageTokenFile string
	// DataStorageCAFile holds the authorities that DataStorage's certificate must
	// come from and is read again for each connection; the system's where it is empty.
	DataStorageCAFile string
	// Spool keeps accepted events on disk: with it a status' events survive the
	// death of the service, without it they do not.
	Spool spool.Flags

	// ManagementListen is the address of probes, metrics and audit flush; DefaultManagementListen.
	ManagementListen string
	// PprofListen is the loopback address of pprof; off where it is empty.
	PprofListen string

	// Kubeconfig names a kubeconfig file; the pod's service account where it is empty.
	Kubeconfig string
	// RESTConfig, for programs that embed the service, goes before Kubeconfig.
	RESTConfig *rest.Config
	// WatchNamespaces limits the service to these namespaces; all of them where it is empty.
	WatchNamespaces []string

	// LeaderElect lets one replica work at a time.
	LeaderElect bool
	// LeaderElectionNamespace is where the lease lies; the pod's own where it is empty.
	LeaderElectionNamespace string

	// MaxAttempts is how often enrichment is tried; DefaultMaxAttempts.
	MaxAttempts int
	// RetryBackoff is the wait after the first failed attempt, which doubles
	// up to MaxRetryBackoff; DefaultRetryBackoff and DefaultMaxRetryBackoff.
	RetryBackoff, MaxRetryBackoff time.Duration
	// PolicyDeadline bounds one decision; classify.DefaultDeadline.
	PolicyDeadline time.Duration
	// Concurrency is how many resources of a kind are handled at the same time; DefaultConcurrency.
	Concurrency int

	// StartupTimeout bounds the wait for the API server at start; DefaultStartupTimeout.
	StartupTimeout time.Duration
	// Grace bounds a graceful stop; DefaultGrace.
	Grace time.Duration

	// Log is where the service logs; nowhere where it is nil.
	Log *zap.Logger
	// Clock is the wall clock where it is nil.
	Clock clock.WithTicker
}

// AddFlags registers a flag for each option, with the option's default.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	o.complete()
	sink.AddFlags(flags, &o.DataStorageURL, &o.DataStorageTokenFile, &o.DataStorageCAFile)
	o.Spool.AddTo(flags)
	flags.StringVar(&o.ManagementListen, "management-listen", o.ManagementListen, "host:port of probes, metrics and the audit flush")
	flags.StringVar(&o.PprofListen, "pprof-listen", o.PprofListen, "loopback host:port of net/http/pprof; empty: off")
	flags.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "kubeconfig file; empty: the service account of the pod")
	flags.StringSliceVar(&o.WatchNamespaces, "watch-namespace", o.WatchNamespaces, "namespace to work in, may be repeated; none: all")
	flags.BoolVar(&o.LeaderElect, "leader-elect", true, "let one replica work at a time")
	flags.StringVar(&o.LeaderElectionNamespace, "leader-election-namespace", o.LeaderElectionNamespace, "namespace of the leader's lease; the pod's own where empty")
	flags.Var(cli.PositiveInt(&o.MaxAttempts), "max-attempts", "how often enrichment is tried before processing fails")
	flags.Var(cli.PositiveDuration(&o.RetryBackoff), "retry-backoff", "wait after the first failed attempt; it doubles with each")
	flags.Var(cli.PositiveDuration(&o.MaxRetryBackoff), "max-retry-backoff", "longest wait between attempts")
	flags.Var(cli.PositiveDuration(&o.PolicyDeadline), "policy-deadline", "how long one policy decision may take")
	flags.Var(cli.PositiveInt(&o.Concurrency), "concurrency", "how many resources of a kind are handled at the same time")
	flags.Var(cli.PositiveDuration(&o.StartupTimeout), "startup-timeout", "how long to wait for the API server at start")
	flags.Var(cli.PositiveDuration(&o.Grace), "grace", "time for a graceful stop")
}

// complete puts the defaults in the place of unset values.
func (o *Options) complete() {
	o.ManagementListen = cmp.Or(o.ManagementListen, DefaultManagementListen)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, DefaultMaxAttempts)
	o.RetryBackoff = cmp.Or(o.RetryBackoff, DefaultRetryBackoff)
	o.MaxRetryBackoff = cmp.Or(o.MaxRetryBackoff, max(DefaultMaxRetryBackoff, o.RetryBackoff))
	o.PolicyDeadline = cmp.Or(o.PolicyDeadline, classify.DefaultDeadline)
	o.Concurrency = cmp.Or(o.Concurrency, DefaultConcurrency)
	o.StartupTimeout = cmp.Or(o.StartupTimeout, DefaultStartupTimeout)
	o.Grace = cmp.Or(o.Grace, DefaultGrace)
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
}
