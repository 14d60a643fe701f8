package main

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
	"golang.org/x/sync/errgroup"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/test/testenv/cluster"
)

const (
	pathEvents = "/api/v1/audit/events"
	pathBatch  = pathEvents + "/batch"
	// singleClients send one event after the other, batchClients batches of batchSize events.
	singleClients, batchClients, batchSize = 2, 1, 20
	// trailEvents share a correlation id.
	trailEvents = 100
	// callTimeout bounds one attempt, patience the time that a request is refused.
	callTimeout, patience = 10 * time.Second, 5 * time.Minute
	// attemptPause is between two attempts.
	attemptPause = 20 * time.Millisecond
	// eventType is one that the suite's writer may store.
	eventType = "gateway.load.recorded"
)

// eventLoad stores events in DataStorage through its Service.
type eventLoad struct {
	env *cluster.Env

	mu sync.Mutex
	// acknowledged events; guarded by mu, as the fields below.
	acknowledged map[uuid.UUID]bool
	// waited is the longest time from the first attempt of a request to its
	// acknowledgement, refused the longest from its first refusal. longest is that refusal.
	waited, refused time.Duration
	longest         error
	refusals        int
}

func newEventLoad(env *cluster.Env) *eventLoad {
	return &eventLoad{env: env, acknowledged: map[uuid.UUID]bool{}}
}

// start starts clients that send until enough is done.
func (l *eventLoad) start(ctx context.Context, group *errgroup.Group, enough context.Context) {
	for range singleClients {
		group.Go(func() error { return l.send(ctx, enough, 1) })
	}
	for range batchClients {
		group.Go(func() error { return l.send(ctx, enough, batchSize) })
	}
}

// send sends requests without a pause, each until it is acknowledged.
func (l *eventLoad) send(ctx, enough context.Context, size int) error {
	client := l.env.Reusing()
	client.Timeout = callTimeout
	defer client.CloseIdleConnections()
	trail := ""
	for n := 0; enough.Err() == nil; n += size {
		if n%trailEvents == 0 {
			trail = uuid.NewString()
		}
		events, err := newEvents(trail, size)
		if err != nil {
			return err
		}
		if err := l.untilAcknowledged(ctx, client, events); err != nil {
			return err
		}
	}
	return nil
}

func newEvents(correlationID string, size int) ([]datastorage.AuditEvent, error) {
	events := make([]datastorage.AuditEvent, size)
	for i := range events {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make an event id: %w", err)
		}
		events[i] = datastorage.AuditEvent{
			EventId: &id, Version: "1.0", EventType: eventType, EventTimestamp: time.Now().UTC(), EventCategory: "gateway",
			EventAction: "recorded", EventOutcome: datastorage.Success, CorrelationId: correlationID, EventData: json.RawMessage(`{}`),
		}
	}
	return events, nil
}

// untilAcknowledged sends events again and again, as a client does that got no answer.
func (l *eventLoad) untilAcknowledged(ctx context.Context, client *http.Client, events []datastorage.AuditEvent) error {
	path, content := pathBatch, any(events)
	if len(events) == 1 {
		path, content = pathEvents, events[0]
	}
	body, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode events: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var first error
	var refusedSince time.Time
	began := time.Now()
	for {
		refusal, err := l.attempt(ctx, client, path, body)
		if err != nil {
			return err
		}
		if refusal == nil {
			l.note(events, began, refusedSince, first)
			return nil
		}
		if first == nil {
			first, refusedSince = refusal, time.Now()
		}
		l.mu.Lock()
		l.refusals++
		l.mu.Unlock()
		select {
		case <-time.After(attemptPause):
		case <-ctx.Done():
			return fmt.Errorf("events are not acknowledged within %s: %w", patience, errors.Join(first, refusal))
		}
	}
}

func (l *eventLoad) note(events []datastorage.AuditEvent, began, refusedSince time.Time, refusal error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range events {
		l.acknowledged[*events[i].EventId] = true
	}
	l.waited = max(l.waited, time.Since(began))
	if refusal != nil && time.Since(refusedSince) > l.refused {
		l.refused, l.longest = time.Since(refusedSince), refusal
	}
}

// attempt sends a request once. A refusal passes: no answer, 503, or 429.
func (l *eventLoad) attempt(ctx context.Context, client *http.Client, path string, body []byte) (refusal, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.env.DataStorageURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("send events: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if err := l.env.Tokens.Writer.Authorize(ctx, request); err != nil {
		return nil, fmt.Errorf("send events: %w", err)
	}
	response, refusal := client.Do(request)
	if refusal != nil {
		return refusal, nil
	}
	defer func() { _ = response.Body.Close() }()
	answer, refusal := io.ReadAll(response.Body)
	switch {
	case refusal != nil:
		return refusal, nil
	case response.StatusCode == http.StatusServiceUnavailable || response.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("answered %d: %s", response.StatusCode, answer), nil
	case response.StatusCode != http.StatusCreated:
		return nil, fmt.Errorf("events are answered %d: %s", response.StatusCode, answer)
	}
	return nil, nil
}
