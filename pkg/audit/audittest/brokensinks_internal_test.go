package audittest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"kubernaut.ai/pkg/audit"
)

// brokenSink is a mistake that the author of a sink can make.
type brokenSink struct {
	// sink writes to the memory, wrongly.
	sink func(*memory) audit.Sink
	// failing are the checks that must notice.
	failing []string
}

// sinkFunc is a sink that is one function.
type sinkFunc func(ctx context.Context, batch []audit.Event) (audit.Ack, error)

func (f sinkFunc) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	return f(ctx, batch)
}

// The names of the checks that the broken sinks fail.
const (
	failsStores   = "stores a batch, visible when Write returns"
	failsFields   = "stores every field of an event"
	failsEmpty    = "an empty batch is nothing"
	failsReplay   = "a replay is stored once and counts as stored"
	failsTwice    = "an event twice in a batch is stored once"
	failsConflict = "another event with the same id is refused"
	failsInvalid  = "an invalid event is named, and nothing is stored"
	failsCallers  = "neither changes nor keeps the batch"
	failsContext  = "returns when its context ended"
	failsMidway   = "stores all or nothing when its context ends"
	failsWriters  = "concurrent writes"
	failsTrails   = "concurrent writes of several correlation ids"
	failsRace     = "a replay that races its original is stored once"
)

func brokenSinks() map[string]brokenSink {
	all := make(map[string]brokenSink)
	maps.Copy(all, brokenBatches())
	maps.Copy(all, brokenReplays())
	maps.Copy(all, brokenRefusals())
	maps.Copy(all, brokenContexts())
	maps.Copy(all, brokenUnderConcurrency())
	return all
}

// keep stores events without asking anything.
func keep(m *memory, events ...audit.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		m.byID[e.ID] = len(m.events)
		m.events = append(m.events, clone(e))
	}
}

// unknown gives the events that are not stored.
func unknown(m *memory, batch []audit.Event) []audit.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(batch), func(e audit.Event) bool { return m.find(e.ID) != nil })
}

// changed stores the batch after a change to each of its events.
func changed(m *memory, change func(*audit.Event)) sinkFunc {
	return func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
		events := cloneAll(batch)
		for i := range events {
			change(&events[i])
		}
		return m.Write(ctx, events)
	}
}

// answered changes the answer of a sink that works.
func answered(m *memory, change func(*audit.Ack)) sinkFunc {
	return func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
		ack, err := m.Write(ctx, batch)
		if err == nil {
			change(&ack)
		}
		return ack, err
	}
}

func brokenBatches() map[string]brokenSink {
	return map[string]brokenSink{
		"stores nothing": {func(*memory) audit.Sink {
			return sinkFunc(func(_ context.Context, batch []audit.Event) (audit.Ack, error) {
				return audit.Ack{Created: len(batch)}, nil
			})
		}, []string{failsStores, failsFields, failsReplay, failsTwice, failsCallers, failsMidway, failsWriters, failsTrails, failsRace}},
		"loses the last event": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				ack, err := m.Write(ctx, batch[:max(0, len(batch)-1)])
				return audit.Ack{Created: ack.Created + min(len(batch), 1), Duplicates: ack.Duplicates}, err
			})
		}, []string{failsStores, failsFields, failsReplay, failsCallers, failsContext, failsMidway, failsWriters, failsTrails}},
		"answers early, and stores with the next batch": {func(m *memory) audit.Sink {
			var mu sync.Mutex
			var kept []audit.Event
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				mu.Lock()
				defer mu.Unlock()
				earlier := kept
				kept = cloneAll(batch)
				if _, err := m.Write(ctx, earlier); err != nil {
					return audit.Ack{}, err
				}
				return audit.Ack{Created: len(batch)}, nil
			})
		}, []string{failsStores, failsFields, failsMidway, failsTrails}},
		"refuses an empty batch": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				if len(batch) == 0 {
					return audit.Ack{}, audit.ErrRefused
				}
				return m.Write(ctx, batch)
			})
		}, []string{failsEmpty}},
		"keeps the slice": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				ack, err := m.Write(ctx, batch)
				m.mu.Lock()
				defer m.mu.Unlock()
				for i := range batch {
					if e := m.find(batch[i].ID); e != nil {
						e.Data = batch[i].Data
					}
				}
				return ack, err
			})
		}, []string{failsCallers}},
		"changes the batch": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				ack, err := m.Write(ctx, batch)
				for i := range batch {
					batch[i].Severity = "unknown"
				}
				return ack, err
			})
		}, []string{failsCallers}},
		"sorts the batch": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				ack, err := m.Write(ctx, batch)
				slices.Reverse(batch)
				return ack, err
			})
		}, []string{failsCallers}},
		"keeps milliseconds only": {func(m *memory) audit.Sink {
			return changed(m, func(e *audit.Event) { e.Timestamp = e.Timestamp.Truncate(1e6) })
		}, []string{failsStores, failsTrails}},
		"stamps events itself": {func(m *memory) audit.Sink {
			return changed(m, func(e *audit.Event) { e.Timestamp = e.Timestamp.Add(time.Second) })
		}, []string{failsStores, failsFields}},
		"leaves out the duration": {func(m *memory) audit.Sink {
			return changed(m, func(e *audit.Event) { e.Duration = nil })
		}, []string{failsFields}},
		"leaves out the parent": {func(m *memory) audit.Sink {
			return changed(m, func(e *audit.Event) { e.ParentID = [16]byte{} })
		}, []string{failsFields}},
		"rounds large numbers": {func(m *memory) audit.Sink {
			return changed(m, func(e *audit.Event) {
				e.Data = []byte(strings.Replace(string(e.Data), "740993", "740992", 1))
			})
		}, []string{failsFields}},
	}
}

