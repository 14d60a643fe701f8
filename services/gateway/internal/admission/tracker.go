package admission

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
)

const (
	// patience is how long a problem's request may be denied before the Gateway
	// asks for no more retries.
	patience = time.Hour
	// maxGap is the longest time without an attempt after which a denial still
	// counts as the same one.
	maxGap = 6 * time.Hour
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
	// Lasting means that it has been denied for so long that no retry is asked for.
	Lasting bool

	last time.Time
}

// Tracker remembers for each problem since when its request is denied. The
// memory is this process's. It is safe for concurrent use.
type Tracker struct {
	clock   clock.PassiveClock
	denials *prometheus.CounterVec

	mu     sync.Mutex
	denied *lru.Cache      // guarded by mu: from fingerprints to Denied
	names  map[Denial]bool // guarded by mu: those in the metric
}

// NewTracker returns a tracker and registers its metrics:
//
//	gateway_admission_denials_total{kind,name}  requests that were denied, by who denied them
//	gateway_denied_problems                     problems whose request is denied
func NewTracker(c clock.PassiveClock, r prometheus.Registerer) (*Tracker, error) {
	t := &Tracker{
		clock: c,
		denials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_admission_denials_total", Help: "Requests that the cluster denied, by kind (policy, webhook, quota, apiserver) and name.",
		}, []string{"kind", "name"}),
		denied: lru.New(maxDenied),
		names:  map[Denial]bool{},
	}
	problems := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_denied_problems", Help: "Problems whose request the cluster denied the last time.",
	}, func() float64 { return float64(t.denied.Len()) })
	if err := errors.Join(r.Register(t.denials), r.Register(problems)); err != nil {
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
	d, known := t.get(fingerprint)
	if !known || now.Sub(d.last) > maxGap {
		d = Denied{Request: request, Since: now}
	}
	d.last = now
	d.Lasting = now.Sub(d.Since) >= patience
	t.denied.Add(fingerprint, d)
	return d
}

// Get returns the denial of a problem; false if its request was not denied the last time.
func (t *Tracker) Get(fingerprint string) (Denied, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.get(fingerprint)
}

// Deliver forgets the denial of a problem, because it has a request.
func (t *Tracker) Deliver(fingerprint string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.denied.Remove(fingerprint)
}

func (t *Tracker) get(fingerprint string) (Denied, bool) {
	known, ok := t.denied.Get(fingerprint)
	if !ok {
		return Denied{}, false
	}
	d, ok := known.(Denied)
	return d, ok
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
