package executions_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/services/workflowexecution/internal/executions"
	"kubernaut.ai/services/workflowexecution/internal/metrics"
)

var errBroken = errors.New("broken on purpose")

// cleaner counts how often it is asked, and answers with an error.
type cleaner struct {
	asked int
	err   error
}

func (c *cleaner) Clean(context.Context, *v1alpha1.WorkflowExecution) error {
	c.asked++
	return c.err
}

// bench is a reconciler of one execution.
type bench struct {
	t       *testing.T
	client  client.WithWatch
	hooks   interceptor.Funcs
	stages  map[v1alpha1.ExecutionPhase]executions.Stage
	cleaner *cleaner
	wfe     *v1alpha1.WorkflowExecution
}

func setup(t *testing.T, wfe *v1alpha1.WorkflowExecution) *bench {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	wfe.Namespace, wfe.Name = "shop", "rr-1"
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(wfe).WithStatusSubresource(wfe).Build()
	return &bench{t: t, client: c, cleaner: &cleaner{}, wfe: wfe}
}

func (b *bench) reconcile(ctx context.Context) (reconcile.Result, error) {
	b.t.Helper()
	counted, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		b.t.Fatal(err)
	}
	c := interceptor.NewClient(b.client, b.hooks)
	r, err := executions.New(executions.Parts{
		Live: c, Cached: b.client, Writer: c, Stages: b.stages, Cleaner: b.cleaner, Metrics: counted, Log: zap.NewNop(), Concurrency: 1,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return r.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(b.wfe)})
}

// now is the execution as it is.
func (b *bench) now() *v1alpha1.WorkflowExecution {
	b.t.Helper()
	wfe := &v1alpha1.WorkflowExecution{}
	if err := b.client.Get(b.t.Context(), client.ObjectKeyFromObject(b.wfe), wfe); err != nil {
		b.t.Fatal(err)
	}
	return wfe
}

// leaves is a stage that leaves a phase, and wants to look again.
func leaves(phase v1alpha1.ExecutionPhase, again time.Duration) stage {
	return func(_ context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
		wfe.Status.Phase = phase
		return again, nil
	}
}

func TestTheStageOfThePhaseAdvancesAnExecution(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		from, want v1alpha1.ExecutionPhase
		again      time.Duration
	}{
		"without a phase":          {from: "", want: v1alpha1.ExecutionApproved, again: time.Second},
		"proposed":                 {from: v1alpha1.ExecutionProposed, want: v1alpha1.ExecutionApproved, again: time.Second},
		"verifying":                {from: v1alpha1.ExecutionVerifying, want: v1alpha1.ExecutionVerifying, again: time.Minute},
		"in a phase with no stage": {from: v1alpha1.ExecutionRejected, want: v1alpha1.ExecutionRejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, &v1alpha1.WorkflowExecution{Status: v1alpha1.WorkflowExecutionStatus{Phase: test.from}})
			b.stages = map[v1alpha1.ExecutionPhase]executions.Stage{
				v1alpha1.ExecutionProposed:  leaves(v1alpha1.ExecutionApproved, time.Second),
				v1alpha1.ExecutionVerifying: leaves(v1alpha1.ExecutionVerifying, time.Minute),
			}
			before := b.now()
			result, err := b.reconcile(t.Context())
			if err != nil || result.RequeueAfter != test.again {
				t.Errorf("%+v %v", result, err)
			}
			after := b.now()
			if after.Status.Phase != test.want {
				t.Errorf("phase %s, want %s", after.Status.Phase, test.want)
			}
			if unchanged := test.from == test.want; unchanged != (before.ResourceVersion == after.ResourceVersion) {
				t.Error("a status is written exactly if it changes")
			}
		})
	}
}

func TestAnExecutionGoesAsFarAsItCanWithoutWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t, &v1alpha1.WorkflowExecution{})
	reads := 0
	b.hooks = interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		reads++
		return c.Get(ctx, key, o, opts...)
	}}
	b.stages = map[v1alpha1.ExecutionPhase]executions.Stage{
		v1alpha1.ExecutionProposed:  leaves(v1alpha1.ExecutionApproved, 0),
		v1alpha1.ExecutionApproved:  leaves(v1alpha1.ExecutionExecuting, 0),
		v1alpha1.ExecutionExecuting: leaves(v1alpha1.ExecutionVerifying, time.Millisecond),
		v1alpha1.ExecutionVerifying: leaves(v1alpha1.ExecutionVerifying, time.Minute),
	}
	result, err := b.reconcile(t.Context())
	if err != nil || result.RequeueAfter != time.Minute {
		t.Errorf("%+v %v", result, err)
	}
	if phase := b.now().Status.Phase; phase != v1alpha1.ExecutionVerifying || reads != 1 {
		t.Errorf("phase %s after %d reads", phase, reads)
	}
}

