//go:build integration

package execute_test

import (
	"context"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/guardrail"
)

func TestOneExecutionAtATimeHoldsATarget(t *testing.T) {
	w := newWorld(t, everything)
	leases := w.leases
	d := w.deployment("shop:1")
	first, second := w.approve(w.workflow(restart), d, "Deployment"), w.approve(w.workflow(restart), d, "Deployment")
	acquire := func(wfe *v1alpha1.WorkflowExecution, want bool) {
		t.Helper()
		if held, err := leases.Acquire(t.Context(), wfe); err != nil || held != want {
			t.Errorf("acquired: %t, error %v, want %t", held, err, want)
		}
	}
	acquire(first, true)
	acquire(second, false)
	acquire(first, true) // a successor of the same execution
	must(t, leases.Release(t.Context(), second))
	acquire(second, false)
	must(t, leases.Release(t.Context(), first))
	acquire(second, true)

	second.Status.Phase = v1alpha1.ExecutionFailed // without a release
	must(t, w.Status().Update(t.Context(), second))
	acquire(first, true)

	must(t, w.Delete(t.Context(), first))
	third := w.approve(w.workflow(restart), d, "Deployment")
	acquire(third, true)
}

// Two executions below one Deployment do not overlap, whatever in its chain they are about.
func TestExecutionsBelowOneOwnerDoNotOverlap(t *testing.T) {
	w := newWorld(t, everything)
	d := w.deployment("shop:1")
	rs := w.controlled("apps/v1", "ReplicaSet", d.UID)
	pod := w.controlled("v1", "Pod", rs.GetUID())
	at := func(o *unstructured.Unstructured) *v1alpha1.WorkflowExecution {
		wfe := w.approve(w.workflow(restart), d, "Deployment")
		wfe.Spec.Target.APIVersion, wfe.Spec.Target.Kind, wfe.Spec.Target.Name, wfe.Spec.Target.UID = o.GetAPIVersion(), o.GetKind(), o.GetName(), o.GetUID()
		return wfe
	}
	whole := w.approve(w.workflow(restart), d, "Deployment")
	for _, part := range []*v1alpha1.WorkflowExecution{at(rs), at(pod)} {
		for _, order := range [][2]*v1alpha1.WorkflowExecution{{whole, part}, {part, whole}} {
			w.acquires(order[0], true)
			w.acquires(order[1], false)
			must(t, w.leases.Release(t.Context(), order[0]))
		}
	}
	w.acquires(at(pod), true)
	stray := w.deployment("shop:1")
	w.acquires(w.approve(w.workflow(restart), stray, "Deployment"), true)
}

// A step waits for the execution below the same owner that is under way, and goes on after its end.
func TestAnExecutionWaitsForTheOneBelowItsOwner(t *testing.T) {
	w := newWorld(t, everything)
	d := w.deployment("shop:1")
	pod := w.controlled("v1", "Pod", w.controlled("apps/v1", "ReplicaSet", d.UID).GetUID())
	first, second := w.approve(w.workflow(restart), d, "Deployment"), w.approve(w.workflow(restart), d, "Deployment")
	below := first.DeepCopy()
	below.Spec.Target.APIVersion, below.Spec.Target.Kind, below.Spec.Target.Name, below.Spec.Target.UID = "v1", "Pod", pod.GetName(), pod.GetUID()
	w.acquires(below, true)
	_, err := w.step(w.stage, second)
	must(t, err)
	if second.Status.Phase != v1alpha1.ExecutionApproved || second.Status.Reason != v1alpha1.ReasonTargetBusy {
		t.Errorf("%s (%s), want Approved (TargetBusy)", second.Status.Phase, second.Status.Reason)
	}
	if d.Generation != w.read("Deployment", d.Name).GetGeneration() {
		t.Error("the target was changed")
	}
	must(t, w.Delete(t.Context(), pod)) // what is held is released although its object is gone
	must(t, w.leases.Release(t.Context(), below))
	w.finish(second)
	if second.Status.Phase != v1alpha1.ExecutionVerifying {
		t.Errorf("%s: %s, want Verifying", second.Status.Phase, second.Status.Message)
	}
}

