package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"kubernaut.ai/internal/auditclient"
	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/internal/memory"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/control"
	"kubernaut.ai/pkg/audit/flushhttp"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/acknowledgement"
	"kubernaut.ai/services/datastorage/internal/aggregated"
	"kubernaut.ai/services/datastorage/internal/consistency"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/erasure"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/eventschema"
	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/httpapi"
	"kubernaut.ai/services/datastorage/internal/ingest"
	"kubernaut.ai/services/datastorage/internal/metrics"
	"kubernaut.ai/services/datastorage/internal/producer"
	"kubernaut.ai/services/datastorage/internal/query"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// partitionsEvery is how often partitions are made; they last for months.
const partitionsEvery = 24 * time.Hour

// serving is what a running App consists of.
type serving struct {
	app               *App
	database          *database.Pools
	writer            *ingest.Writer
	schemas           *eventschema.Source
	accesses          *accesslog.Log
	store             *audit.Store // of DataStorage's own events
	apiHandler        http.Handler
	managementHandler http.Handler
	controlHandler    http.Handler
	peopleHandler     http.Handler // nil without --aggregated-listen
}

func (a *App) newServing(pools *database.Pools, g *lifecycle.Group) (_ *serving, err error) {
	o := a.options
	s := &serving{app: a, database: pools}
	defer func() {
		if err != nil {
			s.abandon()
		}
	}()
	observed, err := a.newMetrics(pools)
	if err != nil {
		return nil, err
	}
	s.writer, err = ingest.New(pools.Ingest, ingest.Options{
		Writers: o.Writers, QueueEvents: o.QueueEvents, Clock: o.Clock, Metrics: observed, Failed: pools.Watch.Failed,
		// What waits is charged to the bodies.
		QueueBytes: int(o.MaxBodyMemory), TransactionBytes: o.transactionBytes(), Tracer: a.tracing.Statements(),
	})
	if err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	observed.Queue(s.writer.Depth, o.QueueEvents)
	limits := event.DefaultLimits()
	limits.Events, limits.DataBytes = o.MaxBatchEvents, o.MaxEventDataBytes
	if limits.Retention, err = o.Retention.retention(); err != nil {
		return nil, err
	}
	bodies, pages, err := a.budgets(observed, s.writer)
	if err != nil {
		return nil, err
	}
	if err := s.openAccesses(observed, limits.Retention); err != nil {
		return nil, err
	}
	decoder := event.NewDecoder(limits, o.Clock, rand.Reader)
	reads := pools.Reads(o.QueryWait)
	finder := query.New(reads, o.Clock, consistency.NewGate(o.Clock, o.StandbyWait),
		query.Options{PageBytes: o.MaxPageBytes, Step: o.QueryStep, Stored: s.writer.Admitted})
	if s.schemas, err = eventschema.NewSource(o.EventSchemas, o.Clock, a.log); err != nil {
		return nil, fmt.Errorf("--event-schemas: %w", err)
	}
	if err := observed.Register(s.schemas); err != nil {
		return nil, fmt.Errorf("event schemas: %w", err)
	}
	acknowledgements := acknowledgement.NewStore(decoder, s.writer, finder, o.Clock, rand.Reader)
	changes := hold.NewChanges(pools.Ingest)
	holds := hold.NewStore(changes, reads, decoder, o.Clock)
	erasures := erasure.NewStore(changes, reads, decoder, o.Clock)
	machines := httpapi.Config{
		Decoder:          decoder,
		Writer:           s.writer,
		Finder:           finder,
		Acknowledgements: acknowledgements,
		Holds:            holds,
		Erasures:         erasures,
		Producers:        producer.NewOwners(decoder, finder, s.writer, o.Clock),
		Accesses:         s.accesses,
		Auth:             a.auth.WithObserver(s.accesses.Denied),
		Schemas:          s.schemas,
		Observer:         observed,
		Log:              a.log,
		Clock:            o.Clock,
		Ready:            func(r *http.Request) error { return s.current(r.Context()) },
		BodyBytes:        o.MaxBodyBytes, BodyEvents: o.MaxBatchEvents, BodyMemory: bodies, PageMemory: pages,
		Queries: memory.NewBudget(int64(a.shares.Query)), QueryWait: o.QueryWait, QueryRefused: pools.QueryRefused,
		Trace: a.tracing.Server(program),
	}
	s.apiHandler, err = httpapi.New(machines)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if a.people != nil {
		s.peopleHandler, err = aggregated.New(aggregated.Config{
			Finder: finder, Acknowledgements: acknowledgements, Holds: holds, Erasures: erasures,
			Accesses: s.accesses, Auth: a.people.gate.WithObserver(s.accesses.Denied), Observer: observed, Log: a.log, Clock: o.Clock, Pages: httpapi.NewPages(machines), Trace: a.tracing.Server(program),
		})
		if err != nil {
			return nil, err //nolint:wrapcheck // names the part
		}
	}
	s.manage(g, observed, acknowledgements)
	return s, nil
}

// manage makes the handlers of the management and control listeners.
func (s *serving) manage(g *lifecycle.Group, observed *metrics.Metrics, acknowledgements *acknowledgement.Store) {
	s.managementHandler = (&httpserver.Management{
		Ready:   []httpserver.Check{{Name: "database", Func: s.current}, httpserver.NotStopping(g)},
		Metrics: observed.Gatherer(),
		Flush:   flushhttp.Handler(flusher{s.writer, s.accesses, s.store}),
		Log:     s.app.log,
	}).Handler()
	s.controlHandler = control.Handler(control.Options{Store: s.store, Records: ownRecords{acknowledgements}, Log: auditclient.Logger(s.app.log)})
}

// budgets makes the budgets of the API, and shows them.
func (a *App) budgets(observed *metrics.Metrics, writer *ingest.Writer) (bodies, pages *memory.Budget, err error) {
	bodies, pages = memory.NewBudget(a.options.MaxBodyMemory), memory.NewBudget(a.options.MaxPageMemory)
	bodies.Report("bodies", "--max-body-memory", a.log)
	pages.Report("pages", "--max-page-memory", a.log)
	if err := observed.Register(a.options.plan(bodies, pages, writer.TransactionMemory)); err != nil {
		return nil, nil, fmt.Errorf("memory: %w", err)
	}
	return bodies, pages, nil
}

func (a *App) newMetrics(pools *database.Pools) (*metrics.Metrics, error) {
	observed := metrics.New(pools)
	if err := observed.RegisterShared(a.auth); err != nil {
		return nil, fmt.Errorf("callers: %w", err)
	}
	if err := observed.Register(buildinfo.Collector()); err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	for _, c := range a.tracing.Collectors() {
		if err := observed.Register(c); err != nil {
			return nil, fmt.Errorf("traces: %w", err)
		}
	}
	if a.people != nil {
		if err := a.people.register(observed); err != nil {
			return nil, fmt.Errorf("people: %w", err)
		}
	}
	if a.tls == nil {
		return observed, nil
	}
	if err := observed.RegisterShared(a.tls); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return observed, nil
}

// current holds when the database takes writes and has this program's schema.
func (s *serving) current(ctx context.Context) error {
	if err := s.database.Watch.Check(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	status, err := schema.Read(ctx, s.database.Probe)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return status.Err() //nolint:wrapcheck // says all there is
}

// partitions makes partitions ahead of time, every day.
func (s *serving) partitions(ctx context.Context) error {
	ticker := s.app.options.Clock.NewTicker(partitionsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			s.app.ensurePartitions(ctx, s.database.Probe)
		}
	}
}
