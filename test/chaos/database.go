package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/httpsink"
	datastorage "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/auditdb"
	"kubernaut.ai/test/verdict"
)

const (
	// tortureDatabase is the database of a scenario on its own server.
	tortureDatabase = "torture"
	// sentEvents is the size of a batch of the load.
	sentEvents = 10
	// batchSenders is how many clients send batches.
	batchSenders = 4
	// flushTimeout bounds the last flush of a store.
	flushTimeout = time.Minute
)

// ownPostgres starts a server with DataStorage's schema. The caller stops it.
func ownPostgres(ctx context.Context, settings map[string]string) (server *postgres.Server, err error) {
	if server, err = postgres.StartPrivate(ctx, postgres.Options{Settings: settings}); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	if _, err := auditdb.Create(ctx, server, tortureDatabase); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare: %w", err), server.Stop(context.WithoutCancel(ctx)))
	}
	return server, nil
}

// underLoad runs a DataStorage on a database, and calls disturb while clients send
// batches to it and a store records events. It returns what DataStorage
// acknowledged, and the longest time that it did not take a client's batch.
func underLoad(ctx context.Context, databaseURL string, disturb func(context.Context, <-chan struct{}) error) (*batches, error) {
	serving, err := auditdb.Serving(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	a, err := datastorage.New(datastorage.Options{
		DatabaseURL: serving, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0", Log: zap.NewNop(),
	})
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	service, err := lifecycle.Start(ctx, "DataStorage", a)
	if err != nil {
		return nil, err
	}
	load := &batches{url: a.APIURL() + "/api/v1/audit/events/batch", accepted: map[string]bool{}, ticks: make(chan struct{}, 1)}
	err = load.during(ctx, a.APIURL(), func(ctx context.Context) error { return disturb(ctx, load.ticks) })
	return load, errors.Join(err, service.Stop())
}

// disturb calls once as often as something is to be killed, each time after some
// batches were acknowledged, and returns when one more was.
func (o *Options) disturb(ctx context.Context, ticks <-chan struct{}, result *verdict.Result, once func(context.Context) error) error {
	random := o.random(0)
	await := func(batches int) error {
		drain(ticks)
		for range batches {
			select {
			case <-ticks:
			case <-ctx.Done():
				return fmt.Errorf("no batch is acknowledged: %w", context.Cause(ctx))
			}
		}
		return nil
	}
	for ; result.Disruptions < o.Kills; result.Disruptions++ {
		if err := await(1 + random.IntN(maxTicks)); err != nil {
			return err
		}
		if err := pause(ctx, random, maxDelay); err != nil {
			return err
		}
		if err := once(ctx); err != nil {
			return err
		}
		o.report(result.Disruptions + 1)
	}
	return await(1)
}

// batches are what clients send.
type batches struct {
	url   string
	ticks chan struct{} // a batch was acknowledged

	mu       sync.Mutex
	accepted map[string]bool // guarded by mu; resource ids
	// refused is the longest time from the first refusal of a batch to its acknowledgement; guarded by mu.
	refused time.Duration
}

// during sends while disturb runs, and then finishes what was begun.
func (b *batches) during(ctx context.Context, api string, disturb func(context.Context) error) (err error) {
	sink, err := httpsink.New(api)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	store, err := audit.New(sink)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if closeErr := store.Close(closing); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("the store's pending events: %w", closeErr))
		}
	}()
	group, sending := errgroup.WithContext(ctx)
	stop := make(chan struct{})
	for range batchSenders {
		group.Go(func() error { return b.send(sending, stop) })
	}
	group.Go(func() error { return b.record(sending, store, stop) })
	group.Go(func() error {
		defer close(stop)
		return disturb(sending)
	})
	if err := group.Wait(); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	return nil
}

// send sends batches until stop is closed, each until it is acknowledged.
func (b *batches) send(ctx context.Context, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		body, ids, err := newBatch(uuid.NewV7)
		if err != nil {
			return err
		}
		var refusedSince time.Time
		for acknowledged := false; !acknowledged; {
			if acknowledged, err = b.post(ctx, body); err != nil {
				return err
			}
			if !acknowledged && refusedSince.IsZero() {
				refusedSince = time.Now()
			}
		}
		b.note(ids, refusedSince)
		tick(b.ticks)
	}
}

// record records events in a store, which keeps them while they are refused. All
// are stored once it is closed.
func (b *batches) record(ctx context.Context, store *audit.Store, stop <-chan struct{}) error {
	const pace = 5 * time.Millisecond
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	correlationID := uuid.NewString()
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		id := uuid.NewString()
		if err := store.Record(ctx, &audit.Event{
			Type: "torture.event.recorded", Category: "torture", Action: "record", Outcome: audit.OutcomeSuccess,
			CorrelationID: correlationID, ResourceType: recorderResource, ResourceID: id, Data: []byte("{}"),
		}); err != nil {
			return fmt.Errorf("record: %w", err)
		}
		b.note([]string{id}, time.Time{})
	}
}

func (b *batches) note(ids []string, refusedSince time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		b.accepted[id] = true
	}
	if !refusedSince.IsZero() {
		b.refused = max(b.refused, time.Since(refusedSince))
	}
}

// post sends a batch once. A refusal that passes is no error.
func (b *batches) post(ctx context.Context, body []byte) (acknowledged bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("send a batch: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, fmt.Errorf("send a batch: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return false, fmt.Errorf("send a batch: %w", err)
	case response.StatusCode == http.StatusCreated:
		return true, nil
	case response.StatusCode == http.StatusServiceUnavailable:
		const again = 10 * time.Millisecond
		select {
		case <-time.After(again):
			return false, nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	default:
		return false, fmt.Errorf("a batch is answered %d: %s", response.StatusCode, answer)
	}
}

func newBatch(newID func() (uuid.UUID, error)) (body []byte, ids []string, err error) {
	correlationID := uuid.NewString()
	events := make([]map[string]any, sentEvents)
	for i := range events {
		eventID, err := newID()
		if err != nil {
			return nil, nil, fmt.Errorf("make an event id: %w", err)
		}
		ids = append(ids, uuid.NewString())
		events[i] = map[string]any{
			"event_id": eventID, "version": "1.0", "event_type": "torture.event.recorded", "event_timestamp": time.Now().UTC(),
			"event_category": "torture", "event_action": "record", "event_outcome": "success", "correlation_id": correlationID,
			"resource_type": recorderResource, "resource_id": ids[i], "event_data": map[string]any{},
		}
	}
	if body, err = json.Marshal(events); err != nil {
		return nil, nil, fmt.Errorf("encode a batch: %w", err)
	}
	return body, ids, nil
}

// check compares what was acknowledged with what a database has.
func (b *batches) check(ctx context.Context, result *verdict.Result, databaseURL string) error {
	result.AddFigure("max-refused-ms", b.refused.Milliseconds())
	return checkRecords(ctx, result, databaseURL, b.accepted)
}
