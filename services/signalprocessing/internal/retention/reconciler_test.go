package retention_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/signalprocessing/internal/auditevents"
	"kubernaut.ai/services/signalprocessing/internal/retention"
)

const (
	staleAfter = 12 * time.Hour
	ttl        = 24 * time.Hour
	// gateway is the namespace of the register.
	gateway = "kubernaut-system"
)

var (
	errBroken = errors.New("broken on purpose")
	received  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

// bench is a reconciler with the parts that it is told to use.
type bench struct {
	*retention.Reconciler

	t      *testing.T
	client client.WithWatch
	clock  *clocktesting.FakePassiveClock
	// log is what happened, in order.
	log []string
	ids map[string]bool
	// record, flush and closing are the errors of these calls, if they are set.
	record, flush, closing error
	// meanwhile is called when the next event is recorded.
	meanwhile func()
}

func (b *bench) Record(_ context.Context, e *audit.Event) error {
	if b.record != nil {
		return b.record
	}
	if !b.ids[e.ID.String()] {
		b.ids[e.ID.String()] = true
		b.log = append(b.log, e.Type)
	}
	if b.meanwhile != nil {
		b.meanwhile()
		b.meanwhile = nil
	}
	return nil
}

func (b *bench) FlushFor(_ context.Context, id string) (audit.Receipt, error) {
	b.log = append(b.log, "flush "+id)
	return audit.Receipt{}, b.flush
}

func (b *bench) Close(_ context.Context, rr *v1alpha1.RemediationRequest) error {
	if b.closing != nil {
		return b.closing
	}
	b.log = append(b.log, "close "+rr.Name)
	return nil
}

func key() client.ObjectKey { return client.ObjectKey{Namespace: "shop", Name: "rr-1"} }

func setup(t *testing.T, change func(*v1alpha1.RemediationRequest), options ...func(*retention.Options)) *bench {
	t.Helper()
	types, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	rr := &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key().Namespace, Name: key().Name, UID: "uid-1", Generation: 1,
			CreationTimestamp: metav1.NewTime(received), Finalizers: []string{v1alpha1.FinalizerRegister},
		},
		Spec:   v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{ReceivedTime: metav1.NewMicroTime(received)}},
		Status: v1alpha1.RemediationRequestStatus{Phase: v1alpha1.RemediationClassified},
	}
	change(rr)
	b := &bench{t: t, clock: clocktesting.NewFakePassiveClock(received), ids: map[string]bool{}}
	b.client = fake.NewClientBuilder().WithScheme(types).WithStatusSubresource(rr).
		WithObjects(rr, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: gateway}}).
		WithInterceptorFuncs(interceptor.Funcs{
			Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				b.log = append(b.log, "delete")
				return c.Delete(ctx, o, opts...)
			},
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				b.log = append(b.log, "patch")
				return c.Patch(ctx, o, p, opts...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				b.log = append(b.log, "patch "+sub)
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		}).Build()
	metrics, err := retention.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	o := retention.Options{StaleAfter: staleAfter, FinishedTTL: ttl, GatewayNamespace: gateway}
	for _, set := range options {
		set(&o)
	}
	b.Reconciler, err = retention.New(retention.Parts{
		Live: b.client, Cached: b.client, Writer: b.client, Register: b, Audit: b, Events: events.NewFakeRecorder(10),
		Metrics: metrics, Clock: b.clock, Log: zap.NewNop(),
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) reconcile() (time.Duration, error) {
	b.t.Helper()
	result, err := b.Reconcile(b.t.Context(), reconcile.Request{NamespacedName: key()})
	return result.RequeueAfter, err
}

func (b *bench) expire() (time.Duration, error) {
	b.t.Helper()
	result, err := b.Expire(b.t.Context(), reconcile.Request{NamespacedName: key()})
	return result.RequeueAfter, err
}

// request is the request as it is stored; nil if it is gone.
func (b *bench) request() *v1alpha1.RemediationRequest {
	b.t.Helper()
	rr := &v1alpha1.RemediationRequest{}
	err := b.client.Get(b.t.Context(), key(), rr)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		b.t.Fatal(err)
	}
	return rr
}

