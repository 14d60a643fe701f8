package executions_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/services/workflowexecution/internal/executions"
	"kubernaut.ai/services/workflowexecution/internal/metrics"
)

// stage is a function that advances.
type stage func(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error)

func (s stage) Advance(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
	return s(ctx, wfe)
}

// What a stage does not find, for instance the namespace of its Leases, is an error to
// repeat and to report, unless the execution itself is gone.
func TestOnlyAnExecutionThatIsGoneIsGivenUp(t *testing.T) {
	t.Parallel()
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "kubernaut-system")
	for name, goes := range map[string]bool{"it is there": false, "it goes meanwhile": true} {
		scheme, err := kube.Scheme()
		if err != nil {
			t.Fatal(err)
		}
		wfe := &v1alpha1.WorkflowExecution{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr-1-1"}}
		c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(wfe).Build()
		counted, err := metrics.New(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		r, err := executions.New(executions.Parts{
			Metrics: counted,
			Live:    c, Cached: c, Writer: c, Log: zap.NewNop(), Concurrency: 1,
			Stages: map[v1alpha1.ExecutionPhase]executions.Stage{
				v1alpha1.ExecutionProposed: stage(func(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
					if goes {
						if err := c.Delete(ctx, wfe); err != nil {
							t.Error(err)
						}
					}
					return 0, missing
				}),
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(wfe)})
		if (err == nil) != goes {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
