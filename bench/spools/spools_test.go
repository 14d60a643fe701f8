package spools_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"
	"github.com/hashicorp/raft"
	raftwal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
)

const (
	// group is a commit: one event of each of 12 producers.
	group = 12
	// eventBytes is an event as it lies on disk, about.
	eventBytes = 1200
	// readBack is how many groups are read back.
	readBack = 4000
)

// candidate is something that keeps groups of events durably, in order.
type candidate interface {
	// keep returns after the medium has confirmed the group.
	keep(first uint64, events [][]byte) error
	// readAll gives everything, oldest first, and how many events there were.
	readAll() (events int, err error)
	io.Closer
}

var candidates = []struct {
	name string
	open func(dir string) (candidate, error)
}{
	{"plain", openPlain},
	{"spool", openSpool},
	{"raft-wal", openRaftWAL},
	{"bbolt", openBolt},
	{"pebble", openPebble},
}

// BenchmarkAppend gives the rate of each, and its ratio to a plain file that
// the same bytes go to in turn, so that a disturbance meets both.
func BenchmarkAppend(b *testing.B) {
	for _, c := range candidates {
		b.Run(c.name, func(b *testing.B) {
			store, err := c.open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			limit, err := openPlain(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			events := groupOfEvents()
			var taken, plain time.Duration
			first := uint64(1)
			for b.Loop() {
				taken += appendOne(b, store, first, events)
				plain += appendOne(b, limit, first, events)
				first += group
			}
			b.ReportMetric(group*float64(b.N)/taken.Seconds(), "events/s")
			b.ReportMetric(plain.Seconds()/taken.Seconds(), "of-plain")
			if err := store.Close(); err != nil {
				b.Fatal(err)
			}
			_ = limit.Close()
		})
	}
}

func appendOne(b *testing.B, store candidate, first uint64, events [][]byte) time.Duration {
	b.Helper()
	started := time.Now()
	if err := store.keep(first, events); err != nil {
		b.Fatal(err)
	}
	return time.Since(started)
}

// BenchmarkReadBack opens what was left and reads it.
func BenchmarkReadBack(b *testing.B) {
	for _, c := range candidates {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			fill(b, dir, c.open)
			for b.Loop() {
				store, err := c.open(dir)
				if err != nil {
					b.Fatal(err)
				}
				if events, err := store.readAll(); err != nil || events < group*readBack {
					b.Fatalf("%d events: %v", events, err)
				}
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(group*readBack*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func fill(b *testing.B, dir string, open func(dir string) (candidate, error)) {
	b.Helper()
	store, err := open(dir)
	if err != nil {
		b.Fatal(err)
	}
	events := groupOfEvents()
	for i := range uint64(readBack) {
		if err := store.keep(1+i*group, events); err != nil {
			b.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
}

func groupOfEvents() [][]byte {
	events := make([][]byte, group)
	for i := range events {
		events[i] = []byte(strings.Repeat("e", eventBytes))
	}
	return events
}

// plain is the limit: one write and one fdatasync.
type plain struct {
	file  *os.File
	group []byte
}

func openPlain(dir string) (candidate, error) {
	file, err := os.OpenFile(filepath.Join(dir, "plain"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	return &plain{file: file}, err
}

func (p *plain) Close() error { return p.file.Close() }

func (p *plain) keep(_ uint64, events [][]byte) error {
	p.group = p.group[:0]
	for _, event := range events {
		p.group = append(p.group, event...)
	}
	if _, err := p.file.Write(p.group); err != nil {
		return err
	}
	return unix.Fdatasync(int(p.file.Fd()))
}

func (p *plain) readAll() (int, error) {
	n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{p.file}, make([]byte, 1<<20))
	return int(n / eventBytes), err
}

// ours is package spool: whole events, encoded and decoded.
type ours struct {
	*spool.Spool

	events []audit.Event
}

func openSpool(dir string) (candidate, error) {
	s, err := spool.Open(filepath.Join(dir, "spool"))
	return &ours{Spool: s}, err
}

func (o *ours) keep(first uint64, events [][]byte) error {
	o.events = o.events[:0]
	data := json.RawMessage(`{"text":"` + string(events[0][:900]) + `"}`)
	for i := range events {
		var id uuid.UUID
		binary.BigEndian.PutUint64(id[8:], first+uint64(i))
		o.events = append(o.events, audit.Event{
			ID: id, Version: audit.SchemaVersion, Type: "gateway.signal.received", Timestamp: time.Unix(1_700_000_000, 0),
			Category: "gateway", Action: "received", Outcome: audit.OutcomeSuccess, CorrelationID: "rr-1", Data: data,
		})
	}
	_, err := o.Append(o.events, 0)
	return err
}

func (o *ours) readAll() (int, error) {
	events := 0
	for from := uint64(1); ; {
		kept, _, err := o.Read(from, 1000, 4<<20)
		if err != nil || len(kept) == 0 {
			return events, err
		}
		events += len(kept)
		from = kept[len(kept)-1].Position + 1
	}
}

// walLog is raft-wal as it comes, with its meta database, which it does not close.
type walLog struct {
	*raftwal.WAL

	meta *metadb.BoltMetaDB
}

func openRaftWAL(dir string) (candidate, error) {
	meta := &metadb.BoltMetaDB{}
	wal, err := raftwal.Open(dir, raftwal.WithSegmentSize(16<<20), raftwal.WithMetaStore(meta))
	return walLog{wal, meta}, err
}

func (w walLog) Close() error { return errors.Join(w.WAL.Close(), w.meta.Close()) }

func (w walLog) keep(first uint64, events [][]byte) error {
	entries := make([]*raft.Log, len(events))
	for i := range events {
		entries[i] = &raft.Log{Index: first + uint64(i), Data: events[i]}
	}
	return w.StoreLogs(entries)
}

func (w walLog) readAll() (int, error) {
	first, err := w.FirstIndex()
	if err != nil {
		return 0, err
	}
	last, err := w.LastIndex()
	if err != nil {
		return 0, err
	}
	var entry raft.Log
	for i := first; i <= last; i++ {
		if err := w.GetLog(i, &entry); err != nil {
			return int(i - first), err
		}
	}
	return int(last - first + 1), nil
}

// boltLog keeps events in a bucket, by their position.
type boltLog struct{ *bolt.DB }

var bucket = []byte("events")

func openBolt(dir string) (candidate, error) {
	// Without the free list on disk, as its documentation advises for speed.
	db, err := bolt.Open(filepath.Join(dir, "bolt"), 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	return boltLog{db}, db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
}

func (l boltLog) keep(first uint64, events [][]byte) error {
	return l.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		b.FillPercent = 1 // keys only grow
		for i := range events {
			if err := b.Put(binary.BigEndian.AppendUint64(nil, first+uint64(i)), events[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l boltLog) readAll() (events int, err error) {
	return events, l.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(_, _ []byte) error {
			events++
			return nil
		})
	})
}

// pebbleLog keeps events by their position.
type pebbleLog struct{ *pebble.DB }

func openPebble(dir string) (candidate, error) {
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}, MemTableSize: 64 << 20})
	return pebbleLog{db}, err
}

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, _ ...any) { panic(format) }

func (l pebbleLog) keep(first uint64, events [][]byte) error {
	batch := l.NewBatch()
	for i := range events {
		if err := batch.Set(binary.BigEndian.AppendUint64(nil, first+uint64(i)), events[i], nil); err != nil {
			return err
		}
	}
	return batch.Commit(pebble.Sync)
}

func (l pebbleLog) readAll() (int, error) {
	all, err := l.NewIter(nil)
	if err != nil {
		return 0, err
	}
	events := 0
	for ok := all.First(); ok; ok = all.Next() {
		if _, err := all.ValueAndErr(); err != nil {
			return events, err
		}
		events++
	}
	return events, all.Close()
}
