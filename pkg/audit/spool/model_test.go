package spool_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// model knows what a spool has to have.
type model struct {
	b      *bundle
	random *rand.Rand

	// pending are the acknowledged events by position; order is theirs.
	pending map[uint64]int
	// doubted are events of failed appends: they may come back, once each, but
	// none is invented.
	doubted map[int]bool
	// newest is the newest position that was given out, number that of the newest event.
	newest   uint64
	number   int
	terminal uint64
	// terminal is what the spool was told, durable what it must remember after a crash.
	durable uint64
	// rejected are those in quarantine, by number.
	rejected map[int]fate
}

// TestModel drives a spool through random processes, on a disk that forgets what
// was not synced, tears what it was writing, fails and fills up.
func TestModel(t *testing.T) {
	seeds := 100
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		if err := processes(t, uint64(seed), 80); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestModelNoticesAMissingSync shows that the model is worth something.
func TestModelNoticesAMissingSync(t *testing.T) {
	for seed := range uint64(20) {
		if err := processes(t, seed, 80, spooltest.WithLyingSync()); err != nil {
			return
		}
	}
	t.Fatal("a disk that keeps nothing went unnoticed")
}

func FuzzModel(f *testing.F) {
	f.Add(uint64(1), uint16(50))
	f.Fuzz(func(t *testing.T, seed uint64, steps uint16) {
		if err := processes(t, seed, int(steps%500)); err != nil {
			t.Fatal(err)
		}
	})
}

func processes(t *testing.T, seed uint64, steps int, options ...spooltest.Option) error {
	t.Helper()
	disk := spooltest.NewDisk(append(options, spooltest.WithTornWrites(seed))...)
	m := &model{
		b:       &bundle{dir: "/spool", disk: disk},
		random:  rand.New(rand.NewPCG(seed, 1)),
		pending: map[uint64]int{}, doubted: map[int]bool{}, rejected: map[int]fate{},
	}
	m.b.options = []spool.Option{spool.WithFiles(disk), spool.WithSegmentBytes(smallSegment), spool.WithMaxBytes(8 * smallSegment)}
	if err := m.open(); err != nil {
		return err
	}
	var history []string
	for range steps {
		name, step := m.step()
		history = append(history, name)
		if err := step(); err != nil {
			return fmt.Errorf("%w\nafter %v\n%v", err, history, disk)
		}
	}
	return m.reopen()
}

func (m *model) step() (string, func() error) {
	switch n := m.random.IntN(100); {
	case n < 50:
		return "append", m.append
	case n < 58:
		return "release", m.release
	case n < 64:
		return "reject", m.reject
	case n < 68:
		return "discard", m.discard
	case n < 75:
		return "fail", m.fail
	case n < 80:
		return "fill", m.fill
	case n < 88:
		return "crash", m.crash
	case n < 93:
		return "reopen", m.reopen
	default:
		return "read", m.check
	}
}

func (m *model) append() error {
	count := 1 + m.random.IntN(5)
	events := batchOf(m.number+1, count)
	first, err := m.b.Append(events, m.terminal)
	if err == nil {
		if first <= m.newest {
			return fmt.Errorf("position %d after %d", first, m.newest)
		}
		for i := range count {
			m.pending[first+uint64(i)] = m.number + 1 + i
		}
		m.newest = first + uint64(count) - 1
		m.durable = m.terminal
	} else {
		if !errors.Is(err, audit.ErrFull) && !errors.Is(err, audit.ErrInDoubt) && !errors.Is(err, spooltest.ErrFailed) {
			return err
		}
		for i := range count {
			m.doubted[m.number+1+i] = !errors.Is(err, audit.ErrFull) // which says that it never comes back
		}
	}
	m.number += count
	return nil
}

func (m *model) release() error {
	if m.newest == m.terminal {
		return nil
	}
	m.terminal += 1 + m.random.Uint64N(m.newest-m.terminal)
	for position := range m.pending {
		if position <= m.terminal {
			delete(m.pending, position)
		}
	}
	if err := m.b.Release(m.terminal); err != nil && !errors.Is(err, spooltest.ErrFailed) {
		return err
	}
	return nil
}

func (m *model) fail() error {
	operations := []spooltest.Operation{spooltest.Write, spooltest.Sync, spooltest.Create, spooltest.Rename, spooltest.Remove, spooltest.SyncDir}
	m.b.disk.FailNext(operations[m.random.IntN(len(operations))], m.random.IntN(2) == 0)
	return nil
}

func (m *model) fill() error {
	m.b.disk.SetCapacity([]int64{0, 2 * smallSegment, 5 * smallSegment}[m.random.IntN(3)])
	return nil
}

func (m *model) open() error {
	for {
		s, err := spool.Open(m.b.dir, m.b.options...)
		if err == nil {
			m.b.Spool = s
			return nil
		}
		if !errors.Is(err, spooltest.ErrFailed) {
			return err
		}
	}
}

func (m *model) crash() error {
	m.b.disk.Crash()
	_ = m.b.Close()
	if err := m.open(); err != nil {
		return err
	}
	return m.adopt(m.durable)
}

func (m *model) reopen() error {
	if err := m.b.Close(); err != nil {
		if !errors.Is(err, audit.ErrFull) && !errors.Is(err, spooltest.ErrFailed) {
			return err
		}
		if err := m.open(); err != nil {
			return err
		}
		return m.adopt(m.durable)
	}
	m.durable = m.terminal
	if err := m.open(); err != nil {
		return err
	}
	return m.adopt(m.terminal)
}

// adopt compares what came back with what was pending, and goes on with that:
// terminal events up to a position must not come back.
func (m *model) adopt(terminal uint64) error {
	kept, err := m.readAll()
	if err != nil {
		return err
	}
	if damage := m.b.State().Damage; damage.Events > 0 {
		return fmt.Errorf("damage where there is none: %+v", damage)
	}
	found := map[uint64]int{}
	for i := range kept {
		position, number := kept[i].Position, numberOf(&kept[i].Event)
		if number < 1 || number > m.number {
			return fmt.Errorf("event %d at %d was invented", number, position)
		}
		if position <= terminal {
			return fmt.Errorf("event %d at %d was terminal up to %d", number, position, terminal)
		}
		if want, pending := m.pending[position]; pending && want != number {
			return fmt.Errorf("event %d at %d instead of %d", number, position, want)
		} else if !pending && position > m.terminal {
			if !m.doubted[number] {
				return fmt.Errorf("event %d at %d came back", number, position)
			}
			delete(m.doubted, number)
		}
		found[position] = number
		m.newest = max(m.newest, position)
	}
	if err := m.judge(found); err != nil {
		return err
	}
	for position, number := range m.pending {
		if _, there := found[position]; !there {
			return fmt.Errorf("event %d at %d is lost", number, position)
		}
	}
	m.pending, m.terminal = found, 0
	if len(kept) > 0 {
		m.terminal = kept[0].Position - 1
	} else {
		m.terminal = m.newest
	}
	return nil
}

func (m *model) readAll() ([]audit.SpooledEvent, error) {
	var kept []audit.SpooledEvent
	for from := uint64(1); ; from = kept[len(kept)-1].Position + 1 {
		some, damaged, err := m.b.Read(from, 1+m.random.IntN(20), 1<<m.random.IntN(20))
		if err != nil || damaged > 0 {
			return nil, fmt.Errorf("read from %d: %d damaged: %w", from, damaged, err)
		}
		if len(some) == 0 {
			return kept, nil
		}
		kept = append(kept, some...)
	}
}

// check compares what is kept with what is pending.
func (m *model) check() error {
	kept, err := m.readAll()
	if err != nil {
		return err
	}
	state := m.b.State()
	bytes := 0
	last := uint64(0)
	for i := range kept {
		position, number := kept[i].Position, numberOf(&kept[i].Event)
		if m.pending[position] != number || position <= last {
			return fmt.Errorf("event %d at %d after %d, want %d", number, position, last, m.pending[position])
		}
		last = position
		bytes += kept[i].Event.Footprint()
	}
	if len(kept) != len(m.pending) || state.Events != len(kept) || state.EventBytes != bytes {
		return fmt.Errorf("kept %d events of %d bytes, pending %d, state %+v", len(kept), bytes, len(m.pending), state)
	}
	if state.Bytes > state.MaxBytes {
		return fmt.Errorf("beyond the bound: %+v", state)
	}
	return nil
}
