package dedup_test

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/quota"
	"kubernaut.ai/services/gateway/internal/signal"
)

// cluster is an API server in memory that counts calls, and a Gateway's memory.
type cluster struct {
	client.WithWatch

	opener *dedup.Opener
	quota  *quota.Quota
	clock  *clocktesting.FakeClock
	// calls are the verbs and kinds of the calls so far.
	calls []string
	// deny denies the creation of requests.
	deny error
	// trail and exceeded are what was recorded.
	trail    []string
	exceeded []quota.Bound
}

// indexes passes the indexes of the cache to the builder of a fake client.
type indexes struct{ *fake.ClientBuilder }

func (i indexes) IndexField(_ context.Context, object client.Object, field string, value client.IndexerFunc) error {
	i.WithIndex(object, field, value)
	return nil
}

func newCluster(t *testing.T, limits quota.Limits) *cluster {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{clock: clocktesting.NewFakeClock(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.RemediationRequest{}).
		WithObjects(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	if err := dedup.AddIndexes(t.Context(), indexes{builder}); err != nil {
		t.Fatal(err)
	}
	c.WithWatch = builder.Build()
	c.restart(t, limits)
	return c
}

func (c *cluster) Received(_ context.Context, request types.NamespacedName, spec *v1alpha1.RemediationRequestSpec) error {
	c.trail = append(c.trail, "received "+spec.SignalName+" under "+request.Name)
	return nil
}

func (c *cluster) Created(_ context.Context, request *v1alpha1.RemediationRequest) error {
	c.trail = append(c.trail, "created "+request.Name)
	return nil
}

func (c *cluster) Exceeded(_ context.Context, _ *v1alpha1.RemediationRequest, why *quota.ExceededError) error {
	c.exceeded = append(c.exceeded, why.Bound)
	return nil
}

// restart replaces the Gateway by one that remembers nothing.
func (c *cluster) restart(t *testing.T, limits quota.Limits) {
	t.Helper()
	var err error
	if c.quota, err = quota.New(quota.Options{Limits: limits, Clock: c.clock, Registerer: prometheus.NewRegistry()}); err != nil {
		t.Fatal(err)
	}
	called := func(verb string, object client.Object) {
		kind := "Namespace"
		switch object.(type) {
		case *v1alpha1.RemediationRequest:
			kind = "Request"
		case *coordinationv1.Lease:
			kind = "Lease"
		}
		c.calls = append(c.calls, verb+" "+kind)
	}
	counting := interceptor.NewClient(c.WithWatch, interceptor.Funcs{
		Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
			called("get", object)
			return w.Get(ctx, key, object, o...)
		},
		Create: func(ctx context.Context, w client.WithWatch, object client.Object, o ...client.CreateOption) error {
			called("create", object)
			object.SetUID(types.UID("uid-" + strconv.Itoa(len(c.calls))))
			if _, ok := object.(*v1alpha1.RemediationRequest); ok && c.deny != nil {
				return c.deny
			}
			return w.Create(ctx, object, o...)
		},
		Update: func(ctx context.Context, w client.WithWatch, object client.Object, o ...client.UpdateOption) error {
			called("update", object)
			return w.Update(ctx, object, o...)
		},
	})
	c.opener = dedup.NewOpener(dedup.Options{
		Cache: c.WithWatch, Client: counting, Clock: c.clock, Random: rand.Reader, Quota: c.quota, Overflows: c,
		Namespace: modelNamespace, CoolDown: modelCoolDown,
	})
}

func many() quota.Limits { return quota.Limits{PerSender: 100, PerNamespace: 100, Total: 100} }

// problem is the spec of an alert about a pod, whose owner has the same name.
func problem(name, pod string) *v1alpha1.RemediationRequestSpec {
	target := v1alpha1.TargetResource{Kind: "Pod", Name: pod, Namespace: "shop"}
	return &v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
		SignalName: name, SignalFingerprint: signal.Fingerprint("", target, name), TargetResource: target,
		Labels: map[string]string{"alertname": name, "namespace": "shop", "pod": pod},
	}}
}

