package demo

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// What the alert in alert.json speaks of.
const (
	namespace  = "prod-payments"
	deployment = "checkout"
	replicaSet = "checkout-7d9c6b5c4"
	pod        = "checkout-7d9c6b5c4-x2x9z"
)

// createWorkload creates the alert's pod and what owns it, so that enrichment
// finds something. The objects are what their controllers would have made;
// nothing has to run them. What exists already is left as it is.
func createWorkload(ctx context.Context, c client.Client) error {
	labels := map[string]string{"app": deployment}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "checkout", Image: "checkout:1.0"}}},
	}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace,
		Labels: map[string]string{
			"environment":                "production",
			"kubernaut.ai/business-unit": "payments",
			"kubernaut.ai/service-owner": "team-checkout",
			"kubernaut.ai/criticality":   "critical",
		},
		Annotations: map[string]string{"kubernaut.ai/sla": "15m"},
	}}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: deployment, Labels: labels},
		Spec:       appsv1.DeploymentSpec{Selector: selector, Template: template},
	}
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: replicaSet, Labels: labels},
		Spec:       appsv1.ReplicaSetSpec{Selector: selector, Template: template},
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod, Labels: labels}, Spec: template.Spec}

	if err := create(ctx, c, ns, nil); err != nil {
		return err
	}
	if err := create(ctx, c, d, nil); err != nil {
		return err
	}
	if err := create(ctx, c, rs, d); err != nil {
		return err
	}
	return create(ctx, c, p, rs)
}

func create(ctx context.Context, c client.Client, object, owner client.Object) error {
	if owner != nil {
		if err := controllerutil.SetControllerReference(owner, object, c.Scheme()); err != nil {
			return fmt.Errorf("own %s: %w", object.GetName(), err)
		}
	}
	err := c.Create(ctx, object)
	if apierrors.IsAlreadyExists(err) {
		err = c.Get(ctx, client.ObjectKeyFromObject(object), object)
	}
	if err != nil {
		return fmt.Errorf("create %s of the workload: %w", object.GetName(), err)
	}
	return nil
}
