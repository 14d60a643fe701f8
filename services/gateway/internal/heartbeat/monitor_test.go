package heartbeat_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/heartbeat"
	"kubernaut.ai/services/gateway/internal/signal"
)

// world is what the replicas of a Gateway share.
type world struct {
	client client.Client
	began  time.Time

	mu     sync.Mutex
	away   bool            // guarded by mu: the API server
	failed int             // guarded by mu: how many reports fail
	log    []string        // guarded by mu: what was reported, with the time since the beginning
	events map[string]bool // guarded by mu: ids of losses
	paused chan struct{}   // if it is not nil, the report of a loss waits for it
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{began: time.Now(), events: map[string]bool{}}
	fail := func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.away {
			return errors.New("the API server is away")
		}
		return nil
	}
	w.client = fake.NewClientBuilder().WithScheme(scheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return errors.Join(fail(), c.Get(ctx, key, o, opts...))
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return errors.Join(fail(), c.Update(ctx, o, opts...))
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return errors.Join(fail(), c.Create(ctx, o, opts...))
		},
	}).Build()
	return w
}

// Lost implements heartbeat.Trail.
func (w *world) Lost(_ context.Context, request types.NamespacedName, loss *heartbeat.Loss) error {
	w.set(func() { w.events["lost "+loss.ID()+" "+request.Name] = true })
	return nil
}

