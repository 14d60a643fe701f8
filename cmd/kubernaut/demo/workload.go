package demo

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/cmd/kubernaut/stack"
)

// What the alert is about.
const (
	namespace  = "prod-payments"
	container  = "checkout"
	signalName = "KubePodCrashLooping"
)

// maxRuns bounds the runs against one stack.
const maxRuns = 100

const (
	// shipped is the workflow that the demo copies.
	shipped = "restart"
	copied  = "demo-restart"
	// stabilization is that of the copy: nobody would wait for the shipped workflow's.
	stabilization = 2 * time.Second
)

// workload selects the Deployment's pods.
func (d *demo) workload() map[string]string { return map[string]string{"app": d.app} }

// createWorkload creates the namespace and a Deployment, of which kube-controller-manager makes a
// pod. Each run has its own Deployment: the request of an earlier run still takes the alerts about
// that run's for a while.
func (d *demo) createWorkload(ctx context.Context) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace,
		Labels: map[string]string{
			"environment":                "production",
			"kubernaut.ai/business-unit": "payments",
			"kubernaut.ai/service-owner": "team-checkout",
			"kubernaut.ai/criticality":   "critical",
			v1alpha1.LabelRemediation:    v1alpha1.RemediationEnabled,
		},
		Annotations: map[string]string{"kubernaut.ai/sla": "15m"},
	}}
	if err := d.cluster.Create(ctx, ns); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", namespace, err)
	}
	d.app = container
	err := d.cluster.Create(ctx, d.newDeployment())
	for run := 2; apierrors.IsAlreadyExists(err) && run <= maxRuns; run++ {
		d.app = fmt.Sprintf("%s-%d", container, run)
		err = d.cluster.Create(ctx, d.newDeployment())
	}
	if err != nil {
		return fmt.Errorf("create Deployment %s, which the alert is about: %w", d.app, err)
	}
	return nil
}

func (d *demo) newDeployment() *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: d.app, Labels: d.workload()},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: d.workload()},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: d.workload()},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: container, Image: "checkout:1.0"}}},
			},
		},
	}
}

// copyWorkflow makes a copy of the shipped workflow, for the demo's namespace alone, which takes
// less time, and waits until the catalog has found it valid.
func (d *demo) copyWorkflow(ctx context.Context) error {
	from := &v1alpha1.RemediationWorkflow{}
	if err := d.cluster.Get(ctx, client.ObjectKey{Namespace: stack.WorkflowsNamespace, Name: shipped}, from); err != nil {
		return fmt.Errorf("read the workflow %s: %w", shipped, err)
	}
	made := &v1alpha1.RemediationWorkflow{ObjectMeta: metav1.ObjectMeta{Namespace: from.Namespace, Name: copied}}
	_, err := controllerutil.CreateOrUpdate(ctx, d.cluster, made, func() error {
		made.Spec = *from.Spec.DeepCopy()
		made.Spec.AppliesTo.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}
		made.Spec.Stabilization = metav1.Duration{Duration: stabilization}
		made.Spec.CoolDown = metav1.Duration{} // the demo can be repeated
		return nil
	})
	if err != nil {
		return fmt.Errorf("copy the workflow %s: %w", shipped, err)
	}
	which := named(copied)
	which.Namespace = made.Namespace
	_, err = await(ctx, d.cluster, &v1alpha1.RemediationWorkflowList{}, which, func(w *v1alpha1.RemediationWorkflow) bool {
		return w.Status.ObservedGeneration == made.Generation && meta.IsStatusConditionTrue(w.Status.Conditions, v1alpha1.ConditionValid)
	})
	if err != nil {
		return fmt.Errorf("wait until the catalog has found workflow %s valid: %w", copied, err)
	}
	d.sayf("demo: workflow %s is the shipped %s with a stabilization of %s instead of %s, and no cool-down",
		copied, shipped, stabilization, from.Spec.Stabilization.Duration)
	return nil
}