func (c *cluster) open(t *testing.T, spec *v1alpha1.RemediationRequestSpec) dedup.Result {
	t.Helper()
	c.calls, c.trail = nil, nil
	result, err := c.opener.Open(t.Context(), dedup.Signal{Spec: spec, Sender: "alertmanager"}, c)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func (c *cluster) expectCalls(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(c.calls, want) {
		t.Errorf("calls %q, want %q", c.calls, want)
	}
}

func TestANewProblemCostsTwoWritesAndADuplicateOneRead(t *testing.T) {
	t.Parallel()
	c := newCluster(t, many())
	first := c.open(t, problem("A", "p"))
	c.expectCalls(t, "get Namespace", "create Lease", "create Request", "get Lease")
	if !first.Created || !slices.Equal(c.trail, []string{"received A under " + first.Request.Name, "created " + first.Request.Name}) {
		t.Errorf("%+v %q", first, c.trail)
	}
	another := c.open(t, problem("B", "p"))
	c.expectCalls(t, "create Lease", "create Request", "get Lease")
	if another.Request.Name == first.Request.Name {
		t.Errorf("two problems share %s", first.Request.Name)
	}
	second := c.open(t, problem("A", "p"))
	c.expectCalls(t, "get Request")
	if second.Created || second.Request.UID != first.Request.UID || len(c.trail) > 0 {
		t.Errorf("%+v %q", second, c.trail)
	}
}

func TestARequestCarriesWhatItsRegisterNeeds(t *testing.T) {
	t.Parallel()
	c := newCluster(t, many())
	r := c.open(t, problem("A", "p")).Request
	if r.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedByGateway || !slices.Equal(r.Finalizers, []string{v1alpha1.FinalizerRegister}) {
		t.Errorf("labels %v, finalizers %v", r.Labels, r.Finalizers)
	}
	if r.Annotations[v1alpha1.AnnotationSender] != "alertmanager" || len(r.Annotations[v1alpha1.AnnotationSpecDigest]) != 64 ||
		!strings.HasSuffix(r.Annotations[v1alpha1.AnnotationOpening], "/"+r.Name) {
		t.Errorf("annotations %v", r.Annotations)
	}
}

func TestARequestWithAnotherOwnerIsFoundByTargetOrInstance(t *testing.T) {
	t.Parallel()
	// The pod's owner was known when the request was opened; now the pod is gone.
	known := problem("A", "p")
	known.SignalFingerprint = signal.Fingerprint("", v1alpha1.TargetResource{Kind: "Deployment", Name: "d", Namespace: "shop"}, "A")
	tests := map[string]func(*v1alpha1.RemediationRequestSpec){
		"the same target, another container": func(s *v1alpha1.RemediationRequestSpec) { s.Labels["container"] = "c" },
		"the same instance, another target":  func(s *v1alpha1.RemediationRequestSpec) { s.TargetResource.Kind = "Unknown" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, many())
			first := c.open(t, known)
			c.restart(t, many())
			trimmed(t, c, first.Request)
			again := problem("A", "p")
			change(again)
			result := c.open(t, again)
			if result.Created || result.Request.Name != first.Request.Name {
				t.Errorf("got %s (created %v), want %s", result.Request.Name, result.Created, first.Request.Name)
			}
			found, err := c.opener.Current(t.Context(), again)
			if err != nil || found.Key.Name != first.Request.Name {
				t.Errorf("its end belongs to %v, %v", found.Key, err)
			}
		})
	}
}

// trimmed stores the annotation that the cache computes.
func trimmed(t *testing.T, c *cluster, request *v1alpha1.RemediationRequest) {
	t.Helper()
	object, err := dedup.Trim(request.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	stored := request.DeepCopy()
	maps.Copy(stored.Annotations, object.(*v1alpha1.RemediationRequest).Annotations)
	if err := c.Update(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
}

func TestARequestCreatedByHandTakesNoSignals(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*v1alpha1.RemediationRequest){
		"without labels": func(*v1alpha1.RemediationRequest) {},
		"with our metadata": func(r *v1alpha1.RemediationRequest) {
			r.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByGateway}
		},
		"about another fingerprint, with the same target": func(r *v1alpha1.RemediationRequest) {
			r.Spec.SignalFingerprint = strings.Repeat("0", 64)
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, many())
			byHand := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "hand-made"}, Spec: *problem("A", "p")}
			change(byHand)
			if err := c.Create(t.Context(), byHand); err != nil {
				t.Fatal(err)
			}
			for created := range 2 {
				result := c.open(t, problem("A", "p"))
				if result.Request.Name == byHand.Name || result.Created != (created == 0) {
					t.Errorf("got %s, created %v", result.Request.Name, result.Created)
				}
			}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(byHand), byHand); err != nil {
				t.Errorf("it is gone: %v", err)
			}
		})
	}
}

func TestADeniedRequestIsCreatedLaterUnderTheSameName(t *testing.T) {
	t.Parallel()
	c := newCluster(t, many())
	c.deny = apierrors.NewForbidden(schema.GroupResource{}, "rr", errors.New("policy"))
	names := map[string]bool{}
	for range 3 {
		_, err := c.opener.Open(t.Context(), dedup.Signal{Spec: problem("A", "p")}, c)
		failure, ok := errors.AsType[*dedup.Error](err)
		if !ok || !apierrors.IsForbidden(err) {
			t.Fatalf("%v", err)
		}
		names[failure.Request.Name] = true
	}
	c.deny = nil
	result := c.open(t, problem("A", "p"))
	if !result.Created || !names[result.Request.Name] || len(names) != 1 {
		t.Errorf("created %s after the attempts %v", result.Request.Name, names)
	}
	c.expectCalls(t, "get Lease", "get Request", "create Request", "get Lease")
	if c.quota.Open() != 1 {
		t.Errorf("%d requests count", c.quota.Open())
	}
}

func TestWhichErrorsMeanThatNothingWasStored(t *testing.T) {
	t.Parallel()
	status := func(code int32, message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Message: message}}
	}
	tests := map[string]struct {
		err  error
		want bool
	}{
		"a policy":                  {status(422, "ValidatingAdmissionPolicy 'p' denied request: no"), true},
		"a quota":                   {status(403, "exceeded quota"), true},
		"a webhook's own code":      {status(503, `admission webhook "w" denied the request: no`), true},
		"a webhook that is down":    {status(500, `Internal error occurred: failed calling webhook "w": timeout`), true},
		"too many requests":         {apierrors.NewTooManyRequestsError("later"), true},
		"the storage":               {status(500, "etcdserver: request timed out"), false},
		"a timeout":                 {apierrors.NewTimeoutError("timed out", 1), false},
		"somebody has the name":     {apierrors.NewAlreadyExists(schema.GroupResource{}, "rr"), false},
		"the connection was broken": {errors.New("EOF"), false},
	}
	for name, test := range tests {
		if got := dedup.Denied(test.err); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
