package remediationrequest_test

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
	"kubernaut.ai/internal/policy"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/signalprocessing/internal/classify"
	"kubernaut.ai/services/signalprocessing/internal/processing"
	"kubernaut.ai/services/signalprocessing/internal/remediationrequest"
)

// bench is a reconciler with a real processor on a fake API server.
type bench struct {
	*remediationrequest.Reconciler

	t      *testing.T
	client client.Client
	kube   *events.FakeRecorder
	// reads and writes are the calls by verb and type.
	reads, writes []string
	// enrich and create are the errors of these calls, if they are set.
	enrich, create error
}

func (b *bench) Enrich(context.Context, v1alpha1.TargetResource) (*v1alpha1.EnrichedContext, error) {
	return &v1alpha1.EnrichedContext{}, b.enrich
}

func (b *bench) Record(context.Context, *audit.Event) error { return nil }

func key() client.ObjectKey { return client.ObjectKey{Namespace: "shop", Name: "rr-1"} }

func setup(t *testing.T) *bench {
	t.Helper()
	types, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, kube: events.NewFakeRecorder(10)}
	received := metav1.NewMicroTime(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	b.client = fake.NewClientBuilder().WithScheme(types).
		WithStatusSubresource(&v1alpha1.RemediationRequest{}, &v1alpha1.SignalProcessing{}).
		WithObjects(&v1alpha1.RemediationRequest{
			ObjectMeta: metav1.ObjectMeta{Namespace: key().Namespace, Name: key().Name, UID: "uid-1", Generation: 1},
			Spec: v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
				SignalName: "VolumeFull", SignalType: v1alpha1.SignalTypeAlert, SignalSource: "test", Severity: "warning", ReceivedTime: received,
				TargetResource: v1alpha1.TargetResource{Kind: "PersistentVolumeClaim", Name: "data", Namespace: "shop"},
			}},
		}).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if ctx.Value(uncounted{}) == nil {
					b.reads = append(b.reads, typeOf(o))
				}
				return c.Get(ctx, key, o, opts...)
			},
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if b.create != nil {
					return b.create
				}
				o.SetUID("uid-2")
				b.writes = append(b.writes, "create "+typeOf(o))
				return c.Create(ctx, o, opts...)
			},
			SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
				if typeOf(o) == "SignalProcessing" {
					b.writes = append(b.writes, "update "+typeOf(o)+"/"+sub)
				}
				return c.SubResource(sub).Update(ctx, o, opts...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				b.writes = append(b.writes, "patch "+typeOf(o)+"/"+sub)
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		}).Build()
	classifier, err := classify.New(builtIn(t), classify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := processing.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	clock := clocktesting.NewFakePassiveClock(received.Add(time.Second))
	processor, err := processing.New(processing.Parts{
		Live: b.client, Writer: b.client, Enricher: b, Classifier: classifier, Audit: b, Events: b.kube, Metrics: metrics, Clock: clock, Log: zap.NewNop(),
	}, processing.Options{MaxAttempts: 2, FirstBackoff: time.Second, MaxBackoff: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	b.Reconciler, err = remediationrequest.New(remediationrequest.Parts{
		Live: b.client, Cached: cached{b.client}, Writer: b.client, Processor: processor, Clock: clock, Log: zap.NewNop(), Concurrency: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cached reads without being counted.
type cached struct{ client.Client }

func (c cached) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	return c.Client.Get(context.WithValue(ctx, uncounted{}, true), key, o, opts...)
}

type uncounted struct{}

func typeOf(o client.Object) string {
	if _, ok := o.(*v1alpha1.RemediationRequest); ok {
		return "RemediationRequest"
	}
	return "SignalProcessing"
}

func (b *bench) reconcile() (reconcile.Result, error) {
	b.t.Helper()
	return b.Reconcile(b.t.Context(), reconcile.Request{NamespacedName: key()})
}

func (b *bench) request() *v1alpha1.RemediationRequest {
	b.t.Helper()
	rr := &v1alpha1.RemediationRequest{}
	if err := (cached{b.client}).Get(b.t.Context(), key(), rr); err != nil {
		b.t.Fatal(err)
	}
	return rr
}

// settle reconciles until nothing is left to do.
func (b *bench) settle() *v1alpha1.RemediationRequest {
	b.t.Helper()
	for range 10 {
		if result, err := b.reconcile(); err != nil {
			b.t.Fatal(err)
		} else if result == (reconcile.Result{}) {
			return b.request()
		}
	}
	b.t.Fatal("no end after 10 attempts")
	return nil
}

func TestAClassifiedRequestCostsSevenWrites(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rr := b.settle()
	if rr.Status.Phase != v1alpha1.RemediationClassified || rr.Status.Severity != v1alpha1.SeverityMedium || rr.Status.Priority != v1alpha1.PriorityP3 {
		t.Fatalf("status = %+v", rr.Status)
	}
	step := "update SignalProcessing/status"
	want := []string{"create SignalProcessing", step, step, step, step, "patch RemediationRequest/status"}
	if !slices.Equal(b.writes, want) || len(b.kube.Events) != 1 {
		t.Errorf("writes = %v, and %d Kubernetes events", b.writes, len(b.kube.Events))
	}
	if b.reads != nil {
		t.Errorf("live reads = %v", b.reads)
	}
	b.reads, b.writes = nil, nil
	if b.settle(); b.reads != nil || b.writes != nil {
		t.Errorf("a settled request costs the reads %v and the writes %v", b.reads, b.writes)
	}
}

// change changes the status of the request as the Gateway does.
func (b *bench) change(change func(*v1alpha1.RemediationRequestStatus)) {
	b.t.Helper()
	rr := b.request()
	change(&rr.Status)
	if err := b.client.Status().Update(b.t.Context(), rr); err != nil {
		b.t.Fatal(err)
	}
}

func TestAnEscalationReachesTheRequest(t *testing.T) {
	t.Parallel()
	for _, phase := range []v1alpha1.RemediationPhase{v1alpha1.RemediationClassified, v1alpha1.RemediationApproved} {
		b := setup(t)
		b.settle()
		b.writes = nil
		b.change(func(s *v1alpha1.RemediationRequestStatus) {
			s.Phase = phase
			s.Signals = &v1alpha1.SignalInstances{Severities: []string{"warning", "critical"}}
		})
		rr := b.settle()
		if rr.Status.Phase != phase || rr.Status.Severity != v1alpha1.SeverityCritical || rr.Status.Priority != v1alpha1.PriorityP1 {
			t.Errorf("%s: status = %+v", phase, rr.Status)
		}
		if !slices.Equal(b.writes, []string{"update SignalProcessing/status", "patch RemediationRequest/status"}) {
			t.Errorf("%s: writes = %v", phase, b.writes)
		}
	}
}

func TestAFailedRequestIsReviewedAndAnEscalationReturnsIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enrich = errors.New("broken on purpose")
	result, err := b.reconcile()
	if rr := b.request(); err != nil || result.RequeueAfter != time.Second || rr.Status.Phase != v1alpha1.RemediationProcessing || rr.Status.Message == "" {
		t.Errorf("after the first attempt: %+v, %v, %+v", result, err, rr.Status)
	}
	if rr := b.settle(); rr.Status.Phase != v1alpha1.RemediationManualReview || rr.Status.CompletedAt != nil {
		t.Errorf("after the last attempt: %+v", rr.Status)
	}
	b.enrich = nil
	if rr := b.settle(); rr.Status.Phase != v1alpha1.RemediationManualReview {
		t.Errorf("by itself: %+v", rr.Status)
	}
	b.change(func(s *v1alpha1.RemediationRequestStatus) {
		s.Signals = &v1alpha1.SignalInstances{Severities: []string{"warning", "critical"}}
	})
	if rr := b.settle(); rr.Status.Phase != v1alpha1.RemediationClassified || rr.Status.Severity != v1alpha1.SeverityCritical {
		t.Errorf("escalated: %+v", rr.Status)
	}
}

func TestAFinishedRequestIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.change(func(s *v1alpha1.RemediationRequestStatus) { s.Phase = v1alpha1.RemediationSkipped })
	if rr := b.settle(); rr.Status.Phase != v1alpha1.RemediationSkipped || b.writes != nil {
		t.Errorf("status = %+v, writes = %v", rr.Status, b.writes)
	}
}

func TestADeletedSignalProcessingIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.settle()
	if err := b.client.Delete(t.Context(), &v1alpha1.SignalProcessing{ObjectMeta: metav1.ObjectMeta{Namespace: key().Namespace, Name: key().Name}}); err != nil {
		t.Fatal(err)
	}
	b.writes = nil
	if rr := b.settle(); rr.Status.Phase != v1alpha1.RemediationClassified || len(b.writes) != 5 {
		t.Errorf("status = %+v, writes = %v", rr.Status, b.writes)
	}
}

// A terminating namespace accepts no new objects and may exist for a while:
// retrying until it is gone would delay other requests.
func TestARequestInATerminatingNamespaceIsLeftAlone(t *testing.T) {
	t.Parallel()
	refusal := apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "signalprocessings"}, "rr-1", errors.New("no"))
	for name, tc := range map[string]struct {
		causes []metav1.StatusCause
		fails  bool
	}{
		"terminating": {causes: []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}},
		"forbidden":   {fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			answer := *refusal
			answer.ErrStatus.Details = &metav1.StatusDetails{Causes: tc.causes}
			b.create = &answer
			result, err := b.reconcile()
			if (err != nil) != tc.fails || result != (reconcile.Result{}) {
				t.Errorf("result %+v, error %v", result, err)
			}
		})
	}
}

func builtIn(t *testing.T) classify.Policies {
	t.Helper()
	set, err := policy.BuiltInSet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return func() *policy.Set { return set }
}
