package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"kubernaut.ai/internal/devstack/supervise"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/wire"
)

const (
	// stores record events, each of storeTrails correlation ids at once.
	stores, storeTrails = 3, 3
	// oldWriters are programs of schema version 1.
	oldWriters = 2
	// sentAgainOneIn of the batches is sent once more after it was acknowledged.
	sentAgainOneIn = 8
	// oddOneIn of the batches has ids of another month, and one in so many ids without a time.
	oddOneIn = 20
	// loadPace is from one batch of a client to its next one, and from one row of an old program to its next one.
	loadPace = 50 * time.Millisecond
	// loadPatience bounds the time that one batch takes, over all attempts.
	loadPatience = 90 * time.Second
	// attemptPause is between two attempts.
	attemptPause = 20 * time.Millisecond
)

// storeLoad is the load on instances of DataStorage that are killed.
type storeLoad struct {
	*batches

	// refusals has an element after a batch was not acknowledged.
	refusals chan struct{}
	stop     chan struct{}
	group    *errgroup.Group
	all      []*audit.Store
	random   func(uint64) *rand.Rand

	// Guarded by mu, as what batches have. attempts are those that were not
	// acknowledged, duplicates the events that an answer calls that.
	attempts, duplicates int
}

// startLoad loads the API at a URL. The caller ends it.
func startLoad(ctx context.Context, o *Options, api string, dir *supervise.Dir) (*storeLoad, context.Context, error) {
	l := &storeLoad{
		batches:  &batches{url: api + pathBatch, accepted: map[string]bool{}, ticks: make(chan struct{}, 1)},
		refusals: make(chan struct{}, 1), stop: make(chan struct{}), random: o.random,
	}
	for i := range stores {
		store, err := spoolingStore(api, dir.Join(fmt.Sprintf("spool-%d", i)))
		if err != nil {
			return nil, nil, fmt.Errorf("prepare: %w", err)
		}
		l.all = append(l.all, store)
	}
	l.group, ctx = errgroup.WithContext(ctx)
	for _, store := range l.all {
		for range storeTrails {
			l.group.Go(func() error { return l.record(ctx, store, l.stop) })
		}
	}
	for i := range batchSenders {
		l.group.Go(func() error { return l.sending(ctx, o.random(uint64(i)+1)) })
	}
	return l, ctx, nil
}

// writeAsVersion1 loads a database with rows of version 1, until the load ends.
func (l *storeLoad) writeAsVersion1(ctx context.Context, databaseURL string) {
	for range oldWriters {
		l.group.Go(func() error { return l.writingAsVersion1(ctx, databaseURL) })
	}
}

func spoolingStore(api, dir string) (*audit.Store, error) {
	sink, err := httpsink.New(api)
	if err != nil {
		return nil, err
	}
	disk, err := spool.Open(dir)
	if err != nil {
		return nil, err
	}
	return audit.New(sink, audit.WithSpool(disk), audit.WithDurability(audit.Spooled))
}

// end finishes what was begun, and flushes the stores.
func (l *storeLoad) end(ctx context.Context) error {
	close(l.stop)
	err := l.group.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadPatience)
	defer cancel()
	for _, store := range l.all {
		if closeErr := store.Close(ctx); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("a store's pending events: %w", closeErr))
		}
	}
	return err
}

// paced calls once until the load is to stop.
func (l *storeLoad) paced(ctx context.Context, once func(context.Context) error) error {
	ticker := time.NewTicker(loadPace)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		within, cancel := context.WithTimeout(ctx, loadPatience)
		err := once(within)
		cancel()
		if err != nil {
			return err
		}
	}
}

// sending sends batches, each until it is acknowledged.
func (l *storeLoad) sending(ctx context.Context, random *rand.Rand) error {
	client := &http.Client{Transport: &http.Transport{}, Timeout: callTimeout}
	defer client.CloseIdleConnections()
	return l.paced(ctx, func(ctx context.Context) error {
		body, ids, err := newBatch(oddIDs(random))
		if err != nil {
			return err
		}
		_, refusedSince, err := l.untilAcknowledged(ctx, client, body)
		if err != nil {
			return err
		}
		l.note(ids, refusedSince)
		tick(l.ticks)
		if random.IntN(sentAgainOneIn) > 0 {
			return nil
		}
		again, _, err := l.untilAcknowledged(ctx, client, body)
		if err == nil && again.Created > 0 {
			err = fmt.Errorf("a batch that was acknowledged before is answered: created %d, duplicates %d", again.Created, again.Duplicates)
		}
		return err
	})
}

