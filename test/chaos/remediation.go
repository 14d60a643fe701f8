package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/verdict"
)

// executionTimeout is the time limit of an execution: it is not reached.
const executionTimeout = 5 * time.Minute

// remediation is one alert about one Deployment, from its first notification to the end.
type remediation struct {
	*lane

	kind   string
	target *appsv1.Deployment
	rr     *v1alpha1.RemediationRequest
	wfe    *v1alpha1.WorkflowExecution
}

// newRemediation makes the target, and waits until its controller has done its part.
func (l *lane) newRemediation(ctx context.Context, kind string) (*remediation, error) {
	labels := map[string]string{"app": "web"}
	r := &remediation{lane: l, kind: kind, target: &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.pipeline.Namespace, Name: testenv.Unique("web-*")},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "localhost/web:1"}}},
			},
		},
	}}
	if err := l.Env.Create(ctx, r.target, client.FieldOwner("testenv")); err != nil {
		return nil, fmt.Errorf("make a target: %w", err)
	}
	err := testenv.WaitFor(ctx, l.Env, r.target, func(d *appsv1.Deployment) bool {
		return d.Status.ObservedGeneration == d.Generation && d.Annotations["deployment.kubernetes.io/revision"] != "" && len(d.Status.Conditions) > 0
	})
	if err != nil {
		return nil, fmt.Errorf("make a target: %w", err)
	}
	return r, nil
}

// drive sends the alert, and that it is resolved once the execution is over, and waits for the
// end of the request.
func (r *remediation) drive(ctx context.Context) error {
	began := time.Now().UTC()
	answer, err := r.send(ctx, alertmanager.Alert{Status: alertmanager.Firing, StartsAt: began})
	if err != nil {
		return err
	}
	r.rr = &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{
		Namespace: answer.RemediationRequestNamespace, Name: answer.RemediationRequestName,
	}}
	if err := testenv.WaitFor(ctx, r.Env, r.rr, executed); err != nil {
		return fmt.Errorf("the execution: %w", err)
	}
	if _, err := r.send(ctx, alertmanager.Alert{Status: alertmanager.Resolved, StartsAt: began, EndsAt: time.Now().UTC()}); err != nil {
		return err
	}
	if err := testenv.WaitFor(ctx, r.Env, r.rr, testenv.InPhase(v1alpha1.RemediationCompleted)); err != nil {
		return fmt.Errorf("the end: %w", err)
	}
	r.wfe = &v1alpha1.WorkflowExecution{}
	if err := r.Env.Get(ctx, client.ObjectKey{Namespace: r.rr.Namespace, Name: r.rr.Status.ExecutionRef}, r.wfe); err != nil {
		return fmt.Errorf("read the execution: %w", err)
	}
	return nil
}

// executed holds from the end of the execution on.
func executed(rr *v1alpha1.RemediationRequest) bool {
	return rr.Status.Phase == v1alpha1.RemediationVerifying || rr.Status.Phase == v1alpha1.RemediationManualReview || rr.Status.Phase.Terminal()
}

// send sends a notification.
func (r *remediation) send(ctx context.Context, alert alertmanager.Alert) (alertmanager.Result, error) {
	alert.Labels = map[string]string{
		"alertname": signalOf(r.kind), "namespace": r.target.Namespace, "deployment": r.target.Name, "severity": "warning",
	}
	body, err := json.Marshal(map[string]any{"version": "4", "receiver": "kubernaut", "status": alert.Status, "alerts": []alertmanager.Alert{alert}})
	if err != nil {
		return alertmanager.Result{}, fmt.Errorf("encode an alert: %w", err)
	}
	answer, err := alertmanager.Call{URL: r.pipeline.GatewayURL, Header: alertmanager.JSON(), Body: body}.Do(ctx)
	if err != nil {
		return alertmanager.Result{}, fmt.Errorf("send an alert: %w", err)
	}
	if answer.Code != http.StatusCreated && answer.Code != http.StatusOK {
		return alertmanager.Result{}, fmt.Errorf("send an alert: answered %d %s", answer.Code, answer.Detail)
	}
	return answer.Result, nil
}

