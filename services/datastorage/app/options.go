package app

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/tlsfiles"
	"kubernaut.ai/services/datastorage/internal/database"
)

// Options of a DataStorage. The zero value of a field stands for its default,
// which Defaults tells, except for DatabaseURL, which is required.
type Options struct {
	// DatabaseURL in a form that libpq takes, as in postgres://user@host:5432/audit.
	DatabaseURL string
	// MaxConnections bounds the connections to the database, IdleConnections
	// those that stay open while nothing needs them.
	MaxConnections, IdleConnections int

	// Listen, ManagementListen and PprofListen are host:port; port 0 picks a
	// free one. An empty PprofListen serves no profiles.
	Listen           string
	ManagementListen string
	PprofListen      string
	Auth             auth.Flags
	// TLS of the API; plain HTTP where it is empty.
	TLS tlsfiles.Flags

	// Kubeconfig is the path of a kubeconfig file for --auth kubernetes; empty
	// means that DataStorage runs in a pod. RESTConfig, where it is set, is used
	// instead.
	Kubeconfig string
	RESTConfig *rest.Config

	// MaxBodyBytes bounds a request's body, before and after decompression.
	MaxBodyBytes int
	// MaxBatchEvents bounds the events of one request.
	MaxBatchEvents int
	// MaxEventDataBytes bounds one event's data.
	MaxEventDataBytes int
	// MaxPageBytes bounds the event_data on one page of a query. An event that
	// is larger has a page of its own.
	MaxPageBytes int
	// Writers is how many transactions write at a time.
	Writers int
	// QueueEvents bounds the events that wait for a writer.
	QueueEvents int

	// QueryTimeout bounds one query.
	QueryTimeout time.Duration
	// StandbyWait bounds how long a query waits for a standby to catch up.
	StandbyWait time.Duration
	// StartupTimeout bounds the wait for the database at start.
	StartupTimeout time.Duration
	// Grace bounds a graceful stop.
	Grace time.Duration

	// Log gets the service's state changes; a nil one discards everything.
	Log *zap.Logger
	// Clock is the real one when nil.
	Clock clock.WithTicker
}

// Defaults returns the default of every option that has one.
func Defaults() Options {
	return Options{
		MaxConnections:    100,
		IdleConnections:   50,
		Listen:            "127.0.0.1:8080",
		ManagementListen:  "127.0.0.1:9090",
		Auth:              auth.Flags{Mode: auth.ModeNone},
		MaxBodyBytes:      16 << 20,
		MaxBatchEvents:    10_000,
		MaxEventDataBytes: 1 << 20,
		MaxPageBytes:      16 << 20,
		Writers:           4,
		QueueEvents:       50_000,
		QueryTimeout:      30 * time.Second,
		StandbyWait:       5 * time.Second,
		StartupTimeout:    15 * time.Second,
		Grace:             25 * time.Second,
	}
}

// AddFlags registers the flags of the options, with their defaults.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	d := Defaults()
	AddDatabaseFlag(flags, &o.DatabaseURL)
	integer := func(value *int, fallback int, name, usage string) {
		*value = fallback
		flags.Var(cli.PositiveInt(value), name, usage)
	}
	duration := func(value *time.Duration, fallback time.Duration, name, usage string) {
		*value = fallback
		flags.Var(cli.PositiveDuration(value), name, usage)
	}
	integer(&o.MaxConnections, d.MaxConnections, "database-max-connections", "connections to the database at most")
	integer(&o.IdleConnections, d.IdleConnections, "database-idle-connections", "connections that stay open while nothing needs them")
	flags.StringVar(&o.Listen, "listen", d.Listen, "host:port of the API")
	flags.StringVar(&o.ManagementListen, "management-listen", d.ManagementListen, "host:port of probes, metrics and the audit flush")
	flags.StringVar(&o.PprofListen, "pprof-listen", "", "loopback host:port of net/http/pprof; empty: off")
	o.Auth.AddTo(flags)
	o.TLS.AddTo(flags)
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig file, for --auth kubernetes; empty: the service account of the pod")
	integer(&o.MaxBodyBytes, d.MaxBodyBytes, "max-body-bytes", "size of the largest request, before and after decompression")
	integer(&o.MaxBatchEvents, d.MaxBatchEvents, "max-batch-events", "events in one request at most")
	integer(&o.MaxEventDataBytes, d.MaxEventDataBytes, "max-event-data-bytes", "size of the largest event_data")
	integer(&o.MaxPageBytes, d.MaxPageBytes, "max-page-bytes", "event_data on one page of a query at most, one event at least")
	integer(&o.Writers, d.Writers, "writers", "transactions that write at a time")
	integer(&o.QueueEvents, d.QueueEvents, "queue-events", "events that wait for a writer at most; beyond, requests are answered 503")
	duration(&o.QueryTimeout, d.QueryTimeout, "query-timeout", "time for one query")
	duration(&o.StandbyWait, d.StandbyWait, "standby-wait", "time that a query with at_least waits for a standby")
	duration(&o.StartupTimeout, d.StartupTimeout, "startup-timeout", "time to wait for the database at start")
	duration(&o.Grace, d.Grace, "grace", "time for a graceful stop")
}