// oddIDs are those of a batch: most are of the time, some of another month, some random.
func oddIDs(random *rand.Rand) func() (uuid.UUID, error) {
	switch random.IntN(oddOneIn) {
	case 0:
		return uuid.NewRandom
	case 1:
		const months, month = 30, 30 * 24 * time.Hour
		at := time.Now().Add(-time.Duration(1+random.IntN(months)) * month)
		return func() (uuid.UUID, error) { return wire.NewID(at, random.Uint64()), nil }
	default:
		return uuid.NewV7
	}
}

// untilAcknowledged sends a batch again and again, as a client does that got no
// answer. refusedSince is when the first attempt failed, zero if it did not.
func (l *storeLoad) untilAcknowledged(ctx context.Context, client *http.Client, body []byte) (created wire.BatchCreated, refusedSince time.Time, err error) {
	var last, refusal error
	for attempts := 1; ; attempts++ {
		if created, refusal, err = l.attempt(ctx, client, body); err != nil {
			return created, refusedSince, err
		}
		if refusal != nil && refusedSince.IsZero() {
			refusedSince = time.Now()
		}
		l.mu.Lock()
		l.duplicates += created.Duplicates
		if refusal != nil {
			l.attempts++
		}
		l.mu.Unlock()
		if refusal == nil {
			return created, refusedSince, nil
		}
		tick(l.refusals)
		select {
		case <-time.After(attemptPause):
		case <-ctx.Done():
			return created, refusedSince, fmt.Errorf("a batch is not acknowledged within %s and %d attempts: %w, and before: %w", loadPatience, attempts, refusal, last)
		}
		last = refusal
	}
}

// attempt sends a batch once. A refusal passes: no answer, or 503.
func (l *storeLoad) attempt(ctx context.Context, client *http.Client, body []byte) (created wire.BatchCreated, refusal, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return created, nil, fmt.Errorf("send a batch: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, refusal := client.Do(request)
	if refusal != nil {
		return created, refusal, nil
	}
	defer func() { _ = response.Body.Close() }()
	answer, refusal := io.ReadAll(response.Body)
	switch {
	case refusal != nil:
		return created, refusal, nil
	case response.StatusCode == http.StatusServiceUnavailable:
		return created, fmt.Errorf("answered 503: %s", answer), nil
	case response.StatusCode != http.StatusCreated:
		return created, nil, fmt.Errorf("a batch is answered %d: %s", response.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, &created); err != nil {
		return created, nil, fmt.Errorf("read an answer: %w", err)
	}
	if created.Created+created.Duplicates != sentEvents || created.StoredAs != nil {
		return created, nil, fmt.Errorf("a batch of %d events is answered %s", sentEvents, answer)
	}
	return created, nil, nil
}

// rowOfVersion1 is an event as a program of schema version 1 stores it.
const rowOfVersion1 = `INSERT INTO audit_events (id_time, event_id, version, event_type, event_timestamp, event_category,
	event_action, event_outcome, correlation_id, event_data, resource_type, resource_id, retention_days, is_sensitive, content_digest, received_at)
VALUES ($1, $2, '1.0', 'torture.event.recorded', $1, 'torture', 'record', 'success', $3, '{}', $4, $5, 2555, false, $6, now())
ON CONFLICT DO NOTHING`

// writingAsVersion1 stores events as a program does that is not upgraded yet.
func (l *storeLoad) writingAsVersion1(ctx context.Context, databaseURL string) error {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	correlationID := uuid.NewString()
	return l.paced(ctx, func(ctx context.Context) error {
		at := time.Now().UTC().Truncate(time.Millisecond)
		id, resource := wire.NewID(at, rand.Uint64()), uuid.NewString()
		for {
			var err error
			if conn == nil || conn.IsClosed() {
				conn, err = pgx.Connect(ctx, databaseURL)
			}
			if err == nil {
				_, err = conn.Exec(ctx, rowOfVersion1, at, id, correlationID, recorderResource, resource, id[:])
			}
			if err == nil {
				l.note([]string{resource}, time.Time{})
				return nil
			}
			select {
			case <-time.After(attemptPause):
			case <-ctx.Done():
				return fmt.Errorf("a program of schema version 1: %w", err)
			}
		}
	})
}
