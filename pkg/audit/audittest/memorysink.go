package audittest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
)

// MemorySink keeps events in memory, once for each id. It follows the Sink
// contract to the letter, until it is told to fail. All methods are safe for
// concurrent use.
type MemorySink struct {
	mu      sync.Mutex
	events  []audit.Event
	byID    map[uuid.UUID]int
	batches []int
	// next are the faults of the next writes, always is that of those after them.
	next   []fault
	always *fault
	reject func(audit.Event) error
	// changed is closed at every write's begin and whenever the faults change.
	changed chan struct{}
}

// fault is what goes wrong with a write.
type fault struct {
	err error
	// stores makes the write take effect before it fails.
	stores bool
	hangs  bool
}

// NewMemorySink makes an empty sink that works.
func NewMemorySink() *MemorySink {
	return &MemorySink{byID: make(map[uuid.UUID]int), changed: make(chan struct{})}
}

// Write stores the batch, or does what the sink was told to do.
func (s *MemorySink) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	s.mu.Lock()
	s.batches = append(s.batches, len(batch))
	s.announce()
	for {
		if err := ctx.Err(); err != nil {
			s.mu.Unlock()
			return audit.Ack{}, fmt.Errorf("memory sink: %w", err)
		}
		f := s.fault()
		if f == nil || !f.hangs {
			defer s.mu.Unlock()
			return s.write(batch, f)
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
}

// Events lists what is stored, in the order of storing.
func (s *MemorySink) Events() []audit.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// EventsOf lists what is stored of one correlation id, in the order that a
// query has: by (timestamp, id).
func (s *MemorySink) EventsOf(correlationID string) []audit.Event {
	events := slices.DeleteFunc(s.Events(), func(e audit.Event) bool { return e.CorrelationID != correlationID })
	slices.SortFunc(events, func(a, b audit.Event) int {
		if c := a.Timestamp.Compare(b.Timestamp); c != 0 {
			return c
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	return events
}

// Writes counts the calls of Write, failed ones included.
func (s *MemorySink) Writes() int { return len(s.Batches()) }

// Batches lists the number of events of each call of Write.
func (s *MemorySink) Batches() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// AwaitWrites waits until Write was called n times, whether it returned or not.
func (s *MemorySink) AwaitWrites(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		calls, changed := len(s.batches), s.changed
		s.mu.Unlock()
		if calls >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d writes: %w", calls, n, ctx.Err())
		}
	}
}

// Fail makes every write fail with err, until Recover.
func (s *MemorySink) Fail(err error) { s.setAlways(&fault{err: err}) }

// FailAfterStoring makes every write store its batch and then fail with err,
// like an answer that is lost on its way, until Recover.
func (s *MemorySink) FailAfterStoring(err error) { s.setAlways(&fault{err: err, stores: true}) }

// Hang makes every write wait for the end of its context, until Recover.
func (s *MemorySink) Hang() { s.setAlways(&fault{hangs: true}) }

// Recover makes the sink work again; writes that hang go on.
func (s *MemorySink) Recover() { s.setAlways(nil) }

// FailNext makes the next writes fail with one error each.
func (s *MemorySink) FailNext(errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, err := range errs {
		s.next = append(s.next, fault{err: err})
	}
}

// FailNextAfterStoring makes the next write store its batch and then fail.
func (s *MemorySink) FailNextAfterStoring(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, fault{err: err, stores: true})
}

// Reject makes the sink refuse the events for which reject gives an error, and
// name them; an error that wraps audit.ErrRefused refuses the whole batch
// without naming any. nil takes it back.
func (s *MemorySink) Reject(reject func(audit.Event) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reject = reject
}

// fault gives the fault of this write. Called with the lock.
func (s *MemorySink) fault() *fault {
	if len(s.next) == 0 {
		return s.always
	}
	f := s.next[0]
	s.next = s.next[1:]
	return &f
}

func (s *MemorySink) write(batch []audit.Event, f *fault) (audit.Ack, error) {
	if f != nil && !f.stores {
		return audit.Ack{}, f.err
	}
	ack, err := s.store(batch)
	if err == nil && f != nil {
		return audit.Ack{}, f.err
	}
	return ack, err
}

// store stores all or nothing. Called with the lock.
func (s *MemorySink) store(batch []audit.Event) (audit.Ack, error) {
	var refused audit.RefusedError
	refuse := func(index int, code, reason string) {
		refused.Items = append(refused.Items, audit.Refusal{Index: index, Code: code, Reason: reason})
	}
	inBatch := make(map[uuid.UUID]int, len(batch))
	created := make([]audit.Event, 0, len(batch))
	for i := range batch {
		e := batch[i]
		if err := e.Validate(); err != nil {
			refuse(i, "invalid", err.Error())
			continue
		}
		if e.ID == uuid.Nil {
			refuse(i, "invalid", "event has no id")
			continue
		}
		if s.reject != nil {
			if err := s.reject(e); errors.Is(err, audit.ErrRefused) {
				return audit.Ack{}, err
			} else if err != nil {
				refuse(i, "invalid", err.Error())
				continue
			}
		}
		if at, ok := s.byID[e.ID]; ok {
			if !sameContent(&s.events[at], &e) {
				refuse(i, "conflict", "another event has this id")
			}
			continue
		}
		if at, ok := inBatch[e.ID]; ok {
			if !sameContent(&created[at], &e) {
				refuse(i, "conflict", "another event of the batch has this id")
			}
			continue
		}
		inBatch[e.ID] = len(created)
		created = append(created, clone(e))
	}
	if len(refused.Items) > 0 {
		return audit.Ack{}, &refused
	}
	for i := range created {
		s.byID[created[i].ID] = len(s.events)
		s.events = append(s.events, created[i])
	}
	return audit.Ack{
		ConsistencyToken: fmt.Sprintf("memory-%d", len(s.events)),
		Created:          len(created),
		Duplicates:       len(batch) - len(created),
	}, nil
}

func (s *MemorySink) setAlways(f *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = f
	s.announce()
}

// announce wakes those who wait for a change. Called with the lock.
func (s *MemorySink) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// sameContent is DataStorage's rule for a replay: the timestamp, durations and
// producer fields do not count.
func sameContent(a, b *audit.Event) bool {
	x, y := *a, *b
	sameData := equalJSON(x.Data, y.Data)
	for _, e := range []*audit.Event{&x, &y} {
		e.Data, e.Timestamp, e.Duration, e.Producer = nil, time.Time{}, nil, audit.Producer{}
	}
	return sameData && reflect.DeepEqual(x, y)
}

func equalJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := decodeJSON(a)
	y, errY := decodeJSON(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// decodeJSON keeps numbers as they are written.
func decodeJSON(data json.RawMessage) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode event data: %w", err)
	}
	return v, nil
}

// clone keeps the stored event apart from the batch, which belongs to the caller.
func clone(e audit.Event) audit.Event {
	e.Data = slices.Clone(e.Data)
	if e.Duration != nil {
		d := *e.Duration
		e.Duration = &d
	}
	return e
}
