//go:build integration

package execute_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

var (
	restart  = &v1alpha1.WorkflowAction{Restart: &v1alpha1.RestartAction{}}
	rollback = &v1alpha1.WorkflowAction{Rollback: &v1alpha1.RollbackAction{}}
)

func scaleTo(replicas string) v1alpha1.ExecutionParameter {
	return v1alpha1.ExecutionParameter{Name: "replicas", Value: replicas}
}

var whole = []string{auditevents.TypeExecutionStarted, auditevents.TypeExecutionCompleted}

func (w *world) executed(wfe *v1alpha1.WorkflowExecution) *unstructured.Unstructured {
	w.t.Helper()
	target := w.read(wfe.Spec.Target.Kind, wfe.Spec.Target.Name)
	if wfe.Status.Phase != v1alpha1.ExecutionVerifying {
		w.t.Fatalf("phase %s (%s: %s), want Verifying", wfe.Status.Phase, wfe.Status.Reason, wfe.Status.Message)
	}
	if mark := target.GetAnnotations()[v1alpha1.AnnotationExecution]; mark != string(wfe.UID) {
		w.t.Errorf("mark %q, want the execution's UID %s", mark, wfe.UID)
	}
	if got := w.trail(wfe); !slices.Equal(got, whole) {
		w.t.Errorf("trail %v, want %v", got, whole)
	}
	if wfe.Status.StartedAt == nil || wfe.Status.FinishedAt == nil || w.acquired == 0 || w.released == 0 {
		w.t.Errorf("status %+v, Lease taken %d times and released %d times", wfe.Status, w.acquired, w.released)
	}
	return target
}

func TestARestartReplacesThePodsOfAWorkload(t *testing.T) {
	w := newWorld(t, everything)
	template := podTemplate("shop:1")
	selector := &metav1.LabelSelector{MatchLabels: template.Labels}
	meta := metav1.ObjectMeta{Namespace: w.namespace, Name: "shop"}
	for kind, target := range map[string]client.Object{
		"StatefulSet": &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template}},
		"DaemonSet":   &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}},
		"Deployment":  w.deployment("shop:1"),
	} {
		if kind != "Deployment" {
			must(t, w.Create(t.Context(), target))
		}
		wfe := w.approve(w.workflow(restart), target, kind)
		if !strings.Contains(wfe.Spec.Change, "+        kubectl.kubernetes.io/restartedAt:") {
			t.Errorf("%s: the proposal shows\n%s", kind, wfe.Spec.Change)
		}
		w.finish(wfe)
		after := w.executed(wfe)
		if at, _, _ := unstructured.NestedString(after.Object, "spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"); at == "" {
			t.Errorf("%s was not restarted", kind)
		}
		completed := w.event(wfe, auditevents.TypeExecutionCompleted)
		if before := completed["generation_before"]; before != float64(wfe.Spec.Target.Generation) || completed["generation_after"] != before.(float64)+1 {
			t.Errorf("%s: generations %v and %v, want %d and the next", kind, before, completed["generation_after"], wfe.Spec.Target.Generation)
		}
		if account := completed["service_account"]; account != "system:serviceaccount:"+w.workflows+":worker" {
			t.Errorf("%s: executed as %v", kind, account)
		}
	}
}

func TestARollbackRestoresThePodTemplateBefore(t *testing.T) {
	w := newWorld(t, everything)
	d := w.deployment("shop:1")
	d.Spec.Template.Spec.Containers[0].Image = "shop:does-not-exist"
	d.Annotations["release"] = "7"
	must(t, w.Update(t.Context(), d))
	w.settled(d, "2")
	wfe := w.approve(w.workflow(rollback), d, "Deployment")
	if !strings.Contains(wfe.Spec.Change, "-      - image: shop:does-not-exist\n+      - image: shop:1\n") {
		t.Errorf("the proposal shows\n%s", wfe.Spec.Change)
	}
	w.finish(wfe)
	w.executed(wfe)
	must(t, w.Get(t.Context(), client.ObjectKeyFromObject(d), d))
	if image := d.Spec.Template.Spec.Containers[0].Image; image != "shop:1" {
		t.Errorf("image %s, want shop:1", image)
	}
	if _, hashed := d.Spec.Template.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; hashed {
		t.Error("the template has the label of its ReplicaSet")
	}
	if d.Annotations["team"] != "cart" || d.Annotations["release"] != "7" {
		t.Errorf("annotations %v: the user's must stay", d.Annotations)
	}
	w.settled(d, "3")
}

