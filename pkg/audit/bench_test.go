package audit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// discard acknowledges everything at once.
type discard struct{}

func (discard) Write(_ context.Context, batch []audit.Event) (audit.Ack, error) {
	return audit.Ack{Created: len(batch)}, nil
}

func benchmarkStore(b *testing.B) *audit.Store {
	b.Helper()
	store, err := audit.New(discard{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	return store
}

func BenchmarkRecord(b *testing.B) {
	store := benchmarkStore(b)
	e := audittest.NewEvent("test.bench.event", "rr-1")
	b.ReportAllocs()
	for b.Loop() {
		if err := store.Record(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecordParallel(b *testing.B) {
	store := benchmarkStore(b)
	b.ReportAllocs()
	b.SetParallelism(6)
	b.RunParallel(func(pb *testing.PB) {
		e := audittest.NewEvent("test.bench.event", uuid.NewString())
		e.Data = fmt.Appendf(nil, `{"fill":%q}`, strings.Repeat("x", 1000))
		for pb.Next() {
			if err := store.Record(b.Context(), e); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkFlushIdle(b *testing.B) {
	store := benchmarkStore(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFlushOne(b *testing.B) {
	store := benchmarkStore(b)
	e := audittest.NewEvent("test.bench.event", "rr-1")
	b.ReportAllocs()
	for b.Loop() {
		if err := store.Record(b.Context(), e); err != nil {
			b.Fatal(err)
		}
		if _, err := store.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
