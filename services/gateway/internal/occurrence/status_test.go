package occurrence_test

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/occurrence"
)

// Another writer changes the status after each of the first reads, so that the
// conditional writes that follow them conflict.
func TestCountsAreNotLostToOtherWritersOfTheStatus(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	rr := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "rr-1", UID: "uid-1"}}
	const conflicts = 7
	reads := 0
	var other *occurrence.StatusWriter
	base := fake.NewClientBuilder().WithScheme(scheme).WithObjects(rr).WithStatusSubresource(rr).Build()
	interfering := interceptor.NewClient(base, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if err := c.Get(ctx, key, object, opts...); err != nil {
				return err
			}
			if reads++; reads > conflicts {
				return nil
			}
			_, err := other.Write(ctx, occurrence.Request{NamespacedName: key, UID: rr.UID}, &occurrence.Batch{Duplicates: 10, LastSeen: time.Now()})
			return err
		},
	})
	other = occurrence.NewStatusWriter(base)
	counted := occurrence.Request{NamespacedName: client.ObjectKeyFromObject(rr), UID: rr.UID}
	batch := &occurrence.Batch{Duplicates: 3, LastSeen: time.Now()}
	if _, err := occurrence.NewStatusWriter(interfering).Write(t.Context(), counted, batch); err != nil {
		t.Fatal(err)
	}
	got := &v1alpha1.RemediationRequest{}
	if err := base.Get(t.Context(), counted.NamespacedName, got); err != nil {
		t.Fatal(err)
	}
	if count := got.Status.Deduplication.OccurrenceCount; count != 1+10*conflicts+3 {
		t.Errorf("counted %d occurrences, want %d", count, 1+10*conflicts+3)
	}
}