func brokenReplays() map[string]brokenSink {
	return map[string]brokenSink{
		"stores replays again": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				keep(m, batch...)
				return audit.Ack{Created: len(batch)}, ctx.Err()
			})
		}, []string{failsReplay, failsTwice, failsWriters, failsRace}},
		"refuses replays": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				if len(unknown(m, batch)) < len(batch) {
					return audit.Ack{}, &audit.RefusedError{Items: []audit.Refusal{{Code: "conflict", Reason: "stored before"}}}
				}
				return m.Write(ctx, batch)
			})
		}, []string{failsReplay, failsWriters, failsRace}},
		"takes the timestamp for content": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				for i, e := range batch {
					if at := slices.IndexFunc(m.list(), func(o audit.Event) bool { return o.ID == e.ID && !o.Timestamp.Equal(e.Timestamp) }); at >= 0 {
						return audit.Ack{}, &audit.RefusedError{Items: []audit.Refusal{{Index: i, Code: "conflict", Reason: "another time"}}}
					}
				}
				return m.Write(ctx, batch)
			})
		}, []string{failsReplay}},
		"counts replays as created": {func(m *memory) audit.Sink {
			return answered(m, func(ack *audit.Ack) { ack.Created, ack.Duplicates = ack.Created+ack.Duplicates, 0 })
		}, []string{failsReplay, failsTwice, failsRace}},
		"counts nothing": {func(m *memory) audit.Sink {
			return answered(m, func(ack *audit.Ack) { *ack = audit.Ack{} })
		}, []string{failsStores, failsReplay, failsTwice, failsTrails, failsRace}},
		"the last write of an id wins": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				fresh := unknown(m, batch)
				m.mu.Lock()
				for _, e := range batch {
					if stored := m.find(e.ID); stored != nil {
						*stored = clone(e)
					}
				}
				m.mu.Unlock()
				return m.Write(ctx, fresh)
			})
		}, []string{failsConflict, failsReplay}},
		"the first write of an id wins": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				return m.Write(ctx, unknown(m, batch))
			})
		}, []string{failsConflict}},
	}
}

// refusing changes the refusals of a sink that works.
func refusing(m *memory, change func([]audit.Refusal) error) sinkFunc {
	return func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
		ack, err := m.Write(ctx, batch)
		if refused, ok := err.(*audit.RefusedError); ok { //nolint:errorlint // memory's own
			err = change(refused.Items)
		}
		return ack, err
	}
}

