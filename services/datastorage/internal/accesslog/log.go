// Package accesslog records who read what, and whose requests were denied. One event sums up what a caller read with
// the same filters in an interval, or what it was denied for the same reason, so that requests cost the caller nothing
// and cannot flood the trail.
package accesslog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/pkg/audit"
)

const (
	// Interval is the time that one event sums up at most, unless events cannot be recorded.
	Interval = time.Minute
	// The bounds of sums: of reads, and of denied requests of known and of unknown callers.
	maxReads, otherReads         = 500, 100
	maxForbidden, otherForbidden = 100, 50
	maxUnknown, otherUnknown     = 50, 10
	// kindOthers is the kind of entries beyond these bounds.
	kindOthers = "others"
	// recordTimeout bounds the events of one interval.
	recordTimeout = 5 * time.Second
)

// Read is a request that was answered.
type Read struct {
	Caller auth.Caller
	// Kind of the request.
	Kind string
	// Filters of the request that are not empty, always in the same order.
	Filters []Filter
	// Events is how many events the answer has.
	Events int
	// Failed says that the answer is an error.
	Failed bool
}

// Filter is a filter with its value.
type Filter struct{ Name, Value string }

// Recorder records events. An *audit.Store is one.
type Recorder interface {
	Record(ctx context.Context, e *audit.Event) error
}

// Options of a Log; all are required.
type Options struct {
	Recorder Recorder
	Clock    clock.WithTicker
	Log      *zap.Logger
}

// Log sums up requests. Its methods are safe for concurrent use.
type Log struct {
	options  Options
	flushing sync.Mutex     // held by a Flush, so that another one waits for its events
	doubted  []*audit.Event // guarded by flushing: they may be recorded, and are again under their ids

	mu                        sync.Mutex
	reads, forbidden, unknown sums // guarded by mu: what is recorded next
}

// New makes a log. It records while Run runs.
func New(o Options) *Log {
	return &Log{
		options:   o,
		reads:     sums{most: maxReads, others: otherReads, open: map[key]*entry{}},
		forbidden: sums{most: maxForbidden, others: otherForbidden, open: map[key]*entry{}},
		unknown:   sums{most: maxUnknown, others: otherUnknown, open: map[key]*entry{}},
	}
}

// Owns reports whether events of a correlation id are about access.
func Owns(correlationID string) bool {
	return strings.HasPrefix(correlationID, readerTrail) || strings.HasPrefix(correlationID, deniedTrail)
}

// Read notes a read. It never waits for a disk or the database. A nil log notes nothing.
func (l *Log) Read(r *Read) {
	if l == nil {
		return
	}
	now := l.options.Clock.Now().Truncate(time.Microsecond)
	k := key{name: r.Caller.Name, uid: r.Caller.UID, kind: r.Kind, shape: shape(r.Filters)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads.entry(k, func() *entry { return &entry{user: newUser(&r.Caller), kind: r.Kind} }).add(r, now)
}

// Answered notes a read by the status of its answer. A request that was not usable read nothing.
func (l *Log) Answered(status int, r *Read) {
	const unread = 499 // the answer was not read to its end
	switch {
	case status < http.StatusBadRequest, status == unread:
	case status == http.StatusNotFound, status >= http.StatusInternalServerError:
		r.Failed = true
	default:
		return
	}
	l.Read(r)
}

// shape names the filters of a request.
func shape(filters []Filter) string {
	if len(filters) == 1 {
		return filters[0].Name
	}
	names := make([]string, len(filters))
	for i, f := range filters {
		names[i] = f.Name
	}
	return strings.Join(names, ",")
}

// Run records what was noted, every Interval. When ctx ends, it records what is left, for as long as grace returns at
// that time.
func (l *Log) Run(ctx context.Context, grace func() time.Duration) error {
	ticker := l.options.Clock.NewTicker(Interval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return l.last(ctx, grace())
		case <-ticker.C():
		}
		// The end of ctx does not interrupt it: it is short.
		recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
		err := l.Flush(recording)
		cancel()
		if (err != nil) == failing {
			continue
		}
		if failing = err != nil; failing {
			l.options.Log.Warn("accesses cannot be recorded; they are summed up until they can", zap.Error(err))
		} else {
			l.options.Log.Info("accesses are recorded again")
		}
	}
}

// Flush records everything that was noted before the call. What fails is noted again; the error is the first.
func (l *Log) Flush(ctx context.Context) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	// Before others, so that the ones in doubt stay as few as one Flush records.
	for len(l.doubted) > 0 {
		if err := l.options.Recorder.Record(ctx, l.doubted[0]); err != nil {
			return fmt.Errorf("record the requests of %s: %w", l.doubted[0].CorrelationID, err)
		}
		l.doubted = l.doubted[1:]
	}
	l.mu.Lock()
	all := l.all()
	var taken [len(all)]map[key]*entry
	for i, s := range all {
		taken[i] = s.take()
	}
	l.mu.Unlock()
	var first error
	for i, s := range all {
		for _, k := range slices.SortedFunc(maps.Keys(taken[i]), compare) {
			event, err := l.record(ctx, taken[i][k])
			switch {
			case err == nil:
				continue
			case errors.Is(err, audit.ErrInDoubt): // in a sum it might count twice
				l.doubted = append(l.doubted, event)
			default:
				l.restore(s, k, taken[i][k])
			}
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// all are the log's sums. The caller holds the lock.
func (l *Log) all() [3]*sums { return [...]*sums{&l.reads, &l.forbidden, &l.unknown} }

func (l *Log) last(ctx context.Context, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := l.Flush(ctx); err != nil {
		l.flushing.Lock()
		defer l.flushing.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		missing := len(l.doubted)
		for _, s := range l.all() {
			missing += len(s.open)
		}
		return fmt.Errorf("%d events about accesses are missing from the trail: %w", missing, err)
	}
	return nil
}

func (l *Log) record(ctx context.Context, e *entry) (*audit.Event, error) {
	event, err := e.event()
	if err != nil {
		return nil, err
	}
	if err := l.options.Recorder.Record(ctx, event); err != nil {
		return event, fmt.Errorf("record the requests of %s: %w", event.CorrelationID, err)
	}
	return event, nil
}

// restore notes again what could not be recorded.
func (l *Log) restore(to *sums, k key, before *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to.entry(k, func() *entry { return &entry{user: before.user, kind: before.kind, denied: before.denied} }).merge(before)
}

func compare(a, b key) int {
	return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.uid, b.uid), strings.Compare(a.kind, b.kind), strings.Compare(a.shape, b.shape))
}
