// Package accesslog records who read what. One event sums up what a caller read with the same filters in an interval,
// so that reading costs the caller nothing and cannot flood the trail.
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
	// maxOpen bounds the entries that tell callers, kinds and filters apart; beyond it, each caller has one entry for
	// all others, and beyond maxOthers of these, all callers have one together.
	maxOpen   = 500
	maxOthers = 100
	// kindOthers is the kind of these entries.
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
	flushing sync.Mutex // held by a Flush, so that another one waits for its events

	mu   sync.Mutex
	open map[key]*entry // guarded by mu: what is recorded next
}

// New makes a log. It records while Run runs.
func New(o Options) *Log { return &Log{options: o, open: map[key]*entry{}} }

// Owns reports whether events of a correlation id are about access.
func Owns(correlationID string) bool { return strings.HasPrefix(correlationID, readerTrail) }

// Read notes a read. It never waits for a disk or the database. A nil log notes nothing.
func (l *Log) Read(r *Read) {
	if l == nil {
		return
	}
	now := l.options.Clock.Now().Truncate(time.Microsecond)
	k := key{name: r.Caller.Name, uid: r.Caller.UID, kind: r.Kind, shape: shape(r.Filters)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entry(k, func() User { return newUser(&r.Caller) }).add(r, now)
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

// entry finds or makes an entry within the bounds. The caller holds the lock.
func (l *Log) entry(k key, user func() User) *entry {
	if e, known := l.open[k]; known {
		return e
	}
	if len(l.open) >= maxOpen {
		k.kind, k.shape = kindOthers, ""
		if e, known := l.open[k]; known {
			return e
		}
	}
	if len(l.open) >= maxOpen+maxOthers {
		k, user = key{kind: kindOthers}, func() User { return User{} }
		if e, known := l.open[k]; known {
			return e
		}
	}
	e := &entry{user: user(), kind: k.kind}
	l.open[k] = e
	return e
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
			l.options.Log.Warn("reads cannot be recorded; they are summed up until they can", zap.Error(err))
		} else {
			l.options.Log.Info("reads are recorded again")
		}
	}
}

func (l *Log) last(ctx context.Context, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := l.Flush(ctx); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return fmt.Errorf("%d events about reads are missing from the trail: %w", len(l.open), err)
	}
	return nil
}

// Flush records everything that was noted before the call. What fails is noted again; the error is the first.
func (l *Log) Flush(ctx context.Context) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.mu.Lock()
	taken := l.open
	l.open = make(map[key]*entry)
	l.mu.Unlock()
	var first error
	for _, k := range slices.SortedFunc(maps.Keys(taken), compare) {
		if err := l.record(ctx, taken[k]); err != nil {
			if !errors.Is(err, audit.ErrInDoubt) { // else it may be recorded, and would count twice
				l.restore(k, taken[k])
			}
			if first == nil {
				first = err
			}
		}
	}
	return first
}

func (l *Log) record(ctx context.Context, e *entry) error {
	event, err := e.event()
	if err != nil {
		return err
	}
	if err := l.options.Recorder.Record(ctx, event); err != nil {
		return fmt.Errorf("record what %q read: %w", e.user.Name, err)
	}
	return nil
}

// restore notes again what could not be recorded.
func (l *Log) restore(k key, before *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entry(k, func() User { return before.user }).merge(before)
}

func compare(a, b key) int {
	return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.uid, b.uid), strings.Compare(a.kind, b.kind), strings.Compare(a.shape, b.shape))
}
