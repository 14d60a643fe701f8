package audittest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit"
)

// MemorySink keeps events in memory, once for each id. It follows the Sink
// contract exactly until a fault is set: it has all methods of FaultySink. All
// methods are safe for concurrent use.
type MemorySink struct {
	*FaultySink

	memory *memory
}

// NewMemorySink makes an empty sink that works. Its delays use the wall clock.
func NewMemorySink() *MemorySink { return newMemorySink(nil) }

func newMemorySink(c clock.Clock) *MemorySink {
	m := newMemory()
	return &MemorySink{FaultySink: NewFaultySink(m, c), memory: m}
}

// Events lists what is stored, in the order of storing.
func (s *MemorySink) Events() []audit.Event { return s.memory.list() }

// EventsOf lists what is stored of one correlation id, in the order of a query:
// by (timestamp, id).
func (s *MemorySink) EventsOf(correlationID string) []audit.Event {
	return s.memory.of(correlationID)
}

// memory is a sink that works.
type memory struct {
	mu     sync.Mutex // guards what follows
	events []audit.Event
	byID   map[uuid.UUID]int
}

func newMemory() *memory { return &memory{byID: make(map[uuid.UUID]int)} }

// Write stores all or nothing.
func (m *memory) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	if err := ctx.Err(); err != nil {
		return audit.Ack{}, fmt.Errorf("memory sink: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	created, refused := m.examine(batch)
	if len(refused) > 0 {
		return audit.Ack{}, &audit.RefusedError{Items: refused}
	}
	for i := range created {
		m.byID[created[i].ID] = len(m.events)
		m.events = append(m.events, created[i])
	}
	return audit.Ack{
		ConsistencyToken: fmt.Sprintf("memory-%d", len(m.events)),
		Created:          len(created),
		Duplicates:       len(batch) - len(created),
	}, nil
}

// examine finds the events that are new, as copies, and those that cannot be
// stored. Called with the lock.
func (m *memory) examine(batch []audit.Event) (created []audit.Event, refused []audit.Refusal) {
	inBatch := make(map[uuid.UUID]int, len(batch))
	for i := range batch {
		e := &batch[i]
		if reason := invalid(e); reason != "" {
			refused = append(refused, audit.Refusal{Index: i, Code: "invalid", Reason: reason})
			continue
		}
		earlier := m.find(e.ID)
		if at, ok := inBatch[e.ID]; ok {
			earlier = &created[at]
		}
		switch {
		case earlier == nil:
			inBatch[e.ID] = len(created)
			created = append(created, clone(*e))
		case !sameContent(earlier, e):
			refused = append(refused, audit.Refusal{Index: i, Code: "conflict", Reason: "another event has this id"})
		}
	}
	return created, refused
}

// find returns a stored event, or nil. Called with the lock.
func (m *memory) find(id uuid.UUID) *audit.Event {
	if at, ok := m.byID[id]; ok {
		return &m.events[at]
	}
	return nil
}

// invalid says what is wrong with an event, if anything is.
func invalid(e *audit.Event) string {
	if err := e.Validate(); err != nil {
		return err.Error()
	}
	if e.ID == uuid.Nil {
		return "event has no id"
	}
	return ""
}

func (m *memory) list() []audit.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

func (m *memory) of(correlationID string) []audit.Event {
	events := slices.DeleteFunc(m.list(), func(e audit.Event) bool { return e.CorrelationID != correlationID })
	slices.SortFunc(events, func(a, b audit.Event) int {
		if c := a.Timestamp.Compare(b.Timestamp); c != 0 {
			return c
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	return events
}
