package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/maintain"
	"kubernaut.ai/services/datastorage/internal/metrics"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// MaintainOptions of a Maintainer. The zero value of a field stands for its
// default. DatabaseURL has none and is required; its role is a member of the
// owner of the tables.
type MaintainOptions struct {
	DatabaseURL string
	// Slice bounds the events of one transaction.
	Slice int
	// RetentionFloor is the number of days that every event is kept for.
	RetentionFloor int
	// Retention of the events that maintenance records.
	Retention RetentionOptions
	// Every is the time between two runs.
	Every time.Duration
	// ManagementListen is the host:port of probes and metrics.
	ManagementListen string
	// StartupTimeout bounds the wait for the database at start.
	StartupTimeout time.Duration

	Log   *zap.Logger
	Clock clock.WithTicker
	// Between, optional, is called after each transaction.
	Between func() error
}

// Maintained says what a run did.
type Maintained = maintain.Report

// ErrMaintenanceBusy means that another run is at work.
var ErrMaintenanceBusy = maintain.ErrBusy

// AddFlags registers the flags of the options, with their defaults.
func (o *MaintainOptions) AddFlags(flags *pflag.FlagSet) { o.flags().AddTo(flags) }

func (o *MaintainOptions) flags() *cli.Flags {
	var f cli.Flags
	declareDatabase(&f, &o.DatabaseURL)
	f.Int(&o.Slice, "slice", 5000, "bound on the events of one transaction", cli.AtMost(most))
	f.Int(&o.RetentionFloor, "retention-floor", 30, "days that every event is kept for, whatever its retention_days say", cli.AtMost(wire.MaxRetentionDays))
	o.Retention.declare(&f)
	f.Duration(&o.Every, "every", time.Minute, "time between two runs; erasures are looked for every 2s")
	f.String(&o.ManagementListen, "management-listen", "127.0.0.1:9090", "host:port of probes and metrics", cli.Check(httpserver.CheckAddress))
	f.Duration(&o.StartupTimeout, "startup-timeout", startupTimeout, "how long to wait for the database at start")
	return &f
}

// Maintainer does what the tables need beside the service; see the package maintain.
type Maintainer struct {
	options       MaintainOptions
	database      *pgxpool.Config
	retention     event.Retention
	observed      *metrics.Maintenance
	managementURL string
	ready         chan struct{}
}

// NewMaintainer checks the options; an unusable one is a *cli.UsageError that
// names the flag.
func NewMaintainer(o MaintainOptions) (*Maintainer, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if err := o.flags().Complete(); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	retention, err := o.Retention.retention()
	if err != nil {
		return nil, err
	}
	config, err := database.Parse(o.DatabaseURL)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	const connections = 3 // work, the lease, and a probe
	config.MaxConns, config.MinConns = connections, 0
	return &Maintainer{options: o, database: config, retention: retention, observed: metrics.NewMaintenance(o.Clock, o.Every), ready: make(chan struct{})}, nil
}

// Ready is closed once it works.
func (m *Maintainer) Ready() <-chan struct{} { return m.ready }

// ManagementURL is the address of probes and metrics; call it after Ready.
func (m *Maintainer) ManagementURL() string { return m.managementURL }

// Once does all there is to do. The error is ErrMaintenanceBusy if another run is
// at work. What was done before an error stays done, and is in the report.
func (m *Maintainer) Once(ctx context.Context) (Maintained, error) {
	pool, err := m.open(ctx)
	if err != nil {
		return Maintained{}, err
	}
	defer pool.Close()
	return m.runner(pool).Run(ctx) //nolint:wrapcheck // says all there is
}

// Pending returns what a run would do; it changes nothing.
func (m *Maintainer) Pending(ctx context.Context) (maintain.Pending, error) {
	pool, err := m.open(ctx)
	if err != nil {
		return maintain.Pending{}, err
	}
	defer pool.Close()
	return m.runner(pool).Pending(ctx) //nolint:wrapcheck // says all there is
}

// Run maintains the database until ctx ends, and then finishes its transaction.
func (m *Maintainer) Run(ctx context.Context) error {
	const grace = 10 * time.Second
	return lifecycle.Run(ctx, lifecycle.Options{Grace: grace, Log: m.options.Log}, m.start) //nolint:wrapcheck // names the part
}

func (m *Maintainer) start(ctx context.Context, g *lifecycle.Group) error {
	pool, err := m.open(ctx)
	if err != nil {
		return err
	}
	g.Add(ctx, lifecycle.Part{Name: "database pool", Run: lifecycle.OnStop(func(context.Context) error {
		pool.Close()
		return nil
	})})
	ports, err := httpserver.Open(ctx, httpserver.Addresses{Management: m.options.ManagementListen})
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	g.Add(ctx, ports.Part())
	handler := (&httpserver.Management{
		Ready:   []httpserver.Check{httpserver.NotStopping(g)},
		Metrics: m.observed.Gatherer(), Log: m.options.Log,
	}).Handler()
	for _, part := range httpserver.ManagementParts(ports, handler, managementShare, m.options.Log) {
		g.Add(ctx, part)
	}
	g.Add(ctx, lifecycle.Part{Name: "maintenance", Run: lifecycle.Simple(func(ctx context.Context) error {
		m.repeat(ctx, m.runner(pool))
		return nil
	})})
	m.managementURL = httpserver.URL(ports.Management, nil)
	close(m.ready)
	m.options.Log.Info("ready", zap.String("management", m.managementURL))
	return nil
}

