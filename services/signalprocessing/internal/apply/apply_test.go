package apply_test

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/signalprocessing/internal/apply"
)

const kind = "SignalProcessing"

// setup returns a client with one resource, and the resource before another writer
// changed it.
func setup(t *testing.T) (client.Client, *v1alpha1.SignalProcessing) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.SignalProcessing{}).
		WithObjects(&v1alpha1.SignalProcessing{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr-1", UID: "uid-1"}}).Build()
	before := read(t, c)
	change := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"someone.example/else":"1"}}}`))
	if err := c.Patch(t.Context(), before.DeepCopy(), change); err != nil {
		t.Fatal(err)
	}
	return c, before
}

func read(t *testing.T, c client.Client) *v1alpha1.SignalProcessing {
	t.Helper()
	sp := &v1alpha1.SignalProcessing{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "rr-1"}, sp); err != nil {
		t.Fatal(err)
	}
	return sp
}

func status(phase v1alpha1.ProcessingPhase) *v1alpha1.SignalProcessingStatus {
	return &v1alpha1.SignalProcessingStatus{Phase: phase}
}

func TestStatusHoldsForTheVersionThatWasRead(t *testing.T) {
	t.Parallel()
	c, before := setup(t)
	if err := apply.Status(t.Context(), c, kind, before, status(v1alpha1.ProcessingEnriching)); !apierrors.IsConflict(err) {
		t.Fatalf("error = %v, want a conflict", err)
	}
	if phase := read(t, c).Status.Phase; phase != "" {
		t.Errorf("phase = %s after a conflict", phase)
	}
	if err := apply.Status(t.Context(), c, kind, read(t, c), status(v1alpha1.ProcessingEnriching)); err != nil {
		t.Fatal(err)
	}
	if phase := read(t, c).Status.Phase; phase != v1alpha1.ProcessingEnriching {
		t.Errorf("phase = %s", phase)
	}
}

func TestStatusWithRetryWritesWhenOnlyOthersPartsChanged(t *testing.T) {
	t.Parallel()
	c, before := setup(t)
	same := func(fresh *v1alpha1.SignalProcessing) bool { return fresh.Status.Phase == "" }
	if err := apply.StatusWithRetry(t.Context(), c, c, kind, before, status(v1alpha1.ProcessingEnriching), same); err != nil {
		t.Fatal(err)
	}
	if phase := read(t, c).Status.Phase; phase != v1alpha1.ProcessingEnriching {
		t.Errorf("phase = %s", phase)
	}
	// The step is complete: its status must not be written again.
	if err := apply.StatusWithRetry(t.Context(), c, c, kind, before, status(v1alpha1.ProcessingPending), same); !apierrors.IsConflict(err) {
		t.Errorf("error = %v, want a conflict", err)
	}
}

func TestStatusWithRetryLeavesAnotherResourceOfTheNameAlone(t *testing.T) {
	t.Parallel()
	c, before := setup(t)
	before.UID = "uid-of-an-earlier-one"
	always := func(*v1alpha1.SignalProcessing) bool { return true }
	if err := apply.StatusWithRetry(t.Context(), c, c, kind, before, status(v1alpha1.ProcessingEnriching), always); !apierrors.IsConflict(err) {
		t.Errorf("error = %v, want a conflict", err)
	}
}

func TestStatusWithRetryOfADeletedResource(t *testing.T) {
	t.Parallel()
	c, before := setup(t)
	if err := c.Delete(t.Context(), before.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	always := func(*v1alpha1.SignalProcessing) bool { return true }
	err := apply.StatusWithRetry(t.Context(), c, c, kind, before, status(v1alpha1.ProcessingEnriching), always)
	if err == nil || errors.Is(err, t.Context().Err()) {
		t.Errorf("error = %v", err)
	}
}
