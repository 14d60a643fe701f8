package enrich_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/signalprocessing/internal/enrich"
)

// Reads that succeed are tested against a real API server in the integration
// suite. These tests need an API server that fails.

func namespace(labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: labels}}
}

func pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-0", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: "node-1"},
	}
}

func target() v1alpha1.TargetResource {
	return v1alpha1.TargetResource{Kind: "Pod", Name: "web-0", Namespace: "shop"}
}

func TestErrorCodes(t *testing.T) {
	t.Parallel()
	pods := schema.GroupResource{Resource: "pods"}
	for name, test := range map[string]struct {
		cause error
		code  string
	}{
		"forbidden":    {apierrors.NewForbidden(pods, "web-0", errors.New("no rule")), enrich.CodeForbidden},
		"unauthorized": {apierrors.NewUnauthorized("no"), enrich.CodeUnauthorized},
		"timeout":      {apierrors.NewTimeoutError("slow", 1), enrich.CodeTimeout},
		"overloaded":   {apierrors.NewTooManyRequests("later", 1), enrich.CodeOverloaded},
		"unavailable":  {apierrors.NewServiceUnavailable("down"), enrich.CodeOverloaded},
		"unreachable":  {&url.Error{Op: "Get", URL: "https://127.0.0.1:6443", Err: syscall.ECONNREFUSED}, enrich.CodeUnreachable},
		"other":        {apierrors.NewInternalError(errors.New("broken")), enrich.CodeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(namespace(nil), pod()).WithInterceptorFuncs(interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, o ...client.GetOption) error {
					if _, ok := into.(*corev1.Pod); ok {
						return test.cause
					}
					return c.Get(ctx, key, into, o...)
				},
			}).Build()
			_, err := enrich.New(reader, clock.RealClock{}).Enrich(t.Context(), target())
			if !errors.Is(err, test.cause) {
				t.Fatalf("error = %v, want it to wrap %v", err, test.cause)
			}
			code, text := enrich.Describe(err)
			if code != test.code || text != `read Pod "web-0" in namespace "shop": `+test.code {
				t.Errorf("described as %q, %q", code, text)
			}
		})
	}
}

// Every read that fails fails the enrichment and is named.
func TestEveryReadMatters(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]string{
		"*v1.Namespace":                   `Namespace "shop"`,
		"*v1.Pod":                         `Pod "web-0" in namespace "shop"`,
		"*v1.Node":                        `Node "node-1"`,
		"*v2.HorizontalPodAutoscalerList": `HorizontalPodAutoscalers in namespace "shop"`,
		"*v1.PodDisruptionBudgetList":     `PodDisruptionBudgets in namespace "shop"`,
		"*v1.NetworkPolicyList":           `NetworkPolicies in namespace "shop"`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			forbidden := apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("no rule"))
			reader := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(namespace(nil), pod()).WithInterceptorFuncs(interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, o ...client.GetOption) error {
					if fmt.Sprintf("%T", into) == what {
						return forbidden
					}
					return c.Get(ctx, key, into, o...)
				},
				List: func(ctx context.Context, c client.WithWatch, into client.ObjectList, o ...client.ListOption) error {
					if fmt.Sprintf("%T", into) == what {
						return forbidden
					}
					return c.List(ctx, into, o...)
				},
			}).Build()
			_, err := enrich.New(reader, clock.RealClock{}).Enrich(t.Context(), target())
			var failed *enrich.Error
			if !errors.As(err, &failed) || failed.What != want || failed.Code != enrich.CodeForbidden {
				t.Errorf("error = %v, want one about %s", err, want)
			}
		})
	}
}

func TestEndedContextIsTheError(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	reader := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			cancel()
			return apierrors.NewInternalError(errors.New("broken"))
		},
	}).Build()
	_, err := enrich.New(reader, clock.RealClock{}).Enrich(ctx, target())
	var failed *enrich.Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &failed) {
		t.Errorf("error = %v", err)
	}
	if code, _ := enrich.Describe(fmt.Errorf("enrich: %w", context.DeadlineExceeded)); code != enrich.CodeTimeout {
		t.Errorf("a deadline is described as %q", code)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	labels := map[string]string{}
	for i := range 300 {
		labels["l"+strconv.Itoa(1000+i)] = "x"
	}
	n := namespace(labels)
	n.Annotations = map[string]string{
		"kubernaut.ai/sla": "4h", "team": "checkout", "other": "x",
		"kubernaut.ai/business-unit": strings.Repeat("x", 2000),
	}
	reader := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(n).Build()
	found, err := enrich.New(reader, clock.RealClock{}).Enrich(t.Context(), target())
	if err != nil {
		t.Fatal(err)
	}
	if len(found.NamespaceLabels) != 128 || found.NamespaceLabels["l1000"] == "" || found.NamespaceLabels["l1127"] == "" {
		t.Errorf("%d labels, want the first 128", len(found.NamespaceLabels))
	}
	if len(found.NamespaceAnnotations) != 2 || found.NamespaceAnnotations["kubernaut.ai/sla"] != "4h" || found.NamespaceAnnotations["team"] != "checkout" {
		t.Errorf("annotations = %v", found.NamespaceAnnotations)
	}
}

