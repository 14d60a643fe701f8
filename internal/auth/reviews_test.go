package auth //nolint:testpackage // what the reviews share is an inner boundary

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"k8s.io/utils/clock"
)

func newTestReviews() *reviews {
	o := &KubernetesOptions{Timeout: reviewTimeout, Clock: clock.RealClock{}, Log: zap.NewNop()}
	return newReviews("token", o, semaphore.NewWeighted(maxReviews), newReviewSeconds())
}

func key(i int) [sha256.Size]byte {
	var k [sha256.Size]byte
	binary.BigEndian.PutUint64(k[:], uint64(i))
	return k
}

func TestThoseWhoAskTheSameShareAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestReviews()
		questions, answer := 0, make(chan struct{})
		ask := func(context.Context) (verdict, error) {
			questions++ // one at a time: the race detector would tell
			<-answer
			return verdict{good: true, caller: Caller{Name: "gateway"}}, nil
		}
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				if v, err := r.get(t.Context(), key(1), ask); err != nil || !v.good || v.caller.Name != "gateway" {
					t.Errorf("verdict %+v, error %v", v, err)
				}
			})
		}
		synctest.Wait()
		close(answer)
		group.Wait()
		if questions != 1 {
			t.Errorf("%d questions, want 1", questions)
		}
	})
}

func TestACallerWhoLeavesFailsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestReviews()
		answer := make(chan struct{})
		ask := func(ctx context.Context) (verdict, error) {
			select {
			case <-answer:
				return verdict{good: true}, nil
			case <-ctx.Done():
				return verdict{}, ctx.Err()
			}
		}
		leaving, leave := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			_, err := r.get(leaving, key(1), ask)
			var unavailable *UnavailableError
			if !errors.Is(err, context.Canceled) || !errors.As(err, &unavailable) {
				t.Errorf("the one who left: error %v", err)
			}
		})
		synctest.Wait() // the question is the leaving one's
		group.Go(func() {
			if v, err := r.get(t.Context(), key(1), ask); err != nil || !v.good {
				t.Errorf("the one who stayed: verdict %+v, error %v", v, err)
			}
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		close(answer)
		group.Wait()
	})
}

func TestAQuestionEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestReviews()
		start := time.Now()
		_, err := r.get(t.Context(), key(1), func(ctx context.Context) (verdict, error) {
			<-ctx.Done()
			return verdict{}, ctx.Err()
		})
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != reviewTimeout {
			t.Errorf("error %v after %s", err, took)
		}
	})
}

func TestQuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestReviews()
		answer := make(chan struct{})
		slow := func(context.Context) (verdict, error) {
			<-answer
			return verdict{good: true}, nil
		}
		var group sync.WaitGroup
		for i := range maxReviews {
			group.Go(func() {
				if _, err := r.get(t.Context(), key(i), slow); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		_, err := r.get(t.Context(), key(maxReviews), slow)
		var unavailable *UnavailableError
		if !errors.Is(err, errBusy) || !errors.As(err, &unavailable) {
			t.Errorf("one more question: error %v", err)
		}
		if r.away {
			t.Error("too many callers were taken for an API server that is away")
		}
		close(answer)
		group.Wait()
		if _, err := r.get(t.Context(), key(maxReviews), slow); err != nil {
			t.Errorf("later: %v", err)
		}
	})
}

func TestManyBadTokensPushOutNoGoodOne(t *testing.T) {
	r := newTestReviews()
	questions := 0
	answer := func(good bool) func(context.Context) (verdict, error) {
		return func(context.Context) (verdict, error) {
			questions++
			return verdict{good: good}, nil
		}
	}
	get := func(i int, good bool) {
		t.Helper()
		if v, err := r.get(t.Context(), key(i), answer(good)); err != nil || v.good != good {
			t.Fatalf("verdict %+v, error %v", v, err)
		}
	}
	get(0, true)
	for i := range maxVerdicts + 1 {
		get(1+i, false)
	}
	get(0, true)
	if want := 1 + maxVerdicts + 1; questions != want {
		t.Errorf("%d questions, want %d: the good token was forgotten", questions, want)
	}
	if n := len(r.refused.Keys()); n != maxVerdicts {
		t.Errorf("%d refusals are remembered, want %d", n, maxVerdicts)
	}
	// A good token that nobody shows any more makes room, too.
	for i := range maxVerdicts {
		get(-1-i, true)
	}
	if n := len(r.good.Keys()); n != maxVerdicts {
		t.Errorf("%d good ones are remembered, want %d", n, maxVerdicts)
	}
}

func TestNoTokenIsKept(t *testing.T) {
	r := newTestReviews()
	if _, err := r.get(t.Context(), sha256.Sum256([]byte("s3cret")), func(context.Context) (verdict, error) {
		return verdict{good: true}, nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, kept := range r.good.Keys() {
		if kept != sha256.Sum256([]byte("s3cret")) {
			t.Errorf("key %v", kept)
		}
	}
}