func TestLeasesOfExecutionsThatAreGoneAreRemoved(t *testing.T) {
	w := newWorld(t, everything)
	gone := w.approve(w.workflow(restart), w.deployment("shop:1"), "Deployment")
	working := w.approve(w.workflow(restart), w.deployment("shop:1"), "Deployment")
	w.acquires(gone, true)
	w.acquires(working, true)
	must(t, w.Delete(t.Context(), gone))
	must(t, w.leases.Sweep(t.Context()))
	var left coordinationv1.LeaseList
	must(t, w.List(t.Context(), &left, client.InNamespace(w.leases.Namespace)))
	if len(left.Items) != 1 || left.Items[0].Labels[v1alpha1.AnnotationExecution] != string(working.UID) {
		t.Errorf("left: %v", left.Items)
	}
}

func (w *world) acquires(wfe *v1alpha1.WorkflowExecution, want bool) {
	w.t.Helper()
	if held, err := w.leases.Acquire(w.t.Context(), wfe); err != nil || held != want {
		w.t.Errorf("%s %s: acquired %t, error %v, want %t", wfe.Spec.Target.Kind, wfe.Spec.Target.Name, held, err, want)
	}
}

// controlled waits for an object that an owner controls.
func (w *world) controlled(apiVersion, kind string, owner types.UID) *unstructured.Unstructured {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(apiVersion)
	list.SetKind(kind + "List")
	watch, err := w.Watch(ctx, list, client.InNamespace(w.namespace))
	must(w.t, err)
	defer watch.Stop()
	for e := range watch.ResultChan() {
		o, ok := e.Object.(*unstructured.Unstructured)
		if controller := metav1.GetControllerOf(o); ok && controller != nil && controller.UID == owner {
			return o
		}
	}
	w.t.Fatalf("%s controls no %s", owner, kind)
	return nil
}

func TestPausedIsWhatALabelOrTheSwitchSays(t *testing.T) {
	w := newWorld(t, nil)
	state := func(want bool, because string) {
		t.Helper()
		if paused, why := w.State(t.Context(), w.namespace); paused != want || !strings.Contains(why, because) {
			t.Errorf("paused %t because %q, want %t because %q", paused, why, want, because)
		}
	}
	state(false, "")
	namespace := &corev1.Namespace{}
	must(t, w.Get(t.Context(), client.ObjectKey{Name: w.namespace}, namespace))
	namespace.Labels[v1alpha1.LabelRemediation] = v1alpha1.RemediationPaused
	must(t, w.Update(t.Context(), namespace))
	state(true, "is labeled")
	delete(namespace.Labels, v1alpha1.LabelRemediation)
	must(t, w.Update(t.Context(), namespace))
	state(false, "")

	cluster := &v1alpha1.PauseSwitch{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PauseSwitchName},
		Spec:       v1alpha1.PauseSwitchSpec{Paused: true, Reason: "maintenance", ChangedBy: w.me()},
	}
	must(t, w.Create(t.Context(), cluster))
	state(true, "paused the cluster: maintenance")
	cluster.Spec.Paused = false
	must(t, w.Update(t.Context(), cluster))
	state(false, "")

	if paused, why := (&guardrail.Pause{Live: unreadable{w}}).State(t.Context(), w.namespace); !paused || !strings.Contains(why, "cannot be read") {
		t.Errorf("an unreadable switch: paused %t because %q", paused, why)
	}
}

// me is the client of these tests, as the API server knows it.
func (w *world) me() v1alpha1.Decider {
	w.t.Helper()
	review := &authenticationv1.SelfSubjectReview{}
	must(w.t, w.Create(w.t.Context(), review))
	user := review.Status.UserInfo
	return v1alpha1.Decider{Name: user.Username, UID: user.UID, Groups: user.Groups}
}

// unreadable fails to read.
type unreadable struct{ client.Reader }

func (unreadable) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errKilled
}