func TestAnnotationsAreValidInAuditEvents(t *testing.T) {
	t.Parallel()
	object := namespace(nil)
	object.Annotations = map[string]string{"team": "a\x00b"}
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(object, pod()).Build()
	found, err := enrich.New(c, clock.RealClock{}).Enrich(t.Context(), target())
	if err != nil {
		t.Fatal(err)
	}
	// Neither audit events nor PostgreSQL accept NUL.
	if got := found.NamespaceAnnotations["team"]; got != "a\uFFFDb" {
		t.Errorf("annotation %q, want no NUL in it", got)
	}
}

// Signals about pods of a namespace come in storms: they share what belongs to the
// namespace and the node, for five seconds, but not the pods.
func TestSignalsShareNamespaceAndNode(t *testing.T) {
	t.Parallel()
	reads := map[string]int{}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{"zone": "a"}}}
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(namespace(map[string]string{"env": "prod"}), pod(), node).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, o ...client.GetOption) error {
				reads[fmt.Sprintf("%T", into)]++
				return c.Get(ctx, key, into, o...)
			},
			List: func(ctx context.Context, c client.WithWatch, into client.ObjectList, o ...client.ListOption) error {
				reads[fmt.Sprintf("%T", into)]++
				return c.List(ctx, into, o...)
			},
		}).Build()
	now := clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0))
	e := enrich.New(c, now)
	expect := func(pods, others int) {
		t.Helper()
		found, err := e.Enrich(t.Context(), target())
		if err != nil || found.NamespaceLabels["env"] != "prod" || found.NodeLabels["zone"] != "a" {
			t.Fatalf("found %+v, error %v", found, err)
		}
		for read, times := range reads {
			want := others
			if read == "*v1.Pod" {
				want = pods
			}
			if times != want {
				t.Errorf("%s was read %d times, want %d", read, times, want)
			}
		}
		if len(reads) != 6 {
			t.Errorf("read %v", reads)
		}
	}
	expect(1, 1)
	now.SetTime(now.Now().Add(5*time.Second - time.Millisecond))
	expect(2, 1)
	now.SetTime(now.Now().Add(time.Second))
	expect(3, 2)
}

// What is missing may appear at any time.
func TestWhatDoesNotExistIsReadAgain(t *testing.T) {
	t.Parallel()
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()
	e := enrich.New(c, clock.RealClock{})
	if found, err := e.Enrich(t.Context(), target()); err != nil || !found.Degraded {
		t.Fatalf("found %+v, error %v", found, err)
	}
	for _, object := range []client.Object{namespace(nil), pod()} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := e.Enrich(t.Context(), target()); err != nil || found.Degraded {
		t.Errorf("found %+v, error %v", found, err)
	}
}

func TestWhatATargetShowsOutsideOfANamespace(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		target v1alpha1.TargetResource
		want   bool
	}{
		"a pod in it":               {v1alpha1.TargetResource{Kind: "Pod", Name: "web", Namespace: "shop"}, false},
		"a pod in another one":      {v1alpha1.TargetResource{Kind: "Pod", Name: "web", Namespace: "till"}, true},
		"a pod without a namespace": {v1alpha1.TargetResource{Kind: "Pod", Name: "web"}, false},
		"a kind that is not read":   {v1alpha1.TargetResource{Kind: "Widget", Name: "web", Namespace: "till"}, true},
		"the namespace":             {v1alpha1.TargetResource{Kind: "Namespace", Name: "shop"}, false},
		"another namespace":         {v1alpha1.TargetResource{Kind: "Namespace", Name: "till", Namespace: "shop"}, true},
		"a node":                    {v1alpha1.TargetResource{Kind: "Node", Name: "n1"}, true},
		"a node with its namespace": {v1alpha1.TargetResource{Kind: "Node", Name: "n1", Namespace: "shop"}, true},
		"a volume":                  {v1alpha1.TargetResource{Kind: "PersistentVolume", Name: "v1"}, true},
	} {
		if got := enrich.Outside("shop", tt.target); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}