// eraseEvery is how often it looks for erasures between two runs: somebody waits for them.
const eraseEvery = 2 * time.Second

// repeat runs every so often until ctx ends. A run that fails is tried again at the next time.
func (m *Maintainer) repeat(ctx context.Context, runner *maintain.Runner) {
	ticker, often := m.options.Clock.NewTicker(m.options.Every), m.options.Clock.NewTicker(min(eraseEvery, m.options.Every))
	defer ticker.Stop()
	defer often.Stop()
	failing, postponing := false, false
	all := func(ctx context.Context) (maintain.Report, bool, error) {
		report, err := runner.Run(ctx)
		return report, true, err //nolint:wrapcheck // says all there is
	}
	work, whole := all, true
	for {
		began := m.options.Clock.Now()
		report, ran, err := work(ctx)
		if ctx.Err() != nil {
			return
		}
		if ran {
			m.observed.Ran(report, whole, err, m.options.Clock.Since(began))
		}
		switch {
		case errors.Is(err, maintain.ErrBusy):
			// The other run does the work.
		case err != nil && !failing:
			failing = true
			m.logFailure(err)
		case err == nil && whole && failing:
			failing = false
			m.options.Log.Info("maintenance works again")
		}
		if err == nil && whole && postponing != (len(report.Postponed) > 0) {
			postponing = !postponing
			m.logPostponed(report.Postponed)
		}
		m.log(&report)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			work, whole = all, true
		case <-often.C():
			work, whole = runner.Erase, false
		}
	}
}

func (m *Maintainer) logFailure(err error) {
	remedy := "events are stored and found meanwhile; check the database, and that the role is a member of the owner of the tables"
	if _, malformed := errors.AsType[*hold.UnusableError](err); malformed {
		remedy = "all other work is done; find out who has the serving role's password"
	}
	m.options.Log.Warn("maintenance fails", zap.Error(err), zap.String("remedy", remedy))
}

// log tells what a run removed, and what it found missing.
func (m *Maintainer) log(report *maintain.Report) {
	for _, removed := range report.Removed {
		m.options.Log.Info("expired events removed", zap.String("partition", removed.Partition), zap.Int64("removed", removed.Removed),
			zap.Int64("kept", removed.Kept), zap.Int64("held", removed.Held))
	}
	for _, e := range report.Erasures {
		if e.Altered > 0 {
			m.options.Log.Error("events are not erased, because they contradict their commitments: they were altered in the database",
				zap.Stringer("erasure", e.ID), zap.Int("altered", e.Altered))
			continue
		}
		if e.Unusable {
			m.options.Log.Error("a row of audit_requests is refused, because it is not a request that DataStorage records: find out who has the serving role's password",
				zap.Stringer("erasure", e.ID))
			continue
		}
		m.options.Log.Info("erasure finished", zap.Stringer("erasure", e.ID), zap.String("status", string(e.Status)),
			zap.Int("erased", e.Erased), zap.Int("held", e.Held), zap.Int("own", e.Own))
	}
	if report.ErasedAgain+report.HeldAgain > 0 {
		m.options.Log.Info("erased events had come back", zap.Int64("erased", report.ErasedAgain), zap.Int64("held", report.HeldAgain))
	}
	if report.Uncounted > 0 {
		m.options.Log.Error("events of a batch are missing", zap.Int64("events", report.Uncounted))
	}
}

// logPostponed tells that expired events stay, or that they do not any more.
func (m *Maintainer) logPostponed(partitions []string) {
	if len(partitions) == 0 {
		m.options.Log.Info("removals of expired events are not put off any more")
		return
	}
	m.options.Log.Warn("removals of expired events are put off", zap.Strings("partitions", partitions), zap.String("cause",
		"a legal hold was placed or released while events were selected"), zap.String("remedy",
		"none while this ends by itself; else place one hold on a filter instead of many"))
}

func (m *Maintainer) runner(pool *pgxpool.Pool) *maintain.Runner {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return maintain.New(pool, maintain.Options{
		// A name may return after a restart, for instance that of a pod.
		Holder: host + "/" + uuid.NewString(), Slice: m.options.Slice, RetentionFloor: m.options.RetentionFloor, Retention: m.retention, Clock: m.options.Clock, Between: m.options.Between,
	})
}

// open connects to a database that has this program's schema.
func (m *Maintainer) open(ctx context.Context) (*pgxpool.Pool, error) {
	err := AwaitDatabase(ctx, m.options.DatabaseURL, m.options.StartupTimeout, func(reason error) {
		m.options.Log.Info("waiting for the database", zap.Error(reason))
	})
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, m.database)
	if err != nil {
		return nil, fmt.Errorf("open database pool: %w", err)
	}
	status, err := schema.Read(ctx, pool)
	if err == nil {
		err = status.Err()
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("start: %w", database.Explain(m.database.ConnConfig, err))
	}
	return pool, nil
}
