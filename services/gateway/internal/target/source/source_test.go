package source_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/services/gateway/internal/target/rules"
	"kubernaut.ai/services/gateway/internal/target/source"
)

const (
	good = "rules:\n- name: q\n  target: object(\"Deployment\", labels.queue)\n"
	bad  = "rules:\n- name: q\n  target: object(\"Deployment\", nope)\n"
)

// bundle is a source whose events and rules are noted.
type bundle struct {
	client.Writer
	*source.Source

	inForce  *rules.Set
	events   []*corev1.Event
	log      *observer.ObservedLogs
	registry *prometheus.Registry
}

func (b *bundle) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	event, _ := object.(*corev1.Event)
	b.events = append(b.events, event)
	return nil
}

func setup(t *testing.T) *bundle {
	t.Helper()
	base, err := rules.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	core, log := observer.New(zap.InfoLevel)
	b := &bundle{inForce: base, log: log, registry: prometheus.NewRegistry()}
	b.Source, err = source.New(source.Options{
		Base: base, Use: func(set *rules.Set) { b.inForce = set }, Writer: b,
		Clock: clocktesting.NewFakePassiveClock(time.Unix(1_790_000_000, 0)), Log: zap.New(core), Registerer: b.registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bundle) target(t *testing.T) string {
	t.Helper()
	d, err := b.inForce.Evaluate(t.Context(), map[string]string{"namespace": "a", "queue": "q"}, rules.Nowhere{})
	if err != nil {
		t.Fatal(err)
	}
	return d.Object.String()
}

func (b *bundle) expectRejected(t *testing.T, want string) {
	t.Helper()
	text := "# HELP gateway_target_rules_rejected 1 while the ConfigMap of the target rules is unusable and older rules are in force.\n" +
		"# TYPE gateway_target_rules_rejected gauge\ngateway_target_rules_rejected " + want + "\n"
	if err := testutil.GatherAndCompare(b.registry, strings.NewReader(text), "gateway_target_rules_rejected"); err != nil {
		t.Error(err)
	}
}

func configMap(version, content string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "rules", UID: "u", ResourceVersion: version},
		Data:       map[string]string{source.Key: content},
	}
}

func TestAGoodConfigMapIsInForceUntilItIsRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Changed(t.Context(), configMap("1", good))
	if got := b.target(t); got != "Deployment a/q" {
		t.Errorf("got %s", got)
	}
	b.Removed()
	if got := b.target(t); got == "Deployment a/q" {
		t.Error("the rule is still in force")
	}
	b.Changed(t.Context(), configMap("2", good))
	if got := b.target(t); got != "Deployment a/q" {
		t.Errorf("got %s after it was created again", got)
	}
}

func TestABadConfigMapIsRejectedAndTheOldOneStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Changed(t.Context(), configMap("1", good))
	b.expectRejected(t, "0")
	b.Changed(t.Context(), configMap("2", bad))
	b.expectRejected(t, "1")
	if got := b.target(t); got != "Deployment a/q" {
		t.Errorf("got %s, want the old rule", got)
	}
	const where = "line 3, column 32: q: undeclared reference to 'nope'"
	if len(b.events) != 1 || !strings.Contains(b.events[0].Message, where) || b.events[0].Reason != source.ReasonRejected ||
		b.events[0].InvolvedObject.Name != "rules" || b.events[0].Type != corev1.EventTypeWarning {
		t.Errorf("events %+v", b.events)
	}
	if entries := b.log.FilterMessage("the target rules are unusable; older rules stay in force").All(); len(entries) != 1 ||
		!strings.Contains(entries[0].ContextMap()["error"].(string), where) {
		t.Errorf("log %+v", entries)
	}
	b.Changed(t.Context(), configMap("3", bad)) // something else changed
	if len(b.events) != 1 {
		t.Errorf("%d events about one content", len(b.events))
	}
	b.Changed(t.Context(), configMap("4", good))
	b.expectRejected(t, "0")
}

func TestReplicasTellAboutAVersionOnce(t *testing.T) {
	t.Parallel()
	first, second := setup(t), setup(t)
	first.Changed(t.Context(), configMap("2", bad))
	second.Changed(t.Context(), configMap("2", bad))
	second.Changed(t.Context(), configMap("3", bad+"# again\n"))
	if first.events[0].Name != second.events[0].Name || second.events[0].Name == second.events[1].Name {
		t.Errorf("events %s, %s, %s", first.events[0].Name, second.events[0].Name, second.events[1].Name)
	}
}

func TestAConfigMapWithoutTheKeyIsRejected(t *testing.T) {
	t.Parallel()
	b := setup(t)
	empty := configMap("1", "")
	empty.Data = nil
	b.Changed(t.Context(), empty)
	b.expectRejected(t, "1")
	if len(b.events) != 1 || !strings.Contains(b.events[0].Message, "has no key rules.yaml") {
		t.Errorf("events %+v", b.events)
	}
}