func (b *bench) expectLog(want ...string) {
	b.t.Helper()
	if !slices.Equal(b.log, want) {
		b.t.Errorf("happened: %q, want %q", b.log, want)
	}
}

func resolved(rr *v1alpha1.RemediationRequest) { rr.Status.Signals = &v1alpha1.SignalInstances{} }

func finished(rr *v1alpha1.RemediationRequest) {
	ended := metav1.NewMicroTime(received)
	rr.Status.Phase, rr.Status.CompletedAt = v1alpha1.RemediationCompleted, &ended
}

func review(reason string) func(*v1alpha1.RemediationRequest) {
	return func(rr *v1alpha1.RemediationRequest) {
		resolved(rr)
		rr.Status.Phase = v1alpha1.RemediationManualReview
		meta.SetStatusCondition(&rr.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionManualReview, Status: metav1.ConditionTrue, Reason: reason})
	}
}

func inPhase(phase v1alpha1.RemediationPhase) func(*v1alpha1.RemediationRequest) {
	return func(rr *v1alpha1.RemediationRequest) {
		resolved(rr)
		rr.Status.Phase = phase
	}
}

func TestWhichRequestsEndWhenNothingFires(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*v1alpha1.RemediationRequest)
		ends   bool
	}{
		"without a phase":     {inPhase(""), true},
		"pending":             {inPhase(v1alpha1.RemediationPending), true},
		"processing":          {inPhase(v1alpha1.RemediationProcessing), true},
		"classified":          {inPhase(v1alpha1.RemediationClassified), true},
		"overflow":            {review(v1alpha1.ReasonOverflow), true},
		"failed":              {review(v1alpha1.ReasonProcessingFailed), true},
		"reviewed by others":  {review("ProposalRejected"), false},
		"awaiting approval":   {inPhase(v1alpha1.RemediationAwaitingApproval), false},
		"approved":            {inPhase(v1alpha1.RemediationApproved), false},
		"executing":           {inPhase(v1alpha1.RemediationExecuting), false},
		"verifying":           {inPhase(v1alpha1.RemediationVerifying), false},
		"still firing":        {func(*v1alpha1.RemediationRequest) {}, false},
		"fires beyond bounds": {func(rr *v1alpha1.RemediationRequest) { rr.Status.Signals = &v1alpha1.SignalInstances{More: 1} }, false},
		"an instance fires": {func(rr *v1alpha1.RemediationRequest) {
			rr.Status.Signals = &v1alpha1.SignalInstances{Instances: []v1alpha1.SignalInstance{{ID: "0123456789abcdef"}}}
		}, false},
	} {
		b := setup(t, test.change)
		if _, err := b.reconcile(); err != nil {
			t.Fatal(err)
		}
		rr := b.request()
		if ended := rr.Status.Phase == v1alpha1.RemediationSkipped; ended != test.ends {
			t.Errorf("%s: phase %s", name, rr.Status.Phase)
		}
		if !test.ends {
			b.expectLog()
			continue
		}
		b.expectLog(auditevents.TypeRequestSkipped, "patch status")
		condition := meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionFinished)
		if condition == nil || condition.Reason != v1alpha1.ReasonResolvedBeforeExecution || rr.Status.CompletedAt == nil ||
			meta.IsStatusConditionTrue(rr.Status.Conditions, v1alpha1.ConditionManualReview) {
			t.Errorf("%s: %+v", name, rr.Status)
		}
	}
}

