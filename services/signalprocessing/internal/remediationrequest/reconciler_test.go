package remediationrequest_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/services/signalprocessing/internal/remediationrequest"
)

// A terminating namespace accepts no new objects and may exist for a while:
// retrying until it is gone would delay other requests.
func TestARequestInATerminatingNamespaceIsLeftAlone(t *testing.T) {
	t.Parallel()
	refusal := apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "signalprocessings"}, "rr-1", errors.New("no"))
	for name, tc := range map[string]struct {
		causes []metav1.StatusCause
		fails  bool
	}{
		"terminating": {causes: []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}},
		"forbidden":   {fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			types, err := kube.Scheme()
			if err != nil {
				t.Fatal(err)
			}
			rr := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "going", Name: "rr-1", UID: "1"}}
			answer := *refusal
			answer.ErrStatus.Details = &metav1.StatusDetails{Causes: tc.causes}
			c := fake.NewClientBuilder().WithScheme(types).WithObjects(rr).WithInterceptorFuncs(interceptor.Funcs{
				Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return &answer },
			}).Build()
			r, err := remediationrequest.New(remediationrequest.Parts{
				Live: c, Cached: c, Writer: c, Clock: clocktesting.NewFakePassiveClock(metav1.Now().Time), Log: zap.NewNop(), Concurrency: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
			result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(rr)})
			if (err != nil) != tc.fails || result != (reconcile.Result{}) {
				t.Errorf("result %+v, error %v", result, err)
			}
		})
	}
}
