package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/lifecycle"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
)

const (
	// maxRequestToCompleted is how long a remediation takes, in times of its bare calls.
	maxRequestToCompleted = 1.5
	// The namespaces of the remediations.
	shopNamespace      = "bench-shop-1"
	bareNamespace      = "bench-shop-2" // no service watches it
	workflowsNamespace = "bench-workflows"
	platformNamespace  = "bench-platform"
	restartAccount     = "restart"
	restartSignal      = "KubePodCrashLooping"
)

// measureRemediation compares remediations, from the signal to the completed request, with the
// bare calls that each of them needs.
func measureRemediation(ctx context.Context, scale ratio.Scale, report *ratio.Report) (err error) {
	s, err := startServers(ctx)
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	if err != nil {
		return err
	}
	r := &remediations{servers: s, round: time.Duration(scale.Pick(2, 10)) * time.Second, senders: newSenders(1)}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	recorded, err := r.survey(ctx, report)
	if err != nil {
		return fmt.Errorf("record the calls of a remediation: %w", err)
	}
	bare, err := newReplay(s, recorded)
	if err != nil {
		return err
	}
	bare.show(report)
	stop, err := r.start(ctx, s.config, s.dataStorageURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	compared, err := ratio.Compare(pairs,
		func() (float64, error) { return r.trial(ctx, shopNamespace, r.remediate) },
		func() (float64, error) { return r.trial(ctx, bareNamespace, bare.run) })
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	const milli = 1000
	report.Figuref("remediation: %.0f ms from the signal to the completed request, its bare calls %.0f ms; ratios from %.2f to %.2f",
		milli/compared.Ours, milli/compared.Peer, 1/compared.Highest, 1/compared.Lowest)
	report.AtMost("request-to-completed-vs-bare", 1/compared.Ratio, maxRequestToCompleted)
	return nil
}

// remediations are what the trials share.
type remediations struct {
	*servers

	round   time.Duration // of each trial
	senders *http.Client
	gateway string    // URL that takes the notifications of Alertmanager
	made    int       // targets so far
	fired   time.Time // when the latest signal was sent
}

// prepare makes the namespaces, and the workflow with its rights.
func (r *remediations) prepare(ctx context.Context) error {
	optedIn := map[string]string{v1alpha1.LabelRemediation: v1alpha1.RemediationAuto, "kubernaut.ai/environment": "test"}
	const most = 10
	objects := append(make([]client.Object, 0, most),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: workflowsNamespace}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: platformNamespace}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: workflowsNamespace, Name: restartAccount}},
		&v1alpha1.RemediationWorkflow{
			ObjectMeta: metav1.ObjectMeta{Namespace: workflowsNamespace, Name: restartAccount},
			Spec: v1alpha1.RemediationWorkflowSpec{
				Description: "Restarts a Deployment.", ServiceAccountName: restartAccount, Risk: v1alpha1.RiskLow,
				AppliesTo: v1alpha1.AppliesTo{
					Signals: []string{restartSignal}, Kinds: []v1alpha1.WorkflowKind{{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment"}},
				},
				Timeout: metav1.Duration{Duration: time.Minute}, CoolDown: metav1.Duration{Duration: time.Minute},
				Verification: v1alpha1.WorkflowVerification{Condition: "target.metadata.name == before.metadata.name"},
				Action:       &v1alpha1.WorkflowAction{Restart: &v1alpha1.RestartAction{}},
			},
		},
	)
	for _, namespace := range []string{shopNamespace, bareNamespace} {
		name := metav1.ObjectMeta{Namespace: namespace, Name: restartAccount}
		objects = append(objects,
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: optedIn}},
			&rbacv1.Role{ObjectMeta: name, Rules: []rbacv1.PolicyRule{
				{APIGroups: []string{appsv1.GroupName}, Resources: []string{"deployments"}, Verbs: []string{verbGet, "patch"}},
			}},
			&rbacv1.RoleBinding{
				ObjectMeta: name, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: restartAccount},
				Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: workflowsNamespace, Name: restartAccount}},
			})
	}
	for _, object := range objects {
		if err := r.client.Create(ctx, object); err != nil {
			return fmt.Errorf("make %T %s: %w", object, object.GetName(), err)
		}
	}
	if err := controlplane.CreateProbe(ctx, r.client, workflowsNamespace); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return nil
}

