//go:build integration

package execute_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/services/workflowexecution/internal/accounts"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
	"kubernaut.ai/services/workflowexecution/internal/execute"
	"kubernaut.ai/services/workflowexecution/internal/guardrail"
	"kubernaut.ai/services/workflowexecution/internal/plan"
)

// plane is the API server of the package, with the controllers of Deployments.
var plane *controlplane.ControlPlane

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	var err error
	if plane, err = controlplane.Start(ctx, controlplane.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = plane.Stop(ctx) }()
	program, err := controlplane.FindControllers(ctx, nil)
	if err == nil {
		err = plane.RunControllers(ctx, program)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// world is a namespace with a target, a namespace with a workflow and its account, and what
// the stage needs beside them. It stands for the cool-downs and the approval,
// which have tests of their own.
type world struct {
	client.WithWatch
	guardrail.Pause

	t          *testing.T
	namespace  string // of the target
	workflows  string // of workflows
	leases     *guardrail.Leases
	accounts   *accounts.Accounts
	planner    *plan.Planner
	sink       *audittest.MemorySink
	store      *audit.Store
	stage      *execute.Stage
	blocked    string
	person     bool // what blocked says needs a person
	undecided  string
	log        string
	acquired   int
	released   int
	beforeNext func() // called before the next write to the target
}

func (w *world) Blocked(context.Context, *v1alpha1.WorkflowExecution) (string, time.Duration, error) {
	if w.person {
		return w.blocked, 0, nil
	}
	return w.blocked, time.Minute, nil
}

func (w *world) Acquire(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (bool, error) {
	w.acquired++
	return w.leases.Acquire(ctx, wfe)
}

func (w *world) Release(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error {
	w.released++
	return w.leases.Release(ctx, wfe)
}

func (w *world) Counts(context.Context, *v1alpha1.WorkflowExecution) (string, error) {
	return w.undecided, nil
}

func (w *world) Tail(context.Context, *batchv1.Job) (string, error) { return w.log, nil }

// intercepted calls beforeNext before the next write.
type intercepted struct {
	client.Client

	world *world
}

func (i *intercepted) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	if before := i.world.beforeNext; before != nil {
		i.world.beforeNext = nil
		before()
	}
	return i.Client.Patch(ctx, o, p, opts...)
}

// clients are the accounts, with interception.
type clients struct{ world *world }

func (c clients) Client(ctx context.Context, account string, execution types.UID) (client.Client, error) {
	made, err := c.world.accounts.Client(ctx, account, execution)
	if err != nil {
		return nil, err
	}
	return &intercepted{made, c.world}, nil
}
func (c clients) Username(account string) string { return c.world.accounts.Username(account) }
func (c clients) Forget(execution types.UID)     { c.world.accounts.Forget(execution) }

// everything that the account of a shipped workflow may do with workloads.
var everything = []rbacv1.PolicyRule{
	{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets", "daemonsets"}, Verbs: []string{"get", "patch"}},
	{APIGroups: []string{"apps"}, Resources: []string{"replicasets"}, Verbs: []string{"list"}},
}

func newWorld(t *testing.T, rules []rbacv1.PolicyRule) *world {
	t.Helper()
	scheme, err := kube.Scheme()
	must(t, err)
	config := plane.Config()
	config.QPS = -1
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	must(t, err)
	sink := audittest.NewMemorySink()
	store, err := audit.New(sink)
	must(t, err)
	t.Cleanup(func() { must(t, store.Close(context.Background())) })
	w := &world{WithWatch: c, Pause: guardrail.Pause{Live: c}, t: t, namespace: unique("target"), workflows: unique("workflows"), store: store, sink: sink}
	for _, name := range []string{w.namespace, w.workflows} {
		must(t, w.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	must(t, w.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.workflows, Name: "worker"}}))
	must(t, w.Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "worker"}, Rules: rules}))
	must(t, w.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "worker"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "worker"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: w.workflows, Name: "worker"}},
	}))
	w.accounts, err = accounts.New(accounts.Options{Config: config, Client: c, Namespace: w.workflows, Clock: clock.RealClock{}})
	must(t, err)
	w.planner = plan.New(plan.Options{
		Accounts: w.accounts, Jobs: c, Namespace: w.workflows, WorkflowDigest: catalog.Digest,
		Redact: func(text string) string { return text }, RedactObject: func(map[string]any) {}, Clock: clock.RealClock{},
	})
	w.leases = &guardrail.Leases{Live: c, Writer: c, Namespace: w.workflows, Clock: clock.RealClock{}, Log: zap.NewNop()}
	w.stage = w.newStage()
	return w
}