// With WorkflowExecution, a classified request is not this service's to end.
func TestClassifiedRequestsAreLeftToOthers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*v1alpha1.RemediationRequest)
		want   v1alpha1.RemediationPhase
	}{
		"resolved": {resolved, v1alpha1.RemediationClassified},
		"stale":    {func(*v1alpha1.RemediationRequest) {}, v1alpha1.RemediationClassified},
		"pending":  {inPhase(v1alpha1.RemediationPending), v1alpha1.RemediationSkipped},
		"failed":   {review(v1alpha1.ReasonProcessingFailed), v1alpha1.RemediationSkipped},
		"overflow": {review(v1alpha1.ReasonOverflow), v1alpha1.RemediationSkipped},
	} {
		b := setup(t, test.change, func(o *retention.Options) { o.LeaveClassified = true })
		b.clock.SetTime(received.Add(staleAfter))
		if after, err := b.reconcile(); err != nil || after != 0 {
			t.Errorf("%s: wait %s, error %v", name, after, err)
		}
		if phase := b.request().Status.Phase; phase != test.want {
			t.Errorf("%s: phase %s", name, phase)
		}
	}
}

func TestARequestIsStaleExactlyAfterItsLastSignal(t *testing.T) {
	t.Parallel()
	seen := metav1.NewMicroTime(received.Add(time.Hour))
	for name, test := range map[string]struct {
		change func(*v1alpha1.RemediationRequest)
		last   time.Time
	}{
		"seen once": {func(*v1alpha1.RemediationRequest) {}, received},
		"counted": {func(rr *v1alpha1.RemediationRequest) {
			rr.Status.Deduplication = &v1alpha1.Deduplication{LastSeenAt: seen, OccurrenceCount: 2}
		}, seen.Time},
		"instances": {func(rr *v1alpha1.RemediationRequest) {
			rr.Status.Signals = &v1alpha1.SignalInstances{Instances: []v1alpha1.SignalInstance{{ID: "a"}, {ID: "b", LastSeenAt: seen}, {ID: "c"}}}
		}, seen.Time},
		"beyond the bounds": {func(rr *v1alpha1.RemediationRequest) {
			rr.Status.Signals = &v1alpha1.SignalInstances{More: 3, MoreSeenAt: &seen}
		}, seen.Time},
	} {
		b := setup(t, test.change)
		b.clock.SetTime(test.last.Add(staleAfter - time.Microsecond))
		if after, err := b.reconcile(); err != nil || after != time.Microsecond || b.request().Status.Phase != v1alpha1.RemediationClassified {
			t.Errorf("%s: just before, wait %s, error %v", name, after, err)
		}
		b.clock.SetTime(test.last.Add(staleAfter))
		if _, err := b.reconcile(); err != nil {
			t.Fatal(err)
		}
		condition := meta.FindStatusCondition(b.request().Status.Conditions, v1alpha1.ConditionFinished)
		if condition == nil || condition.Reason != v1alpha1.ReasonStale {
			t.Errorf("%s: %+v", name, b.request().Status)
		}
	}
}

// A signal that arrives while the request is ended keeps it open.
func TestASignalPreventsTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, resolved)
	b.meanwhile = func() {
		rr := b.request()
		rr.Status.Signals.Instances = []v1alpha1.SignalInstance{{ID: "0123456789abcdef", LastSeenAt: metav1.NewMicroTime(received)}}
		if err := b.client.Status().Update(t.Context(), rr); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if _, err := b.reconcile(); err != nil {
			t.Fatal(err)
		}
	}
	if phase := b.request().Status.Phase; phase != v1alpha1.RemediationClassified {
		t.Errorf("phase = %s", phase)
	}
}

func TestAnEndIsRecordedFirstAndOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, resolved)
	b.record = errBroken
	if _, err := b.reconcile(); !errors.Is(err, errBroken) || b.request().Status.Phase != v1alpha1.RemediationClassified {
		t.Errorf("phase %s, error %v", b.request().Status.Phase, err)
	}
	b.record = nil
	// Another writer changes its own part.
	b.meanwhile = func() {
		rr := b.request()
		rr.Status.Severity = v1alpha1.SeverityHigh
		if err := b.client.Status().Update(t.Context(), rr); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.reconcile(); err != nil || b.request().Status.Phase != v1alpha1.RemediationSkipped {
		t.Errorf("phase %s, error %v", b.request().Status.Phase, err)
	}
	b.expectLog(auditevents.TypeRequestSkipped, "patch status", "patch status")
}

