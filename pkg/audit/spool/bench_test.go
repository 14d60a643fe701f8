package spool_test

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
)

// kibibyte makes events of about 1 KiB on disk.
func kibibyte(first, count int) []audit.Event {
	data := json.RawMessage(`{"text":"` + strings.Repeat("x", 780) + `"}`)
	events := batchOf(first, count)
	for i := range events {
		events[i].Data = data
	}
	return events
}

const group = 12

// BenchmarkAppend keeps groups of 12 events of 1 KiB, and beside each writes as
// many bytes to a plain file with fdatasync: ratio is the one's rate by the other's.
func BenchmarkAppend(b *testing.B) {
	s, err := spool.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	plain, err := os.Create(b.TempDir() + "/plain")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = plain.Close() }()

	events := kibibyte(1, group)
	bytes := make([]byte, group*1150)
	var spooled, limit time.Duration
	b.ReportAllocs()
	position := uint64(0)
	for b.Loop() {
		started := time.Now()
		first, err := s.Append(events, position)
		if err != nil {
			b.Fatal(err)
		}
		spooled += time.Since(started)
		position = first + group - 1
		if err := s.Release(position); err != nil {
			b.Fatal(err)
		}
		started = time.Now()
		if _, err := plain.Write(bytes); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fdatasync(int(plain.Fd())); err != nil {
			b.Fatal(err)
		}
		limit += time.Since(started)
	}
	b.ReportMetric(limit.Seconds()/spooled.Seconds(), "ratio")
	b.ReportMetric(float64(group*b.N)/spooled.Seconds(), "events/s")
	b.ReportMetric(float64(group*b.N)/limit.Seconds(), "plain-events/s")
}

// BenchmarkRecover opens a spool of 1,000,000 events of 1 KiB and reads all of them back.
func BenchmarkRecover(b *testing.B) {
	const events = 1_000_000
	dir := b.TempDir()
	options := spool.WithMaxBytes(4 << 30)
	s, err := spool.Open(dir, options)
	if err != nil {
		b.Fatal(err)
	}
	for written := 0; written < events; written += 1000 {
		if _, err := s.Append(kibibyte(written+1, 1000), 0); err != nil {
			b.Fatal(err)
		}
	}
	size := s.State().Bytes
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	var opening, reading time.Duration
	var heap uint64
	for b.Loop() {
		started := time.Now()
		s, err := spool.Open(dir, options)
		if err != nil {
			b.Fatal(err)
		}
		opening += time.Since(started)
		started = time.Now()
		read := 0
		for from := s.State().First; ; {
			kept, _, err := s.Read(from, 1000, 4<<20)
			if err != nil {
				b.Fatal(err)
			}
			if len(kept) == 0 {
				break
			}
			read += len(kept)
			from = kept[len(kept)-1].Position + 1
		}
		reading += time.Since(started)
		if read != events {
			b.Fatalf("%d events came back", read)
		}
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		heap = max(heap, memory.HeapSys-memory.HeapReleased)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(events*b.N)/opening.Seconds(), "open-events/s")
	b.ReportMetric(float64(events*b.N)/reading.Seconds(), "read-events/s")
	b.ReportMetric(float64(events*b.N)/(opening+reading).Seconds(), "events/s")
	b.ReportMetric(float64(heap)/(1<<20), "heap-MiB")
	b.ReportMetric(float64(size)/events, "bytes/event")
}