// newStage makes another process's stage.
func (w *world) newStage() *execute.Stage {
	return execute.New(execute.Parts{
		Live: w, Writer: w, Accounts: clients{w}, Planner: w.planner, Rails: w, Pause: w, Decisions: w, Logs: w,
		Audit: w.store, Namespace: w.workflows, Clock: clock.RealClock{}, Log: zap.NewNop(),
	})
}

func (w *world) workflow(action *v1alpha1.WorkflowAction) *v1alpha1.RemediationWorkflow {
	wf := &v1alpha1.RemediationWorkflow{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.workflows, Name: unique("workflow")},
		Spec: v1alpha1.RemediationWorkflowSpec{
			Description: "changes a workload",
			AppliesTo:   v1alpha1.AppliesTo{Signals: []string{"*"}, Kinds: []v1alpha1.WorkflowKind{{APIVersion: "apps/v1", Kind: "Deployment"}}},
			Action:      action, ServiceAccountName: "worker", Risk: v1alpha1.RiskLow,
			Timeout: metav1.Duration{Duration: 5 * time.Minute}, CoolDown: metav1.Duration{Duration: time.Hour},
			Stabilization: metav1.Duration{Duration: time.Minute}, Verification: v1alpha1.WorkflowVerification{Condition: "true"},
		},
	}
	if action != nil && action.Scale != nil {
		wf.Spec.Parameters = []v1alpha1.WorkflowParameter{{Name: "replicas", Type: v1alpha1.ParameterInteger, Required: true}}
	}
	return wf
}

// approve makes the proposal of a workflow for a target, and approves it.
func (w *world) approve(wf *v1alpha1.RemediationWorkflow, target client.Object, kind string, parameters ...v1alpha1.ExecutionParameter) *v1alpha1.WorkflowExecution {
	w.t.Helper()
	ctx := w.t.Context()
	must(w.t, w.Create(ctx, wf))
	object := w.read(kind, target.GetName())
	made, err := w.planner.Make(ctx, wf, object, parameters, time.Now())
	must(w.t, err)
	sum, err := catalog.Digest(&wf.Spec)
	must(w.t, err)
	now := metav1.NowMicro()
	wfe := &v1alpha1.WorkflowExecution{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: unique("execution")},
		Spec: v1alpha1.WorkflowExecutionSpec{
			Request:  v1alpha1.ObjectRef{Name: unique("rr"), UID: "request"},
			Target:   v1alpha1.ExecutionTarget{APIVersion: "apps/v1", Kind: kind, Namespace: w.namespace, Name: target.GetName(), UID: object.GetUID(), Generation: object.GetGeneration()},
			Workflow: v1alpha1.WorkflowRef{Name: wf.Name, SHA256: sum, Risk: wf.Spec.Risk}, Parameters: parameters,
			Reason: "test", Approval: v1alpha1.ApprovalRequired, ApprovalReason: "test", Change: made.Change, PlanDigest: made.Digest,
			ExpiresAt: metav1.NewMicroTime(now.Add(time.Hour)),
		},
	}
	must(w.t, w.Create(ctx, wfe))
	wfe.Status = v1alpha1.WorkflowExecutionStatus{
		Phase: v1alpha1.ExecutionApproved, Approval: &v1alpha1.ExecutionApproval{At: now, By: []v1alpha1.Decider{{Name: "ann"}}},
	}
	must(w.t, w.Status().Update(ctx, wfe))
	return wfe
}

