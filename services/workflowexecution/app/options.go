package app

import (
	"os"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/auditclient/sink"
	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/memory"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/services/workflowexecution/internal/reminder"
	"kubernaut.ai/services/workflowexecution/internal/selection"
)

// Options of an App. The zero value of a field stands for its default, which
// Defaults returns, with two exceptions: DataStorageURL has none and is
// required, and LeaderElect is what it says.
type Options struct {
	// DataStorageURL is the base URL of DataStorage, which gets the audit events.
	DataStorageURL string
	// DataStorageTokenFile holds the bearer token for DataStorage. It is read
	// for each write. Empty means that no token is sent.
	DataStorageTokenFile string
	// DataStorageCAFile holds the authorities that may have signed DataStorage's
	// certificate. It is read for each connection. Empty means the system's.
	DataStorageCAFile string
	// Spool is the audit store's spool on disk: with one, the events of a status
	// survive the process.
	Spool spool.Flags
	// Tracing is where traces go; there are none by default.
	Tracing telemetry.Flags

	// ManagementListen is host:port of probes, metrics and audit flush; port 0
	// picks a free one.
	ManagementListen string
	// ControlListen is the loopback host:port to inspect and settle what the audit
	// store holds, PprofListen that of profiles; closed if they are empty.
	ControlListen string
	PprofListen   string

	// Kubeconfig is the path of a kubeconfig file; empty means the pod's service
	// account. RESTConfig takes precedence.
	Kubeconfig string
	RESTConfig *rest.Config
	// WatchNamespaces limits the service to these namespaces; empty means all.
	WatchNamespaces []string

	// LeaderElect lets only one replica work; the default of the flag is true.
	LeaderElect bool
	// LeaderElectionNamespace is the namespace of the lease; empty means the pod's.
	LeaderElectionNamespace string

	// WorkflowsNamespace is where workflows, their service accounts and their Jobs are.
	WorkflowsNamespace string
	// PlatformNamespace is the platform's own, DatabaseNamespace the database's: their
	// workloads are never changed. PlatformNamespace empty means the pod's.
	PlatformNamespace string
	DatabaseNamespace string
	// ClusterNames are the names of this cluster in the labels of signals. A signal of another
	// cluster gets a proposal only.
	ClusterNames []string
	// Mode is observe, approve or auto.
	Mode string
	// ApprovalExpiry is how long a proposal waits for a decision.
	ApprovalExpiry time.Duration
	// FourEyes: workflows of high risk need the approvals of two persons.
	FourEyes bool
	// MaxPerNamespace and MaxPerCluster are the most executions that start in an hour.
	MaxPerNamespace, MaxPerCluster int
	// MaxIneffective executions for one problem make a person decide on every further one.
	MaxIneffective int
	// ResolveTimeout is how long the alerts may take to resolve after an execution, at least
	// twice GroupInterval.
	ResolveTimeout time.Duration
	// GroupInterval is how late senders tell that an alert has resolved.
	GroupInterval time.Duration
	// Alertmanager is told of proposals that wait too long.
	Alertmanager reminder.Flags
	// StaleAfter is how long a request stays open without another signal.
	StaleAfter time.Duration
	// PolicyDir is the directory of the policies, which is looked at again every few
	// seconds; empty means the built-in policies.
	PolicyDir string
	// PolicyDeadline bounds one policy decision.
	PolicyDeadline time.Duration
	// Concurrency bounds the resources of a kind that are processed concurrently.
	Concurrency int

	// MemoryLimit is the memory of the process, into which its bounds have to fit.
	MemoryLimit int64
	// StartupTimeout bounds the wait for the API server at start.
	StartupTimeout time.Duration
	// Grace bounds a graceful stop.
	Grace time.Duration

	// Log gets the service's state changes; nil discards them.
	Log *zap.Logger
	// Clock is the real one if it is nil.
	Clock clock.WithTicker
}

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
	httpserver.DeclareManagement(&f, &o.ManagementListen, "127.0.0.1:9094", &o.PprofListen)
	httpserver.DeclareControl(&f, &o.ControlListen)
	o.Tracing.Declare(&f)
	f.String(&o.Kubeconfig, "kubeconfig", "", "kubeconfig file; none: the pod's service account")
	f.Strings(&o.WatchNamespaces, "watch-namespace", "namespace to work in, may be repeated; none: all", cli.Check(kube.CheckNamespace))
	f.Bool(&o.LeaderElect, "leader-elect", true, "let only one replica work")
	f.String(&o.LeaderElectionNamespace, "leader-election-namespace", "", "namespace of the leader election lease; none: the pod's",
		cli.Check(kube.CheckNamespace))
	f.String(&o.WorkflowsNamespace, "workflows-namespace", "kubernaut-workflows", "namespace of workflows, their service accounts and their Jobs",
		cli.Check(kube.CheckNamespace))
	f.String(&o.PlatformNamespace, "platform-namespace", "", "the platform's own namespace, in which nothing is executed; none: the pod's",
		cli.Check(kube.CheckNamespace))
	f.String(&o.DatabaseNamespace, "database-namespace", "", "the database's namespace, in which nothing is executed; none: the database is not in this cluster",
		cli.Check(kube.CheckNamespace))
	f.Strings(&o.ClusterNames, "cluster-name", "name of this cluster in the labels of signals, may be repeated; signals of others get proposals only")
	f.String(&o.Mode, "mode", string(selection.ModeApprove),
		"observe: propose only; approve: a person approves; auto: a policy may, too",
		cli.OneOf(string(selection.ModeObserve), string(selection.ModeApprove), string(selection.ModeAuto)))
	f.Duration(&o.ApprovalExpiry, "approval-expiry", time.Hour, "how long a proposal waits for a decision")
	f.Bool(&o.FourEyes, "four-eyes", false, "let two persons approve workflows of high risk")
	f.Int(&o.MaxPerNamespace, "max-executions-per-namespace", 10, "most executions that start in a namespace in an hour")
	f.Int(&o.MaxPerCluster, "max-executions-per-cluster", 50, "most executions that start in the cluster in an hour")
	f.Int(&o.MaxIneffective, "max-ineffective", 3, "executions for one problem that did not help, after which a person decides")
	f.Duration(&o.ResolveTimeout, "resolve-timeout", 15*time.Minute, "how long the alerts may take to resolve after an execution")
	f.Duration(&o.GroupInterval, "group-interval", 5*time.Minute, "longest group_interval of the senders of alerts")
	o.Alertmanager.Declare(&f)
	f.Duration(&o.StaleAfter, "stale-after", 12*time.Hour, "how long a request stays open without another signal")
	f.String(&o.PolicyDir, "policy-dir", "", "directory of the Rego policies, reloaded when it changes; none: the built-in policies")
	f.Duration(&o.PolicyDeadline, "policy-deadline", selection.DefaultDeadline, "time limit of one policy decision")
	f.Int(&o.Concurrency, "concurrency", 4, "bound on resources of a kind that are processed concurrently")
	memory.DeclareLimit(&f, &o.MemoryLimit, deployedMemory)
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
	if err := o.plan().Check(); err != nil {
		return err //nolint:wrapcheck // names the flags
	}
	if o.ResolveTimeout < 2*o.GroupInterval {
		return cli.Usagef("--resolve-timeout %s: want at least twice --group-interval (%s): senders tell that late that an alert has resolved",
			o.ResolveTimeout, 2*o.GroupInterval)
	}
	if err := o.Alertmanager.Check(); err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	if o.PlatformNamespace == "" {
		namespace, err := kube.PodNamespace(kube.PodNamespaceFile)
		if err != nil {
			return cli.Usagef("--platform-namespace is required outside of a pod")
		}
		o.PlatformNamespace = namespace
	}
	if o.LeaderElect && o.LeaderElectionNamespace == "" {
		if _, err := os.Stat(kube.PodNamespaceFile); err != nil {
			return cli.Usagef("--leader-elect outside of a pod needs --leader-election-namespace; a single replica needs no election: --leader-elect=false")
		}
	}
	return nil
}
