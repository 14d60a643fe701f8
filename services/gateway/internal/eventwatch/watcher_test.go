package eventwatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"

	"kubernaut.ai/services/gateway/internal/eventwatch"
)

// server is an API server with events, as far as a watcher sees it. Leases are
// those of a fake client, which several watchers may share.
type server struct {
	*fake.Clientset

	lists, watches chan string // the field selector and page of a list; the resource version of a watch
	changes        chan watch.Event
}

func newServer(listed ...corev1.Event) *server {
	s := &server{
		Clientset: fake.NewClientset(), lists: make(chan string, 10), watches: make(chan string, 10), changes: make(chan watch.Event, 10),
	}
	s.PrependReactor("list", "events", func(action clienttesting.Action) (bool, runtime.Object, error) {
		list, _ := action.(clienttesting.ListActionImpl)
		s.lists <- list.ListRestrictions.Fields.String()
		return true, &corev1.EventList{ListMeta: metav1.ListMeta{ResourceVersion: "100"}, Items: listed}, nil
	})
	s.PrependWatchReactor("events", func(action clienttesting.Action) (bool, watch.Interface, error) {
		w, _ := action.(clienttesting.WatchActionImpl)
		proxy := watch.NewProxyWatcher(s.changes)
		s.watches <- w.ListOptions.ResourceVersion
		return true, proxy, nil
	})
	return s
}

// deliveries counts the attempts for each reason. Attempts fail while refuse is set.
type deliveries struct {
	mu       sync.Mutex
	attempts map[string]int // guarded by mu
	refuse   map[string]int // guarded by mu: how often
	accepted chan string
}

func newDeliveries() *deliveries {
	return &deliveries{attempts: map[string]int{}, refuse: map[string]int{}, accepted: make(chan string, 100)}
}