// AddDatabaseFlag registers --database-url.
func AddDatabaseFlag(flags *pflag.FlagSet, url *string) {
	flags.StringVar(url, "database-url", "", "PostgreSQL to use, as in postgres://datastorage@127.0.0.1:5432/audit (required)")
}

// complete puts the defaults in the place of zero values.
func (o *Options) complete() {
	d := Defaults()
	o.MaxConnections = cmp.Or(o.MaxConnections, d.MaxConnections)
	o.IdleConnections = cmp.Or(o.IdleConnections, min(d.IdleConnections, o.MaxConnections))
	o.Listen = cmp.Or(o.Listen, d.Listen)
	o.ManagementListen = cmp.Or(o.ManagementListen, d.ManagementListen)
	o.Auth.Mode = cmp.Or(o.Auth.Mode, d.Auth.Mode)
	o.MaxBodyBytes = cmp.Or(o.MaxBodyBytes, d.MaxBodyBytes)
	o.MaxBatchEvents = cmp.Or(o.MaxBatchEvents, d.MaxBatchEvents)
	o.MaxEventDataBytes = cmp.Or(o.MaxEventDataBytes, d.MaxEventDataBytes)
	o.MaxPageBytes = cmp.Or(o.MaxPageBytes, d.MaxPageBytes)
	o.Writers = cmp.Or(o.Writers, d.Writers)
	o.QueueEvents = cmp.Or(o.QueueEvents, d.QueueEvents)
	o.QueryTimeout = cmp.Or(o.QueryTimeout, d.QueryTimeout)
	o.StandbyWait = cmp.Or(o.StandbyWait, d.StandbyWait)
	o.StartupTimeout = cmp.Or(o.StartupTimeout, d.StartupTimeout)
	o.Grace = cmp.Or(o.Grace, d.Grace)
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
}

func (o *Options) database() database.Config {
	return database.Config{URL: o.DatabaseURL, MaxConnections: o.MaxConnections, IdleConnections: o.IdleConnections}
}

// validate returns a *cli.UsageError that names the flag.
func (o *Options) validate() error {
	if _, err := httpserver.ParseAddress("management-listen", o.ManagementListen); err != nil {
		return fmt.Errorf("management: %w", err)
	}
	if err := httpserver.CheckProfilesAddress(o.PprofListen); err != nil {
		return fmt.Errorf("profiles: %w", err)
	}
	if o.Kubeconfig != "" && o.Auth.Mode != auth.ModeKubernetes {
		return cli.Usagef("--kubeconfig is given but --auth is %s: use --auth kubernetes", o.Auth.Mode)
	}
	return o.validateNumbers()
}

func (o *Options) validateNumbers() error {
	const most = 1 << 30
	for _, n := range []struct {
		flag  string
		value int
	}{
		{"max-body-bytes", o.MaxBodyBytes},
		{"max-batch-events", o.MaxBatchEvents},
		{"max-event-data-bytes", o.MaxEventDataBytes},
		{"max-page-bytes", o.MaxPageBytes},
		{"writers", o.Writers},
		{"queue-events", o.QueueEvents},
	} {
		if n.value < 1 || n.value > most {
			return cli.Usagef("--%s %d: want 1 to %d", n.flag, n.value, most)
		}
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"query-timeout", o.QueryTimeout}, {"standby-wait", o.StandbyWait}, {"startup-timeout", o.StartupTimeout}, {"grace", o.Grace},
	} {
		if d.value <= 0 {
			return cli.Usagef("--%s %s: want more than 0", d.flag, d.value)
		}
	}
	if o.Writers >= o.MaxConnections {
		return cli.Usagef("--writers %d: want less than --database-max-connections (%d), which queries need too", o.Writers, o.MaxConnections)
	}
	return nil
}
