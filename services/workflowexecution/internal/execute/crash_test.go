//go:build integration

package execute_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

// started takes an approved execution to its start.
func (w *world) started(wfe *v1alpha1.WorkflowExecution) {
	w.t.Helper()
	_, err := w.step(w.stage, wfe)
	must(w.t, err)
	if wfe.Status.Phase != v1alpha1.ExecutionExecuting {
		w.t.Fatalf("phase %s: %s", wfe.Status.Phase, wfe.Status.Message)
	}
}

func TestNothingStartsWhileTheTrailIsUnavailable(t *testing.T) {
	w := newWorld(t, everything)
	wfe := w.approve(w.workflow(restart), w.deployment("shop:1"), "Deployment")
	w.sink.Fail(errors.New("down"))
	w.finish(wfe)
	if wfe.Status.Phase != v1alpha1.ExecutionApproved || !strings.Contains(wfe.Status.Message, "DataStorage") {
		t.Errorf("phase %s, message %q; want Approved, and what is missing", wfe.Status.Phase, wfe.Status.Message)
	}
	w.untouched(wfe)
	w.sink.Recover()
	w.finish(wfe)
	w.executed(wfe)
}

func TestWhatKeepsAnExecutionFromStarting(t *testing.T) {
	w := newWorld(t, everything)
	d := w.deployment("shop:1")
	wfe, other := w.approve(w.workflow(restart), d, "Deployment"), w.approve(w.workflow(restart), d, "Deployment")
	label := func(value string) {
		patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, v1alpha1.LabelRemediation, value))
		must(t, w.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}, patch))
	}
	for _, c := range []struct {
		reason     string
		begin, end func()
	}{
		{"TargetBusy", func() {
			held, err := w.leases.Acquire(t.Context(), other)
			must(t, err)
			if !held {
				t.Fatal("the Lease is not free")
			}
		}, func() { must(t, w.leases.Release(t.Context(), other)) }},
		{"GuardRail", func() { w.blocked = "cool-down" }, func() { w.blocked = "" }},
		{"Paused", func() { label(`"paused"`) }, func() { label("null") }},
	} {
		c.begin()
		w.finish(wfe)
		if wfe.Status.Phase != v1alpha1.ExecutionApproved || wfe.Status.Reason != c.reason {
			t.Errorf("%s: phase %s, reason %s", c.reason, wfe.Status.Phase, wfe.Status.Reason)
		}
		w.untouched(wfe)
		c.end()
	}
	w.finish(wfe)
	w.executed(wfe)
}

func TestAnApprovalThatNoLongerFitsIsInvalidated(t *testing.T) {
	for name, change := range map[string]func(*world, *appsv1.Deployment, *v1alpha1.WorkflowExecution){
		"the target's template changed": func(w *world, d *appsv1.Deployment, _ *v1alpha1.WorkflowExecution) {
			d.Spec.Template.Spec.Containers[0].Image = "shop:2"
			must(w.t, w.Update(w.t.Context(), d))
		},
		"the target was recreated": func(w *world, d *appsv1.Deployment, _ *v1alpha1.WorkflowExecution) {
			must(w.t, w.Delete(w.t.Context(), d))
			d.UID, d.ResourceVersion = "", ""
			must(w.t, w.Create(w.t.Context(), d))
		},
		"the workflow changed": func(w *world, _ *appsv1.Deployment, wfe *v1alpha1.WorkflowExecution) {
			wf := &v1alpha1.RemediationWorkflow{}
			must(w.t, w.Get(w.t.Context(), client.ObjectKey{Namespace: w.workflows, Name: wfe.Spec.Workflow.Name}, wf))
			wf.Spec.Description = "changes something else"
			must(w.t, w.Update(w.t.Context(), wf))
		},
		"the decision does not count": func(w *world, _ *appsv1.Deployment, _ *v1alpha1.WorkflowExecution) { w.undecided = "deleted" },
		"executions did not help meanwhile": func(w *world, _ *appsv1.Deployment, _ *v1alpha1.WorkflowExecution) {
			w.blocked, w.person = "a person decides", true
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, everything)
			d := w.deployment("shop:1")
			wfe := w.approve(w.workflow(restart), d, "Deployment")
			change(w, d, wfe)
			generation := w.read("Deployment", d.Name).GetGeneration()
			w.finish(wfe)
			if wfe.Status.Phase != v1alpha1.ExecutionInvalidated {
				t.Errorf("phase %s: %s", wfe.Status.Phase, wfe.Status.Message)
			}
			if got := w.trail(wfe); !slices.Equal(got, []string{auditevents.TypeProposalInvalidated}) {
				t.Errorf("trail %v", got)
			}
			if after := w.read("Deployment", d.Name); after.GetGeneration() != generation || after.GetAnnotations()[v1alpha1.AnnotationExecution] != "" {
				t.Error("the target was changed")
			}
		})
	}
}