func TestAFinishedRequestIsDeletedAfterItsTrailIsStored(t *testing.T) {
	t.Parallel()
	b := setup(t, finished)
	b.clock.SetTime(received.Add(ttl - time.Second))
	if after, err := b.expire(); err != nil || after != time.Second {
		t.Errorf("just before: wait %s, error %v", after, err)
	}
	b.expectLog()
	b.clock.SetTime(received.Add(ttl))
	b.flush = errBroken
	if after, err := b.expire(); err != nil || after != time.Minute || b.request() == nil {
		t.Errorf("without DataStorage: wait %s, error %v", after, err)
	}
	b.expectLog(auditevents.TypeRequestDeleted, "flush rr-1")
	b.log, b.flush = nil, nil
	if _, err := b.expire(); err != nil {
		t.Fatal(err)
	}
	b.expectLog("flush rr-1", "close rr-1", "delete")
	if rr := b.request(); rr == nil || rr.DeletionTimestamp == nil {
		t.Fatalf("request = %+v, want it to wait for the finalizer", rr)
	}
	b.log = nil
	if _, err := b.reconcile(); err != nil || b.request() != nil {
		t.Errorf("error %v, request %+v", err, b.request())
	}
	b.expectLog("close rr-1", "patch")
}

func TestAnOpenRequestNeverExpires(t *testing.T) {
	t.Parallel()
	b := setup(t, func(*v1alpha1.RemediationRequest) {})
	b.clock.SetTime(received.Add(100 * ttl))
	if after, err := b.expire(); err != nil || after != 0 || b.request() == nil {
		t.Errorf("wait %s, error %v", after, err)
	}
	b.expectLog()
}

func TestTheRegisterIsClosedBeforeADeletedRequestGoes(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}, "signal-1", errBroken)
	for name, test := range map[string]struct {
		closing error
		after   time.Duration
		// noNamespace: the Gateway's namespace does not exist.
		noNamespace bool
		goes        bool
	}{
		"closed":                      {goes: true},
		"not closed":                  {closing: errBroken},
		"not closed, after long":      {closing: errBroken, after: 9 * time.Minute},
		"not closed, after too long":  {closing: errBroken, after: 11 * time.Minute, goes: true},
		"no right":                    {closing: forbidden},
		"no namespace, and no rights": {closing: forbidden, noNamespace: true, goes: true},
	} {
		b := setup(t, func(*v1alpha1.RemediationRequest) {})
		if err := b.client.Delete(t.Context(), b.request()); err != nil {
			t.Fatal(err)
		}
		if test.noNamespace {
			if err := b.client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: gateway}}); err != nil {
				t.Fatal(err)
			}
		}
		b.log, b.closing = nil, test.closing
		b.clock.SetTime(b.request().DeletionTimestamp.Add(test.after))
		_, err := b.reconcile()
		if gone := b.request() == nil; gone != test.goes || (err == nil) != test.goes {
			t.Errorf("%s: gone %v, error %v", name, gone, err)
		}
		if b.log[0] != auditevents.TypeRequestDeleted {
			t.Errorf("%s: happened: %q", name, b.log)
		}
	}
}

func TestARequestWithoutOurFinalizerIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, func(rr *v1alpha1.RemediationRequest) { rr.Finalizers = []string{"someone.example/else"} })
	if err := b.client.Delete(t.Context(), b.request()); err != nil {
		t.Fatal(err)
	}
	b.log = nil
	if after, err := b.reconcile(); err != nil || after != 0 {
		t.Errorf("wait %s, error %v", after, err)
	}
	b.expectLog()
}

func TestUnusableOptions(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*retention.Options){
		"stale after":  func(o *retention.Options) { o.StaleAfter = 0 },
		"finished TTL": func(o *retention.Options) { o.FinishedTTL = -1 },
		"namespace":    func(o *retention.Options) { o.GatewayNamespace = "" },
	} {
		o := retention.Options{StaleAfter: 1, FinishedTTL: 1, GatewayNamespace: gateway}
		change(&o)
		if _, err := retention.New(retention.Parts{}, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