func (d *deliveries) deliver(_ context.Context, text []byte) error {
	var e corev1.Event
	if err := json.Unmarshal(text, &e); err != nil {
		return err
	}
	if e.Kind != "Event" || e.APIVersion != "v1" || e.ManagedFields != nil {
		return fmt.Errorf("unexpected %s", text)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.attempts[e.Reason]++
	if d.refuse[e.Reason] >= d.attempts[e.Reason] {
		return errors.New("the API server is away")
	}
	d.accepted <- e.Reason
	return nil
}

// run runs a watcher until the returned function is called.
func run(t *testing.T, s *server, d *deliveries) (stop func()) {
	t.Helper()
	w, err := eventwatch.New(eventwatch.Options{
		Client: s, Namespace: "kubernaut-system", Selector: "type=Warning", Identity: t.Name() + time.Now().String(),
		Deliver: d.deliver, Clock: clock.RealClock{}, Log: zap.NewNop(), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func event(reason, version string) *corev1.Event {
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: reason, ResourceVersion: version, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
		},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "db-0"},
		Reason:         reason, Type: corev1.EventTypeWarning, LastTimestamp: metav1.Now(),
	}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func (s *server) position(t *testing.T) string {
	t.Helper()
	lease, err := s.CoordinationV1().Leases("kubernaut-system").Get(t.Context(), "gateway-event-position", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return lease.Annotations["kubernaut.ai/event-positions"]
}

func TestEventsAreDeliveredUntilTheyAreAccepted(t *testing.T) {
	t.Parallel()
	s, d := newServer(*event("Before", "50")), newDeliveries()
	d.refuse["BackOff"] = 2
	stop := run(t, s, d)
	defer stop()
	if selector := receive(t, s.lists); selector != "type=Warning" {
		t.Errorf("listed %q", selector)
	}
	if version := receive(t, s.watches); version != "100" {
		t.Errorf("watched from %q", version)
	}
	s.changes <- watch.Event{Type: watch.Added, Object: event("BackOff", "101")}
	s.changes <- watch.Event{Type: watch.Deleted, Object: event("Deleted", "102")}
	s.changes <- watch.Event{Type: watch.Modified, Object: event("Unhealthy", "103")}
	if first, second := receive(t, d.accepted), receive(t, d.accepted); first != "Unhealthy" || second != "BackOff" {
		t.Errorf("accepted %s and %s", first, second)
	}
	stop()
	if p := s.position(t); !strings.Contains(p, `"resourceVersion":"103"`) {
		t.Errorf("position %s", p)
	}
	if d.attempts["BackOff"] != 3 || len(d.attempts) != 2 {
		t.Errorf("attempts %v: the events before the first watch are not signals", d.attempts)
	}
}

func TestTheNextReplicaGoesOnWhereTheLastEnded(t *testing.T) {
	t.Parallel()
	s, d := newServer(), newDeliveries()
	d.refuse["Stuck"] = 1000
	stop := run(t, s, d)
	receive(t, s.watches)
	s.changes <- watch.Event{Type: watch.Added, Object: event("First", "101")}
	s.changes <- watch.Event{Type: watch.Added, Object: event("Stuck", "102")}
	s.changes <- watch.Event{Type: watch.Added, Object: event("Last", "103")}
	receive(t, d.accepted)
	receive(t, d.accepted)
	stop()
	if p := s.position(t); !strings.Contains(p, `"resourceVersion":"101"`) {
		t.Errorf("position %s, want the one before the event that is not accepted", p)
	}
	stop = run(t, s, newDeliveries())
	defer stop()
	if version := receive(t, s.watches); version != "101" {
		t.Errorf("the next replica watches from %q", version)
	}
}

// A watch from a resource version of the future waits until the API server gets there.
func TestALeaseFromABackupIsGoodForItsTimeOnly(t *testing.T) {
	t.Parallel()
	s, d := newServer(*event("Missed", "90")), newDeliveries()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Namespace: "kubernaut-system", Name: "gateway-event-position", UID: "restored", Annotations: map[string]string{
			"kubernaut.ai/event-positions":    fmt.Sprintf(`{"":{"resourceVersion":"4711","time":%q}}`, time.Now().UTC().Format(time.RFC3339)),
			"kubernaut.ai/event-positions-of": "backed-up",
		},
	}}
	if err := s.Tracker().Add(lease); err != nil {
		t.Fatal(err)
	}
	stop := run(t, s, d)
	defer stop()
	if reason := receive(t, d.accepted); reason != "Missed" {
		t.Errorf("accepted %s, want the event since the position", reason)
	}
	if version := receive(t, s.watches); version != "100" {
		t.Errorf("watched from %q", version)
	}
	stop()
	if p := s.position(t); !strings.Contains(p, `"resourceVersion":"100"`) {
		t.Errorf("position %s", p)
	}
}

func TestAnExpiredWatchBeginsAgainWithAList(t *testing.T) {
	t.Parallel()
	old := event("Old", "10")
	old.LastTimestamp = metav1.NewTime(time.Now().Add(-time.Hour))
	s, d := newServer(*old, *event("Missed", "90")), newDeliveries()
	stop := run(t, s, d)
	defer stop()
	receive(t, s.lists)
	receive(t, s.watches)
	gone := apierrors.NewResourceExpired("too old resource version").ErrStatus
	s.changes <- watch.Event{Type: watch.Error, Object: &gone}
	receive(t, s.lists)
	if reason := receive(t, d.accepted); reason != "Missed" {
		t.Errorf("accepted %s, want the event since the position", reason)
	}
	if version := receive(t, s.watches); version != "100" {
		t.Errorf("watched from %q", version)
	}
	stop()
	if len(d.attempts) != 1 {
		t.Errorf("attempts %v", d.attempts)
	}
}

func TestEventsAboutThePlatformsOwnResourcesAreNoSignals(t *testing.T) {
	t.Parallel()
	s, d := newServer(), newDeliveries()
	stop := run(t, s, d)
	defer stop()
	receive(t, s.watches)
	own := event("ProcessingFailed", "101")
	own.InvolvedObject = corev1.ObjectReference{APIVersion: "kubernaut.ai/v1alpha1", Kind: "RemediationRequest", Namespace: "shop", Name: "rr-1"}
	s.changes <- watch.Event{Type: watch.Added, Object: own}
	s.changes <- watch.Event{Type: watch.Added, Object: event("BackOff", "102")}
	if reason := receive(t, d.accepted); reason != "BackOff" {
		t.Errorf("accepted %s", reason)
	}
}

func TestOneReplicaWatchesAtATime(t *testing.T) {
	t.Parallel()
	s, d := newServer(), newDeliveries()
	stop := run(t, s, d)
	receive(t, s.watches)
	stopSecond := run(t, s, d)
	defer stopSecond()
	stop() // it releases the lease, and the second one takes over
	receive(t, s.watches)
	if leaders := len(s.watches); leaders != 0 {
		t.Errorf("%d more watches", leaders)
	}
}