func TestASuccessorFindsTheMark(t *testing.T) {
	w := newWorld(t, everything)
	wfe := w.approve(w.workflow(restart), w.deployment("shop:1"), "Deployment")
	w.started(wfe)
	_, err := w.stage.Advance(t.Context(), wfe.DeepCopy()) // and dies before it writes the status
	must(t, err)
	generation := w.read("Deployment", wfe.Spec.Target.Name).GetGeneration()
	w.stage = w.newStage()
	w.finish(wfe)
	if after := w.executed(wfe).GetGeneration(); after != generation {
		t.Errorf("generation %d, want %d: the target was changed twice", after, generation)
	}
}

func TestAnUnmarkedTargetThatChangedIsInconclusive(t *testing.T) {
	w := newWorld(t, everything)
	d := w.deployment("shop:1")
	wfe := w.approve(w.workflow(restart), d, "Deployment")
	w.started(wfe)
	d.Spec.Template.Spec.Containers[0].Image = "shop:2"
	must(t, w.Update(t.Context(), d))
	w.finish(wfe)
	if wfe.Status.Phase != v1alpha1.ExecutionFailed || wfe.Status.Outcome != v1alpha1.OutcomeInconclusive {
		t.Errorf("phase %s, outcome %q", wfe.Status.Phase, wfe.Status.Outcome)
	}
	if got, want := w.trail(wfe), []string{auditevents.TypeExecutionStarted, auditevents.TypeExecutionFailed}; !slices.Equal(got, want) {
		t.Errorf("trail %v, want %v", got, want)
	}
	if after := w.read("Deployment", d.Name); after.GetGeneration() != d.Generation {
		t.Errorf("generation %d, want %d", after.GetGeneration(), d.Generation)
	}
}

func TestAConflictStartsAgainAtTheLease(t *testing.T) {
	w := newWorld(t, everything)
	d := w.deployment("shop:1")
	wfe := w.approve(w.workflow(restart), d, "Deployment")
	w.started(wfe)
	acquired := w.acquired
	w.beforeNext = func() { // between the last read and the write
		d.Labels = map[string]string{"touched": "true"}
		must(t, w.Update(t.Context(), d))
	}
	if _, err := w.step(w.stage, wfe); !apierrors.IsConflict(err) {
		t.Fatalf("error %v, want a conflict", err)
	}
	w.finish(wfe)
	if w.acquired-acquired != 2 {
		t.Errorf("the Lease was taken %d times, want 2", w.acquired-acquired)
	}
	if after := w.executed(wfe).GetGeneration(); after != wfe.Spec.Target.Generation+1 {
		t.Errorf("generation %d, want one change", after)
	}
}

func TestALateWriteIsRefusedWhenASuccessorHasFinished(t *testing.T) {
	w := newWorld(t, everything)
	wfe := w.approve(w.workflow(restart), w.deployment("shop:1"), "Deployment")
	w.started(wfe)
	stale := wfe.DeepCopy()
	var unmarked *unstructured.Unstructured
	w.beforeNext = func() { // the first process is stopped here, and a successor finishes
		must(t, w.Get(t.Context(), client.ObjectKeyFromObject(wfe), wfe))
		w.stage = w.newStage()
		w.finish(wfe)
		w.executed(wfe)
		// Without the mark, a late write would show even if it changed nothing else.
		unmark := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"kubernaut.ai/execution":null}}}`))
		unmarked = w.read("Deployment", wfe.Spec.Target.Name)
		must(t, w.Patch(t.Context(), unmarked, unmark))
	}
	late := w.newStage()
	if _, err := late.Advance(t.Context(), stale); !apierrors.IsConflict(err) {
		t.Errorf("the late write ended with %v, want a conflict", err)
	}
	if _, err := late.Advance(t.Context(), stale); !apierrors.IsConflict(err) {
		t.Errorf("the late process goes on: %v, want a conflict", err)
	}
	target := w.read("Deployment", wfe.Spec.Target.Name)
	if mark := target.GetAnnotations()[v1alpha1.AnnotationExecution]; mark != "" || target.GetGeneration() != unmarked.GetGeneration() {
		t.Errorf("mark %q and generation %d, want none and %d: the late write arrived", mark, target.GetGeneration(), unmarked.GetGeneration())
	}
	if got := w.trail(wfe); !slices.Equal(got, whole) {
		t.Errorf("trail %v, want %v", got, whole)
	}
}
