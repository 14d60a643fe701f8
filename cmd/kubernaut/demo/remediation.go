package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// goes are the phases in which a request is expected while the demo waits for another one. In any
// other phase it does not go on.
type goes []v1alpha1.RemediationPhase

// towards is the way of a request to the phases of a proposal and of a completed remediation.
var towards = goes{
	"", v1alpha1.RemediationPending, v1alpha1.RemediationProcessing, v1alpha1.RemediationClassified, v1alpha1.RemediationAwaitingApproval,
	v1alpha1.RemediationApproved, v1alpha1.RemediationExecuting, v1alpha1.RemediationVerifying,
}

// awaitRequest watches the request until it is in a phase, or until it does not go on.
func (d *demo) awaitRequest(ctx context.Context, key types.NamespacedName, through goes, wanted v1alpha1.RemediationPhase) (*v1alpha1.RemediationRequest, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	phase := v1alpha1.RemediationPhase("")
	request, err := await(ctx, d.cluster, &v1alpha1.RemediationRequestList{}, named(key.Name), func(r *v1alpha1.RemediationRequest) bool {
		phase = r.Status.Phase
		return phase == wanted || !slices.Contains(through, phase)
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("wait for request %s, which is in phase %q: %w", key, phase, err)
	case phase == wanted:
		return request, nil
	}
	if why := meta.FindStatusCondition(request.Status.Conditions, v1alpha1.ConditionManualReview); why != nil && why.Status == metav1.ConditionTrue {
		return nil, fmt.Errorf("request %s waits for a person (%s): %s; repeat the demo after: kubernaut close %s -n %s --reason WHY",
			key, why.Reason, why.Message, key.Name, key.Namespace)
	}
	return nil, fmt.Errorf("request %s is in phase %s, not in %s", key, phase, wanted)
}

// decide shows the proposal and decides about it as the person. It returns the execution once
// the platform has taken notice of the decision.
func (d *demo) decide(ctx context.Context, request *v1alpha1.RemediationRequest) (*v1alpha1.WorkflowExecution, error) {
	execution, err := d.person.Show(ctx, request.Name, d.Out)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what and where
	}
	verdict, reason := v1alpha1.VerdictApprove, "the demo runs with --auto: nobody was asked"
	if !d.Auto {
		yes, err := d.ask(ctx, execution)
		if errors.Is(err, errDecided) {
			d.sayf("\nsomebody else has decided")
			return d.awaitDecided(ctx, execution.Name)
		}
		if err != nil {
			return nil, err
		}
		if reason = "it was asked for in the demo"; !yes {
			verdict, reason = v1alpha1.VerdictReject, "it was declined in the demo"
		}
	}
	if err := d.person.Decide(ctx, execution, verdict, reason); err != nil {
		return nil, err //nolint:wrapcheck // says what and where
	}
	d.sayf("%s: RemediationApproval %s/%s created by %s", verdict, namespace, execution.UID, d.person.Name)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return d.awaitDecided(ctx, execution.Name)
}

// errDecided means that somebody decided while a question was open.
var errDecided = errors.New("somebody has decided")

// ask asks the person, until somebody else has decided.
func (d *demo) ask(ctx context.Context, execution *v1alpha1.WorkflowExecution) (bool, error) {
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if _, err := d.awaitDecided(asking, execution.Name); err == nil {
			cancel(errDecided)
		}
	}()
	yes, err := d.Ask(asking, fmt.Sprintf("Approve this, as %s?", d.person.Name))
	if err != nil {
		return false, fmt.Errorf("ask for a decision: %w", err)
	}
	return yes, nil
}

// awaitDecided waits until the platform has acted on a decision, or has ended the proposal.
func (d *demo) awaitDecided(ctx context.Context, name string) (*v1alpha1.WorkflowExecution, error) {
	execution, err := await(ctx, d.cluster, &v1alpha1.WorkflowExecutionList{}, named(name), func(e *v1alpha1.WorkflowExecution) bool {
		return e.Status.Phase != "" && e.Status.Phase != v1alpha1.ExecutionProposed
	})
	if err != nil {
		return nil, fmt.Errorf("wait until a decision is acted on, execution %s: %w", name, err)
	}
	return execution, nil
}

// watchExecution waits until the Deployment is restarted, plays what the new pod does, resolves the
// alert, and waits for the outcome.
func (d *demo) watchExecution(ctx context.Context, execution *v1alpha1.WorkflowExecution, sick *corev1.Pod) error {
	d.heading("The execution")
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	execution, err := await(waiting, d.cluster, &v1alpha1.WorkflowExecutionList{}, named(execution.Name), func(e *v1alpha1.WorkflowExecution) bool {
		return e.Status.Phase == v1alpha1.ExecutionVerifying || e.Status.Phase.Terminal()
	})
	if err != nil {
		return fmt.Errorf("wait for the execution: %w", err)
	}
	if execution.Status.Phase != v1alpha1.ExecutionVerifying {
		return fmt.Errorf("execution %s is %s (%s): %s", execution.Name, execution.Status.Phase, execution.Status.Reason, execution.Status.Message)
	}
	d.sayf("Deployment %s/%s restarted: generation %d became %d", namespace, d.app,
		execution.Status.TargetGenerationBefore, execution.Status.TargetGeneration)
	fresh, err := d.awaitPod(ctx, sick.UID)
	if err != nil {
		return err
	}
	d.sayf("kube-controller-manager created pod %s", fresh.Name)
	if err := d.reportReady(ctx, fresh); err != nil {
		return err
	}
	if err := d.awaitReplaced(ctx, sick); err != nil {
		return err
	}
	d.heading("The verification")
	return d.resolve(ctx, types.NamespacedName{Namespace: namespace, Name: execution.Spec.Request.Name}, towards)
}

// repair plays that somebody repairs the pod without the platform, after a rejection.
func (d *demo) repair(ctx context.Context, key types.NamespacedName, pod *corev1.Pod) error {
	d.heading("The rejection")
	request, err := d.awaitRequest(ctx, key, towards, v1alpha1.RemediationManualReview)
	if err != nil {
		return err
	}
	untouched := &appsv1.Deployment{}
	if err := d.cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: d.app}, untouched); err != nil {
		return fmt.Errorf("read Deployment %s: %w", d.app, err)
	}
	d.sayf("Deployment %s/%s is untouched: generation %d", namespace, d.app, untouched.Generation)
	if waits := meta.FindStatusCondition(request.Status.Conditions, v1alpha1.ConditionManualReview); waits != nil {
		d.sayf("request in phase %s (%s): %s", request.Status.Phase, waits.Reason, waits.Message)
	}
	d.sayf("demo: somebody repairs the pod without Kubernaut")
	if err := d.cluster.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
		return fmt.Errorf("read pod %s: %w", pod.Name, err)
	}
	if err := d.reportReady(ctx, pod); err != nil {
		return err
	}
	d.heading("The end of the alert")
	return d.resolve(ctx, key, goes{v1alpha1.RemediationManualReview})
}

// resolve sends that the alert has resolved, and waits until the request is completed.
func (d *demo) resolve(ctx context.Context, key types.NamespacedName, through goes) error {
	d.alert.end(time.Now())
	if _, err := d.send(ctx); err != nil {
		return err
	}
	request, err := d.awaitRequest(ctx, key, through, v1alpha1.RemediationCompleted)
	if err != nil {
		return err
	}
	d.sayf("request %s", request.Status.Phase)
	if end := meta.FindStatusCondition(request.Status.Conditions, v1alpha1.ConditionFinished); end != nil {
		d.sayf("  %s: %s", end.Reason, end.Message)
	}
	return nil
}
