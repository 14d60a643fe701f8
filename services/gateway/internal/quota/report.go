package quota

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"kubernaut.ai/api/v1alpha1"
)

const (
	// reportEvery is the shortest time between two reports about one overflow
	// request and bound.
	reportEvery = 10 * time.Second
	// maxTallies bounds what waits for the next report. There is one for each
	// overflow request and bound; beyond that, each signal is reported at once.
	maxTallies = 3000
)

// Exceedance is what is reported about signals that got no request of their own.
type Exceedance struct {
	// Overflow is the request that lists them. It is shared: it must not be changed.
	Overflow *v1alpha1.RemediationRequest
	// Why is about the latest of them.
	Why *ExceededError
	// Signals is how many there were since the last report.
	Signals int64
	// First and Last are when they arrived.
	First, Last time.Time
}

// ReporterOptions are the options of a Reporter. All fields are required.
type ReporterOptions struct {
	// Report reports an exceedance. It must be safe for concurrent use.
	Report func(ctx context.Context, x *Exceedance) error
	Clock  clock.WithTicker
	Log    *zap.Logger
}

// Reporter reports signals that exceed the quota: the first of an overflow
// request and bound at once, later ones together, so that the number of reports
// does not depend on the number of signals. It is safe for concurrent use.
type Reporter struct {
	options ReporterOptions

	mu      sync.Mutex
	tallies map[tallyKey]*tally // guarded by mu
}

type tallyKey struct {
	overflow types.UID
	bound    Bound
}

// tally is what happened since the last report; guarded by the Reporter's mu.
type tally struct {
	Exceedance

	reported time.Time
}

// NewReporter returns a Reporter. Its Run reports what signals have left.
func NewReporter(o ReporterOptions) *Reporter {
	return &Reporter{options: o, tallies: map[tallyKey]*tally{}}
}

// Exceeded notes a signal that became a member of an overflow request. An error
// means that a report was due and failed; the signal is then not counted.
func (r *Reporter) Exceeded(ctx context.Context, overflow *v1alpha1.RemediationRequest, why *ExceededError) error {
	x := r.note(overflow, why)
	if x == nil {
		return nil
	}
	if err := r.options.Report(ctx, x); err != nil {
		x.Signals--
		r.giveBack(x)
		return fmt.Errorf("report exceeded quota: %w", err)
	}
	return nil
}

// Run reports what is pending, until ctx ends; then once more, for as long as
// grace returns at that time. The error says what could not be reported.
func (r *Reporter) Run(ctx context.Context, grace func() time.Duration) error {
	ticker := r.options.Clock.NewTicker(reportEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C():
			if err := r.report(ctx, reportEvery); err != nil {
				r.options.Log.Warn("exceeded quotas cannot be reported; trying again", zap.Error(err))
			}
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace())
			defer cancel()
			return r.report(ending, 0)
		}
	}
}

// note counts a signal, and returns what to report now, if anything.
func (r *Reporter) note(overflow *v1alpha1.RemediationRequest, why *ExceededError) *Exceedance {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.options.Clock.Now()
	key := tallyKey{overflow.UID, why.Bound}
	t, ok := r.tallies[key]
	if !ok {
		t = &tally{Exceedance: Exceedance{First: now}}
		if len(r.tallies) < maxTallies {
			r.tallies[key] = t
		}
	}
	if t.Signals == 0 {
		t.First = now
	}
	t.Overflow, t.Why, t.Last = overflow, why, now
	t.Signals++
	if now.Sub(t.reported) < reportEvery {
		return nil
	}
	return t.take(now)
}

// giveBack counts signals again whose report failed.
func (r *Reporter) giveBack(x *Exceedance) {
	if x.Signals == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := tallyKey{x.Overflow.UID, x.Why.Bound}
	t, ok := r.tallies[key]
	if !ok {
		r.tallies[key] = &tally{Exceedance: *x}
		return
	}
	if t.Signals == 0 {
		t.Last = x.Last
	}
	t.Signals += x.Signals
	t.First = x.First
}

// report reports everything that is pending and was not reported for an interval.
func (r *Reporter) report(ctx context.Context, interval time.Duration) error {
	var errs []error
	for _, x := range r.due(interval) {
		if err := r.options.Report(ctx, x); err != nil {
			r.giveBack(x)
			errs = append(errs, fmt.Errorf("%d signals of overflow request %s: %w", x.Signals, x.Overflow.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Reporter) due(interval time.Duration) []*Exceedance {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.options.Clock.Now()
	var due []*Exceedance
	for key, t := range r.tallies {
		switch {
		case now.Sub(t.reported) < interval:
		case t.Signals > 0:
			due = append(due, t.take(now))
		default:
			delete(r.tallies, key)
		}
	}
	return due
}

// take returns what to report, and starts over. The caller holds mu.
func (t *tally) take(now time.Time) *Exceedance {
	x := t.Exceedance
	t.Signals, t.reported = 0, now
	return &x
}
