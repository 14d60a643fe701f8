package app

import (
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/tlsfiles"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/services/datastorage/internal/database"
)

// Options of a DataStorage. The zero value of a field stands for its default,
// which Defaults returns. DatabaseURL has none and is required.
type Options struct {
	// DatabaseURL in a form that libpq takes, as in postgres://user@host:5432/audit.
	DatabaseURL string
	// MaxConnections bounds the connections to the database: Writers + 1 of them
	// are for ingest, 2 for probes, and the others for queries. IdleConnections
	// bounds those that stay open while they are idle; 0 means half of MaxConnections.
	MaxConnections, IdleConnections int

	// Listen, ManagementListen, ControlListen and PprofListen are host:port; port 0
	// picks a free one. The last two are loopback addresses; empty, they stay closed.
	Listen           string
	ManagementListen string
	ControlListen    string
	PprofListen      string
	// Spool keeps events about reads while the database takes none.
	Spool spool.Flags
	Auth  auth.Flags
	// Tracing is where traces go; there are none by default.
	Tracing telemetry.Flags
	// TLS of the API; plain HTTP if it is empty.
	TLS tlsfiles.Flags
	// AggregatedListen is where the API server forwards the requests of people to,
	// with the certificate of TLS; closed if it is empty. It knows its callers by
	// the API server, whatever Auth says.
	AggregatedListen string

	// Kubeconfig is the path of a kubeconfig file for --auth kubernetes and
	// --aggregated-listen; empty means that DataStorage runs in a pod. RESTConfig
	// takes precedence.
	Kubeconfig string
	RESTConfig *rest.Config

	// MaxBodyBytes bounds a request's body, before and after decompression.
	MaxBodyBytes int
	// MaxBatchEvents bounds the events of one request.
	MaxBatchEvents int
	// MaxEventDataBytes bounds one event's data.
	MaxEventDataBytes int
	// Retention of events; that of events which maintenance records is in MaintainOptions.
	Retention RetentionOptions
	// EventSchemas is a folder of JSON Schemas for the data of event types; empty: none are enforced.
	EventSchemas string
	// MaxPageBytes bounds the event_data on one page of a query. An event that
	// is larger has its own page.
	MaxPageBytes int
	// MemoryLimit is the memory of the process, into which its bounds have to fit.
	// MaxBodyMemory bounds the memory for bodies and their events until these are
	// stored, MaxPageMemory that for answers to queries.
	MemoryLimit, MaxBodyMemory, MaxPageMemory int64
	// Writers is the number of concurrent write transactions.
	Writers int
	// QueueEvents bounds the events that wait for a writer.
	QueueEvents int

	// QueryTimeout bounds one query, QueryWait its wait for a connection.
	QueryTimeout, QueryWait time.Duration
	// QueryStep is how long one query looks at events that no index leads to.
	QueryStep time.Duration
	// StandbyWait bounds how long a query waits for a standby to catch up.
	StandbyWait time.Duration
	// StartupTimeout bounds the wait for the database at start.
	StartupTimeout time.Duration
	// Grace bounds a graceful stop.
	Grace time.Duration

	// Log gets the service's state changes; nil discards them.
	Log *zap.Logger
	// Clock is the real one if it is nil.
	Clock clock.WithTicker
}

// Audience is the audience of tokens for DataStorage.
const Audience = "kubernaut-datastorage"

