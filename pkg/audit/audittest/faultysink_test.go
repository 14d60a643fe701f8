package audittest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

var errDown = errors.New("sink is down")

// What each fault answers, and what it leaves in the sink beneath.
func TestFaultySinkMisbehavesAsTold(t *testing.T) {
	t.Parallel()
	created, duplicates := audit.Ack{ConsistencyToken: "memory-2", Created: 2}, audit.Ack{ConsistencyToken: "memory-2", Duplicates: 2}
	for name, test := range map[string]struct {
		tell   func(*audittest.FaultySink)
		ack    audit.Ack
		err    error
		stored int
		writes int // of the sink beneath
	}{
		"nothing":               {func(*audittest.FaultySink) {}, created, nil, 2, 1},
		"fail":                  {func(s *audittest.FaultySink) { s.Fail(errDown) }, audit.Ack{}, errDown, 0, 0},
		"fail, then recover":    {func(s *audittest.FaultySink) { s.Fail(errDown); s.Recover() }, created, nil, 2, 1},
		"fail after storing":    {func(s *audittest.FaultySink) { s.FailAfterStoring(errDown) }, audit.Ack{}, errDown, 2, 1},
		"fail next":             {func(s *audittest.FaultySink) { s.FailNext(errDown) }, audit.Ack{}, errDown, 0, 0},
		"fail next with nil":    {func(s *audittest.FaultySink) { s.Fail(errDown); s.FailNext(nil) }, created, nil, 2, 1},
		"fail next, storing":    {func(s *audittest.FaultySink) { s.FailNextAfterStoring(errDown) }, audit.Ack{}, errDown, 2, 1},
		"duplicate, first":      {func(s *audittest.FaultySink) { s.Duplicate(audittest.FirstAnswer) }, created, nil, 2, 2},
		"duplicate, second":     {func(s *audittest.FaultySink) { s.Duplicate(audittest.SecondAnswer) }, duplicates, nil, 2, 2},
		"the last one prevails": {func(s *audittest.FaultySink) { s.Hang(); s.Fail(errDown) }, audit.Ack{}, errDown, 0, 0},
		"reject without names": {
			func(s *audittest.FaultySink) { s.Reject(func(audit.Event) error { return audit.ErrRefused }) },
			audit.Ack{},
			audit.ErrRefused, 0, 0,
		},
		"reject nothing": {
			func(s *audittest.FaultySink) {
				s.Reject(func(audit.Event) error { return audit.ErrRefused })
				s.Reject(nil)
			}, created, nil, 2, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			beneath := audittest.NewMemorySink()
			sink := audittest.NewFaultySink(beneath, nil)
			test.tell(sink)
			ack, err := sink.Write(t.Context(), batchOf(2))
			if ack != test.ack || !errors.Is(err, test.err) {
				t.Errorf("write: %+v, %v, want %+v, %v", ack, err, test.ack, test.err)
			}
			if n := len(beneath.Events()); n != test.stored {
				t.Errorf("%d events are stored, want %d", n, test.stored)
			}
			if n := beneath.Writes(); n != test.writes {
				t.Errorf("%d writes of the sink beneath, want %d", n, test.writes)
			}
			if !slices.Equal(sink.Batches(), []int{2}) {
				t.Errorf("batches %v, want one of 2", sink.Batches())
			}
		})
	}
}

func TestFaultySinkRejectsEventsByName(t *testing.T) {
	t.Parallel()
	beneath := audittest.NewMemorySink()
	sink := audittest.NewFaultySink(beneath, nil)
	batch := batchOf(3)
	sink.Reject(func(e audit.Event) error {
		sink.Writes() // a test may ask the sink meanwhile
		if e.ID == batch[1].ID {
			return errors.New("not this one")
		}
		return nil
	})
	_, err := sink.Write(t.Context(), batch)
	var refused *audit.RefusedError
	ok := errors.As(err, &refused)
	if !ok || len(refused.Items) != 1 || refused.Items[0] != (audit.Refusal{Index: 1, Code: "invalid", Reason: "not this one"}) {
		t.Errorf("write: %v, want a refusal of event 1", err)
	}
	if beneath.Writes() != 0 {
		t.Error("the batch reached the sink beneath")
	}
}

