package audit_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

func TestF10_CloseFlushesAndLosesNothingSilently(t *testing.T) {
	t.Parallel()

	t.Run("stores what is pending, refuses what comes later, can be called again", func(t *testing.T) {
		t.Parallel()
		store, sink, _ := audittest.NewStore(t)
		record(t, store, audittest.NewEvent("test.close.pending", "a"))
		for range 3 {
			if err := store.Close(t.Context()); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		if err := store.Record(t.Context(), audittest.NewEvent("test.close.late", "a")); !errors.Is(err, audit.ErrClosed) {
			t.Errorf("record: %v, want ErrClosed", err)
		}
		if receipt := flush(t, store); receipt.Barrier != 1 || len(sink.Events()) != 1 {
			t.Errorf("flush after close: %+v with %d stored", receipt, len(sink.Events()))
		}
	})

	t.Run("concurrent Record, Flush and Close", func(t *testing.T) {
		t.Parallel()
		for range 50 {
			store, sink, _ := audittest.NewStore(t, audit.WithBatch(3, 1<<20), audit.WithBounds(5, audit.DefaultMaxBytes))
			var accepted atomic.Int64
			var running sync.WaitGroup
			for range 4 {
				running.Go(func() {
					for {
						err := store.Record(t.Context(), audittest.NewEvent("test.close.race", "a"))
						if err != nil {
							if !errors.Is(err, audit.ErrClosed) {
								t.Errorf("record: %v", err)
							}
							return
						}
						if accepted.Add(1)%5 == 0 {
							flush(t, store)
						}
					}
				})
			}
			if err := sink.AwaitWrites(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				running.Go(func() {
					if err := store.Close(t.Context()); err != nil {
						t.Errorf("close: %v", err)
					}
				})
			}
			running.Wait()
			if stored := int64(len(sink.Events())); stored != accepted.Load() {
				t.Fatalf("accepted %d and stored %d", accepted.Load(), stored)
			}
		}
	})

	t.Run("names what it could not store in time, and ends the sink's write", func(t *testing.T) {
		t.Parallel()
		for name, fault := range map[string]func(*audittest.MemorySink){
			"dead sink":    func(s *audittest.MemorySink) { s.Fail(errDown) },
			"hanging sink": func(s *audittest.MemorySink) { s.Hang() },
		} {
			synctest.Test(t, func(t *testing.T) {
				store, sink, _ := audittest.NewStore(t, audit.WithBatch(1, 1<<20))
				fault(sink)
				e := audittest.NewEvent("test.close.lost", "a")
				e.ID = audit.DerivedID(audittest.Epoch(), "lost")
				record(t, store, e)
				record(t, store, audittest.NewEvent("test.close.lost", "b"))
				const patience = 3 * time.Second
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				started := time.Now()
				err := store.Close(ctx)
				if took := time.Since(started); took != patience {
					t.Errorf("%s: close took %v, want %v", name, took, patience)
				}
				got := asFlushError(t, err)
				if len(got.Lost) != 2 || got.Lost[0].ID != e.ID || got.Pending != 0 || got.Stored != 0 || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: close: %+v, want 2 lost and the context's error", name, got)
				}
				for _, l := range got.Lost {
					acknowledge(t, store, 1, l.ID)
				}
			})
		}
	})

	t.Run("a Close that is still patient keeps the events from one that is not", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			store, sink, _ := audittest.NewStore(t)
			sink.Hang()
			record(t, store, audittest.NewEvent("test.close.patient", "a"))
			patient := make(chan error, 1)
			go func() { patient <- store.Close(t.Context()) }()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if e := asFlushError(t, store.Close(ctx)); e.Pending != 1 || len(e.Lost) != 0 {
				t.Errorf("impatient close: %+v, want 1 pending and none lost", e)
			}
			sink.Recover()
			if err := <-patient; err != nil || len(sink.Events()) != 1 {
				t.Errorf("patient close: %v with %d stored", err, len(sink.Events()))
			}
		})
	})

	t.Run("returns even if the sink ignores the end of its context", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			deaf := &deafSink{release: make(chan struct{})}
			store, err := audit.New(deaf)
			if err != nil {
				t.Fatal(err)
			}
			record(t, store, audittest.NewEvent("test.close.deaf", "a"))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if e := asFlushError(t, store.Close(ctx)); len(e.Lost) != 1 {
				t.Errorf("close: %+v, want 1 lost", e)
			}
			if e := asFlushError(t, store.Close(t.Context())); len(e.Lost) != 1 {
				t.Errorf("close again: %+v, want 1 lost", e)
			}
			close(deaf.release) // lets the goroutine go; the bubble checks that it does
		})
	})
}

// deafSink breaks the Sink contract.
type deafSink struct{ release chan struct{} }

func (s *deafSink) Write(context.Context, []audit.Event) (audit.Ack, error) {
	<-s.release
	return audit.Ack{}, nil
}
