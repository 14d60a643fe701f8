package remediationrequest_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
)

// restored is the request's SignalProcessing as a backup has it: of an earlier UID.
func (b *bench) restored(change func(*v1alpha1.SignalProcessing)) *v1alpha1.SignalProcessing {
	b.t.Helper()
	rr := b.request()
	sp := &v1alpha1.SignalProcessing{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: rr.Namespace, Name: rr.Name,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "RemediationRequest", Name: rr.Name, UID: "uid-0",
				Controller: new(true), BlockOwnerDeletion: new(true),
			}},
		},
		Spec: v1alpha1.SignalProcessingSpec{
			RemediationRequestRef: v1alpha1.RemediationRequestReference{Name: rr.Name, UID: "uid-0"}, Signal: *rr.Spec.Signal.DeepCopy(),
		},
	}
	if change != nil {
		change(sp)
	}
	if err := b.client.Create(b.t.Context(), sp); err != nil {
		b.t.Fatal(err)
	}
	b.writes = nil
	return sp
}

func (b *bench) processing() *v1alpha1.SignalProcessing {
	b.t.Helper()
	sp := &v1alpha1.SignalProcessing{}
	if err := (cached{b.client}).Get(b.t.Context(), key(), sp); err != nil {
		b.t.Fatal(err)
	}
	return sp
}

func TestARestoredRequestAdoptsItsSignalProcessing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*v1alpha1.SignalProcessing){
		"with its old owner": nil,
		"without owner":      func(sp *v1alpha1.SignalProcessing) { sp.OwnerReferences = nil },
		"with another dependency": func(sp *v1alpha1.SignalProcessing) {
			sp.OwnerReferences = append(sp.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "c", UID: "uid-c"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.restored(change)
			rr := b.settle()
			if rr.Status.Phase != v1alpha1.RemediationClassified {
				t.Errorf("status = %+v", rr.Status)
			}
			sp := b.processing()
			if !metav1.IsControlledBy(sp, rr) || strings.Contains(string(sp.OwnerReferences[0].UID), "uid-0") {
				t.Errorf("owners = %+v", sp.OwnerReferences)
			}
			b.reads, b.writes = nil, nil
			if b.settle(); b.reads != nil || b.writes != nil {
				t.Errorf("a settled request costs the reads %v and the writes %v", b.reads, b.writes)
			}
		})
	}
}

func TestANameThatIsTakenIsShownAndNotRetried(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*v1alpha1.SignalProcessing){
		"another signal": func(sp *v1alpha1.SignalProcessing) { sp.Spec.Signal.SignalName = "SomethingElse" },
		"another owner": func(sp *v1alpha1.SignalProcessing) {
			sp.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "c", UID: "uid-c", Controller: new(true)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			sp := b.restored(change)
			for range 3 {
				if result, err := b.reconcile(); err != nil || result != (reconcile.Result{}) {
					t.Fatalf("result %+v, error %v", result, err)
				}
			}
			rr := b.request()
			condition := meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionSignalProcessed)
			if condition == nil || condition.Status != metav1.ConditionFalse || condition.Reason != v1alpha1.ReasonForeignSignalProcessing ||
				!strings.Contains(condition.Message, "delete it") || rr.Status.Message != condition.Message {
				t.Fatalf("condition = %+v, message %q", condition, rr.Status.Message)
			}
			if len(b.writes) != 1 {
				t.Errorf("writes = %v", b.writes)
			}
			if b.processing().Status.Phase != "" {
				t.Error("it was processed for this request")
			}
			if err := b.client.Delete(t.Context(), sp); err != nil {
				t.Fatal(err)
			}
			if rr := b.settle(); rr.Status.Phase != v1alpha1.RemediationClassified || !meta.IsStatusConditionTrue(rr.Status.Conditions, v1alpha1.ConditionSignalProcessed) {
				t.Errorf("after the deletion: %+v", rr.Status)
			}
		})
	}
}
