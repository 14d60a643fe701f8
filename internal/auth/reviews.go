package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
)

const (
	// goodFor bounds how long what was taken away stays good, from the moment
	// in which the API server was asked.
	goodFor = time.Minute
	// refusedFor bounds how long what was given is still refused.
	refusedFor = 10 * time.Second
	// maxVerdicts bounds the verdicts that are remembered of each kind, the
	// least used ones are forgotten.
	maxVerdicts = 4096
	// maxReviews bounds the questions to the API server at a time.
	maxReviews = 100
)

var errBusy = errors.New("too many callers are being checked")

// verdict is the API server's answer to a question.
type verdict struct {
	good   bool
	caller Caller // of a good token
	reason string // of a refusal
}

// reviews asks the API server one kind of question, and remembers the answers
// for a while. Those who ask the same at the same time share a question. It is
// safe for concurrent use.
type reviews struct {
	kind    string
	clock   clock.PassiveClock
	log     *zap.Logger
	timeout time.Duration
	seconds *prometheus.HistogramVec
	// inFlight bounds the reviews that wait for the API server.
	inFlight *semaphore.Weighted
	flight   singleflight.Group
	// Refusals have a cache of their own: somebody who tries many tokens
	// cannot push out those that are good.
	good, refused *cache.LRUExpireCache

	mu   sync.Mutex
	away bool // guarded by mu: the last question had no answer
}

func newReviews(kind string, o *KubernetesOptions, inFlight *semaphore.Weighted, seconds *prometheus.HistogramVec) *reviews {
	for _, result := range []string{"good", "refused", "failed"} {
		seconds.WithLabelValues(kind, result)
	}
	return &reviews{
		kind: kind, clock: o.Clock, log: o.Log.With(zap.String("review", kind)), timeout: o.Timeout,
		seconds: seconds, inFlight: inFlight,
		good:    cache.NewLRUExpireCacheWithClock(maxVerdicts, o.Clock),
		refused: cache.NewLRUExpireCacheWithClock(maxVerdicts, o.Clock),
	}
}

func newReviewSeconds() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "auth_review_seconds", Help: "Time of a question to the API server, in seconds, by kind and result.", Buckets: prometheus.DefBuckets,
	}, []string{"review", labelResult})
}

// get returns the verdict under a key, by asking if none is remembered. An
// error is an *UnavailableError. The end of ctx ends the wait and not the
// question, which others may wait for.
func (r *reviews) get(ctx context.Context, key [sha256.Size]byte, ask func(context.Context) (verdict, error)) (verdict, error) {
	if v, ok := r.remembered(key); ok {
		return v, nil
	}
	answered := r.flight.DoChan(string(key[:]), func() (any, error) {
		// The question before this one may have been answered in between.
		if v, ok := r.remembered(key); ok {
			return v, nil
		}
		return r.question(context.WithoutCancel(ctx), key, ask)
	})
	select {
	case answer := <-answered:
		if answer.Err != nil {
			return verdict{}, &UnavailableError{Cause: answer.Err}
		}
		v, _ := answer.Val.(verdict)
		return v, nil
	case <-ctx.Done():
		return verdict{}, &UnavailableError{Cause: ctx.Err()}
	}
}

func (r *reviews) remembered(key [sha256.Size]byte) (verdict, bool) {
	for _, c := range []*cache.LRUExpireCache{r.good, r.refused} {
		if found, ok := c.Get(key); ok {
			v, ok := found.(verdict)
			return v, ok
		}
	}
	return verdict{}, false
}

// question asks once.
func (r *reviews) question(ctx context.Context, key [sha256.Size]byte, ask func(context.Context) (verdict, error)) (verdict, error) {
	if !r.inFlight.TryAcquire(1) {
		return verdict{}, errBusy
	}
	defer r.inFlight.Release(1)
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	asked := r.clock.Now()
	v, err := ask(ctx)
	took := r.clock.Since(asked)
	r.note(err)
	switch {
	case err != nil:
		r.seconds.WithLabelValues(r.kind, "failed").Observe(took.Seconds())
		return verdict{}, err
	case v.good:
		r.seconds.WithLabelValues(r.kind, "good").Observe(took.Seconds())
		r.good.Add(key, v, goodFor-took)
	default:
		r.seconds.WithLabelValues(r.kind, "refused").Observe(took.Seconds())
		r.refused.Add(key, v, refusedFor-took)
	}
	return v, nil
}

// note logs when the API server stops to answer, and when it answers again.
func (r *reviews) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil && !r.away:
		r.log.Warn("callers cannot be checked: the API server does not answer as it should", zap.Error(err))
	case err == nil && r.away:
		r.log.Info("callers can be checked again")
	}
	r.away = err != nil
}