// start runs the three services with their default options, but so that a policy approves, without
// bounds on the number of executions.
func (r *remediations) start(ctx context.Context, config *rest.Config, storageURL string) (stop func() error, err error) {
	var running []*lifecycle.Running
	stop = func() error {
		errs := make([]error, 0, len(running))
		for _, s := range running {
			errs = append(errs, s.Stop())
		}
		return errors.Join(errs...)
	}
	config = rest.CopyConfig(config)
	remediating, err := workflowexecution.New(workflowexecution.Options{
		DataStorageURL: storageURL, ManagementListen: anyPort, RESTConfig: config, WatchNamespaces: []string{shopNamespace},
		WorkflowsNamespace: workflowsNamespace, PlatformNamespace: platformNamespace,
		Mode: "auto", MaxPerNamespace: noQuota, MaxPerCluster: noQuota,
	})
	if err != nil {
		return stop, fmt.Errorf("configure WorkflowExecution: %w", err)
	}
	processing, err := signalprocessing.New(signalprocessing.Options{
		DataStorageURL: storageURL, ManagementListen: anyPort, RESTConfig: config, WatchNamespaces: []string{shopNamespace},
		GatewayNamespace: shopNamespace, LeaveClassified: true,
	})
	if err != nil {
		return stop, fmt.Errorf("configure SignalProcessing: %w", err)
	}
	incoming, err := gateway.New(gateway.Options{
		DataStorageURL: storageURL, Listen: anyPort, ManagementListen: anyPort, RESTConfig: config,
		Namespace: shopNamespace, WatchNamespaces: []string{shopNamespace},
	})
	if err != nil {
		return stop, fmt.Errorf("configure the Gateway: %w", err)
	}
	for name, app := range map[string]lifecycle.App{"WorkflowExecution": remediating, "SignalProcessing": processing, "the Gateway": incoming} {
		one, err := lifecycle.Start(ctx, name, app)
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		running = append(running, one)
	}
	r.gateway = incoming.APIURL() + signalsPath
	return stop, r.awaitWorkflow(ctx)
}

// awaitWorkflow returns once the service has found the workflow valid.
func (r *remediations) awaitWorkflow(ctx context.Context) error {
	return await(ctx, r.client, &v1alpha1.RemediationWorkflowList{}, workflowsNamespace, func(wf *v1alpha1.RemediationWorkflow) bool {
		return meta.IsStatusConditionTrue(wf.Status.Conditions, v1alpha1.ConditionValid)
	})
}

// await watches the objects of a namespace until one is as wanted.
func await[T client.Object](ctx context.Context, c client.WithWatch, list client.ObjectList, namespace string, wanted func(T) bool) error {
	changes, err := c.Watch(ctx, list, client.InNamespace(namespace))
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	defer changes.Stop()
	for change := range changes.ResultChan() {
		object, ok := change.Object.(T)
		if !ok {
			return fmt.Errorf("watch: %v", change.Object)
		}
		if wanted(object) {
			return nil
		}
	}
	return fmt.Errorf("the watch ended: %w", ctx.Err())
}

// trial takes one after the other for a round, and returns how many a second there are of those
// seconds that the takes report.
func (r *remediations) trial(ctx context.Context, namespace string, once func(context.Context, *appsv1.Deployment) (time.Duration, error)) (float64, error) {
	var total time.Duration
	count := 0
	for total < r.round {
		target, err := r.newTarget(ctx, namespace)
		if err != nil {
			return 0, err
		}
		took, err := once(ctx, target)
		if err != nil {
			return 0, err
		}
		if err := r.clean(ctx, target); err != nil {
			return 0, err
		}
		total += took
		count++
	}
	return float64(count) / total.Seconds(), nil
}

// newTarget makes a Deployment. All names have the same length.
func (r *remediations) newTarget(ctx context.Context, namespace string) (*appsv1.Deployment, error) {
	r.made++
	pods := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{appLabel: web}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: web, Image: web}}},
	}
	target := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("web-%06d", r.made)},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: pods.Labels}, Template: pods},
	}
	if err := r.client.Create(ctx, target); err != nil {
		return nil, fmt.Errorf("make a target: %w", err)
	}
	return target, nil
}

