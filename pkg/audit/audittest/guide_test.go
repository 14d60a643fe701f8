package audittest_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// docs/testing-with-audittest.md quotes this file.

// Shop is a component that records what it does.
type Shop struct {
	Audit audit.Recorder
}

// Ship does not ship what it cannot record.
func (s *Shop) Ship(ctx context.Context, order string) error {
	return s.Audit.Record(ctx, &audit.Event{
		Type: "shop.order.shipped", Category: "shop", Action: "shipped",
		Outcome: audit.OutcomeSuccess, CorrelationID: order,
		Data: json.RawMessage(`{"carrier":"post"}`),
	})
}

func TestShipIsAudited(t *testing.T) {
	store, sink, _ := audittest.NewStore(t)
	shop := &Shop{Audit: store}

	if err := shop.Ship(t.Context(), "order-7"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}

	events := sink.EventsOf("order-7")
	if len(events) != 1 || events[0].Type != "shop.order.shipped" || events[0].Outcome != audit.OutcomeSuccess {
		t.Errorf("events %+v, want one of a successful shipment", events)
	}
}

func TestShipSurvivesADeadSink(t *testing.T) {
	store, sink, _ := audittest.NewStore(t)
	shop := &Shop{Audit: store}

	sink.Fail(errors.New("the database is down"))
	if err := shop.Ship(t.Context(), "order-7"); err != nil {
		t.Fatal(err)
	}
	if n := len(sink.Events()); n != 0 {
		t.Errorf("%d events are stored, want none", n)
	}

	sink.Recover()
	if _, err := store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(sink.EventsOf("order-7")); n != 1 {
		t.Errorf("%d events are stored, want 1", n)
	}
}

func TestNothingIsShippedUnrecorded(t *testing.T) {
	store, _, _ := audittest.NewStore(t)
	if err := store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	shop := &Shop{Audit: store}
	if err := shop.Ship(t.Context(), "order-7"); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("ship: %v, want %v", err, audit.ErrClosed)
	}
}

func TestNothingIsLostOnABadDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := audittest.NewMemorySink()
		sink := audittest.NewFaultySink(storage, nil)
		err := sink.Misbehave(rand.NewPCG(7, 7), audittest.Odds{
			Fail: 0.2, FailAfterStoring: 0.2, Hang: 0.1, Duplicate: 0.2,
			Slow: 0.2, LongestDelay: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		store, err := audit.New(sink, audit.WithBatch(1, 1<<20))
		if err != nil {
			t.Fatal(err)
		}

		shop := &Shop{Audit: store}
		for range 100 {
			if err := shop.Ship(t.Context(), "order-7"); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(storage.EventsOf("order-7")); n != 100 {
			t.Errorf("%d events are stored, want 100", n)
		}
	})
}

func TestFlushWaitsForAHangingSink(t *testing.T) {
	hooks := audittest.NewHooks()
	store, sink, _ := audittest.NewStore(t, audit.WithHook(hooks.Reached))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	sink.Hang()
	if err := (&Shop{Audit: store}).Ship(ctx, "order-7"); err != nil {
		t.Fatal(err)
	}
	flushed := make(chan error, 1)
	go func() {
		_, err := store.Flush(ctx)
		flushed <- err
	}()
	if err := hooks.Await(ctx, audit.HookWaitingForFlush, 1); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-flushed:
		t.Fatalf("flush returned early: %v", err)
	default:
	}

	sink.Recover()
	if err := <-flushed; err != nil {
		t.Error(err)
	}
}

// CountingSink counts the events that the sink beneath has stored.
type CountingSink struct {
	audit.Sink

	Created atomic.Int64
}

// Write passes the batch on.
func (s *CountingSink) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	ack, err := s.Sink.Write(ctx, batch)
	s.Created.Add(int64(ack.Created))
	return ack, err
}

func TestCountingSinkConforms(t *testing.T) {
	audittest.TestSink(t, func(*testing.T) audittest.Subject {
		storage := audittest.NewMemorySink()
		return audittest.Subject{
			Sink: &CountingSink{Sink: storage},
			Stored: func(_ context.Context, correlationID string) ([]audit.Event, error) {
				return storage.EventsOf(correlationID), nil
			},
		}
	})
}
