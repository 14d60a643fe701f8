package app

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/auditclient/sink"
	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/tlsfiles"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/heartbeat"
)

// Options of a Gateway. The zero value of a field stands for its default, which
// Defaults returns. DataStorageURL has none and is required.
type Options struct {
	// DataStorageURL is the base URL of DataStorage, which gets the audit events.
	DataStorageURL string
	// DataStorageTokenFile holds the bearer token for DataStorage. It is read
	// for each batch. Empty means that no token is sent.
	DataStorageTokenFile string
	// DataStorageCAFile holds the authorities that may have signed DataStorage's
	// certificate. It is read for each connection. Empty means the system's.
	DataStorageCAFile string
	// Spool is the audit store's spool on disk: with one, the events of an
	// answered request survive the process.
	Spool spool.Flags
	// Tracing is where traces go; there are none by default.
	Tracing telemetry.Flags

	// Listen, ManagementListen, ControlListen and PprofListen are host:port; port
	// 0 picks a free one. The last two are loopback addresses; empty, they stay
	// closed.
	Listen           string
	ManagementListen string
	ControlListen    string
	PprofListen      string
	Auth             auth.Flags
	// TLS of the API; plain HTTP if it is empty.
	TLS tlsfiles.Flags

	// Kubeconfig is the path of a kubeconfig file; empty means that the Gateway
	// runs in a pod. RESTConfig takes precedence.
	Kubeconfig string
	RESTConfig *rest.Config
	// Namespace is the Gateway's own: its Leases live there, and the requests
	// whose target has no namespace.
	Namespace string
	// WatchNamespaces are the namespaces in which requests may be created, in
	// addition to Namespace; all if it is empty.
	WatchNamespaces []string
	// ClusterName names the cluster that the Gateway works for. The target of a
	// signal from another cluster is not looked up.
	ClusterName string
	// TargetRules is a file of target rules, which are tried before the built-in
	// ones. Empty means none.
	TargetRules string
	// TargetRulesConfigMap is a ConfigMap in Namespace whose key rules.yaml holds
	// target rules, which are tried before those of the file. It is watched, and
	// need not exist. Empty means none.
	TargetRulesConfigMap string
	// Heartbeats are alerts that fire while all is well, in the form of
	// heartbeat.Parse. The loss of one that is expected is a signal of its own.
	Heartbeats []string
	// CoolDown is how long a completed request still takes signals.
	CoolDown time.Duration
	// MaxOpenPerSender, MaxOpenPerNamespace and MaxOpen bound the open requests.
	// A tenth of each is for critical problems only. Problems beyond a bound
	// share the overflow request of their namespace.
	MaxOpenPerSender    int
	MaxOpenPerNamespace int
	MaxOpen             int

	// WatchEvents makes the Gateway watch the events of the cluster.
	// WatchEventsSelector is a field selector that says which.
	WatchEvents         bool
	WatchEventsSelector string

	// MaxBodyBytes bounds the part of a body from which signals are taken.
	MaxBodyBytes int64
	// MaxSignals bounds how many signals of a body are taken.
	MaxSignals int
	// MemoryLimit is the memory of the process, into which its bounds have to fit.
	// MaxBodyMemory bounds the memory for the bodies of all requests together.
	MemoryLimit, MaxBodyMemory int64
	// MaxConcurrent bounds the HTTP requests that are processed concurrently.
	MaxConcurrent int
	// RequestTimeout bounds the processing of one HTTP request.
	RequestTimeout time.Duration
	// StartupTimeout bounds the wait for the API server at start.
	StartupTimeout time.Duration
	// Grace bounds a graceful stop.
	Grace time.Duration

	// Log gets the service's state changes; nil discards them.
	Log *zap.Logger
	// Clock is the real one if it is nil.
	Clock clock.WithTicker

	expectations []heartbeat.Expectation // of Heartbeats
}

// Audience is the audience of tokens for the Gateway.
const Audience = "kubernaut-gateway"

// Defaults returns the default of every option that has one.
func Defaults() Options {
	var o Options
	o.flags().SetDefaults()
	return o
}

// AddFlags registers the flags of the options, with their defaults.
func (o *Options) AddFlags(flags *pflag.FlagSet) { o.flags().AddTo(flags) }

