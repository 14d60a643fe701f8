package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/services/datastorage/schematest"
)

// Of this many disturbances, each kind is one of a number of consecutive ones; the
// others kill an instance of DataStorage.
const (
	allDisturbances = 20
	serverKills     = 3
	frontCuts       = 3
	backCuts        = 3
	maintenances    = 2
	fullDisks       = 1
)

// disturbance does one thing at random.
func (t *storeTrial) disturbance(ctx context.Context) error {
	kinds := []struct {
		share int
		do    func() error
	}{
		{serverKills, func() error { return t.killServer(ctx) }},
		{frontCuts, func() error { return t.cut(t.front) }},
		{backCuts, func() error { return t.cut(t.back) }},
		{maintenances, func() error { return t.killMaintenance(ctx) }},
		{fullDisks, func() error { return t.fillDisk(ctx) }},
	}
	n := t.chance.IntN(allDisturbances)
	for _, kind := range kinds {
		if n -= kind.share; n < 0 {
			return kind.do()
		}
	}
	t.done.instances++
	return t.serving.kill(ctx, t.chance.IntN(dataStorages))
}

func (t *storeTrial) cut(r *relay) error {
	t.done.cuts++
	r.cut()
	return nil
}

func (t *storeTrial) killMaintenance(ctx context.Context) error {
	t.done.maintenance++
	ended := make(chan struct{})
	select {
	case t.maintenanceKills <- ended:
		<-ended
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kill maintenance: %w", context.Cause(ctx))
	}
}

// killServer kills PostgreSQL, and starts it again after a while.
func (t *storeTrial) killServer(ctx context.Context) error {
	t.done.servers++
	if err := t.server.Kill(ctx); err != nil {
		return err
	}
	return errors.Join(pause(ctx, t.chance, maxOutage), t.server.Restart(ctx))
}

// fillDisk fills PostgreSQL's disk, and makes room some time after something was
// refused. A server that could not write its log has ended, and is started again.
func (t *storeTrial) fillDisk(ctx context.Context) error {
	if t.disk == nil {
		t.done.cuts++
		t.back.cut()
		return nil
	}
	t.done.full++
	drain(t.load.refusals)
	err := t.disk.fill()
	if err == nil {
		select {
		case <-t.load.refusals:
			err = pause(ctx, t.chance, maxOutage)
		case <-ctx.Done():
			err = fmt.Errorf("no batch is refused: %w", context.Cause(ctx))
		}
	}
	if err := errors.Join(err, t.disk.free()); err != nil {
		return err
	}
	return t.revive(ctx)
}

// revive returns when a batch is acknowledged again. A server that ends late, because
// it found no room for its recovery, is started again.
func (t *storeTrial) revive(ctx context.Context) error {
	const look = 100 * time.Millisecond
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	drain(t.load.ticks)
	for {
		if t.server.Ended() {
			if err := t.server.Restart(ctx); err != nil {
				return err
			}
		}
		select {
		case <-t.load.ticks:
			return nil
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("no batch is acknowledged: %w", context.Cause(ctx))
		}
	}
}

// storedCounts are what the tables say of the events.
type storedCounts struct {
	Events, IDs, Batched, Counted  int64
	Committed, SecondIDs, Version1 int64
}

// check compares what was accepted with what is stored, and the tables with each other.
func (t *storeTrial) check(ctx context.Context) error {
	c, err := countStored(ctx, t.direct)
	if err != nil {
		return err
	}
	for _, figure := range []struct {
		key string
		n   int64
	}{
		{"instances", t.done.instances},
		{"servers", t.done.servers},
		{"cuts", t.done.cuts},
		{"disk-full", t.done.full},
		{"migrations", t.done.migrations},
		{"maintenance", t.done.maintenance},
		{"repeated", int64(t.load.attempts)},
		{"duplicates", int64(t.load.duplicates)},
		{"second-ids", c.SecondIDs},
	} {
		t.result.AddFigure(figure.key, figure.n)
	}
	if err := c.agree(schematest.Version1Events); err != nil {
		return err
	}
	return checkRecords(ctx, t.result, t.direct, t.load.accepted)
}

// countStored reads the counts of a database.
func countStored(ctx context.Context, databaseURL string) (c storedCounts, err error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return c, fmt.Errorf("read stored events: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	const query = `SELECT count(*), count(DISTINCT event_id),
		(SELECT coalesce(sum(events), 0)::bigint FROM audit_batches), (SELECT coalesce(sum(events), 0)::bigint FROM audit_rollup),
		count(*) FILTER (WHERE commitment = substring(b.commitments FROM batch_position * 32 + 1 FOR 32)),
		count(*) FILTER (WHERE claimed_event_id IS NOT NULL), count(*) FILTER (WHERE correlation_id ~ '^rr-[0-9]$')
		FROM audit_events AS e LEFT JOIN audit_batches AS b USING (batch_id)`
	if err := conn.QueryRow(ctx, query).Scan(&c.Events, &c.IDs, &c.Batched, &c.Counted, &c.Committed, &c.SecondIDs, &c.Version1); err != nil {
		return c, fmt.Errorf("read stored events: %w", err)
	}
	return c, nil
}

// agree checks that each event is counted, batched and committed to once.
func (c storedCounts) agree(version1 int64) error {
	if want := (storedCounts{c.Events, c.Events, c.Events, c.Events, c.Events, 0, version1}); c != want {
		return fmt.Errorf("the tables do not agree: %+v, want %+v", c, want)
	}
	return nil
}
