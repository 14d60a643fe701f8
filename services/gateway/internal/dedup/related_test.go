package dedup_test

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/signal"
)

func TestSignalsAboutAPodThatIsGoneShareReads(t *testing.T) {
	t.Parallel()
	c := newCluster(t, many())
	// The pod's owner was known when the request was opened; now the pod is gone.
	known := problem("A", "p")
	known.SignalFingerprint = signal.Fingerprint("", v1alpha1.TargetResource{Kind: "Deployment", Name: "d", Namespace: "shop"}, "A")
	first := c.open(t, known)
	trimmed(t, c, first.Request)
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int32
		slow := interceptor.NewClient(c.WithWatch, interceptor.Funcs{
			Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
				if _, ok := object.(*v1alpha1.RemediationRequest); ok {
					reads.Add(1)
					<-time.After(time.Second)
				}
				return w.Get(ctx, key, object, o...)
			},
		})
		opener := dedup.NewOpener(dedup.Options{
			Cache: c.WithWatch, Client: slow, Clock: clock.RealClock{}, Random: rand.Reader, Quota: c.quota, Overflows: c,
			Namespace: modelNamespace, CoolDown: modelCoolDown,
		})
		open := func() {
			result, err := opener.Open(t.Context(), dedup.Signal{Spec: problem("A", "p")}, c)
			if err != nil || result.Created || result.Request.UID != first.Request.UID {
				t.Errorf("got %+v, %v, want %s", result, err, first.Request.Name)
			}
		}
		open()
		reads.Store(0)
		var group sync.WaitGroup
		for range 12 {
			group.Go(open)
		}
		group.Wait()
		if n := reads.Load(); n > 2 {
			t.Errorf("%d reads for 12 signals at once, want at most 2", n)
		}
	})
}