// remediate sends a signal about a Deployment, and that it has resolved as soon as the execution
// has begun, and waits until the request is completed.
func (r *remediations) remediate(ctx context.Context, target *appsv1.Deployment) (time.Duration, error) {
	executions, err := r.client.Watch(ctx, &v1alpha1.WorkflowExecutionList{}, client.InNamespace(shopNamespace))
	if err != nil {
		return 0, fmt.Errorf("watch executions: %w", err)
	}
	defer executions.Stop()
	requests, err := r.client.Watch(ctx, &v1alpha1.RemediationRequestList{}, client.InNamespace(shopNamespace))
	if err != nil {
		return 0, fmt.Errorf("watch requests: %w", err)
	}
	defer requests.Stop()
	r.fired = time.Now()
	if err := r.send(ctx, target, http.StatusCreated, r.fired.UTC(), time.Time{}); err != nil {
		return 0, err
	}
	for resolved := false; ; {
		select {
		case change, open := <-executions.ResultChan():
			wfe, err := changed[*v1alpha1.WorkflowExecution](ctx, change, open)
			if err != nil {
				return 0, err
			}
			if resolved || wfe.Spec.Target.UID != target.UID || wfe.Status.StartedAt == nil {
				continue
			}
			resolved = true
			if err := r.send(ctx, target, http.StatusOK, r.fired.UTC(), time.Now().UTC()); err != nil {
				return 0, err
			}
		case change, open := <-requests.ResultChan():
			rr, err := changed[*v1alpha1.RemediationRequest](ctx, change, open)
			if err != nil {
				return 0, err
			}
			if over, err := ended(rr, target); over || err != nil {
				return time.Since(r.fired), err
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("remediate: %w", ctx.Err())
		}
	}
}

// changed is the object of a change that a watch reports.
func changed[T any](ctx context.Context, change watch.Event, open bool) (T, error) {
	object, ok := change.Object.(T)
	if !open || !ok {
		return object, fmt.Errorf("watch: %v: %w", change.Object, ctx.Err())
	}
	return object, nil
}

// ended reports whether a request about the target is completed; one that ended in another way is an error.
func ended(rr *v1alpha1.RemediationRequest, target client.Object) (bool, error) {
	phase := rr.Status.Phase
	if rr.Spec.TargetResource.Name != target.GetName() {
		return false, nil
	}
	if phase == v1alpha1.RemediationManualReview || phase == v1alpha1.RemediationSkipped {
		return false, fmt.Errorf("request %s is %s: %s", rr.Name, phase, rr.Status.Message)
	}
	return phase == v1alpha1.RemediationCompleted, nil
}

// send sends a notification about a target, which has resolved if it has an end.
func (r *remediations) send(ctx context.Context, target *appsv1.Deployment, want int, start, end time.Time) error {
	status := "firing"
	if !end.IsZero() {
		status = "resolved"
	}
	alert := map[string]any{
		memberStatus: status, "startsAt": start, "endsAt": end, "generatorURL": "http://prometheus-k8s-0:9090/graph?g0.expr=kube_deployment",
		"labels": map[string]string{
			labelAlert: restartSignal, labelNamespace: target.Namespace, "deployment": target.Name, labelSeverity: severity,
			"prometheus": "monitoring/k8s", "reason": "CrashLoopBackOff",
		},
		"annotations": map[string]string{"summary": "Pod is crash looping.", "runbook_url": "https://runbooks.example/kubepodcrashlooping"},
	}
	body, err := json.Marshal(map[string]any{"version": "4", "receiver": "kubernaut", memberStatus: status, "alerts": []any{alert}})
	if err != nil {
		return fmt.Errorf("encode a notification: %w", err)
	}
	code, answer, err := post(ctx, r.senders, r.gateway, body)
	if err != nil {
		return err
	}
	if code != want {
		return fmt.Errorf("a %s alert was answered with %d: %s", status, code, answer)
	}
	return nil
}

// clean deletes the target and what was made for it, and waits until the requests are gone: later
// ones list what there is.
func (r *remediations) clean(ctx context.Context, target *appsv1.Deployment) error {
	if err := r.client.Delete(ctx, target, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	if target.Namespace == bareNamespace {
		if err := r.release(ctx, bareNamespace); err != nil {
			return err
		}
	}
	in := client.InNamespace(target.Namespace)
	for _, kind := range []client.Object{&v1alpha1.WorkflowExecution{}, &v1alpha1.SignalProcessing{}, &v1alpha1.RemediationRequest{}} {
		if err := r.client.DeleteAllOf(ctx, kind, in); err != nil {
			return fmt.Errorf("clean up: %w", err)
		}
	}
	return r.awaitGone(ctx, target.Namespace)
}

// awaitGone waits until a namespace has no requests: services still clean up after a deletion.
func (r *remediations) awaitGone(ctx context.Context, namespace string) error {
	var left v1alpha1.RemediationRequestList
	if err := r.client.List(ctx, &left, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("list requests: %w", err)
	}
	changes, err := r.client.Watch(ctx, &v1alpha1.RemediationRequestList{}, client.InNamespace(namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: left.ResourceVersion}})
	if err != nil {
		return fmt.Errorf("watch requests: %w", err)
	}
	defer changes.Stop()
	for gone := 0; gone < len(left.Items); {
		change, open := <-changes.ResultChan()
		if _, err := changed[*v1alpha1.RemediationRequest](ctx, change, open); err != nil {
			return err
		}
		if change.Type == watch.Deleted {
			gone++
		}
	}
	return nil
}
