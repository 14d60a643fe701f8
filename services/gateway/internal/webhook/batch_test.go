package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"

	"kubernaut.ai/services/gateway/internal/dedup"
)

func TestEverySignalIsAttemptedAfterOneFailed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	create := b.open
	var mu sync.Mutex
	var attempted []string
	b.open = func(ctx context.Context, s dedup.Signal) (dedup.Result, error) {
		mu.Lock()
		attempted = append(attempted, s.Spec.SignalName)
		mu.Unlock()
		if s.Spec.SignalName < "K" {
			return dedup.Result{}, errors.New("connection refused")
		}
		return create(ctx, s)
	}
	var alerts, want []string
	for name := 'A'; name <= 'Z'; name++ {
		alerts = append(alerts, alert("firing", string(name)))
		want = append(want, string(name))
	}
	if response, answer := b.post(t, message(alerts...)); response.code != http.StatusServiceUnavailable {
		t.Errorf("%d %v, want 503", response.code, answer)
	}
	slices.Sort(attempted)
	if !slices.Equal(attempted, want) {
		t.Errorf("attempted %q, want every signal", attempted)
	}
}

func TestOneBodyGetsTheSameAnswerWhateverTheOrder(t *testing.T) {
	t.Parallel()
	firing, resolved := alert("firing", "A"), alert("resolved", "A")
	for name, test := range map[string]struct {
		body string
		want []any
	}{
		"resolved first": {message(resolved, firing), []any{"resolved", "created"}},
		"firing first":   {message(firing, resolved), []any{"created", "resolved"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			create := b.open
			var mu sync.Mutex
			exists := false
			b.open = func(ctx context.Context, s dedup.Signal) (dedup.Result, error) {
				mu.Lock()
				defer mu.Unlock()
				exists = true
				return create(ctx, s)
			}
			b.current = func() (dedup.Found, error) {
				mu.Lock()
				defer mu.Unlock()
				if !exists {
					return dedup.Found{}, nil
				}
				return found("rr-1"), nil
			}
			_, answer := b.post(t, test.body)
			results, _ := answer["results"].([]any)
			states := make([]any, 0, len(results))
			for _, r := range results {
				entry, _ := r.(map[string]any)
				states = append(states, entry["status"])
			}
			if !slices.Equal(states, test.want) {
				t.Errorf("states %v, want %v", states, test.want)
			}
		})
	}
}