func TestAFirstRevisionCannotBeRolledBack(t *testing.T) {
	w := newWorld(t, everything)
	wf := w.workflow(rollback)
	_, err := w.planner.Make(t.Context(), wf, w.read("Deployment", w.deployment("shop:1").Name), nil, time.Now())
	if err == nil || !strings.Contains(err.Error(), "has no revision before the current one") {
		t.Errorf("error %v", err)
	}
}

func TestAScaleKeepsItsBounds(t *testing.T) {
	w := newWorld(t, everything)
	d := w.deployment("shop:1")
	action := &v1alpha1.WorkflowAction{Scale: &v1alpha1.ScaleAction{MinReplicas: 1, MaxReplicas: 4}}
	for _, replicas := range []string{"0", "5", "many"} {
		if made, err := w.planner.Make(t.Context(), w.workflow(action), w.read("Deployment", d.Name), []v1alpha1.ExecutionParameter{scaleTo(replicas)}, time.Now()); err == nil {
			t.Errorf("%s replicas: a plan %+v, want an error", replicas, made)
		}
	}
	wfe := w.approve(w.workflow(action), d, "Deployment", scaleTo("4"))
	w.finish(wfe)
	if n, _, _ := unstructured.NestedInt64(w.executed(wfe).Object, "spec", "replicas"); n != 4 {
		t.Errorf("%d replicas, want 4", n)
	}
}

func TestAPlanSurvivesWhatItDoesNotDependOn(t *testing.T) {
	w := newWorld(t, everything)
	d := w.deployment("shop:1")
	wfe := w.approve(w.workflow(restart), d, "Deployment")
	d.Spec.Replicas = new(int32(3)) // as an autoscaler does
	must(t, w.Update(t.Context(), d))
	w.finish(wfe)
	w.executed(wfe)
}

func TestAnAccountThatLacksARightFailsAndNamesIt(t *testing.T) {
	w := newWorld(t, everything)
	d := w.deployment("shop:1")
	wfe := w.approve(w.workflow(restart), d, "Deployment")
	role := &rbacv1.Role{}
	must(t, w.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "worker"}, role))
	role.Rules[0].Verbs = []string{"get"}
	must(t, w.Update(t.Context(), role))
	w.finish(wfe)
	if wfe.Status.Phase != v1alpha1.ExecutionFailed || wfe.Status.Reason != "MissingRight" || wfe.Status.Outcome != "" {
		t.Errorf("status %+v", wfe.Status)
	}
	if m := wfe.Status.Message; !strings.Contains(m, "cannot patch resource \"deployments\"") || !strings.Contains(m, "worker") {
		t.Errorf("message %q does not name the right", m)
	}
	if got := w.trail(wfe); !slices.Equal(got, []string{auditevents.TypeExecutionFailed}) {
		t.Errorf("trail %v", got)
	}
	w.untouched(wfe)
}

// untouched checks that the target is as the proposal found it.
func (w *world) untouched(wfe *v1alpha1.WorkflowExecution) {
	w.t.Helper()
	target := w.read(wfe.Spec.Target.Kind, wfe.Spec.Target.Name)
	if mark := target.GetAnnotations()[v1alpha1.AnnotationExecution]; mark != "" || target.GetGeneration() != wfe.Spec.Target.Generation {
		w.t.Errorf("generation %d and mark %q, want generation %d and no mark", target.GetGeneration(), mark, wfe.Spec.Target.Generation)
	}
}
