package processing_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/signalprocessing/internal/auditevents"
	"kubernaut.ai/services/signalprocessing/internal/classify"
	"kubernaut.ai/services/signalprocessing/internal/enrich"
	"kubernaut.ai/services/signalprocessing/internal/processing"
)

var errBroken = errors.New("broken on purpose")

// recorder stores the events that it accepts, by id, with the status at that time.
type recorder struct {
	order   []string
	byID    map[string]*audit.Event
	refuse  error
	observe func(e *audit.Event)
	// doubt is an error that Record returns although it has stored the event.
	doubt error
}

func (r *recorder) Record(_ context.Context, e *audit.Event) error {
	if r.refuse != nil {
		return r.refuse
	}
	if r.observe != nil {
		r.observe(e)
	}
	id := e.ID.String()
	if _, again := r.byID[id]; !again {
		r.order = append(r.order, e.Type)
	}
	r.byID[id] = e
	return r.doubt
}

// bench is a reconciler on a fake API server. Behavior that depends on a real one is
// tested in the integration suite.
type bench struct {
	*processing.Reconciler

	t        *testing.T
	client   client.Client
	audit    *recorder
	registry *prometheus.Registry
	enrich   func() (*v1alpha1.EnrichedContext, error)
	// writes intercepts status writes if it is set.
	writes func(write func() error) error
	// stale is the content of the cache if it is set.
	stale *v1alpha1.SignalProcessing
}

func (b *bench) Enrich(context.Context, v1alpha1.TargetResource) (*v1alpha1.EnrichedContext, error) {
	return b.enrich()
}

// Get reads from the cache.
func (b *bench) Get(ctx context.Context, key client.ObjectKey, into client.Object, o ...client.GetOption) error {
	if sp, ok := into.(*v1alpha1.SignalProcessing); ok && b.stale != nil {
		b.stale.DeepCopyInto(sp)
		return nil
	}
	return b.client.Get(ctx, key, into, o...)
}

// List reads from the cache.
func (b *bench) List(ctx context.Context, into client.ObjectList, o ...client.ListOption) error {
	return b.client.List(ctx, into, o...)
}