func brokenRefusals() map[string]brokenSink {
	return map[string]brokenSink{
		"stores what is invalid": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				keep(m, unknown(m, batch)...)
				return audit.Ack{Created: len(batch)}, ctx.Err()
			})
		}, []string{failsInvalid}},
		"stores the valid events of a batch that it refuses": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				ack, err := m.Write(ctx, batch)
				if err != nil {
					keep(m, slices.DeleteFunc(unknown(m, batch), func(e audit.Event) bool { return invalid(&e) != "" })...)
				}
				return ack, err
			})
		}, []string{failsInvalid, failsConflict}},
		"names nobody": {func(m *memory) audit.Sink {
			return refusing(m, func([]audit.Refusal) error { return audit.ErrRefused })
		}, []string{failsInvalid, failsConflict}},
		"names one offender of two": {func(m *memory) audit.Sink {
			return refusing(m, func(items []audit.Refusal) error { return &audit.RefusedError{Items: items[:1]} })
		}, []string{failsInvalid}},
		"counts from 1": {func(m *memory) audit.Sink {
			return refusing(m, func(items []audit.Refusal) error {
				for i := range items {
					items[i].Index++
				}
				return &audit.RefusedError{Items: items}
			})
		}, []string{failsInvalid, failsConflict}},
		"gives no reason": {func(m *memory) audit.Sink {
			return refusing(m, func(items []audit.Refusal) error {
				for i := range items {
					items[i].Reason = ""
				}
				return &audit.RefusedError{Items: items}
			})
		}, []string{failsInvalid, failsConflict}},
	}
}

func brokenContexts() map[string]brokenSink {
	return map[string]brokenSink{
		"ignores the context": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				return m.Write(context.WithoutCancel(ctx), batch)
			})
		}, []string{failsContext}},
		"takes the end of the context for a refusal": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				ack, err := m.Write(ctx, batch)
				if ctx.Err() != nil {
					err = fmt.Errorf("%w: %w", audit.ErrRefused, ctx.Err())
				}
				return ack, err
			})
		}, []string{failsContext, failsMidway}},
		"stores half until the context ends": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				half := len(batch) / 2
				first, err := m.Write(ctx, batch[:half])
				if err != nil {
					return audit.Ack{}, err
				}
				second, err := m.Write(ctx, batch[half:])
				return audit.Ack{Created: first.Created + second.Created, Duplicates: first.Duplicates + second.Duplicates}, err
			})
		}, []string{failsMidway}},
		"gives up in the middle, and says nothing": {func(m *memory) audit.Sink {
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				if err := ctx.Err(); err != nil {
					return audit.Ack{}, err
				}
				ack, err := m.Write(ctx, batch)
				if ctx.Err() != nil {
					ack, err = audit.Ack{Created: len(batch)}, nil
				}
				return ack, err
			})
		}, []string{failsMidway}},
	}
}

// meeting lets its guests go on when n of them have come, and then again.
type meeting struct {
	mu   sync.Mutex
	n    int
	come int
	all  bell
}

func (m *meeting) join() {
	m.mu.Lock()
	m.come++
	if m.come == m.n {
		m.come = 0
		m.all.ring()
		m.mu.Unlock()
		return
	}
	together := m.all.next()
	m.mu.Unlock()
	<-together
}

// brokenUnderConcurrency has sinks that are right as long as one goroutine
// writes; a meeting makes the writers meet where it hurts.
func brokenUnderConcurrency() map[string]brokenSink {
	return map[string]brokenSink{
		"looks first and stores later": {func(m *memory) audit.Sink {
			race := meeting{n: racers}
			return sinkFunc(func(_ context.Context, batch []audit.Event) (audit.Ack, error) {
				fresh := unknown(m, batch)
				race.join()
				keep(m, fresh...)
				return audit.Ack{Created: len(fresh), Duplicates: len(batch) - len(fresh)}, nil
			})
		}, []string{failsRace}},
		"fails all but one of the writers of an event": {func(m *memory) audit.Sink {
			race := meeting{n: racers}
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				race.join()
				ack, err := m.Write(ctx, batch)
				if ack.Duplicates > 0 {
					return audit.Ack{}, &audit.SinkError{Status: 503, Detail: "unique constraint"}
				}
				return ack, err
			})
		}, []string{failsRace}},
		"has one buffer for all writers": {func(m *memory) audit.Sink {
			var mu sync.Mutex
			var buffer []audit.Event
			writers := meeting{n: concurrentWriters}
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				mu.Lock()
				buffer = cloneAll(batch)
				mu.Unlock()
				writers.join()
				mu.Lock()
				_, err := m.Write(ctx, buffer)
				mu.Unlock()
				writers.join()
				return audit.Ack{Created: len(batch)}, err
			})
		}, []string{failsTrails, failsWriters}},
		"takes one writer at a time": {func(m *memory) audit.Sink {
			var busy sync.Mutex
			writers := meeting{n: concurrentWriters}
			return sinkFunc(func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
				mine := busy.TryLock()
				writers.join()
				if !mine {
					return audit.Ack{}, &audit.SinkError{Status: 503, Detail: "busy"}
				}
				defer busy.Unlock()
				return m.Write(ctx, batch)
			})
		}, []string{failsTrails, failsWriters}},
	}
}
