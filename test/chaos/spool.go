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

// recorderResource is the resource type of a recorder's events; their resource
// id is what the recorder prints once it is accepted.
const recorderResource = "recorder"

// The random lives of recorders.
const (
	shortestLife, longestLife = time.Millisecond, 50 * time.Millisecond
	// longOneIn lives have up to longLife and an open door: time to store what
	// the short ones have left, so that the spool is killed while it forgets, too.
	longOneIn = 8
	longLife  = time.Second
	// unbornOneIn lives are killed within longestStart, whatever they have done.
	unbornOneIn  = 10
	longestStart = 20 * time.Millisecond
	// openOf lives in allLives find an open door.
	openOf, allLives = 6, 10
)

// Spool kills recorders: small programs that do nothing but record events
// through kubernaut.ai/pkg/audit with a spool, and print the id of each that was
// accepted. DataStorage stands behind a door that is now and then closed, or
// keeps its answers back. Whatever was printed is in the database afterwards,
// and nothing is there twice, not even under another event id.
func Spool(ctx context.Context, o Options) (tally verdict.Tally, err error) {
	storage, err := o.Env.NewDataStorage(ctx, nil)
	if err != nil {
		return verdict.Tally{}, fmt.Errorf("prepare: %w", err)
	}
	defer func() { err = errors.Join(err, storage.Stop(context.WithoutCancel(ctx))) }()
	d, err := newDoor(storage.URL)
	if err != nil {
		return verdict.Tally{}, err
	}
	defer d.Close()
	l, err := newLives(ctx, &o, "recorder")
	if err != nil {
		return verdict.Tally{}, err
	}
	defer func() { err = errors.Join(err, l.dir.Close()) }()
	l.args = []string{"-url", d.URL, "-spool", l.spool(), "-resource-type", recorderResource}

	accepted := map[string]bool{}
	random := o.random(0)
	for ; tally.Deeds < o.Kills; tally.Deeds++ {
		lasts := longestLife
		d.be(someManner(random))
		if random.IntN(longOneIn) == 0 {
			lasts = longLife
			d.be(open)
		}
		if err := l.record(ctx, random, lasts, accepted); err != nil {
			return tally, fmt.Errorf("life %d of the recorder: %w", tally.Deeds+1, err)
		}
		o.report(tally.Deeds + 1)
	}
	d.be(open)
	if err := l.flush(ctx); err != nil {
		return tally, fmt.Errorf("the last life of the recorder: %w", err)
	}
	return tally, judgeRecords(ctx, &tally, storage.DatabaseURL(), accepted)
}

func someManner(random *rand.Rand) manner {
	if random.IntN(allLives) < openOf {
		return open
	}
	return []manner{refuses, cuts, deaf, deaf}[random.IntN(4)]
}

// record runs a recorder until its moment, and adds what it has accepted.
func (l *lives) record(ctx context.Context, random *rand.Rand, lasts time.Duration, accepted map[string]bool) error {
	first := make(chan struct{})
	var once sync.Once
	var printed []string // owned by the life until it has ended
	born, err := l.start(syscall.SIGKILL, func(line []byte) {
		printed = append(printed, string(line))
		once.Do(func() { close(first) })
	}, "-segment-bytes", strconv.Itoa([]int{16 << 10, 256 << 10, 16 << 20}[random.IntN(3)]))
	if err != nil {
		return err
	}
	err = l.untilMoment(ctx, random, lasts, born, first)
	if endErr := born.end(context.WithoutCancel(ctx)); err == nil {
		err = endErr
	}
	for _, id := range printed {
		accepted[id] = true
	}
	return err
}

func (l *lives) untilMoment(ctx context.Context, random *rand.Rand, lasts time.Duration, born *life, first <-chan struct{}) error {
	if random.IntN(unbornOneIn) == 0 {
		return pause(ctx, random, longestStart)
	}
	select {
	case <-first:
	case <-born.Done():
		return nil // end says why
	case <-ctx.Done():
		return fmt.Errorf("nothing is accepted: %w%s", context.Cause(ctx), born.LastLines())
	}
	select {
	case <-time.After(shortestLife):
	case <-ctx.Done():
	}
	return pause(ctx, random, lasts-shortestLife)
}

// flush runs a recorder that stores what the others have left.
func (l *lives) flush(ctx context.Context) error {
	born, err := l.start(syscall.SIGTERM, func([]byte) {}, "-flush")
	if err != nil {
		return err
	}
	select {
	case <-born.Done():
	case <-ctx.Done():
		return fmt.Errorf("flush: %w", errors.Join(context.Cause(ctx), born.Stop(context.WithoutCancel(ctx))))
	}
	if born.Err() != nil {
		return born.Failure()
	}
	return nil
}

// judgeRecords compares what was accepted with what is stored.
func judgeRecords(ctx context.Context, t *verdict.Tally, databaseURL string, accepted map[string]bool) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("look into the database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `SELECT resource_id, count(*) FROM audit_events WHERE resource_type = $1 GROUP BY resource_id`, recorderResource)
	if err != nil {
		return fmt.Errorf("look into the database: %w", err)
	}
	stored := map[string]bool{}
	var id string
	var times int
	_, err = pgx.ForEachRow(rows, []any{&id, &times}, func() error {
		stored[id] = true
		t.Count(times, id, "event")
		return nil
	})
	if err != nil {
		return fmt.Errorf("look into the database: %w", err)
	}
	for id := range accepted {
		t.Accepted++
		if !stored[id] {
			t.Lose(id, "event")
		}
	}
	return nil
}
