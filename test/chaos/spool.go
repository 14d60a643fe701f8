package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/test/verdict"
)

// recorderResource is the resource type of a recorder's events. The recorder prints
// an event's resource id once the event is accepted.
const recorderResource = "recorder"

// How long recorders run.
const (
	minRuntime, maxRuntime = time.Millisecond, 50 * time.Millisecond
	// One recorder in longOneIn runs for up to longRuntime without a fault: long
	// enough to store what its predecessors left, so that a recorder is also
	// killed while it removes stored events from the spool.
	longOneIn   = 8
	longRuntime = time.Second
	// One recorder in earlyOneInRecorders is killed within maxEarlyRecorder of its start.
	earlyOneInRecorders = 10
	maxEarlyRecorder    = 20 * time.Millisecond
	// faultlessOf in allRecorders run without a fault.
	faultlessOf, allRecorders = 6, 10
)

// Spool kills recorders: small programs that only record events through
// kubernaut.ai/pkg/audit with a spool, and print the id of each accepted event.
// A proxy in front of DataStorage injects faults. Afterwards every event whose id
// was printed is in the database, and none is there twice, not even under another
// event id.
func Spool(ctx context.Context, o Options) (result verdict.Result, err error) {
	storage, err := o.Env.NewDataStorage(ctx, nil)
	if err != nil {
		return verdict.Result{}, fmt.Errorf("prepare: %w", err)
	}
	defer func() { err = errors.Join(err, storage.Stop(context.WithoutCancel(ctx))) }()
	proxy, err := newFaultProxy(storage.URL)
	if err != nil {
		return verdict.Result{}, err
	}
	defer proxy.Close()
	p, err := newProcesses(ctx, &o, "recorder")
	if err != nil {
		return verdict.Result{}, err
	}
	defer func() { err = errors.Join(err, p.dir.Close()) }()
	p.args = []string{"-url", proxy.URL, "-spool", p.spool(), "-resource-type", recorderResource}

	accepted := map[string]bool{}
	random := o.random(0)
	for ; result.Disruptions < o.Kills; result.Disruptions++ {
		limit := maxRuntime
		proxy.inject(randomFault(random))
		if random.IntN(longOneIn) == 0 {
			limit = longRuntime
			proxy.inject(noFault)
		}
		if err := p.record(ctx, random, limit, accepted); err != nil {
			return result, fmt.Errorf("process %d of the recorder: %w", result.Disruptions+1, err)
		}
		o.report(result.Disruptions + 1)
	}
	proxy.inject(noFault)
	if err := p.flush(ctx); err != nil {
		return result, fmt.Errorf("last process of the recorder: %w", err)
	}
	return result, checkRecords(ctx, &result, storage.DatabaseURL(), accepted)
}

func randomFault(random *rand.Rand) fault {
	if random.IntN(allRecorders) < faultlessOf {
		return noFault
	}
	return []fault{unavailable, dropRequest, dropResponse, dropResponse}[random.IntN(4)]
}

// record runs a recorder, kills it, and adds the ids that it has printed.
func (p *processes) record(ctx context.Context, random *rand.Rand, limit time.Duration, accepted map[string]bool) error {
	first := make(chan struct{})
	var once sync.Once
	var printed []string // owned by the process until it has ended
	started, err := p.start(syscall.SIGKILL, func(line []byte) {
		printed = append(printed, string(line))
		once.Do(func() { close(first) })
	}, "-segment-bytes", strconv.Itoa([]int{16 << 10, 256 << 10, 16 << 20}[random.IntN(3)]))
	if err != nil {
		return err
	}
	err = p.untilKill(ctx, random, limit, started, first)
	if endErr := started.end(context.WithoutCancel(ctx)); err == nil {
		err = endErr
	}
	for _, id := range printed {
		accepted[id] = true
	}
	return err
}

func (p *processes) untilKill(ctx context.Context, random *rand.Rand, limit time.Duration, started *process, first <-chan struct{}) error {
	if random.IntN(earlyOneInRecorders) == 0 {
		return pause(ctx, random, maxEarlyRecorder)
	}
	select {
	case <-first:
	case <-started.Done():
		return nil // end reports the reason
	case <-ctx.Done():
		return fmt.Errorf("no event is accepted: %w%s", context.Cause(ctx), started.LastLines())
	}
	select {
	case <-time.After(minRuntime):
	case <-ctx.Done():
	}
	return pause(ctx, random, limit-minRuntime)
}

// flush runs a recorder that stores what its predecessors left on disk.
func (p *processes) flush(ctx context.Context) error {
	started, err := p.start(syscall.SIGTERM, func([]byte) {}, "-flush")
	if err != nil {
		return err
	}
	select {
	case <-started.Done():
	case <-ctx.Done():
		return fmt.Errorf("flush: %w", errors.Join(context.Cause(ctx), started.Stop(context.WithoutCancel(ctx))))
	}
	if started.Err() != nil {
		return started.Failure()
	}
	return nil
}

// checkRecords compares what was accepted with what is stored.
func checkRecords(ctx context.Context, r *verdict.Result, databaseURL string, accepted map[string]bool) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("read stored events: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `SELECT resource_id, count(*) FROM audit_events WHERE resource_type = $1 GROUP BY resource_id`, recorderResource)
	if err != nil {
		return fmt.Errorf("read stored events: %w", err)
	}
	stored := map[string]bool{}
	var id string
	var times int
	_, err = pgx.ForEachRow(rows, []any{&id, &times}, func() error {
		stored[id] = true
		r.AddStored(times, id, "event")
		return nil
	})
	if err != nil {
		return fmt.Errorf("read stored events: %w", err)
	}
	for id := range accepted {
		r.Accepted++
		if !stored[id] {
			r.AddLost(id, "event")
		}
	}
	return nil
}
