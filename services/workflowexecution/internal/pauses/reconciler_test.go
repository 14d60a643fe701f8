package pauses_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/pauses"
)

var errFull = errors.New("the store is full")

// cluster has namespaces, and the events that were recorded about them.
type cluster struct {
	client.Client

	t      *testing.T
	events []*audit.Event
	full   bool
}

func newCluster(t *testing.T, objects ...client.Object) *cluster {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{t: t, Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()}
}

func (c *cluster) Record(_ context.Context, e *audit.Event) error {
	if c.full {
		return errFull
	}
	c.events = append(c.events, e)
	return nil
}

// types are the types of the events since the last call.
func (c *cluster) types() string {
	all := make([]string, 0, len(c.events))
	for _, e := range c.events {
		all = append(all, e.Type)
	}
	c.events = nil
	return strings.Join(all, " ")
}

// started is the reconciler of a process that starts.
func (c *cluster) started(namespaces ...string) *pauses.Reconciler {
	return pauses.New(pauses.Parts{Live: c, Cached: c, Writer: c, Audit: c, Log: zap.NewNop(), Namespace: "kubernaut-system", Namespaces: namespaces})
}

// label labels the namespace shop.
func (c *cluster) label(value string) {
	c.t.Helper()
	ns := &corev1.Namespace{}
	if err := c.Get(c.t.Context(), client.ObjectKey{Name: "shop"}, ns); err != nil {
		c.t.Fatal(err)
	}
	ns.Labels = map[string]string{v1alpha1.LabelRemediation: value}
	if err := c.Update(c.t.Context(), ns); err != nil {
		c.t.Fatal(err)
	}
}

// look lets a reconciler look at the namespace shop, and returns the types of its events.
func (c *cluster) look(r *pauses.Reconciler) string {
	c.t.Helper()
	if _, err := r.Label(c.t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "shop"}}); err != nil {
		c.t.Fatal(err)
	}
	return c.types()
}

func shop(uid types.UID, remediation string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "shop", UID: uid, Labels: map[string]string{v1alpha1.LabelRemediation: remediation},
	}}
}

func TestEachPauseOfANamespaceAndItsEndAreRecordedOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, shop("1", v1alpha1.RemediationEnabled))
	r := c.started()
	for i, step := range []struct{ label, want string }{
		{v1alpha1.RemediationEnabled, ""},
		{v1alpha1.RemediationPaused, auditevents.TypePaused},
		{v1alpha1.RemediationPaused, ""},
		{v1alpha1.RemediationAuto, auditevents.TypeResumed},
		{v1alpha1.RemediationPaused, auditevents.TypePaused},
		{"", auditevents.TypeResumed},
	} {
		c.label(step.label)
		if got := c.look(r); got != step.want {
			t.Errorf("step %d: events %q, want %q", i, got, step.want)
		}
	}
}

func TestWhatHappenedWithoutAProcessIsRecordedByTheNextOne(t *testing.T) {
	t.Parallel()
	c := newCluster(t, shop("1", v1alpha1.RemediationPaused))
	if got := c.look(c.started()); got != auditevents.TypePaused {
		t.Errorf("before the first start: %q", got)
	}
	if got := c.look(c.started()); got != "" {
		t.Errorf("the pause is on the trail: %q", got)
	}
	c.label(v1alpha1.RemediationEnabled)
	if got := c.look(c.started()); got != auditevents.TypeResumed {
		t.Errorf("after the end of the pause: %q", got)
	}
}

func TestAnotherNamespaceOfTheNameWasNeverPaused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, shop("1", v1alpha1.RemediationPaused))
	r := c.started()
	c.look(r)
	if err := c.Delete(t.Context(), shop("1", "")); err != nil {
		t.Fatal(err)
	}
	again := c.started()
	if got := c.look(r); got != "" {
		t.Errorf("its deletion ends no pause: %q", got)
	}
	if err := c.Create(t.Context(), shop("2", v1alpha1.RemediationEnabled)); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*pauses.Reconciler{r, again} {
		if got := c.look(r); got != "" {
			t.Errorf("events %q", got)
		}
	}
}

func TestAPauseIsRememberedOnlyAfterItIsOnTheTrail(t *testing.T) {
	t.Parallel()
	c := newCluster(t, shop("1", v1alpha1.RemediationPaused))
	r := c.started()
	c.full = true
	if _, err := r.Label(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "shop"}}); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
	c.full = false
	if got := c.look(r); got != auditevents.TypePaused {
		t.Errorf("events %q", got)
	}
}

func TestOtherNamespacesAreLeftAlone(t *testing.T) {
	t.Parallel()
	c := newCluster(t, shop("1", v1alpha1.RemediationPaused))
	if got := c.look(c.started("other")); got != "" {
		t.Errorf("events %q", got)
	}
}

func TestThePauseSwitchIsRecordedUnderTheNameOfWhoWroteIt(t *testing.T) {
	t.Parallel()
	pause := &v1alpha1.PauseSwitch{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PauseSwitchName, UID: "s", Generation: 1},
		Spec:       v1alpha1.PauseSwitchSpec{Paused: true, Reason: "network", ChangedBy: v1alpha1.Decider{Name: "ada", Groups: []string{"oncall"}}},
	}
	c := newCluster(t, pause)
	look := func() *audit.Event {
		if _, err := c.started().Switch(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: pause.Name}}); err != nil {
			t.Fatal(err)
		}
		return c.events[len(c.events)-1]
	}
	first := look()
	if first.Type != auditevents.TypePaused || first.ActorID != "ada" || first.ActorType != "user" || !strings.Contains(string(first.Data), "oncall") {
		t.Errorf("%+v, data %s", first, first.Data)
	}
	if again := look(); again.ID != first.ID {
		t.Errorf("the same generation is another event: %s, %s", first.ID, again.ID)
	}
	pause.Spec.Paused, pause.Generation = false, 2
	if err := c.Update(t.Context(), pause); err != nil {
		t.Fatal(err)
	}
	if other := look(); other.Type != auditevents.TypeResumed || other.ID == first.ID {
		t.Errorf("%+v", other)
	}
}
