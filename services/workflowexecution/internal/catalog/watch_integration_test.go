//go:build integration

package catalog_test

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
)

// runCatalog runs the controller until the test ends. It validates no workflow again without a cause.
func runCatalog(t *testing.T) {
	t.Helper()
	skip := true
	m, err := manager.New(plane.Config(), manager.Options{
		Scheme: cluster.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: &skip},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &catalog.Reconciler{
		Validator: validator(), Status: cluster, Cached: m.GetCache(), Namespace: workflows, Every: time.Hour, Known: func(string) {},
	}
	if err := r.Register(m); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// awaitValid waits until a workflow is valid, or is not.
func awaitValid(t *testing.T, name string, want metav1.ConditionStatus) {
	t.Helper()
	w, err := cluster.Watch(t.Context(), &v1alpha1.RemediationWorkflowList{}, client.InNamespace(workflows), client.MatchingFields{"metadata.name": name})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		wf, ok := e.Object.(*v1alpha1.RemediationWorkflow)
		if !ok || e.Type == watch.Deleted {
			t.Fatalf("%s of %T", e.Type, e.Object)
		}
		if meta.IsStatusConditionPresentAndEqual(wf.Status.Conditions, v1alpha1.ConditionValid, want) {
			return
		}
	}
	t.Fatalf("the watch of workflow %s ended", name)
}

func TestAWorkflowIsValidOnceItsRollbackExists(t *testing.T) {
	runCatalog(t)
	do, undo := scale(), scale()
	do.Name, do.Spec.Rollback, undo.Name = "do", "undo", "undo"
	if err := cluster.Create(t.Context(), do); err != nil {
		t.Fatal(err)
	}
	awaitValid(t, do.Name, metav1.ConditionFalse)
	if err := cluster.Create(t.Context(), undo); err != nil {
		t.Fatal(err)
	}
	awaitValid(t, do.Name, metav1.ConditionTrue)
	if err := cluster.Delete(t.Context(), undo); err != nil {
		t.Fatal(err)
	}
	awaitValid(t, do.Name, metav1.ConditionFalse)
}
