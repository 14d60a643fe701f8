package target_test

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/target"
)

// objects answers with the controller of each "Kind name", and counts the reads.
type objects struct {
	client.Reader

	controllers map[string]*metav1.OwnerReference
	errs        map[string]error
	reads       int
}

func (o *objects) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	o.reads++
	name := object.GetObjectKind().GroupVersionKind().Kind + " " + key.Name
	if err := o.errs[name]; err != nil {
		return err
	}
	controller, ok := o.controllers[name]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	if controller != nil {
		object.SetOwnerReferences([]metav1.OwnerReference{*controller})
	}
	return nil
}

func controlledBy(apiVersion, kind, name string) *metav1.OwnerReference {
	yes := true
	return &metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, Controller: &yes}
}

func pod(name string) v1alpha1.TargetResource {
	return v1alpha1.TargetResource{Kind: "Pod", Name: name, Namespace: "a"}
}

func TestTopOwners(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(schema.GroupResource{}, "", nil)
	unknown := &meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "Rollout"}}
	tests := map[string]struct {
		objects objects
		target  v1alpha1.TargetResource
		want    v1alpha1.TargetResource
	}{
		"of a pod of a deployment": {
			objects{controllers: map[string]*metav1.OwnerReference{
				"Pod p": controlledBy("apps/v1", "ReplicaSet", "r"), "ReplicaSet r": controlledBy("apps/v1", "Deployment", "d"),
				"Deployment d": nil,
			}},
			pod("p"),
			v1alpha1.TargetResource{Kind: "Deployment", Name: "d", Namespace: "a"},
		},
		"of a pod without one":       {objects{controllers: map[string]*metav1.OwnerReference{"Pod p": nil}}, pod("p"), pod("p")},
		"of a pod that is gone":      {objects{}, pod("p"), pod("p")},
		"of a forbidden pod":         {objects{errs: map[string]error{"Pod p": forbidden}}, pod("p"), pod("p")},
		"of a static pod on a node":  {objects{controllers: map[string]*metav1.OwnerReference{"Pod p": controlledBy("v1", "Node", "n")}}, pod("p"), pod("p")},
		"of a node":                  {objects{}, v1alpha1.TargetResource{Kind: "Node", Name: "n"}, v1alpha1.TargetResource{Kind: "Node", Name: "n"}},
		"of a pod without namespace": {objects{}, v1alpha1.TargetResource{Kind: "Pod", Name: "p"}, v1alpha1.TargetResource{Kind: "Pod", Name: "p"}},
		"of a forbidden owner": {
			objects{
				controllers: map[string]*metav1.OwnerReference{"Pod p": controlledBy("apps/v1", "ReplicaSet", "r")},
				errs:        map[string]error{"ReplicaSet r": forbidden},
			},
			pod("p"),
			v1alpha1.TargetResource{Kind: "ReplicaSet", Name: "r", Namespace: "a"},
		},
		"of a kind that the cluster does not serve": {
			objects{
				controllers: map[string]*metav1.OwnerReference{"Pod p": controlledBy("argoproj.io/v1", "Rollout", "r")},
				errs:        map[string]error{"Rollout r": unknown},
			},
			pod("p"),
			v1alpha1.TargetResource{Kind: "Rollout", Name: "r", Namespace: "a"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := target.NewResolver(&test.objects, clocktesting.NewFakePassiveClock(time.Now()))
			got, err := r.Top(t.Context(), test.target)
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

func TestCyclicOwnerReferencesAreBounded(t *testing.T) {
	t.Parallel()
	o := &objects{controllers: map[string]*metav1.OwnerReference{"Pod p": controlledBy("v1", "Pod", "p")}}
	r := target.NewResolver(o, clocktesting.NewFakePassiveClock(time.Now()))
	if _, err := r.Top(t.Context(), pod("p")); err != nil {
		t.Error(err)
	}
	if o.reads != 10 {
		t.Errorf("%d reads, want 10", o.reads)
	}
}

func TestOwnersAreCachedForTenMinutesAndFailuresAreNot(t *testing.T) {
	t.Parallel()
	clock := clocktesting.NewFakePassiveClock(time.Now())
	o := &objects{
		controllers: map[string]*metav1.OwnerReference{"Pod p": nil},
		errs:        map[string]error{"Pod p": errors.New("unavailable")},
	}
	r := target.NewResolver(o, clock)
	if _, err := r.Top(t.Context(), pod("p")); err == nil {
		t.Error("got an owner while the API server was unavailable")
	}
	o.errs = nil
	for _, step := range []struct {
		after time.Duration
		reads int
	}{{0, 2}, {10 * time.Minute, 2}, {time.Nanosecond, 3}} {
		clock.SetTime(clock.Now().Add(step.after))
		if _, err := r.Top(t.Context(), pod("p")); err != nil {
			t.Error(err)
		}
		if o.reads != step.reads {
			t.Errorf("%d reads after %v more, want %d", o.reads, step.after, step.reads)
		}
	}
}