func setup(t *testing.T) *bench {
	t.Helper()
	types := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(types), v1alpha1.AddToScheme(types)); err != nil {
		t.Fatal(err)
	}
	b := &bench{
		t: t, audit: &recorder{byID: map[string]*audit.Event{}}, registry: prometheus.NewRegistry(),
		enrich: func() (*v1alpha1.EnrichedContext, error) { return &v1alpha1.EnrichedContext{}, nil },
	}
	b.client = fake.NewClientBuilder().WithScheme(types).
		WithStatusSubresource(&v1alpha1.SignalProcessing{}).
		WithObjects(&v1alpha1.SignalProcessing{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr-1", UID: "uid-1", Generation: 1, CreationTimestamp: metav1.Unix(1_700_000_000, 0)},
			Spec: v1alpha1.SignalProcessingSpec{
				RemediationRequestRef: v1alpha1.RemediationRequestReference{Name: "rr-1", UID: "uid-0"},
				Signal: v1alpha1.Signal{
					SignalName: "Crash", SignalType: v1alpha1.SignalTypeAlert, SignalSource: "test", Severity: "critical",
					TargetResource: v1alpha1.TargetResource{Kind: "Pod", Name: "web-0", Namespace: "prod-shop"},
				},
			},
		}).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourceApply: func(ctx context.Context, c client.Client, sub string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				write := func() error { return c.SubResource(sub).Apply(ctx, o, opts...) }
				if b.writes != nil {
					return b.writes(write)
				}
				return write()
			},
		}).Build()
	bundle, err := classify.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	classifier, err := classify.New(t.Context(), bundle, classify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := processing.NewMetrics(b.registry)
	if err != nil {
		t.Fatal(err)
	}
	b.Reconciler, err = processing.New(processing.Parts{
		Live: b.client, Cached: b, Writer: b.client, Enricher: b, Classifier: classifier, Audit: b.audit,
		Events: events.NewFakeRecorder(100), Metrics: metrics, Clock: testclock.NewFakePassiveClock(time.Unix(1_700_000_100, 0)), Log: zap.NewNop(),
	}, processing.Options{MaxAttempts: 3, FirstBackoff: time.Second, MaxBackoff: 3 * time.Second, Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// step reconciles once and returns the resource afterwards.
func (b *bench) step() (*v1alpha1.SignalProcessing, reconcile.Result, error) {
	b.t.Helper()
	key := client.ObjectKey{Namespace: "shop", Name: "rr-1"}
	result, err := b.Reconcile(b.t.Context(), reconcile.Request{NamespacedName: key})
	sp := &v1alpha1.SignalProcessing{}
	if getErr := b.client.Get(b.t.Context(), key, sp); getErr != nil {
		b.t.Fatal(getErr)
	}
	return sp, result, err
}

// run reconciles until the resource is finished.
func (b *bench) run() *v1alpha1.SignalProcessing {
	b.t.Helper()
	for range 20 {
		sp, _, err := b.step()
		if err != nil {
			b.t.Fatal(err)
		}
		if sp.Status.Phase.Terminal() && sp.Status.ObservedGeneration == sp.Generation {
			return sp
		}
	}
	b.t.Fatal("no end after 20 steps")
	return nil
}

// complete is the trail of a signal that is processed without failures.
func complete() []string {
	return []string{
		auditevents.TypePhaseTransition,
		auditevents.TypeEnrichmentCompleted, auditevents.TypePhaseTransition,
		auditevents.TypeClassificationDecision, auditevents.TypePhaseTransition,
		auditevents.TypeBusinessClassified, auditevents.TypeSignalProcessed, auditevents.TypePhaseTransition,
	}
}

func TestOneStepAReconcile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, want := range []v1alpha1.ProcessingPhase{
		v1alpha1.ProcessingEnriching, v1alpha1.ProcessingClassifying, v1alpha1.ProcessingCategorizing, v1alpha1.ProcessingCompleted, v1alpha1.ProcessingCompleted,
	} {
		sp, _, err := b.step()
		if err != nil {
			t.Fatal(err)
		}
		if sp.Status.Phase != want {
			t.Fatalf("phase = %s, want %s", sp.Status.Phase, want)
		}
	}
	if !slices.Equal(b.audit.order, complete()) {
		t.Errorf("trail = %v", b.audit.order)
	}
}

func TestEventsAreRecordedBeforeTheStatusThatShowsThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.audit.observe = func(e *audit.Event) {
		sp := &v1alpha1.SignalProcessing{}
		if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "rr-1"}, sp); err != nil {
			t.Fatal(err)
		}
		if phase := auditevents.StepOf(sp).Phase; e.Type == auditevents.TypePhaseTransition && !strings.Contains(string(e.Data), fmt.Sprintf("%q:%q", "from", phase)) {
			t.Errorf("recorded %s when the status already was %s", e.Data, phase)
		}
	}
	b.run()
}

func TestNoStatusWithoutItsEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, phase := range []v1alpha1.ProcessingPhase{"", v1alpha1.ProcessingEnriching, v1alpha1.ProcessingClassifying, v1alpha1.ProcessingCategorizing} {
		b.audit.refuse = errBroken
		sp, _, err := b.step()
		if !errors.Is(err, errBroken) {
			t.Errorf("in %q: error = %v", phase, err)
		}
		if sp.Status.Phase != phase {
			t.Fatalf("phase = %q without its event, want %q", sp.Status.Phase, phase)
		}
		b.audit.refuse = nil
		if _, _, err := b.step(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoStatusWhileItsEventIsInDoubtAndTheEventOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, phase := range []v1alpha1.ProcessingPhase{"", v1alpha1.ProcessingEnriching, v1alpha1.ProcessingClassifying, v1alpha1.ProcessingCategorizing} {
		b.audit.doubt = audit.ErrInDoubt
		sp, _, err := b.step()
		if !errors.Is(err, audit.ErrInDoubt) || sp.Status.Phase != phase {
			t.Errorf("in %q: phase = %q, error = %v", phase, sp.Status.Phase, err)
		}
		b.audit.doubt = nil
		if _, _, err := b.step(); err != nil {
			t.Fatal(err)
		}
	}
	if want := 4 + 3 + 1; len(b.audit.byID) != want {
		t.Errorf("%d events, want %d: transitions, work and the outcome, each once: %v", len(b.audit.byID), want, b.audit.order)
	}
}

// Each write fails before it succeeds: rejected, not performed, or performed with a
// lost response.
func TestRepeatedStepsLeaveEachEventOnce(t *testing.T) {
	t.Parallel()
	conflict := apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("signalprocessings").GroupResource(), "rr-1", errBroken)
	timeout := apierrors.NewTimeoutError("broken on purpose", 0)
	for name, test := range map[string]struct {
		failure error
		done    bool
		// failures before a write succeeds; a step retries conflicts itself.
		failures int
	}{
		"one conflict":         {failure: conflict, failures: 1},
		"many conflicts":       {failure: conflict, failures: 15},
		"failed and not done":  {failure: timeout, failures: 2},
		"failed although done": {failure: timeout, failures: 1, done: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			writes := 0
			b.writes = func(write func() error) error {
				if writes++; writes%(test.failures+1) == 0 {
					return write()
				}
				if test.done {
					if err := write(); err != nil {
						return err
					}
				}
				return test.failure
			}
			for range 50 {
				sp, result, err := b.step()
				if sp.Status.Phase.Terminal() {
					break
				}
				if errors.Is(test.failure, conflict) && err != nil {
					t.Fatalf("a conflict gave %+v, %v", result, err)
				}
			}
			if !slices.Equal(b.audit.order, complete()) {
				t.Errorf("trail = %v", b.audit.order)
			}
		})
	}
}

