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

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/policy"
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
	observe func(e *audit.Event)
	// doubt is an error that Record returns; it has stored the event unless lose is set.
	doubt error
	lose  bool
}

func (r *recorder) Record(_ context.Context, e *audit.Event) error {
	if r.observe != nil {
		r.observe(e)
	}
	if r.doubt != nil && r.lose {
		return r.doubt
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
	*processing.Processor

	t        *testing.T
	client   client.Client
	audit    *recorder
	registry *prometheus.Registry
	enrich   func() (*v1alpha1.EnrichedContext, error)
	// writes intercepts status writes if it is set.
	writes func(write func() error) error
	// said are the severities of the request.
	said []string
	// shown are the phases that were written.
	shown []v1alpha1.ProcessingPhase
	kube  *events.FakeRecorder
}

func (b *bench) Enrich(context.Context, v1alpha1.TargetResource) (*v1alpha1.EnrichedContext, error) {
	return b.enrich()
}

// setup makes a bench whose request is in the Gateway's namespace, about a target elsewhere.
func setup(t *testing.T) *bench {
	t.Helper()
	return setupBeside(t, "shop")
}

func setupBeside(t *testing.T, gatewayNamespace string) *bench {
	t.Helper()
	types := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(types), v1alpha1.AddToScheme(types)); err != nil {
		t.Fatal(err)
	}
	b := &bench{
		t: t, audit: &recorder{byID: map[string]*audit.Event{}}, registry: prometheus.NewRegistry(),
		enrich: func() (*v1alpha1.EnrichedContext, error) { return &v1alpha1.EnrichedContext{}, nil },
		kube:   events.NewFakeRecorder(100),
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
			SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				write := func() error {
					err := c.SubResource(sub).Update(ctx, o, opts...)
					if sp, ok := o.(*v1alpha1.SignalProcessing); ok && err == nil {
						b.shown = append(b.shown, sp.Status.Phase)
					}
					return err
				}
				if b.writes != nil {
					return b.writes(write)
				}
				return write()
			},
		}).Build()
	classifier, err := classify.New(builtIn(t), classify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := processing.NewMetrics(b.registry)
	if err != nil {
		t.Fatal(err)
	}
	b.Processor, err = processing.New(processing.Parts{
		Live: b.client, Writer: b.client, Enricher: b, Classifier: classifier, Audit: b.audit,
		Events: b.kube, Metrics: metrics, Clock: testclock.NewFakePassiveClock(time.Unix(1_700_000_100, 0)), Log: zap.NewNop(),
	}, processing.Options{MaxAttempts: 3, GatewayNamespace: gatewayNamespace, FirstBackoff: time.Second, MaxBackoff: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// attempt reads the resource and performs its steps as far as they get; it returns the
// resource afterwards.
func (b *bench) attempt() (*v1alpha1.SignalProcessing, time.Duration, error) {
	b.t.Helper()
	_, wait, err := b.Run(b.t.Context(), b.read(), b.said)
	return b.read(), wait, err
}

// read returns the resource as it is stored.
func (b *bench) read() *v1alpha1.SignalProcessing {
	b.t.Helper()
	sp := &v1alpha1.SignalProcessing{}
	if err := b.client.Get(b.t.Context(), client.ObjectKey{Namespace: "shop", Name: "rr-1"}, sp); err != nil {
		b.t.Fatal(err)
	}
	return sp
}

// run makes attempts until the resource is settled.
func (b *bench) run() *v1alpha1.SignalProcessing {
	b.t.Helper()
	for range 20 {
		sp, _, err := b.attempt()
		if err != nil {
			b.t.Fatal(err)
		}
		if b.Settled(sp, b.said) {
			return sp
		}
	}
	b.t.Fatal("no end after 20 attempts")
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

func TestATargetOutsideOfTheNamespaceIsReadForTheGatewaysRequestsOnly(t *testing.T) {
	t.Parallel()
	for gateway, want := range map[string]bool{"shop": true, "kubernaut-system": false} {
		b, reads := setupBeside(t, gateway), 0
		b.enrich = func() (*v1alpha1.EnrichedContext, error) {
			reads++
			return &v1alpha1.EnrichedContext{NamespaceLabels: map[string]string{"owner": "other"}}, nil
		}
		found := b.run().Status.Context
		if (reads > 0) != want || (found.NamespaceLabels != nil) != want || found.Degraded == want {
			t.Errorf("the Gateway in %s: read %d times, context %+v", gateway, reads, found)
		}
		if !want && found.DegradedReason != `the target is not in namespace "shop", where the request is, so it was not read` {
			t.Errorf("reason %q", found.DegradedReason)
		}
		if !slices.Equal(b.audit.order, complete()) {
			t.Errorf("trail = %v", b.audit.order)
		}
	}
}

func TestEachStepIsWritten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run()
	want := []v1alpha1.ProcessingPhase{
		v1alpha1.ProcessingEnriching, v1alpha1.ProcessingClassifying, v1alpha1.ProcessingCategorizing, v1alpha1.ProcessingCompleted,
	}
	if !slices.Equal(b.shown, want) {
		t.Errorf("written phases = %v", b.shown)
	}
	if !slices.Equal(b.audit.order, complete()) {
		t.Errorf("trail = %v", b.audit.order)
	}
	if got := b.announced(); !slices.Equal(got, []string{"Normal Classified severity critical, environment production, priority P0"}) {
		t.Errorf("Kubernetes events = %q", got)
	}
}

// announced drains the Kubernetes events.
func (b *bench) announced() []string {
	var all []string
	for {
		select {
		case text := <-b.kube.Events:
			all = append(all, text)
		default:
			return all
		}
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

// stopBefore makes the recorder fail with err at the first event of the step that
// leaves a phase.
func (b *bench) stopBefore(phase v1alpha1.ProcessingPhase, err error, done bool) {
	b.audit.observe = func(*audit.Event) {
		b.audit.doubt = nil
		if b.read().Status.Phase != phase {
			return
		}
		b.audit.doubt, b.audit.lose = err, !done
	}
}

// Each step is repeated because the store did not take its first event, or did not say
// whether it has.
func TestNoStatusWithoutItsEvent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		done bool
	}{"refused": {errBroken, false}, "in doubt": {audit.ErrInDoubt, true}} {
		for _, phase := range []v1alpha1.ProcessingPhase{"", v1alpha1.ProcessingEnriching, v1alpha1.ProcessingClassifying, v1alpha1.ProcessingCategorizing} {
			t.Run(name+" in "+string(phase), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				b.stopBefore(phase, test.err, test.done)
				sp, _, err := b.attempt()
				if !errors.Is(err, test.err) || sp.Status.Phase != phase {
					t.Fatalf("phase = %q, error = %v", sp.Status.Phase, err)
				}
				b.audit.observe, b.audit.doubt, b.audit.lose = nil, nil, false
				b.run()
				if !slices.Equal(b.audit.order, complete()) {
					t.Errorf("trail = %v", b.audit.order)
				}
			})
		}
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
				sp, wait, err := b.attempt()
				if sp.Status.Phase.Terminal() {
					break
				}
				if errors.Is(test.failure, conflict) && err != nil {
					t.Fatalf("a conflict gave %s, %v", wait, err)
				}
			}
			if !slices.Equal(b.audit.order, complete()) {
				t.Errorf("trail = %v", b.audit.order)
			}
		})
	}
}

