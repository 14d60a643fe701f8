package spool_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// fate is what the model knows of a rejected event.
type fate struct {
	position uint64
	// terminal says that the log is done with it. kept says that it is in
	// quarantine for sure, discarded that it is not; neither that a call failed.
	terminal, kept, discarded bool
}

// unexpected is an error that no failure of the disk explains.
func unexpected(err error) bool {
	return err != nil && !errors.Is(err, audit.ErrFull) && !errors.Is(err, spooltest.ErrFailed)
}

// reject takes one of the pending events out of the log.
func (m *model) reject() error {
	for _, position := range slices.Sorted(maps.Keys(m.pending)) {
		if m.random.IntN(3) > 0 {
			continue
		}
		number := m.pending[position]
		err := m.b.Quarantine(rejectedAt(number, position))
		m.rejected[number] = fate{position: position, terminal: err == nil || m.rejected[number].terminal, kept: err == nil}
		if unexpected(err) {
			return err
		}
		return nil
	}
	return nil
}

// discard acknowledges one of the rejected events.
func (m *model) discard() error {
	for _, number := range slices.Sorted(maps.Keys(m.rejected)) {
		f := m.rejected[number]
		if !f.kept || m.random.IntN(3) > 0 {
			continue
		}
		err := m.b.Discard([]uuid.UUID{idOf(number)})
		f.kept, f.discarded = false, err == nil
		m.rejected[number] = f
		if unexpected(err) {
			return err
		}
		return nil
	}
	return nil
}

// judge compares what came back with the fates of the rejected events: each is
// in the log or in quarantine, and in neither once it is discarded.
func (m *model) judge(found map[uint64]int) error {
	list, err := m.b.Quarantined()
	if err != nil {
		return err
	}
	there := map[int]bool{}
	for i := range list {
		number := numberOf(list[i].Event)
		if _, known := m.rejected[number]; !known || there[number] {
			return fmt.Errorf("rejected event %d was invented, or is there twice", number)
		}
		there[number] = true
	}
	for number, f := range m.rejected {
		_, inLog := found[f.position]
		switch {
		case there[number] && f.discarded:
			return fmt.Errorf("rejected event %d was discarded, and is back", number)
		case !there[number] && f.kept:
			return fmt.Errorf("rejected event %d is gone", number)
		case inLog && (there[number] || f.terminal):
			return fmt.Errorf("rejected event %d came back at %d", number, f.position)
		case !inLog && (there[number] || f.terminal):
			delete(m.pending, f.position)
		}
		if !there[number] && !f.terminal {
			delete(m.rejected, number) // it never was there
			continue
		}
		f.terminal, f.kept, f.discarded = true, there[number], !there[number]
		m.rejected[number] = f
	}
	return nil
}
