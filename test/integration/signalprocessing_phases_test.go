//go:build integration

package integration_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/test/testenv"
)

var _ = Describe("signal processing", func() {
	It("creates the SignalProcessing of a request: same name, owned by it, same signal", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		rr.Spec.Labels = map[string]string{"alertname": "KubePodCrashLooping"}
		sp := classified(ctx, rr)
		Expect(sp.Namespace).To(Equal(rr.Namespace))
		Expect(metav1.IsControlledBy(sp, rr)).To(BeTrue())
		Expect(sp.Spec.RemediationRequestRef).To(Equal(v1alpha1.RemediationRequestReference{Name: rr.Name, UID: rr.UID}))
		Expect(sp.Spec.Signal).To(Equal(rr.Spec.Signal))
	}, SpecTimeout(specTimeout))

	It("uses a SignalProcessing that was created concurrently", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		namespace, err := env.NewNamespace(ctx, nil, nil)
		Expect(err).NotTo(HaveOccurred())
		rr.Namespace = namespace
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(env.Create(ctx, &v1alpha1.SignalProcessing{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: rr.Name,
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(rr, v1alpha1.GroupVersion.WithKind("RemediationRequest"))},
			},
			Spec: v1alpha1.SignalProcessingSpec{
				RemediationRequestRef: v1alpha1.RemediationRequestReference{Name: rr.Name, UID: rr.UID}, Signal: rr.Spec.Signal,
			},
		})).To(Succeed())
		p := startProcessor(ctx, namespace, nil)
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		p.stop(ctx)
		expectWholeTrail(auditTrail(ctx, rr))
	}, SpecTimeout(specTimeout))

	DescribeTable("shows each phase, after the event of its transition", func(ctx SpecContext, from, to v1alpha1.ProcessingPhase) {
		rr := env.Request(env.CorrelationID())
		seen := phasesOf(ctx, rr, func() { Expect(env.Create(ctx, rr)).To(Succeed()) })
		Expect(seen).To(ContainElement(to))
		Expect(auditTrail(ctx, rr).Of(testenv.PhaseTransition)).To(ContainElement(SatisfyAll(
			trailtest.WithOutcome("success"),
			trailtest.WithData("from", from),
			trailtest.WithData("to", to),
			trailtest.WithData("generation", 1),
		)))
	},
		Entry(nil, v1alpha1.ProcessingPending, v1alpha1.ProcessingEnriching, SpecTimeout(specTimeout)),
		Entry(nil, v1alpha1.ProcessingEnriching, v1alpha1.ProcessingClassifying, SpecTimeout(specTimeout)),
		Entry(nil, v1alpha1.ProcessingClassifying, v1alpha1.ProcessingCategorizing, SpecTimeout(specTimeout)),
		Entry(nil, v1alpha1.ProcessingCategorizing, v1alpha1.ProcessingCompleted, SpecTimeout(specTimeout)),
	)

	It("completes with every condition true for the observed generation", func(ctx SpecContext) {
		sp := classified(ctx, env.Request(env.CorrelationID()))
		Expect(sp.Status.Phase).To(Equal(v1alpha1.ProcessingCompleted))
		Expect(sp.Status.ObservedGeneration).To(Equal(sp.Generation))
		Expect(sp.Status.StartedAt).NotTo(BeNil())
		Expect(sp.Status.CompletedAt.Time).To(BeTemporally(">=", sp.Status.StartedAt.Time))
		Expect(sp.Status.Policy.Origin).To(Equal("built-in"))
		for _, name := range []string{
			v1alpha1.ConditionEnrichmentComplete, v1alpha1.ConditionClassificationComplete,
			v1alpha1.ConditionCategorizationComplete, v1alpha1.ConditionReady,
		} {
			condition := meta.FindStatusCondition(sp.Status.Conditions, name)
			Expect(condition).NotTo(BeNil(), name)
			Expect(condition.Status).To(Equal(metav1.ConditionTrue), name)
			Expect(condition.ObservedGeneration).To(Equal(sp.Generation), name)
		}
	}, SpecTimeout(specTimeout))

	It("mirrors the result to the request and does not change the Gateway's part", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		rr.Spec.Severity = "page"
		rr.Spec.TargetResource.Namespace = namespaceNamed(ctx, "shop-*", map[string]string{"env": "prod"}, nil)
		Expect(env.Create(ctx, rr)).To(Succeed())
		now := metav1.NowMicro()
		counted := rr.DeepCopy()
		counted.Status.Deduplication = &v1alpha1.Deduplication{FirstSeenAt: now, LastSeenAt: now, OccurrenceCount: 3}
		Expect(env.Status().Patch(ctx, counted, client.MergeFrom(rr.DeepCopy()))).To(Succeed())

		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		Expect(rr.Status.Severity).To(Equal(v1alpha1.SeverityCritical))
		Expect(rr.Status.Environment).To(Equal(v1alpha1.EnvironmentProduction))
		Expect(rr.Status.Priority).To(Equal(v1alpha1.PriorityP0))
		Expect(rr.Status.SignalProcessingRef).To(Equal(rr.Name))
		Expect(rr.Status.ObservedGeneration).To(Equal(rr.Generation))
		Expect(rr.Status.Message).NotTo(BeEmpty())
		Expect(rr.Status.CompletedAt).To(BeNil())
		Expect(meta.IsStatusConditionTrue(rr.Status.Conditions, "SignalProcessed")).To(BeTrue())
		Expect(rr.Status.Deduplication.OccurrenceCount).To(BeEquivalentTo(3))
	}, SpecTimeout(specTimeout))

	It("does not change the phase of a request that is past approval", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		sp := classified(ctx, rr)
		approved := rr.DeepCopy()
		approved.Status.Phase = v1alpha1.RemediationApproved
		Expect(env.Status().Patch(ctx, approved, client.MergeFrom(rr))).To(Succeed())

		By("processing the signal anew")
		sp.Spec.Signal.Severity = "info"
		Expect(env.Update(ctx, sp)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool {
			return rr.Status.Severity == v1alpha1.SeverityLow
		})).To(Succeed())
		Expect(rr.Status.Phase).To(Equal(v1alpha1.RemediationApproved))
		Expect(rr.Status.Message).To(Equal(approved.Status.Message))
	}, SpecTimeout(specTimeout))

	It("processes a new generation from the beginning", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		sp := classified(ctx, rr)
		Expect(sp.Status.Severity.Value).To(Equal(v1alpha1.SeverityCritical))

		sp.Spec.Signal.Severity = "info"
		Expect(env.Update(ctx, sp)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, sp, processed2)).To(Succeed())
		Expect(sp.Status.Severity.Value).To(Equal(v1alpha1.SeverityLow))
		Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool {
			return rr.Status.Phase == v1alpha1.RemediationClassified && rr.Status.Severity == v1alpha1.SeverityLow
		})).To(Succeed())

		trail := auditTrail(ctx, rr)
		Expect(trail.Of(testenv.PhaseTransition)).To(ContainElement(SatisfyAll(
			trailtest.WithData("from", "Completed"), trailtest.WithData("to", "Pending"), trailtest.WithData("generation", 2))))
		for _, eventType := range []string{enrichmentCompleted, classificationDecision, businessClassified, processed} {
			Expect(trail.Of(eventType)).To(ConsistOf(
				trailtest.WithData("generation", 1),
				trailtest.WithData("generation", 2),
			), eventType)
		}
		Expect(trail.Of(testenv.PhaseTransition)).To(HaveLen(9))
	}, SpecTimeout(specTimeout))

	It("does not process a signal again when others change the resource", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		sp := classified(ctx, rr)
		for _, value := range []string{"1", "2", "3"} {
			before := sp.DeepCopy()
			sp.Annotations = map[string]string{"someone.example/else": value}
			Expect(env.Patch(ctx, sp, client.MergeFrom(before))).To(Succeed())
		}
		// A later signal has passed through the same queue.
		classified(ctx, env.Request(env.CorrelationID()))
		expectWholeTrail(auditTrail(ctx, rr))
		Expect(processingOf(ctx, rr).Status).To(Equal(sp.Status))
	}, SpecTimeout(specTimeout))

	It("emits a Kubernetes event for kubectl describe", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		Expect(env.Create(ctx, rr)).To(Succeed())
		events, err := env.Watch(ctx, &eventsv1.EventList{}, client.InNamespace(rr.Namespace), client.MatchingFields{"regarding.name": rr.Name})
		Expect(err).NotTo(HaveOccurred())
		defer events.Stop()
		for event := range events.ResultChan() {
			e, ok := event.Object.(*eventsv1.Event)
			if !ok || e.Reason != "Classified" {
				continue
			}
			Expect(e.Type).To(Equal("Normal"))
			Expect(e.Regarding.Kind).To(Equal("RemediationRequest"))
			Expect(e.Regarding.UID).To(Equal(rr.UID))
			Expect(e.Note).To(ContainSubstring("severity critical"))
			return
		}
		Fail("no event")
	}, SpecTimeout(specTimeout))

	It("does not use the SignalProcessing of an earlier request of the same name", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		another := *rr.Spec.Signal.DeepCopy()
		another.SignalName = "another-" + another.SignalName
		foreign := &v1alpha1.SignalProcessing{
			ObjectMeta: metav1.ObjectMeta{Namespace: rr.Namespace, Name: rr.Name},
			Spec: v1alpha1.SignalProcessingSpec{
				RemediationRequestRef: v1alpha1.RemediationRequestReference{Name: rr.Name, UID: "of-an-earlier-one"}, Signal: another,
			},
		}
		Expect(env.Create(ctx, foreign)).To(Succeed())
		// Once its name is that of another request, nobody continues with it.
		Expect(testenv.WaitFor(ctx, env, foreign, testenv.InProcessingPhase(v1alpha1.ProcessingCompleted))).To(Succeed())
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool {
			processed := meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionSignalProcessed)
			return processed != nil && processed.Reason == v1alpha1.ReasonForeignSignalProcessing
		})).To(Succeed())
		Expect(rr.Status.Phase).To(Equal(v1alpha1.RemediationPending))

		By("removing it")
		Expect(env.Delete(ctx, foreign)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		Expect(processingOf(ctx, rr).Spec.RemediationRequestRef.UID).To(Equal(rr.UID))
	}, SpecTimeout(specTimeout))

	It("does not change the spec of a request", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		classified(ctx, rr)
		rr.Spec.Severity = "info"
		Expect(apierrors.IsInvalid(env.Update(ctx, rr))).To(BeTrue())
	}, SpecTimeout(specTimeout))
})