// Restored implements heartbeat.Trail.
func (w *world) Restored(_ context.Context, request types.NamespacedName, loss *heartbeat.Loss) error {
	w.set(func() { w.events["restored "+loss.ID()+" "+request.Name] = true })
	return nil
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) notef(format string, args ...any) {
	w.set(func() {
		w.log = append(w.log, fmt.Sprintf("%s ", time.Since(w.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
	})
}

// expect compares what was reported since the last call.
func (w *world) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	w.set(func() {
		if !reflect.DeepEqual(append([]string{}, w.log...), append([]string{}, want...)) {
			t.Errorf("after %s reported\n%s\nwant\n%s", time.Since(w.began), strings.Join(w.log, "\n"), strings.Join(want, "\n"))
		}
		w.log = nil
	})
}

// path is the Gateway's own.
func (w *world) path(_ context.Context, id string, o *signal.Observation) (types.NamespacedName, error) {
	failed := false
	w.set(func() {
		if w.failed > 0 {
			w.failed--
			failed = true
		}
	})
	if failed {
		return types.NamespacedName{}, errors.New("no request")
	}
	if w.paused != nil && !o.Resolved {
		<-w.paused
	}
	state := "firing"
	if o.Resolved {
		state = "resolved"
	}
	if id == "" {
		state += " without an id"
	}
	w.notef("%s %s/%s since %s", state, o.Target.Namespace, o.Target.Name, o.Spec.FiringTime.Sub(w.began))
	return types.NamespacedName{Namespace: "kubernaut-system", Name: "rr-1"}, nil
}

// elapse lets time pass in a bubble of synctest.
func elapse(d time.Duration) { <-time.After(d) }

// replica is a monitor that runs.
type replica struct {
	*heartbeat.Monitor

	registry *prometheus.Registry
	stop     context.CancelFunc
}

func (w *world) replica(t *testing.T, expectations ...string) *replica {
	t.Helper()
	all, err := heartbeat.ParseAll(expectations)
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{registry: prometheus.NewRegistry()}
	r.Monitor, err = heartbeat.New(heartbeat.Options{
		Expectations: all, Client: w.client, Namespace: "kubernaut-system", Path: w.path, Trail: w, Clock: clock.RealClock{}, Log: zap.NewNop(),
		Registerer: r.registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(r.stop)
	return r
}

func spec(name, severity string, labels map[string]string) *v1alpha1.RemediationRequestSpec {
	return &v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
		SignalName: name, SignalType: v1alpha1.SignalTypeAlert, Severity: severity, Labels: labels,
	}}
}

// beat delivers a heartbeat to a replica.
func (r *replica) beat(t *testing.T, labels map[string]string) error {
	t.Helper()
	expected, is := r.Match(spec("Watchdog", "none", labels))
	if !is {
		t.Error("not a heartbeat")
	}
	errs := make([]error, 0, len(expected))
	for _, b := range expected {
		errs = append(errs, b.Seen(t.Context()))
	}
	return errors.Join(errs...)
}

func (r *replica) mustBeat(t *testing.T) {
	t.Helper()
	if err := r.beat(t, nil); err != nil {
		t.Error(err)
	}
}

func TestHeartbeatsAreToldFromProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all, err := heartbeat.ParseAll([]string{"DeadMansSwitch,team=a,within=off", "Pulse,namespace=shop"})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	m, err := heartbeat.New(heartbeat.Options{
		Expectations: all, Client: w.client, Path: w.path, Trail: w, Clock: clock.RealClock{}, Log: zap.NewNop(), Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	watchdog, inhibitor := labelsOf(t, "watchdog.json"), labelsOf(t, "infoinhibitor-pending.json")
	event := spec("Watchdog", "none", nil)
	event.SignalType = v1alpha1.SignalTypeKubernetesEvent
	for name, test := range map[string]struct {
		spec     *v1alpha1.RemediationRequestSpec
		is       bool
		expected int
	}{
		"the watchdog":                    {spec("Watchdog", watchdog["severity"], watchdog), true, 0},
		"a watchdog of another severity":  {spec("Watchdog", "critical", watchdog), true, 0},
		"an inhibitor":                    {spec("InfoInhibitor", inhibitor["severity"], inhibitor), true, 0},
		"severity none":                   {spec("Anything", " None", nil), true, 0},
		"no severity":                     {spec("Anything", "", nil), false, 0},
		"severity info":                   {spec("Anything", "info", nil), false, 0},
		"configured, not expected":        {spec("DeadMansSwitch", "critical", map[string]string{"team": "a", "more": "x"}), true, 0},
		"configured for another team":     {spec("DeadMansSwitch", "critical", map[string]string{"team": "b"}), false, 0},
		"expected":                        {spec("Pulse", "warning", map[string]string{"namespace": "shop"}), true, 1},
		"expected in another namespace":   {spec("Pulse", "warning", nil), false, 0},
		"a Kubernetes event of that name": {event, false, 0},
	} {
		expected, is := m.Match(test.spec)
		if is != test.is || len(expected) != test.expected {
			t.Errorf("%s: heartbeat %t, %d expected ones", name, is, len(expected))
		}
		for _, b := range expected {
			if b.Namespace() != "shop" {
				t.Errorf("%s: about namespace %q", name, b.Namespace())
			}
		}
	}
	const want = `
# HELP gateway_heartbeats_total Heartbeat alerts that arrived.
# TYPE gateway_heartbeats_total counter
gateway_heartbeats_total 6
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "gateway_heartbeats_total"); err != nil {
		t.Error(err)
	}
}

func TestAHeartbeatThatStopsIsReportedOnceAndItsReturnToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(t, "Watchdog,within=5m")
		for range 3 {
			elapse(time.Minute)
			r.mustBeat(t)
		}
		elapse(5*time.Minute - time.Millisecond)
		w.expect(t)
		elapse(time.Millisecond)
		w.expect(t, "8m0s firing /Watchdog since 8m0s")
		r.expectMetric(t, "gateway_heartbeats_lost", 1)

		elapse(30 * time.Minute)
		w.expect(t)
		r.mustBeat(t)
		w.expect(t, "38m0s resolved /Watchdog since 8m0s")
		r.expectMetric(t, "gateway_heartbeats_lost", 0)
		r.mustBeat(t)
		elapse(5*time.Minute - time.Millisecond)
		w.expect(t)
		elapse(time.Millisecond)
		w.expect(t, "43m0s firing /Watchdog since 43m0s")
		if len(w.events) != 3 {
			t.Errorf("events %v", w.events)
		}
	})
}

func (r *replica) expectMetric(t *testing.T, name string, want float64) {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			if got := f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue(); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
			return
		}
	}
	t.Errorf("no metric %s", name)
}

func TestALossIsRepeatedEveryHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.replica(t, "Watchdog,within=10m")
		w.replica(t, "Watchdog,within=10m")
		elapse(11 * time.Minute)
		w.set(func() { w.log = w.log[:1] }) // both may have reported at the same moment
		w.expect(t, "10m0s firing /Watchdog since 10m0s")
		elapse(58 * time.Minute)
		w.expect(t)
		elapse(3 * time.Minute)
		w.set(func() {
			if len(w.log) < 1 || len(w.log) > 2 || !strings.HasSuffix(w.log[0], "firing /Watchdog since 10m0s") {
				t.Errorf("repeated: %q", w.log)
			}
			if len(w.events) != 1 {
				t.Errorf("events %v, want one loss", w.events)
			}
		})
	})
}

func TestAHeartbeatThatNeverArrivesIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(t, "Watchdog,prometheus=monitoring/k8s,namespace=shop,within=1m")
		if err := r.beat(t, map[string]string{"prometheus": "other", "namespace": "shop"}); err != nil {
			t.Error(err)
		}
		elapse(time.Minute)
		w.expect(t, "1m0s firing shop/Watchdog,namespace=shop,prometheus=monitoring/k8s since 1m0s")
	})
}

func TestReplicasShareWhatTheySee(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first, second := w.replica(t, "Watchdog,within=5m"), w.replica(t, "Watchdog,within=5m")
		for range 30 { // only the first one receives heartbeats
			elapse(time.Minute)
			first.mustBeat(t)
		}
		w.expect(t)
		first.stop()
		elapse(time.Minute)
		second.mustBeat(t) // the sender has turned to the other one
		elapse(5*time.Minute - time.Millisecond)
		w.expect(t)
		elapse(time.Millisecond)
		w.expect(t, "36m0s firing /Watchdog since 36m0s")
		third := w.replica(t, "Watchdog,within=5m")
		elapse(time.Second)
		third.mustBeat(t) // it did not report the loss, and reports its end
		w.expect(t, "36m1s resolved /Watchdog since 36m0s")
		elapse(2 * time.Minute)
		second.expectMetric(t, "gateway_heartbeats_lost", 0)
	})
}

func TestAHeartbeatThatAnotherReplicaDidNotWriteCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(t, "Watchdog,within=5m")
		w.replica(t, "Watchdog,within=5m") // it receives none
		r.mustBeat(t)
		elapse(9 * time.Second)
		r.mustBeat(t) // so soon after the first one that it is not written
		elapse(5*time.Minute - time.Millisecond)
		r.mustBeat(t)
		elapse(time.Minute)
		w.expect(t)
	})
}

func TestARestartIsNoLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.replica(t, "Watchdog,within=5m")
		first.mustBeat(t)
		first.stop()
		elapse(2 * time.Hour) // nobody was there to see a heartbeat
		again := w.replica(t, "Watchdog,within=5m")
		elapse(5*time.Minute - time.Millisecond)
		w.expect(t)
		again.mustBeat(t)
		elapse(5*time.Minute - time.Millisecond)
		w.expect(t)
		elapse(time.Millisecond)
		w.expect(t, fmt.Sprintf("%s firing /Watchdog since %s", 2*time.Hour+10*time.Minute-time.Millisecond, 2*time.Hour+10*time.Minute-time.Millisecond))
	})
}

func TestAnOutageOfTheAPIServerIsNoLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r, idle := w.replica(t, "Watchdog,within=5m"), w.replica(t, "Watchdog,within=5m")
		r.mustBeat(t)
		w.set(func() { w.away = true })
		for range 12 {
			elapse(time.Minute)
			if err := r.beat(t, nil); err == nil {
				t.Error("a heartbeat was answered that no replica knows of")
			}
		}
		w.set(func() { w.away = false })
		elapse(30 * time.Second) // until the sender tries again
		r.mustBeat(t)
		elapse(5*time.Minute - time.Millisecond)
		w.expect(t)
		idle.expectMetric(t, "gateway_heartbeats_lost", 0)
	})
}

func TestAReportThatFailsIsRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.failed = 2
		r := w.replica(t, "Watchdog,within=1m")
		elapse(time.Minute + 20*time.Second)
		w.expect(t, "1m20s firing /Watchdog since 1m0s")
		r.expectMetric(t, "gateway_heartbeat_failures_total", 2)
		w.set(func() { w.failed = 1 })
		if err := r.beat(t, nil); err == nil {
			t.Error("the end of the loss was not reported, and the heartbeat was answered")
		}
		r.mustBeat(t)
		w.expect(t, "1m20s resolved /Watchdog since 1m0s")
	})
}

func TestAReportThatCrossesTheReturnIsTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.paused = make(chan struct{})
		w.replica(t, "Watchdog,within=1m")
		elapse(time.Minute)
		synctest.Wait() // its report is under way
		other := w.replica(t, "Watchdog,within=1m")
		other.mustBeat(t) // it ends the loss while the report is under way
		close(w.paused)
		elapse(15 * time.Second)
		w.expect(t, "1m0s resolved /Watchdog since 1m0s", "1m0s firing /Watchdog since 1m0s", "1m10s resolved /Watchdog since 1m0s")
	})
}

func TestWritesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(t, "Watchdog,within=5m")
		for range 600 {
			r.mustBeat(t)
			elapse(time.Second / 10)
		}
		var lease coordinationv1.LeaseList
		if err := w.client.List(t.Context(), &lease); err != nil || len(lease.Items) != 1 {
			t.Fatalf("%d leases, error %v", len(lease.Items), err)
		}
		if version := lease.Items[0].ResourceVersion; version != "6" {
			t.Errorf("written %s times in a minute", version)
		}
	})
}