// A fake clock may be stepped as soon as AwaitWrites has returned.
func TestFaultySinkIsSlowOnItsClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		beneath := audittest.NewMemorySink()
		clock := clocktesting.NewFakeClock(audittest.Epoch())
		sink := audittest.NewFaultySink(beneath, clock)
		sink.Slow(time.Minute)
		done := startWrite(t, sink, batchOf(1))
		if err := sink.AwaitWrites(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		clock.Step(time.Minute - 1)
		synctest.Wait()
		stillWrites(t, done)
		clock.Step(1)
		if a := <-done; a.err != nil || len(beneath.Events()) != 1 {
			t.Errorf("write: %+v, %d events stored, want one", a, len(beneath.Events()))
		}
	})
}

// Without its own clock, delays pass as time passes in a bubble.
func TestFaultySinkIsSlowInBubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := audittest.NewMemorySink()
		sink.Slow(time.Hour)
		began := time.Now()
		if _, err := sink.Write(t.Context(), batchOf(1)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != time.Hour {
			t.Errorf("write took %v, want 1h", took)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := sink.Write(ctx, batchOf(1)); !errors.Is(err, context.DeadlineExceeded) || len(sink.Events()) != 1 {
			t.Errorf("write: %v, %d events stored, want a deadline exceeded and one event", err, len(sink.Events()))
		}
	})
}

// Whatever holds a write up ends with its context, and with a change of mind.
func TestFaultySinkLetsGo(t *testing.T) {
	t.Parallel()
	holds := map[string]func(*audittest.FaultySink){
		"hang":      (*audittest.FaultySink).Hang,
		"hang next": (*audittest.FaultySink).HangNext,
		"slow":      func(s *audittest.FaultySink) { s.Slow(1000 * time.Hour) },
	}
	changes := map[string]struct {
		change func(*audittest.FaultySink)
		err    error
	}{
		"recover": {(*audittest.FaultySink).Recover, nil},
		"fail":    {func(s *audittest.FaultySink) { s.Fail(errDown) }, errDown},
		"slow":    {func(s *audittest.FaultySink) { s.Slow(1000 * time.Hour) }, nil},
	}
	for hold, tell := range holds {
		for change, test := range changes {
			t.Run(hold+", "+change, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					sink := audittest.NewMemorySink()
					tell(sink.FaultySink)
					began := time.Now()
					done := startWrite(t, sink, batchOf(1))
					synctest.Wait()
					stillWrites(t, done)
					test.change(sink.FaultySink)
					if a := <-done; !errors.Is(a.err, test.err) {
						t.Errorf("write: %v, want %v", a.err, test.err)
					}
					if took := time.Since(began); took != 0 {
						t.Errorf("write went on after %v, want at once", took)
					}
				})
			})
		}
		t.Run(hold+", context", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sink := audittest.NewMemorySink()
				tell(sink.FaultySink)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := sink.Write(ctx, batchOf(1)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("write: %v, want a deadline exceeded", err)
				}
				if n := len(sink.Events()); n != 0 {
					t.Errorf("%d events are stored, want none", n)
				}
			})
		})
	}
}

func TestFaultySinkCountsConcurrentWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := audittest.NewMemorySink()
		sink.HangNext()
		sink.HangNext()
		first, second := startWrite(t, sink, batchOf(1)), startWrite(t, sink, batchOf(1))
		if err := sink.AwaitWrites(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Write(t.Context(), batchOf(4)); err != nil {
			t.Errorf("third write: %v", err)
		}
		sink.Recover()
		<-first
		<-second
		if _, err := sink.Write(t.Context(), batchOf(1)); err != nil {
			t.Errorf("fourth write: %v", err)
		}
		if n := sink.MostConcurrent(); n != 3 {
			t.Errorf("%d writes at the same time, want 3", n)
		}
		if n := sink.Writes(); n != 4 {
			t.Errorf("%d writes, want 4", n)
		}
	})
}

func TestAwaitWritesEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := audittest.NewMemorySink()
		if _, err := sink.Write(t.Context(), batchOf(1)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := sink.AwaitWrites(ctx, 2)
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "await writes: 1 of 2: context deadline exceeded" {
			t.Errorf("error %v, want one that counts and wraps the deadline", err)
		}
	})
}

// limitedSink takes batches up to a size.
type limitedSink struct{ audit.Sink }

func (limitedSink) Limits() audit.Limits { return audit.Limits{Events: 7, Bytes: 8} }

func TestFaultySinkHasTheLimitsBeneath(t *testing.T) {
	t.Parallel()
	if l := audittest.NewFaultySink(limitedSink{}, nil).Limits(); l != (audit.Limits{Events: 7, Bytes: 8}) {
		t.Errorf("limits %+v, want those beneath", l)
	}
	if l := audittest.NewMemorySink().Limits(); l != (audit.Limits{}) {
		t.Errorf("limits %+v, want none", l)
	}
}