// processed2 holds when the second generation is completed.
func processed2(sp *v1alpha1.SignalProcessing) bool {
	return sp.Status.ObservedGeneration == 2 && sp.Status.Phase == v1alpha1.ProcessingCompleted
}

// phasesOf acts, and returns every phase that a request's SignalProcessing
// shows until processing ends.
func phasesOf(ctx context.Context, rr *v1alpha1.RemediationRequest, act func()) []v1alpha1.ProcessingPhase {
	GinkgoHelper()
	var list v1alpha1.SignalProcessingList
	Expect(env.List(ctx, &list, client.InNamespace(rr.Namespace))).To(Succeed())
	changes, err := env.Watch(ctx, &v1alpha1.SignalProcessingList{}, client.InNamespace(rr.Namespace), client.MatchingFields{"metadata.name": rr.Name},
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	Expect(err).NotTo(HaveOccurred())
	defer changes.Stop()
	act()
	var seen []v1alpha1.ProcessingPhase
	for change := range changes.ResultChan() {
		Expect(change.Type).NotTo(Equal(watch.Error), "%v", change.Object)
		sp, ok := change.Object.(*v1alpha1.SignalProcessing)
		if !ok {
			continue
		}
		seen = append(seen, sp.Status.Phase)
		if sp.Status.Phase.Terminal() {
			break
		}
	}
	return seen
}
