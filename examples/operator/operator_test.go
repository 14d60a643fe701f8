package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audittrail/trailtest"
)

// bench is a reconciler on a fake API server, and a store in memory.
type bench struct {
	*Reconciler

	store *audit.Store
	sink  *audittest.MemorySink
	key   client.ObjectKey
	// atPatch runs before a patch is applied, which fails with its error.
	atPatch func() error
}

// setup makes a bench with one tracked ConfigMap.
func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{atPatch: func() error { return nil }}
	b.store, b.sink, _ = audittest.NewStore(t)
	events, err := audit.NewDefaults(b.store, audit.Event{Category: "configtrail", ActorID: "configtrail"})
	if err != nil {
		t.Fatal(err)
	}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "prices", UID: "prices-uid", CreationTimestamp: metav1.NewTime(audittest.Epoch()),
	}}
	b.key = client.ObjectKeyFromObject(object)
	patch := func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, o ...client.PatchOption) error {
		if err := b.atPatch(); err != nil {
			return err
		}
		return c.Patch(ctx, object, patch, o...)
	}
	fakeClient := fake.NewClientBuilder().WithObjects(object).WithInterceptorFuncs(interceptor.Funcs{Patch: patch}).Build()
	now := audittest.Epoch()
	b.Reconciler = &Reconciler{Client: fakeClient, Audit: events, Now: func() time.Time {
		now = now.Add(time.Second)
		return now
	}}
	return b
}

func (b *bench) reconcile(ctx context.Context) error {
	_, err := b.Reconcile(ctx, ctrl.Request{NamespacedName: b.key})
	return err
}

// change gives the ConfigMap other data.
func (b *bench) change(ctx context.Context, value string) error {
	var object corev1.ConfigMap
	if err := b.Get(ctx, b.key, &object); err != nil {
		return err
	}
	object.Data = map[string]string{"value": value}
	return b.Update(ctx, &object)
}

// trail flushes and reads once.
func (b *bench) trail(t *testing.T) []audit.Event {
	t.Helper()
	if _, err := b.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b.sink.EventsOf("prices-uid")
}

func TestEventIsAcceptedBeforeTheAnnotation(t *testing.T) {
	g := NewWithT(t)
	b := setup(t)
	patches := 0
	b.atPatch = func() error {
		patches++
		g.Expect(b.trail(t)).To(trailtest.HaveAuditedTimes(patches, configChanged))
		return nil
	}
	g.Expect(b.reconcile(t.Context())).To(Succeed())
	g.Expect(b.change(t.Context(), "1")).To(Succeed())
	g.Expect(b.reconcile(t.Context())).To(Succeed())
	g.Expect(b.reconcile(t.Context())).To(Succeed(), "nothing changed")
	g.Expect(patches).To(Equal(2))

	var object corev1.ConfigMap
	g.Expect(b.Get(t.Context(), b.key, &object)).To(Succeed())
	g.Expect(b.trail(t)).To(trailtest.HaveAuditedInOrder(
		trailtest.BeEvent(configChanged, trailtest.WithData("from", nil)),
		trailtest.BeEvent(configChanged, trailtest.WithData("to", object.Annotations[digestAnnotation]),
			trailtest.WithOutcome(audit.OutcomeSuccess), trailtest.WithActorID("configtrail")),
	))
}

func TestARepeatedReconcileRecordsOneEvent(t *testing.T) {
	g := NewWithT(t)
	b := setup(t)
	conflict := errors.New("the object has been modified")
	b.atPatch = func() error { return conflict }
	g.Expect(b.reconcile(t.Context())).To(MatchError(conflict))
	b.atPatch = func() error { return nil }
	g.Expect(b.reconcile(t.Context())).To(Succeed())
	g.Expect(b.trail(t)).To(trailtest.HaveAuditedTimes(1, configChanged))
}

func TestNothingIsShownThatIsNotRecorded(t *testing.T) {
	g := NewWithT(t)
	b := setup(t)
	g.Expect(b.store.Close(t.Context())).To(Succeed())
	g.Expect(b.reconcile(t.Context())).To(MatchError(audit.ErrClosed))
	var object corev1.ConfigMap
	g.Expect(b.Get(t.Context(), b.key, &object)).To(Succeed())
	g.Expect(object.Annotations).To(BeEmpty())
}

// A stop while DataStorage is down loses nothing and is not a failure.
func TestStopWithEverythingOnDiskIsClean(t *testing.T) {
	g := NewWithT(t)
	sink := audittest.NewMemorySink()
	sink.Fail(errors.New("connection refused"))
	o := &storeOptions{spoolDir: t.TempDir(), producerID: "configtrail"}
	open := func() *audit.Store {
		store, err := newStore(sink, o, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		g.Expect(err).NotTo(HaveOccurred())
		return store
	}

	store := open()
	g.Expect(store.Record(t.Context(), audittest.NewEvent(configChanged, "prices-uid"))).To(Succeed())
	g.Expect(closeStore(store, time.Millisecond)).To(Succeed())
	g.Expect(sink.Events()).To(BeEmpty())

	sink.Recover()
	g.Expect(closeStore(open(), time.Minute)).To(Succeed())
	g.Expect(sink.EventsOf("prices-uid")).To(trailtest.HaveAuditedTimes(1, configChanged))
}
