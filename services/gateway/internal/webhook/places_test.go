package webhook_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/webhook"
)

// senders are told by a header.
type senders struct{ auth.None }

func (senders) Authenticate(r *http.Request) (auth.Caller, error) {
	return auth.Caller{Name: r.Header.Get("X-Sender")}, nil
}

func TestNoSenderHoldsThePlacesOfAnother(t *testing.T) {
	t.Parallel()
	const places, sent = 8, 8
	b := setup(t, func(o *webhook.Options) { o.MaxConcurrent, o.Auth = places, auth.NewGate(senders{}, zap.NewNop()) })
	create := b.open
	entered, leave := make(chan struct{}), make(chan struct{})
	b.open = func(ctx context.Context, s dedup.Signal) (dedup.Result, error) {
		entered <- struct{}{}
		<-leave
		return create(ctx, s)
	}
	send := func(sender string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.PathPrometheus, strings.NewReader(message(alert("firing", "A"))))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Sender", sender)
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, r)
		return w.Code
	}
	var group sync.WaitGroup
	defer group.Wait()
	defer close(leave)
	// begin returns how many notifications of a sender are processed at once.
	begin := func(sender string) int {
		refused := make(chan struct{})
		for n := range sent {
			group.Go(func() {
				if send(sender) == http.StatusServiceUnavailable {
					refused <- struct{}{}
				}
			})
			select {
			case <-entered:
			case <-refused:
				return n
			}
		}
		return sent
	}
	if n := begin("greedy"); n != places/2+1 {
		t.Errorf("%d notifications of one sender, want half of %d, and one", n, places)
	}
	if n := begin("other"); n < 2 {
		t.Errorf("%d notifications of another sender", n)
	}
}