const (
	// most bounds sizes and counts, so that sums of them do not overflow.
	most = 1 << 30
	// startupTimeout is the default wait for the database, of migrate as well.
	startupTimeout = 15 * time.Second
)

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
	declareDatabase(&f, &o.DatabaseURL)
	// Five replicas, and one more during a rollout, fit into PostgreSQL's default of 100.
	f.Int(&o.MaxConnections, "database-max-connections", 16, "bound on connections to the database: --writers + 1 for ingest, 2 for probes, the others for queries",
		cli.AtMost(database.MaxConnections))
	f.Int(&o.IdleConnections, "database-idle-connections", 0, "bound on idle connections that stay open",
		cli.Derived("half of --database-max-connections", func() int64 { return int64(max(o.MaxConnections/2, 1)) }))
	f.String(&o.Listen, "listen", "127.0.0.1:8080", "host:port of the API", cli.Check(httpserver.CheckAddress))
	httpserver.DeclareManagement(&f, &o.ManagementListen, "127.0.0.1:9090", &o.PprofListen)
	httpserver.DeclareControl(&f, &o.ControlListen)
	o.Spool.Declare(&f)
	o.Tracing.Declare(&f)
	o.Auth.Declare(&f, Audience)
	o.Auth.DeclareNamespace(&f)
	o.TLS.Declare(&f)
	f.String(&o.AggregatedListen, "aggregated-listen", "",
		"host:port to which the API server forwards the requests of people; needs --tls-cert; none: people cannot call", cli.Check(httpserver.CheckAddress))
	f.String(&o.Kubeconfig, "kubeconfig", "", "for --auth kubernetes and --aggregated-listen: kubeconfig file; none: the pod's service account")
	f.Int(&o.MaxBodyBytes, "max-body-bytes", 16<<20, "bound on a request body, before and after decompression", cli.AtMost(most))
	f.Int(&o.MaxBatchEvents, "max-batch-events", 10_000, "bound on events in one request", cli.AtMost(most))
	f.Int(&o.MaxEventDataBytes, "max-event-data-bytes", 1<<20, "bound on one event_data", cli.AtMost(most))
	o.Retention.declare(&f)
	f.String(&o.EventSchemas, "event-schemas", "", "folder of JSON Schemas, named EVENT_TYPE.json: events of these types whose event_data does not conform are refused; none: all conform")
	f.Int(&o.MaxPageBytes, "max-page-bytes", 16<<20, "bound on the event_data on one page of a query", cli.AtMost(most))
	o.declareMemory(&f)
	f.Int(&o.Writers, "writers", 4, "concurrent write transactions", cli.AtMost(most))
	f.Int(&o.QueueEvents, "queue-events", 50_000, "bound on events that wait for a writer; above, requests get 503", cli.AtMost(most))
	f.Duration(&o.QueryTimeout, "query-timeout", 30*time.Second, "time limit of one query")
	f.Duration(&o.QueryWait, "query-wait", 2*time.Second, "how long a query waits for a connection; after that it gets 503")
	f.Duration(&o.QueryStep, "query-step", 150*time.Millisecond, "how long one query looks at events for a filter without an index; then it answers with what it found and a cursor")
	f.Duration(&o.StandbyWait, "standby-wait", 5*time.Second, "how long a query with at_least waits for a standby")
	f.Duration(&o.StartupTimeout, "startup-timeout", startupTimeout, "how long to wait for the database at start")
	f.Duration(&o.Grace, "grace", 25*time.Second, "time limit of a graceful stop, all parts together")
	return &f
}

// declareDatabase declares --database-url.
func declareDatabase(f *cli.Flags, url *string) {
	f.String(url, "database-url", "", "PostgreSQL database, as in postgres://datastorage@127.0.0.1:5432/audit (required)",
		cli.Secret(), cli.Required(database.Example))
}

// AddDatabaseFlag registers --database-url.
func AddDatabaseFlag(flags *pflag.FlagSet, url *string) {
	var f cli.Flags
	declareDatabase(&f, url)
	f.AddTo(flags)
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
	if o.IdleConnections > o.MaxConnections {
		return cli.Usagef("--database-idle-connections %d: want 1 to --database-max-connections (%d)", o.IdleConnections, o.MaxConnections)
	}
	if o.Kubeconfig != "" && o.Auth.Mode != auth.ModeKubernetes && o.AggregatedListen == "" {
		return cli.Usagef("--kubeconfig is given but --auth is %s: use --auth kubernetes", o.Auth.Mode)
	}
	if o.AggregatedListen != "" && o.TLS.Cert == "" {
		return cli.Usagef("--aggregated-listen needs --tls-cert and --tls-key: the API server calls over TLS only")
	}
	if _, err := o.Retention.retention(); err != nil {
		return err
	}
	if _, err := database.Split(o.MaxConnections, o.Writers); err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	return o.checkMemory()
}