// flags declares the options.
func (o *Options) flags() *cli.Flags {
	var f cli.Flags
	sink.Declare(&f, &o.DataStorageURL, &o.DataStorageTokenFile, &o.DataStorageCAFile)
	o.Spool.Declare(&f)
	f.String(&o.Listen, "listen", "127.0.0.1:8081", "host:port of the API", cli.Check(httpserver.CheckAddress))
	httpserver.DeclareManagement(&f, &o.ManagementListen, "127.0.0.1:9091", &o.PprofListen)
	httpserver.DeclareControl(&f, &o.ControlListen)
	o.Tracing.Declare(&f)
	o.Auth.Declare(&f, Audience)
	o.TLS.Declare(&f)
	f.String(&o.Kubeconfig, "kubeconfig", "", "kubeconfig file; none: the pod's service account")
	f.String(&o.Namespace, "namespace", "kubernaut-system", "the Gateway's own namespace", cli.Check(kube.CheckNamespace))
	f.Strings(&o.WatchNamespaces, "watch-namespace", "namespace in which requests may be created, may be repeated; none: all",
		cli.Check(kube.CheckNamespace))
	f.String(&o.ClusterName, "cluster-name", "", "name of the cluster, for signals that do not name theirs")
	f.String(&o.TargetRules, "target-rules", "", "file of target rules, tried before the built-in ones; none: no file")
	f.String(&o.TargetRulesConfigMap, "target-rules-configmap", "",
		"ConfigMap in --namespace with target rules in its key rules.yaml, tried before those of the file and watched; none: no ConfigMap")
	f.List(&o.Heartbeats, "heartbeat", "heartbeat alert and how long it may stay away, as in Watchdog,prometheus=monitoring/k8s,within=5m; may be repeated",
		cli.Check(heartbeat.Check))
	f.Duration(&o.CoolDown, "cool-down", 5*time.Minute, "how long a completed request still takes signals")
	f.Int(&o.MaxOpenPerSender, "max-open-per-sender", 500, "bound on the open requests of one sender, if several senders are known")
	f.Int(&o.MaxOpenPerNamespace, "max-open-per-namespace", 200, "bound on the open requests in one namespace")
	f.Int(&o.MaxOpen, "max-open", 5000, "bound on all open requests")
	f.Bool(&o.WatchEvents, "watch-events", false, "take the Kubernetes events of the watched namespaces as signals")
	f.String(&o.WatchEventsSelector, "watch-events-selector", "type=Warning",
		"field selector of the events that are taken, as in type=Warning,reason!=BackOff", cli.Check(checkSelector))
	f.Int64(&o.MaxBodyBytes, "max-body-bytes", 16<<20, "bound on the part of a notification's body from which signals are taken",
		cli.AtLeast(blankBytes))
	f.Int(&o.MaxSignals, "max-signals", 10_000, "bound on the signals that are taken from one notification")
	o.declareMemory(&f)
	f.Int(&o.MaxConcurrent, "max-concurrent", 128, "bound on notifications that are processed concurrently; a sender alone has about half of them")
	f.Duration(&o.RequestTimeout, "request-timeout", 10*time.Second, "time limit of processing one notification")
	f.Duration(&o.StartupTimeout, "startup-timeout", 30*time.Second, "how long to wait for the API server at start")
	f.Duration(&o.Grace, "grace", 25*time.Second, "time limit of a graceful stop, all parts together")
	return &f
}

// complete sets unset options to their defaults and checks all of them. The
// error is a *cli.UsageError that names the flag.
func (o *Options) complete() error {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if err := o.flags().Complete(); err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	if err := o.checkMemory(); err != nil {
		return err
	}
	var err error
	if o.expectations, err = heartbeat.ParseAll(o.Heartbeats); err != nil {
		return cli.Usagef("--heartbeat %w", err)
	}
	return nil
}

// checkSelector checks a field selector. Which fields events have, the API server knows.
func checkSelector(selector string) error {
	if _, err := fields.ParseSelector(selector); err != nil {
		return fmt.Errorf("want a field selector, as in type=Warning: %w", err)
	}
	return nil
}

// blankBytes is how much of a body is read before it has a usable signal.
const blankBytes = 1 << 20

// limits of a notification's body.
func (o *Options) limits() body.Limits {
	return body.Limits{Bytes: o.MaxBodyBytes, Signals: o.MaxSignals, Blank: blankBytes}
}