func TestStaleCacheRepeatsNoStep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, _, err := b.step()
	if err != nil {
		t.Fatal(err)
	}
	b.stale = first
	b.run()
	if !slices.Equal(b.audit.order, complete()) {
		t.Errorf("trail = %v", b.audit.order)
	}
}

func TestFailedAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enrich = func() (*v1alpha1.EnrichedContext, error) {
		return nil, &enrich.Error{Code: enrich.CodeForbidden, What: `Pod "web-0" in namespace "prod-shop"`, Err: errBroken}
	}
	if _, _, err := b.step(); err != nil {
		t.Fatal(err)
	}
	for attempt, wait := range []time.Duration{time.Second, 2 * time.Second} {
		sp, result, err := b.step()
		if err != nil {
			t.Fatal(err)
		}
		if sp.Status.Phase != v1alpha1.ProcessingEnriching || sp.Status.Attempt != int32(attempt+1) || result.RequeueAfter != wait {
			t.Errorf("after attempt %d: phase %s, attempt %d, wait %s", attempt+1, sp.Status.Phase, sp.Status.Attempt, result.RequeueAfter)
		}
	}
	sp, result, err := b.step()
	if err != nil {
		t.Fatal(err)
	}
	if sp.Status.Phase != v1alpha1.ProcessingFailed || sp.Status.Attempt != 3 || sp.Status.CompletedAt == nil || result.RequeueAfter != 0 {
		t.Errorf("after the last attempt: %+v, %+v", sp.Status, result)
	}
	if !strings.Contains(sp.Status.Message, "attempt 3 of 3") || !strings.Contains(sp.Status.Message, "broken on purpose") {
		t.Errorf("message = %q", sp.Status.Message)
	}
	want := []string{
		auditevents.TypePhaseTransition, auditevents.TypeErrorOccurred, auditevents.TypeErrorOccurred,
		auditevents.TypeErrorOccurred, auditevents.TypeSignalProcessed, auditevents.TypePhaseTransition,
	}
	if !slices.Equal(b.audit.order, want) {
		t.Errorf("trail = %v", b.audit.order)
	}
}

func TestAttemptThatSucceedsLater(t *testing.T) {
	t.Parallel()
	b := setup(t)
	failures := 2
	b.enrich = func() (*v1alpha1.EnrichedContext, error) {
		if failures--; failures >= 0 {
			return nil, &enrich.Error{Code: enrich.CodeUnreachable, What: "Node", Err: errBroken}
		}
		return &v1alpha1.EnrichedContext{}, nil
	}
	if sp := b.run(); sp.Status.Phase != v1alpha1.ProcessingCompleted || sp.Status.Attempt != 0 {
		t.Errorf("status = %+v", sp.Status)
	}
}

func TestNewGenerationIsProcessedAnew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sp := b.run()
	sp.Generation = 2
	sp.Spec.Signal.Severity = "info"
	if err := b.client.Update(t.Context(), sp); err != nil {
		t.Fatal(err)
	}
	sp, _, err := b.step()
	if err != nil {
		t.Fatal(err)
	}
	if sp.Status.Phase != v1alpha1.ProcessingPending || sp.Status.ObservedGeneration != 2 || sp.Status.Severity != nil || sp.Status.CompletedAt != nil || sp.Status.Context != nil {
		t.Errorf("restarted: %+v", sp.Status)
	}
	if sp := b.run(); sp.Status.Severity.Value != v1alpha1.SeverityLow || sp.Status.Priority.Value != v1alpha1.PriorityP3 {
		t.Errorf("status = %+v", sp.Status)
	}
	// Back to Pending, and through all phases again.
	if want := slices.Concat(complete(), []string{auditevents.TypePhaseTransition}, complete()); !slices.Equal(b.audit.order, want) {
		t.Errorf("trail = %v", b.audit.order)
	}
}

func TestStopDuringWorkIsNoAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, _, err := b.step(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.enrich = func() (*v1alpha1.EnrichedContext, error) {
		cancel()
		return nil, ctx.Err()
	}
	recorded := len(b.audit.order)
	result, err := b.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "shop", Name: "rr-1"}})
	if err != nil || !result.IsZero() || len(b.audit.order) != recorded {
		t.Errorf("got %+v, %v and the trail %v", result, err, b.audit.order)
	}
}

// A status is written after its events were recorded, even if the service is asked to stop in between.
func TestStopAfterTheRecordStillWritesTheStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.audit.observe = func(*audit.Event) { cancel() }
	key := client.ObjectKey{Namespace: "shop", Name: "rr-1"}
	if _, err := b.Reconcile(ctx, reconcile.Request{NamespacedName: key}); err != nil {
		t.Fatal(err)
	}
	sp := &v1alpha1.SignalProcessing{}
	if err := b.client.Get(t.Context(), key, sp); err != nil {
		t.Fatal(err)
	}
	if sp.Status.Phase != v1alpha1.ProcessingEnriching {
		t.Errorf("phase = %q", sp.Status.Phase)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enrich = func() (*v1alpha1.EnrichedContext, error) {
		return &v1alpha1.EnrichedContext{Degraded: true, DegradedReason: "gone"}, nil
	}
	b.run()
	err := testutil.GatherAndCompare(b.registry, strings.NewReader(`
# HELP signalprocessing_conflicts_total Steps repeated because the resource had changed.
# TYPE signalprocessing_conflicts_total counter
signalprocessing_conflicts_total 0
# HELP signalprocessing_decisions_total Completed signals by severity, environment and priority.
# TYPE signalprocessing_decisions_total counter
signalprocessing_decisions_total{environment="production",priority="P0",severity="critical"} 1
# HELP signalprocessing_degraded_total Signals whose target was not found.
# TYPE signalprocessing_degraded_total counter
signalprocessing_degraded_total 1
# HELP signalprocessing_steps_total Steps by the phase before the step and by result (ok or error).
# TYPE signalprocessing_steps_total counter
signalprocessing_steps_total{phase="Categorizing",result="ok"} 1
signalprocessing_steps_total{phase="Classifying",result="ok"} 1
signalprocessing_steps_total{phase="Enriching",result="ok"} 1
signalprocessing_steps_total{phase="Pending",result="ok"} 1
`), "signalprocessing_conflicts_total", "signalprocessing_decisions_total", "signalprocessing_degraded_total", "signalprocessing_steps_total")
	if err != nil {
		t.Error(err)
	}
}

func TestUnusableOptions(t *testing.T) {
	t.Parallel()
	good := processing.Options{MaxAttempts: 1, FirstBackoff: 1, MaxBackoff: 1, Concurrency: 1}
	for name, change := range map[string]func(*processing.Options){
		"attempts":    func(o *processing.Options) { o.MaxAttempts = 0 },
		"backoff":     func(o *processing.Options) { o.FirstBackoff = 0 },
		"max backoff": func(o *processing.Options) { o.FirstBackoff = 2 },
		"concurrency": func(o *processing.Options) { o.Concurrency = 0 },
	} {
		o := good
		change(&o)
		if _, err := processing.New(processing.Parts{}, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAStartAheadOfTheClockLeavesAValidDuration(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.audit.observe = func(e *audit.Event) {
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", e.Type, err)
		}
	}
	for {
		sp, _, err := b.step()
		if err != nil {
			t.Fatal(err)
		}
		if sp.Status.Phase.Terminal() {
			return
		}
		// The clock of the leader that started was ahead of this one's.
		ahead := metav1.NewMicroTime(b.Clock.Now().Add(time.Hour))
		sp.Status.StartedAt = &ahead
		if err := b.client.Status().Update(t.Context(), sp); err != nil {
			t.Fatal(err)
		}
	}
}