// Outcomes of an execution, by the events that its trail has, each once.
var (
	beginning = []string{
		testenv.SignalReceived, testenv.RequestCreated, "remediation.workflow.selected", "remediation.approval.requested",
		"remediation.approval.approved", "workflowexecution.execution.started",
	}
	effective = []string{
		"workflowexecution.execution.completed", "remediation.verification.started", "remediation.verification.passed",
		"remediation.request.completed",
	}
	inconclusive = []string{"workflowexecution.execution.failed", "remediation.manual_review.required", "remediation.request.completed"}
)

// check reads the trail once, and judges it by the outcome of the execution. The gates are those
// of all processes that worked on the remediation.
func (l *lane) check(ctx context.Context, r *remediation, gates ...*gate) error {
	if err := l.current.await(ctx); err != nil {
		return err
	}
	writes := 0
	for _, g := range gates {
		_, accepted := g.disarm()
		writes += accepted
	}
	trail, err := r.trail(ctx)
	if err != nil {
		return err
	}
	found, err := r.changes(ctx)
	if err != nil {
		return err
	}
	if err := l.judge(r, trail, max(writes, found)); err != nil {
		return err
	}
	l.over = append(l.over, r.rr.Name, string(r.wfe.UID), string(r.target.UID), r.target.Name)
	return r.remove(ctx)
}

// judge adds a remediation to the result.
func (l *lane) judge(r *remediation, trail testenv.Trail, changes int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	want := slices.Concat(beginning, effective)
	if r.wfe.Status.Outcome == v1alpha1.OutcomeInconclusive {
		want = slices.Concat(beginning, inconclusive)
		l.inconclusive++
	} else if r.wfe.Status.Outcome != v1alpha1.OutcomeEffective {
		return fmt.Errorf("execution %s is %s, %s: %s", r.wfe.Name, r.wfe.Status.Phase, r.wfe.Status.Outcome, r.wfe.Status.Message)
	}
	l.result.Accepted += len(want)
	for _, eventType := range want {
		if len(trail.Of(eventType)) == 0 {
			l.result.AddLost(r.rr.Name, fmt.Sprintf("%s (the execution is %s)", eventType, r.wfe.Status.Outcome))
		}
	}
	if changes == 0 && r.wfe.Status.Outcome == v1alpha1.OutcomeEffective {
		return fmt.Errorf("execution %s is effective, and changed nothing", r.wfe.Name)
	}
	l.actions += changes
	if changes > 1 {
		l.repeated += changes - 1
	}
	err := l.result.Check(verdict.Observations{Processed: []string{r.rr.Name}, Trails: map[string]testenv.Trail{r.rr.Name: trail}})
	if err != nil {
		return fmt.Errorf("check the trail: %w", err)
	}
	return nil
}

// trail flushes all services and reads the trail once.
func (r *remediation) trail(ctx context.Context) (testenv.Trail, error) {
	reader, err := audittrail.NewReader(audittrail.Options{
		DataStorageURL: r.Env.DataStorage.URL, ManagementURLs: append([]string{r.current.at.Management}, r.pipeline.ManagementURLs...),
	})
	if err != nil {
		return nil, fmt.Errorf("read the trail: %w", err)
	}
	events, err := reader.Read(ctx, r.rr.Name)
	if err != nil {
		return nil, fmt.Errorf("read the trail: %w", err)
	}
	return events, nil
}

// changes counts what the world shows: the generations of the target, or the Jobs.
func (r *remediation) changes(ctx context.Context) (int, error) {
	after := &appsv1.Deployment{}
	if err := r.Env.Get(ctx, client.ObjectKeyFromObject(r.target), after); err != nil {
		return 0, fmt.Errorf("read the target: %w", err)
	}
	if r.kind == kindAction {
		return int(after.Generation - r.target.Generation), nil
	}
	if after.Generation != r.target.Generation {
		return 0, errors.New("a Job's target was changed")
	}
	jobs := &batchv1.JobList{}
	if err := r.Env.List(ctx, jobs, client.InNamespace(r.workflows)); err != nil {
		return 0, fmt.Errorf("list Jobs: %w", err)
	}
	own := 0
	for i := range jobs.Items {
		if jobs.Items[i].Annotations[v1alpha1.AnnotationExecution] == string(r.wfe.UID) {
			own++
		}
	}
	return own, nil
}

// remove deletes what is left of the remediation: later ones list what there is.
func (r *remediation) remove(ctx context.Context) error {
	for _, o := range []client.Object{r.wfe, r.rr, r.target} {
		if err := r.Env.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("clean up: %w", err)
		}
	}
	return nil
}
