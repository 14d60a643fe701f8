//go:build integration

package execute_test

import (
	"context"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
		if held, err := leases.Held(t.Context(), wfe); err != nil || held != want {
			t.Errorf("held: %t, error %v, want %t", held, err, want)
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
