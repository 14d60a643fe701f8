package dedup_test

import (
	"fmt"
	"slices"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/quota"
)

func (c *cluster) count(t *testing.T, list client.ObjectList) int {
	t.Helper()
	if err := c.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	switch l := list.(type) {
	case *coordinationv1.LeaseList:
		return len(l.Items)
	case *v1alpha1.RemediationRequestList:
		return len(l.Items)
	}
	t.Fatalf("%T", list)
	return 0
}

func TestBeyondABoundProblemsShareAnOverflowRequest(t *testing.T) {
	t.Parallel()
	c := newCluster(t, quota.Limits{PerSender: 100, PerNamespace: 2, Total: 100})
	for n := range 2 {
		if c.open(t, problem(fmt.Sprint("A", n), "p")).Overflow {
			t.Fatal("the bound is too low")
		}
	}
	first := c.open(t, problem("B0", "p"))
	r := first.Request
	if !first.Overflow || !first.Created || r.Spec.SignalType != v1alpha1.SignalTypeOverflow || r.Namespace != "shop" {
		t.Fatalf("%+v", first)
	}
	want := v1alpha1.TargetResource{APIVersion: "v1", Kind: "Namespace", Name: "shop"}
	if r.Spec.TargetResource != want || r.Spec.SignalFingerprint != dedup.OverflowFingerprint("", "shop") {
		t.Errorf("target %+v, fingerprint %s", r.Spec.TargetResource, r.Spec.SignalFingerprint)
	}
	if !slices.Equal(c.trail, []string{"received B0 under " + r.Name, "created " + r.Name}) {
		t.Errorf("trail %q", c.trail)
	}
	for n := range 100 {
		member := c.open(t, problem(fmt.Sprint("B", n), "p"))
		if !member.Overflow || member.Created || member.Request.Name != r.Name || len(c.trail) > 0 {
			t.Fatalf("member %d: %+v %q", n, member, c.trail)
		}
		c.expectCalls(t, "get Request")
	}
	if leases, requests := c.count(t, &coordinationv1.LeaseList{}), c.count(t, &v1alpha1.RemediationRequestList{}); leases != 3 || requests != 3 {
		t.Errorf("%d leases and %d requests", leases, requests)
	}
	if len(c.exceeded) != 101 || c.exceeded[0] != quota.BoundNamespace {
		t.Errorf("%d exceedances", len(c.exceeded))
	}
	if c.open(t, problem("A1", "p")).Overflow {
		t.Error("a duplicate of an open request counts")
	}
}

func TestAMemberGetsItsOwnRequestOnceThereIsRoom(t *testing.T) {
	t.Parallel()
	c := newCluster(t, quota.Limits{PerSender: 100, PerNamespace: 1, Total: 100})
	first := c.open(t, problem("A", "p"))
	handler := c.quota.Handler()
	handler.OnAdd(first.Request, false)
	if !c.open(t, problem("B", "p")).Overflow {
		t.Fatal("no bound")
	}
	ended := first.Request.DeepCopy()
	ended.Status.Phase = v1alpha1.RemediationSkipped
	handler.OnUpdate(first.Request, ended)
	if own := c.open(t, problem("B", "p")); own.Overflow || !own.Created {
		t.Errorf("%+v", own)
	}
	if !c.open(t, problem("C", "p")).Overflow {
		t.Error("there is room for more than one")
	}
}

// Namespaces and clusters that senders invent make no overflow requests.
func TestOverflowRequestsAreBoundedByTheNamespacesThatExist(t *testing.T) {
	t.Parallel()
	c := newCluster(t, quota.Limits{PerSender: 100, PerNamespace: 1, Total: 1})
	c.open(t, problem("A", "p"))
	names := map[string]bool{}
	for n := range 10 {
		invented := problem("B", "p")
		invented.TargetResource.Namespace = fmt.Sprint("invented-", n)
		invented.Labels["cluster"] = fmt.Sprint("cluster-", n)
		invented.SignalFingerprint = fmt.Sprintf("%064d", n)
		result := c.open(t, invented)
		if !result.Overflow || result.Request.Namespace != modelNamespace {
			t.Fatalf("%+v", result)
		}
		names[result.Request.Name] = true
	}
	if len(names) != 1 {
		t.Errorf("%d overflow requests", len(names))
	}
}

func TestARequestThatSomebodyDeletesIsNotMistakenForOneToCome(t *testing.T) {
	t.Parallel()
	c := newCluster(t, many())
	first := c.open(t, problem("A", "p"))
	// Somebody removes the finalizer, so that nobody closes the register.
	stored := first.Request.DeepCopy()
	stored.Finalizers = nil
	if err := c.Update(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	second := c.open(t, problem("A", "p"))
	if !second.Created || second.Request.Name == first.Request.Name {
		t.Errorf("%+v", second)
	}
}
