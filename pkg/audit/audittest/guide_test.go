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

	"github.com/onsi/gomega"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// Shop is a component that records what it does.
type Shop struct {
	Audit *audit.Store
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
	g := gomega.NewWithT(t)
	store, sink, _ := audittest.NewStore(t)
	shop := &Shop{Audit: store}

	g.Expect(shop.Ship(t.Context(), "order-7")).To(gomega.Succeed())
	_, err := store.Flush(t.Context())
	g.Expect(err).NotTo(gomega.HaveOccurred())

	g.Expect(sink.EventsOf("order-7")).To(audittest.HaveAuditedTimes(1, "shop.order.shipped",
		audittest.WithOutcome(audit.OutcomeSuccess),
		audittest.WithData("carrier", gomega.HavePrefix("po")),
	))
}

func TestShipSurvivesADeadSink(t *testing.T) {
	g := gomega.NewWithT(t)
	store, sink, _ := audittest.NewStore(t)
	shop := &Shop{Audit: store}

	sink.Fail(errors.New("database is away"))
	g.Expect(shop.Ship(t.Context(), "order-7")).To(gomega.Succeed())
	g.Expect(sink.Events()).To(gomega.BeEmpty())

	sink.Recover()
	_, err := store.Flush(t.Context())
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(sink.EventsOf("order-7")).To(audittest.HaveAudited("shop.order.shipped"))
}

func TestNothingIsShippedUnrecorded(t *testing.T) {
	g := gomega.NewWithT(t)
	store, _, _ := audittest.NewStore(t)
	g.Expect(store.Close(t.Context())).To(gomega.Succeed())

	shop := &Shop{Audit: store}
	g.Expect(shop.Ship(t.Context(), "order-7")).To(gomega.MatchError(audit.ErrClosed))
}

func TestFlushWaitsForAHangingSink(t *testing.T) {
	g := gomega.NewWithT(t)
	hooks := audittest.NewHooks()
	store, sink, _ := audittest.NewStore(t, audit.WithHook(hooks.Reached))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	sink.Hang()
	g.Expect((&Shop{Audit: store}).Ship(ctx, "order-7")).To(gomega.Succeed())
	flushed := make(chan error, 1)
	go func() {
		_, err := store.Flush(ctx)
		flushed <- err
	}()
	g.Expect(hooks.Await(ctx, audit.HookWaitingForFlush, 1)).To(gomega.Succeed())
	g.Expect(flushed).NotTo(gomega.Receive())

	sink.Recover()
	g.Expect(<-flushed).NotTo(gomega.HaveOccurred())
}

func TestNothingIsLostOnABadDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gomega.NewWithT(t)
		storage := audittest.NewMemorySink()
		sink := audittest.NewFaultySink(storage, nil)
		g.Expect(sink.Misbehave(rand.NewPCG(7, 7), audittest.Odds{
			Fail: 0.2, FailAfterStoring: 0.2, Hang: 0.1, Duplicate: 0.2,
			Slow: 0.2, LongestDelay: time.Minute,
		})).To(gomega.Succeed())
		store, err := audit.New(sink, audit.WithBatch(1, 1<<20))
		g.Expect(err).NotTo(gomega.HaveOccurred())

		shop := &Shop{Audit: store}
		for range 100 {
			g.Expect(shop.Ship(t.Context(), "order-7")).To(gomega.Succeed())
		}
		g.Expect(store.Close(t.Context())).To(gomega.Succeed())
		g.Expect(storage.EventsOf("order-7")).To(audittest.HaveAuditedTimes(100, "shop.order.shipped"))
	})
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