// The caller may have read a version that another replica has changed since.
// A decision is made at the time of the phase that it leaves, whatever later steps have left in the status.
func TestARepeatedDecisionIsMadeAtTheSameTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enrich = func() (*v1alpha1.EnrichedContext, error) { return &v1alpha1.EnrichedContext{}, nil }
	sp := b.run()
	recorded := len(b.audit.byID)
	sp.Status.Phase, sp.Status.CompletedAt = v1alpha1.ProcessingClassifying, nil
	for i := range sp.Status.Conditions {
		if c := &sp.Status.Conditions[i]; c.Type == v1alpha1.ConditionReady || c.Type == v1alpha1.ConditionCategorizationComplete {
			c.LastTransitionTime = metav1.NewTime(c.LastTransitionTime.Add(time.Hour))
		}
	}
	if err := b.client.Status().Update(t.Context(), sp); err != nil {
		t.Fatal(err)
	}
	b.run()
	if len(b.audit.byID) != recorded {
		t.Errorf("%d events, %d after a repetition", recorded, len(b.audit.byID))
	}
}

func TestStaleReadRepeatsNoStep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stale := b.read()
	b.run()
	for range 3 {
		if _, wait, err := b.Run(t.Context(), stale, nil); err != nil || wait == 0 {
			t.Errorf("wait %s, error %v, want another attempt", wait, err)
		}
	}
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
	for attempt, want := range []time.Duration{time.Second, 2 * time.Second} {
		sp, wait, err := b.attempt()
		if err != nil {
			t.Fatal(err)
		}
		if sp.Status.Phase != v1alpha1.ProcessingEnriching || sp.Status.Attempt != int32(attempt+1) || wait != want {
			t.Errorf("after attempt %d: phase %s, attempt %d, wait %s", attempt+1, sp.Status.Phase, sp.Status.Attempt, wait)
		}
	}
	sp, wait, err := b.attempt()
	if err != nil {
		t.Fatal(err)
	}
	if sp.Status.Phase != v1alpha1.ProcessingFailed || sp.Status.Attempt != 3 || sp.Status.CompletedAt == nil || wait != 0 {
		t.Errorf("after the last attempt: %+v, %s", sp.Status, wait)
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
	cleared := false
	b.writes = func(write func() error) error {
		err := write()
		if s := b.read().Status; s.Phase == v1alpha1.ProcessingPending {
			cleared = s.ObservedGeneration == 2 && s.Severity == nil && s.CompletedAt == nil && s.Context == nil && s.Severities == nil
		}
		return err
	}
	if sp := b.run(); sp.Status.Severity.Value != v1alpha1.SeverityLow || sp.Status.Priority.Value != v1alpha1.PriorityP3 {
		t.Errorf("status = %+v", sp.Status)
	}
	if !cleared {
		t.Error("the results of the first generation were kept")
	}
	// Back to Pending, and through all phases again.
	if want := slices.Concat(complete(), []string{auditevents.TypePhaseTransition}, complete()); !slices.Equal(b.audit.order, want) {
		t.Errorf("trail = %v", b.audit.order)
	}
}

func TestStopDuringWorkIsNoAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.enrich = func() (*v1alpha1.EnrichedContext, error) {
		cancel()
		return nil, ctx.Err()
	}
	sp, _, err := b.Run(ctx, b.read(), nil)
	if !errors.Is(err, context.Canceled) || sp.Status.Phase != v1alpha1.ProcessingEnriching || len(b.audit.order) != 1 {
		t.Errorf("got phase %s, %v and the trail %v", sp.Status.Phase, err, b.audit.order)
	}
}

// A status is written after its events were recorded, even if the service is asked to stop in between.
func TestStopAfterTheRecordStillWritesTheStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.audit.observe = func(*audit.Event) { cancel() }
	if _, _, err := b.Run(ctx, b.read(), nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if phase := b.read().Status.Phase; phase != v1alpha1.ProcessingEnriching {
		t.Errorf("phase = %q", phase)
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
# HELP signalprocessing_steps_total Steps by the phase before the step and by result (ok or error); a failed attempt is an error.
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

func TestAFailedAttemptIsAnErrorOfItsStep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enrich = func() (*v1alpha1.EnrichedContext, error) { return nil, errors.New("no permission") }
	b.run()
	if err := testutil.GatherAndCompare(b.registry, strings.NewReader(`
# HELP signalprocessing_steps_total Steps by the phase before the step and by result (ok or error); a failed attempt is an error.
# TYPE signalprocessing_steps_total counter
signalprocessing_steps_total{phase="Enriching",result="error"} 3
signalprocessing_steps_total{phase="Pending",result="ok"} 1
`), "signalprocessing_steps_total"); err != nil {
		t.Error(err)
	}
}

func TestUnusableOptions(t *testing.T) {
	t.Parallel()
	good := processing.Options{MaxAttempts: 1, FirstBackoff: 1, MaxBackoff: 1}
	for name, change := range map[string]func(*processing.Options){
		"attempts":    func(o *processing.Options) { o.MaxAttempts = 0 },
		"backoff":     func(o *processing.Options) { o.FirstBackoff = 0 },
		"max backoff": func(o *processing.Options) { o.FirstBackoff = 2 },
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
	ahead := metav1.NewMicroTime(b.Clock.Now().Add(time.Hour))
	b.enrich = func() (*v1alpha1.EnrichedContext, error) {
		return nil, &enrich.Error{Code: enrich.CodeTimeout, What: "Node", Err: errBroken}
	}
	sp, _, err := b.attempt()
	if err != nil {
		t.Fatal(err)
	}
	// The clock of the leader that started was ahead of this one's.
	sp.Status.StartedAt = &ahead
	if err := b.client.Status().Update(t.Context(), sp); err != nil {
		t.Fatal(err)
	}
	b.enrich = func() (*v1alpha1.EnrichedContext, error) { return &v1alpha1.EnrichedContext{}, nil }
	b.run()
}

func builtIn(t *testing.T) classify.Policies {
	t.Helper()
	set, err := policy.BuiltInSet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return func() *policy.Set { return set }
}
