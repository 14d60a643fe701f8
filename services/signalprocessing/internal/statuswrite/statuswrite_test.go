package statuswrite_test

import (
	"context"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/signalprocessing/internal/statuswrite"
)

const kind = "SignalProcessing"

// setup returns a client with one resource, and the resource before another writer
// changed its annotations and its attempt.
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
	change = client.RawPatch(types.MergePatchType, []byte(`{"status":{"attempt":7}}`))
	if err := c.Status().Patch(t.Context(), before.DeepCopy(), change); err != nil {
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

// writers are both ways to write.
type writer func(context.Context, client.StatusClient, client.Reader, string, *v1alpha1.SignalProcessing,
	func(*v1alpha1.SignalProcessing), func(*v1alpha1.SignalProcessing) bool) (*v1alpha1.SignalProcessing, error)

func both(t *testing.T, test func(t *testing.T, c client.Client, before *v1alpha1.SignalProcessing, write write)) {
	t.Helper()
	for name, w := range map[string]writer{
		"patch":   statuswrite.Patch[v1alpha1.SignalProcessing, *v1alpha1.SignalProcessing],
		"replace": statuswrite.Replace[v1alpha1.SignalProcessing, *v1alpha1.SignalProcessing],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, before := setup(t)
			test(t, c, before, func(phase v1alpha1.ProcessingPhase, unchanged bool) (*v1alpha1.SignalProcessing, error) {
				return w(t.Context(), c, c, kind, before, func(sp *v1alpha1.SignalProcessing) { sp.Status.Phase = phase },
					func(*v1alpha1.SignalProcessing) bool { return unchanged })
			})
		})
	}
}

type write = func(phase v1alpha1.ProcessingPhase, unchanged bool) (*v1alpha1.SignalProcessing, error)

func TestADecisionThatNoLongerHoldsIsNotWritten(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, c client.Client, _ *v1alpha1.SignalProcessing, write write) {
		t.Helper()
		if _, err := write(v1alpha1.ProcessingEnriching, false); !apierrors.IsConflict(err) {
			t.Fatalf("error = %v, want a conflict", err)
		}
		if phase := read(t, c).Status.Phase; phase != "" {
			t.Errorf("phase = %s after a conflict", phase)
		}
	})
}

func TestOthersChangesAreKept(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, c client.Client, before *v1alpha1.SignalProcessing, write write) {
		t.Helper()
		written, err := write(v1alpha1.ProcessingEnriching, true)
		if err != nil {
			t.Fatal(err)
		}
		stored := read(t, c)
		if stored.Status.Phase != v1alpha1.ProcessingEnriching || stored.Status.Attempt != 7 || stored.Annotations["someone.example/else"] != "1" {
			t.Errorf("stored %+v", stored)
		}
		if written.ResourceVersion != stored.ResourceVersion || written.Status.Attempt != 7 || before.Status.Phase != "" {
			t.Errorf("returned %+v, and the argument is %+v", written, before)
		}
	})
}

func TestAnotherResourceOfTheNameIsLeftAlone(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, _ client.Client, before *v1alpha1.SignalProcessing, write write) {
		t.Helper()
		before.UID = "uid-of-an-earlier-one"
		if _, err := write(v1alpha1.ProcessingEnriching, true); !apierrors.IsConflict(err) {
			t.Errorf("error = %v, want a conflict", err)
		}
	})
}

func TestADeletedResource(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, c client.Client, before *v1alpha1.SignalProcessing, write write) {
		t.Helper()
		if err := c.Delete(t.Context(), before.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		if _, err := write(v1alpha1.ProcessingEnriching, true); !apierrors.IsNotFound(err) {
			t.Errorf("error = %v, want not found", err)
		}
	})
}
