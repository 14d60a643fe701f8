package admission

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

const (
	// patience is how long a problem's request may be denied before the Gateway
	// asks for no more retries.
	patience = time.Hour
	// maxGap is the longest time without an attempt after which a denial still
	// counts as the same one.
	maxGap = 6 * time.Hour
	// sweepInterval is how often old denials are dropped.
	sweepInterval = time.Minute
	// maxDenied bounds the problems that are tracked. One that is forgotten is
	// denied for the first time again.
	maxDenied = 10_000
	// maxNames bounds the names in the metric.
	maxNames = 64
	// otherName stands for the names beyond that.
	otherName = "other"
)

// Denied is a problem whose request was denied the last time.
type Denied struct {
	// Request is the name under which the first denial was recorded; it does not exist.
	Request types.NamespacedName
	// Since is when the request was denied first.
	Since time.Time
	// First means that it was not denied before.
	First bool
	// Lasting means that it has been denied for so long that no retry is asked for.
	Lasting bool

	last time.Time
	// over means that an instance of the problem has ended since.
	over bool
}

// Tracker remembers for each problem since when its request is denied. The
// memory is this process's. It is safe for concurrent use.
type Tracker struct {
	clock   clock.PassiveClock
	denials *prometheus.CounterVec

	mu     sync.Mutex
	denied map[string]Denied // guarded by mu: by fingerprint
	names  map[Denial]bool   // guarded by mu: those in the metric
	swept  time.Time         // guarded by mu: when denied was searched for old ones
}

// NewTracker returns a tracker and registers its metrics:
//
//	gateway_admission_denials_total{kind,name}  requests that were denied, by who denied them
//	gateway_denied_problems                     problems whose request is denied
//	gateway_undeliverable_problems              those of them that are denied for too long
func NewTracker(c clock.PassiveClock, r prometheus.Registerer) (*Tracker, error) {
	t := &Tracker{
		clock: c,
		denials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_admission_denials_total", Help: "Requests that the cluster denied, by kind (policy, webhook, quota, apiserver) and name.",
		}, []string{"kind", "name"}),
		denied: map[string]Denied{},
		names:  map[Denial]bool{},
	}
	problems := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_denied_problems", Help: "Problems whose request the cluster denied the last time.",
	}, func() float64 { return t.problems(func(Denied) bool { return true }) })
	undeliverable := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_undeliverable_problems", Help: "Problems whose request the cluster has denied for too long.",
	}, func() float64 { return t.problems(func(d Denied) bool { return d.Lasting }) })
	if err := errors.Join(r.Register(t.denials), r.Register(problems), r.Register(undeliverable)); err != nil {
		return nil, fmt.Errorf("register metrics of denials: %w", err)
	}
	return t, nil
}

// Deny notes that the request of a problem was denied, and returns since when.
func (t *Tracker) Deny(fingerprint string, request types.NamespacedName, by Denial) Denied {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count(by)
	now := t.clock.Now()
	t.forget(now)
	d, known := t.denied[fingerprint]
	first := !known || now.Sub(d.last) > maxGap
	if first {
		d = Denied{Request: request, Since: now}
	}
	d.First, d.last, d.over = first, now, false
	d.Lasting = now.Sub(d.Since) >= patience
	t.denied[fingerprint] = d
	return d
}

// Get returns the denial of a problem; false if its request was not denied the last time.
func (t *Tracker) Get(fingerprint string) (Denied, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d, known := t.denied[fingerprint]
	return d, known
}

// Deliver forgets the denial of a problem, because it has a request, and reports
// whether it was denied before.
func (t *Tracker) Deliver(fingerprint string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known := t.denied[fingerprint]
	delete(t.denied, fingerprint)
	return known
}

// Resolve notes that a problem may be over. It does not count until it is denied
// again; the hour goes on, so that a flapping alert does not start it anew.
func (t *Tracker) Resolve(fingerprint string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d, known := t.denied[fingerprint]; known {
		d.over = true
		t.denied[fingerprint] = d
	}
}

// forget drops the problems without an attempt for too long, and the one with
// the oldest attempt if there are too many. The caller holds the lock.
func (t *Tracker) forget(now time.Time) {
	if len(t.denied) < maxDenied && now.Before(t.swept.Add(sweepInterval)) {
		return
	}
	t.swept = now
	maps.DeleteFunc(t.denied, func(_ string, d Denied) bool { return now.Sub(d.last) > maxGap })
	if len(t.denied) < maxDenied {
		return
	}
	oldest := slices.MinFunc(slices.Collect(maps.Keys(t.denied)), func(a, b string) int {
		return t.denied[a].last.Compare(t.denied[b].last)
	})
	delete(t.denied, oldest)
}

// problems counts the problems that are denied and of a kind.
func (t *Tracker) problems(counts func(Denied) bool) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, d := range t.denied {
		if !d.over && t.clock.Since(d.last) <= maxGap && counts(d) {
			n++
		}
	}
	return float64(n)
}

// count counts a denial. The caller holds the lock.
func (t *Tracker) count(by Denial) {
	if !t.names[by] {
		if len(t.names) >= maxNames {
			by.Name = otherName
		} else {
			t.names[by] = true
		}
	}
	t.denials.WithLabelValues(by.Kind, by.Name).Inc()
}
