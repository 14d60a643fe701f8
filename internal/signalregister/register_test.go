package signalregister_test

import (
	"context"
	"crypto/rand"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/signalregister"
)

const namespace = "kubernaut-system"

var fingerprint = strings.Repeat("0123456789abcdef", 4)

type bundle struct {
	*signalregister.Register

	client client.WithWatch
	clock  *clocktesting.FakePassiveClock
}

func setup(t *testing.T, funcs interceptor.Funcs) *bundle {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(funcs).Build()
	b := &bundle{client: c, clock: clocktesting.NewFakePassiveClock(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))}
	b.Register = signalregister.New(signalregister.Options{Reader: c, Writer: c, Namespace: namespace, Clock: b.clock, Random: rand.Reader})
	return b
}

func spec(name string) v1alpha1.RemediationRequestSpec {
	return v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{SignalFingerprint: fingerprint, SignalName: name}}
}

// open opens a request and returns it as its creator would create it.
func (b *bundle) open(t *testing.T, name string) (signalregister.Record, *v1alpha1.RemediationRequest) {
	t.Helper()
	s := spec(name)
	digest, err := signalregister.SpecDigest(&s)
	if err != nil {
		t.Fatal(err)
	}
	r, found, err := b.Find(t.Context(), fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	opening := signalregister.Request{Namespace: "prod", SpecDigest: digest}
	if found {
		r, err = b.Advance(t.Context(), r, opening)
	} else {
		r, err = b.Create(t.Context(), fingerprint, opening)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.Request().Namespace, Name: r.Request().Name,
			Labels:      map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByGateway},
			Annotations: map[string]string{v1alpha1.AnnotationOpening: r.Opening()},
		},
		Spec: s,
	}
}

func (b *bundle) find(t *testing.T) signalregister.Record {
	t.Helper()
	r, found, err := b.Find(t.Context(), fingerprint)
	if err != nil || !found {
		t.Fatalf("found %v, %v", found, err)
	}
	return r
}

func TestAnOpeningIsOneWriteThatChoosesTheName(t *testing.T) {
	t.Parallel()
	writes := 0
	b := setup(t, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
			writes++
			return c.Create(ctx, o, options...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.UpdateOption) error {
			writes++
			return c.Update(ctx, o, options...)
		},
	})
	form := regexp.MustCompile(`^rr-0123456789ab-[0-9a-f]{20}$`)
	names := map[string]bool{}
	for n := range int32(3) {
		b.clock.SetTime(b.clock.Now().Add(time.Minute))
		r, request := b.open(t, "A")
		if writes != int(n)+1 {
			t.Errorf("opening %d: %d writes", n, writes)
		}
		if !form.MatchString(request.Name) || names[request.Name] || len(validation.IsDNS1123Label(request.Name)) > 0 {
			t.Errorf("name %q", request.Name)
		}
		names[request.Name] = true
		if r.Transitions() != n || r.State() != signalregister.Open || !r.OpenedAt().Equal(b.clock.Now()) {
			t.Errorf("opening %d: %d transitions, %s, opened at %v", n, r.Transitions(), r.State(), r.OpenedAt())
		}
		if read := b.find(t); read.Request() != r.Request() || !read.Names(request) {
			t.Errorf("the register names %v", read.Request())
		}
	}
}

func TestOnlyTheRequestOfTheOpeningIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t, interceptor.Funcs{})
	r, request := b.open(t, "A")
	tests := map[string]func(*v1alpha1.RemediationRequest){
		"another name":      func(r *v1alpha1.RemediationRequest) { r.Name = "hand-made" },
		"another namespace": func(r *v1alpha1.RemediationRequest) { r.Namespace = "shop" },
		"another spec":      func(r *v1alpha1.RemediationRequest) { r.Spec.Severity = "info" },
	}
	for name, change := range tests {
		other := request.DeepCopy()
		change(other)
		if r.Names(other) {
			t.Errorf("names a request with %s", name)
		}
	}
}

func TestARequestIsPassedOnceTheRegisterNamesAnother(t *testing.T) {
	t.Parallel()
	b := setup(t, interceptor.Funcs{})
	r, first := b.open(t, "A")
	if r.Passed(first) {
		t.Error("the current request counts as passed")
	}
	r, _ = b.open(t, "A")
	if !r.Passed(first) {
		t.Error("the earlier request does not count as passed")
	}
	unmanaged, copied, older := first.DeepCopy(), first.DeepCopy(), first.DeepCopy()
	unmanaged.Labels = nil
	copied.Name = "a-copy"
	older.Annotations[v1alpha1.AnnotationOpening] = "lease-that-was-deleted/" + older.Name
	for _, request := range []*v1alpha1.RemediationRequest{unmanaged, copied, older} {
		if r.Passed(request) {
			t.Errorf("%v counts as passed", request.ObjectMeta)
		}
	}
}

func TestEveryWriteDependsOnWhatWasRead(t *testing.T) {
	t.Parallel()
	b := setup(t, interceptor.Funcs{})
	stale, _ := b.open(t, "A")
	b.open(t, "A")
	for name, write := range map[string]func() error{
		"create": func() error {
			_, err := b.Create(t.Context(), fingerprint, signalregister.Request{Namespace: "prod", SpecDigest: "d"})
			return err
		},
		"advance": func() error {
			_, err := b.Advance(t.Context(), stale, signalregister.Request{Namespace: "prod", SpecDigest: "d"})
			return err
		},
		"suspect":   func() error { _, err := b.Suspect(t.Context(), stale); return err },
		"reinstate": func() error { _, err := b.Reinstate(t.Context(), stale); return err },
	} {
		if err := write(); !signalregister.Outpaced(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCloseIsIdempotentAndClosesOnlyTheNamedRequest(t *testing.T) {
	t.Parallel()
	b := setup(t, interceptor.Funcs{})
	_, first := b.open(t, "A")
	r, second := b.open(t, "B")
	if err := b.Close(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if got := b.find(t); got.State() != signalregister.Open {
		t.Errorf("closing an earlier request left the state %s", got.State())
	}
	if _, err := b.Suspect(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Close(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		if got := b.find(t); got.State() != signalregister.Closed || got.Request().Name != second.Name {
			t.Errorf("%s %v", got.State(), got.Request())
		}
	}
	if r, third := b.open(t, "C"); r.State() != signalregister.Open || third.Name == second.Name {
		t.Errorf("after closing: %s %s", r.State(), third.Name)
	}
}

func TestCloseReturnsWhatTheAPIServerSays(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	b := setup(t, interceptor.Funcs{
		Update: func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error { return down },
	})
	_, request := b.open(t, "A")
	if err := b.Close(t.Context(), request); !errors.Is(err, down) {
		t.Errorf("%v", err)
	}
}

func TestALeaseThatIsNoRecordIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	b := setup(t, interceptor.Funcs{})
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: signalregister.LeaseName(fingerprint)}}
	if err := b.client.Create(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Find(t.Context(), fingerprint); err == nil || !strings.Contains(err.Error(), "delete the lease") {
		t.Errorf("%v", err)
	}
	request := &v1alpha1.RemediationRequest{Spec: spec("A")}
	if err := b.Close(t.Context(), request); err != nil {
		t.Errorf("a request is kept by a lease that does not name it: %v", err)
	}
}