// step takes the execution one look further, and writes its status as the reconciler does.
func (w *world) step(stage *execute.Stage, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
	w.t.Helper()
	fresh := &v1alpha1.WorkflowExecution{}
	must(w.t, w.Get(w.t.Context(), client.ObjectKeyFromObject(wfe), fresh))
	before := fresh.DeepCopy()
	after, err := stage.Advance(w.t.Context(), fresh)
	if err == nil && fmt.Sprint(before.Status) != fmt.Sprint(fresh.Status) {
		err = w.Status().Update(w.t.Context(), fresh)
	}
	must(w.t, w.Get(w.t.Context(), client.ObjectKeyFromObject(wfe), wfe))
	return after, err
}

// finish takes the execution as far as it gets without waiting.
func (w *world) finish(wfe *v1alpha1.WorkflowExecution) {
	w.t.Helper()
	for range 20 {
		after, err := w.step(w.stage, wfe)
		if apierrors.IsConflict(err) {
			continue
		}
		must(w.t, err)
		if after == 0 || after > 10*time.Millisecond || wfe.Status.Phase == v1alpha1.ExecutionVerifying {
			return
		}
	}
	w.t.Fatalf("the execution is still %s: %s", wfe.Status.Phase, wfe.Status.Message)
}

func (w *world) read(kind, name string) *unstructured.Unstructured {
	w.t.Helper()
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("apps/v1")
	o.SetKind(kind)
	must(w.t, w.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, o))
	return o
}

// trail are the types of the execution's events in DataStorage's order.
func (w *world) trail(wfe *v1alpha1.WorkflowExecution) []string {
	w.t.Helper()
	_, err := w.store.Flush(w.t.Context())
	must(w.t, err)
	var found []string
	for _, e := range w.sink.Events() {
		if e.CorrelationID == wfe.Spec.Request.Name {
			found = append(found, e.Type)
		}
	}
	return found
}

func (w *world) event(wfe *v1alpha1.WorkflowExecution, eventType string) map[string]any {
	w.t.Helper()
	for _, e := range w.sink.Events() {
		if e.CorrelationID == wfe.Spec.Request.Name && e.Type == eventType {
			var data map[string]any
			must(w.t, json.Unmarshal(e.Data, &data))
			return data
		}
	}
	w.t.Fatalf("no event %s", eventType)
	return nil
}

func podTemplate(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "shop"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "shop", Image: image}}},
	}
}

// deployment makes a Deployment, and waits until its controller has made its revision.
func (w *world) deployment(image string) *appsv1.Deployment {
	w.t.Helper()
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: unique("shop"), Annotations: map[string]string{"team": "cart"}},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "shop"}}, Template: podTemplate(image),
		},
	}
	must(w.t, w.Create(w.t.Context(), d))
	w.settled(d, "1")
	return d
}

// settled waits until the Deployment's controller has observed it at a revision, and
// counted its pods.
func (w *world) settled(d *appsv1.Deployment, revision string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	watch, err := w.Watch(ctx, &appsv1.DeploymentList{}, client.InNamespace(w.namespace))
	must(w.t, err)
	defer watch.Stop()
	for e := range watch.ResultChan() {
		o, ok := e.Object.(*appsv1.Deployment)
		if ok && o.Name == d.Name && o.Annotations["deployment.kubernetes.io/revision"] == revision &&
			o.Status.ObservedGeneration == o.Generation && o.Status.UpdatedReplicas > 0 && o.Status.UnavailableReplicas >= *o.Spec.Replicas {
			o.DeepCopyInto(d)
			return
		}
	}
	w.t.Fatalf("Deployment %s has no revision %s", d.Name, revision)
}

func unique(name string) string { return name + "-" + strings.ToLower(rand.Text()[:10]) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