func TestAnExecutionThatAlwaysHasSomethingToDoLetsOthersHaveTheirTurn(t *testing.T) {
	t.Parallel()
	b := setup(t, &v1alpha1.WorkflowExecution{})
	steps := 0
	b.stages = map[v1alpha1.ExecutionPhase]executions.Stage{
		v1alpha1.ExecutionProposed: stage(func(_ context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
			steps++
			wfe.Status.Message = strconv.Itoa(steps)
			return time.Millisecond, nil
		}),
	}
	result, err := b.reconcile(t.Context())
	if err != nil || result.RequeueAfter != time.Millisecond || steps > 10 {
		t.Errorf("%+v %v after %d steps", result, err, steps)
	}
}

func TestAFailureChangesNothing(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "workflowexecutions"}
	refuses := func(err error) interceptor.Funcs {
		return interceptor.Funcs{SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
			return err
		}}
	}
	for name, test := range map[string]struct {
		stage stage
		hooks interceptor.Funcs
		again bool
		want  string
	}{
		"of a stage": {
			stage: func(_ context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
				wfe.Status.Phase = v1alpha1.ExecutionApproved
				return time.Second, errBroken
			},
			want: "advance WorkflowExecution shop/rr-1 in phase Proposed: broken on purpose",
		},
		"of a write":    {stage: leaves(v1alpha1.ExecutionApproved, 0), hooks: refuses(errBroken), want: "write status of WorkflowExecution shop/rr-1"},
		"by a conflict": {stage: leaves(v1alpha1.ExecutionApproved, 0), hooks: refuses(apierrors.NewConflict(resource, "rr-1", errBroken)), again: true},
		"of a look": {
			stage: leaves(v1alpha1.ExecutionApproved, 0), want: "read WorkflowExecution shop/rr-1",
			hooks: interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return errBroken
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, &v1alpha1.WorkflowExecution{})
			b.stages, b.hooks = map[v1alpha1.ExecutionPhase]executions.Stage{v1alpha1.ExecutionProposed: test.stage}, test.hooks
			result, err := b.reconcile(t.Context())
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if (result.RequeueAfter > 0) != test.again || b.now().Status.Phase != "" {
				t.Errorf("%+v, phase %s", result, b.now().Status.Phase)
			}
		})
	}
}

// What a stage did before the service was asked to stop is shown.
func TestAStepIsShownAlthoughTheServiceStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	b := setup(t, &v1alpha1.WorkflowExecution{})
	b.stages = map[v1alpha1.ExecutionPhase]executions.Stage{
		v1alpha1.ExecutionProposed: stage(func(_ context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
			cancel()
			wfe.Status.Phase = v1alpha1.ExecutionApproved
			return 0, nil
		}),
	}
	if _, err := b.reconcile(ctx); err != nil || b.now().Status.Phase != v1alpha1.ExecutionApproved {
		t.Errorf("phase %q, error %v", b.now().Status.Phase, err)
	}
}

func TestAnExecutionGoesOnceNothingIsLeftOfIt(t *testing.T) {
	t.Parallel()
	deleted := func(finalizers ...string) *v1alpha1.WorkflowExecution {
		now := metav1.Now()
		return &v1alpha1.WorkflowExecution{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now, Finalizers: finalizers}}
	}
	for name, test := range map[string]struct {
		finalizer string
		fails     error
		asked     int
		goes      bool
	}{
		"with a Job":                  {finalizer: v1alpha1.FinalizerJob, asked: 1, goes: true},
		"with a Job that stays":       {finalizer: v1alpha1.FinalizerJob, fails: errBroken, asked: 1},
		"with a finalizer of another": {finalizer: "example.org/other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, deleted(test.finalizer))
			b.cleaner.err = test.fails
			if _, err := b.reconcile(t.Context()); !errors.Is(err, test.fails) {
				t.Errorf("error %v", err)
			}
			err := b.client.Get(t.Context(), client.ObjectKeyFromObject(b.wfe), &v1alpha1.WorkflowExecution{})
			if apierrors.IsNotFound(err) != test.goes || b.cleaner.asked != test.asked {
				t.Errorf("asked %d times, and then %v", b.cleaner.asked, err)
			}
		})
	}
}

func TestTheNextNameFollowsFromTheLatestExecution(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("r", 240)
	for name, test := range map[string]struct{ request, latest, want string }{
		"the first":                    {"rr", "", "rr-1"},
		"the tenth":                    {"rr", "rr-9", "rr-10"},
		"after one with another name":  {"rr", "forged", "rr-1"},
		"after one without a number":   {"rr", "rr-x", "rr-1"},
		"the second of a long request": {long, executions.NextName(named(long, "")), strings.TrimSuffix(executions.NextName(named(long, "")), "1") + "2"},
	} {
		if got := executions.NextName(named(test.request, test.latest)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	if got := executions.NextName(named(long, "")); len(got) > 253 || got == executions.NextName(named(long+"s", "")) {
		t.Errorf("%s has %d characters, or is not unique", got, len(got))
	}
}

func named(name, latest string) *v1alpha1.RemediationRequest {
	return &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1alpha1.RemediationRequestStatus{ExecutionRef: latest},
	}
}

func TestAtLeastOneWorkerIsNeeded(t *testing.T) {
	t.Parallel()
	if _, err := executions.New(executions.Parts{}); err == nil || !strings.Contains(err.Error(), "at least 1") {
		t.Errorf("error %v", err)
	}
}
