//go:build integration

package integration_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/signalregister"
	"kubernaut.ai/pkg/audittrail/trailtest"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/testenv"
)

const (
	requestReclassified = "signalprocessing.request.reclassified"
	requestSkipped      = "signalprocessing.request.skipped"
	requestDeleted      = "signalprocessing.request.deleted"
)

var _ = Describe("field: signal processing", func() {
	It("field S8: an escalation raises severity and priority of the open request, with an event that shows both", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		rr.Spec.SignalName = "KubePersistentVolumeFillingUp"
		rr.Spec.Severity = "warning"
		rr.Spec.TargetResource.Namespace = namespaceNamed(ctx, "shop-*", nil, nil)
		sp := classified(ctx, rr)
		Expect(rr.Status.Severity).To(Equal(v1alpha1.SeverityMedium))
		Expect(rr.Status.Priority).To(Equal(v1alpha1.PriorityP3))
		Expect(sp.Status.Severities).To(Equal([]string{"warning"}))

		say(ctx, rr, "warning", "critical")
		Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool {
			return rr.Status.Severity == v1alpha1.SeverityCritical
		})).To(Succeed())
		Expect(rr.Status.Priority).To(Equal(v1alpha1.PriorityP1))
		Expect(rr.Status.Phase).To(Equal(v1alpha1.RemediationClassified))
		escalated := kubernetesEvent(ctx, rr, "Escalated")
		Expect(escalated.Note).To(Equal("severity medium → critical, priority P3 → P1"))
		Expect(escalated.Type).To(Equal("Warning"))
		trail := auditTrail(ctx, rr)
		Expect(trail.Of(requestReclassified)).To(ConsistOf(SatisfyAll(
			trailtest.WithData("severity.old", "medium"), trailtest.WithData("severity.new", "critical"),
			trailtest.WithData("priority.old", "P3"), trailtest.WithData("priority.new", "P1"),
			trailtest.WithData("raised", true),
		)))

		By("going back to a lower severity")
		say(ctx, rr, "warning", "critical", "info")
		Expect(testenv.WaitFor(ctx, env, sp, func(sp *v1alpha1.SignalProcessing) bool { return len(sp.Status.Severities) == 3 })).To(Succeed())
		Expect(sp.Status.Severity.Value).To(Equal(v1alpha1.SeverityCritical))
		Expect(env.Get(ctx, client.ObjectKeyFromObject(rr), rr)).To(Succeed())
		Expect(rr.Status.Severity).To(Equal(v1alpha1.SeverityCritical))
		Expect(rr.Status.Priority).To(Equal(v1alpha1.PriorityP1))
		Expect(auditTrail(ctx, rr).Of(requestReclassified)).To(HaveLen(2))
	}, SpecTimeout(specTimeout))

	It("field S8: an escalation of a request whose processing failed has it processed again", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		rr.Spec.Severity = "warning"
		var user string
		p := startProcessor(ctx, rr.Namespace, func(o *signalprocessing.Options) {
			as(ctx, without("pods", documentedRules()))(o)
			user = o.RESTConfig.Impersonate.UserName
			o.MaxAttempts, o.RetryBackoff = 2, time.Millisecond
		})
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationManualReview))).To(Succeed())
		Expect(meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionManualReview).Reason).To(Equal(v1alpha1.ReasonProcessingFailed))
		grant(ctx, user, documentedRules())
		say(ctx, rr, "warning", "critical")
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		Expect(rr.Status.Severity).To(Equal(v1alpha1.SeverityCritical))
		Expect(meta.IsStatusConditionFalse(rr.Status.Conditions, v1alpha1.ConditionManualReview)).To(BeTrue())
		p.stop(ctx)
	}, SpecTimeout(specTimeout))

	It("field S18: an overflow request goes to manual review with the severity of its worst member", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		rr.Spec.SignalType, rr.Spec.Severity = v1alpha1.SignalTypeOverflow, "info"
		rr.Spec.TargetResource = v1alpha1.TargetResource{Kind: "Namespace", Name: rr.Namespace}
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationManualReview))).To(Succeed())
		review := meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionManualReview)
		Expect(review.Status).To(Equal(metav1.ConditionTrue))
		Expect(review.Reason).To(Equal(v1alpha1.ReasonOverflow))
		Expect(rr.Status.Severity).To(Equal(v1alpha1.SeverityLow))

		say(ctx, rr, "info", "critical", "warning")
		Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool {
			return rr.Status.Severity == v1alpha1.SeverityCritical
		})).To(Succeed())
		Expect(rr.Status.Phase).To(Equal(v1alpha1.RemediationManualReview))
	}, SpecTimeout(specTimeout))

	It("field S18: a request ends when no instance fires", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		classified(ctx, rr)
		ended := metav1.NowMicro()
		change(ctx, rr, func(s *v1alpha1.RemediationRequestStatus) { s.Signals = &v1alpha1.SignalInstances{EndedAt: &ended} })
		expectSkipped(ctx, rr, v1alpha1.ReasonResolvedBeforeExecution, v1alpha1.RemediationClassified)
	}, SpecTimeout(specTimeout))

	It("field S18: a request ends when no instance was repeated for long enough", func(ctx SpecContext) {
		stale, fresh := requestElsewhere(ctx), env.Request(env.CorrelationID())
		fresh.Namespace = stale.Namespace
		stale.Spec.ReceivedTime = metav1.NewMicroTime(time.Now().Add(-time.Hour))
		p := startProcessor(ctx, stale.Namespace, func(o *signalprocessing.Options) { o.StaleAfter = 59 * time.Minute })
		Expect(env.Create(ctx, stale)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, stale, testenv.InPhase(v1alpha1.RemediationSkipped))).To(Succeed())
		classified(ctx, fresh)
		p.stop(ctx)
		expectSkipped(ctx, stale, v1alpha1.ReasonStale)
		Expect(env.Get(ctx, client.ObjectKeyFromObject(fresh), fresh)).To(Succeed())
		Expect(fresh.Status.Phase).To(Equal(v1alpha1.RemediationClassified))
	}, SpecTimeout(specTimeout))

	It("field S18: finished requests are deleted, the register is closed first, and the trail stays", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		rr.Finalizers = []string{v1alpha1.FinalizerRegister}
		register := registerIn(rr.Namespace)
		opened(ctx, register, rr)
		p := startProcessor(ctx, rr.Namespace, func(o *signalprocessing.Options) {
			as(ctx, documentedRules())(o)
			o.FinishedTTL = time.Millisecond
		})
		sp := classified(ctx, rr)
		Expect(stateOf(ctx, register, rr)).To(Equal(signalregister.Open))
		change(ctx, rr, func(s *v1alpha1.RemediationRequestStatus) { s.Signals = &v1alpha1.SignalInstances{} })
		waitUntilGone(ctx, rr)
		Expect(stateOf(ctx, register, rr)).To(Equal(signalregister.Closed))
		Expect(metav1.IsControlledBy(sp, rr)).To(BeTrue(), "the garbage collector removes it")
		p.stop(ctx)
		trail := auditTrail(ctx, rr)
		Expect(trail).To(testenv.HaveSteps(testenv.Steps))
		Expect(trail.Of(requestSkipped)).To(HaveLen(1))
		Expect(trail.Of(requestDeleted)).To(ConsistOf(SatisfyAll(trailtest.WithData("cause", "expired"), trailtest.WithData("phase", "Skipped"))))
	}, SpecTimeout(specTimeout))

	It("field S18: a request that somebody deletes goes when the register is closed", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		rr.Finalizers = []string{v1alpha1.FinalizerRegister}
		register := registerIn(rr.Namespace)
		opened(ctx, register, rr)
		p := startProcessor(ctx, rr.Namespace, as(ctx, documentedRules()))
		classified(ctx, rr)
		deleteRequest(ctx, rr)
		Expect(stateOf(ctx, register, rr)).To(Equal(signalregister.Closed))
		p.stop(ctx)
		Expect(auditTrail(ctx, rr).Of(requestDeleted)).To(ConsistOf(SatisfyAll(
			trailtest.WithData("cause", "requested"), trailtest.WithData("phase", "Classified"))))
	}, SpecTimeout(specTimeout))

	It("field S18: a deleted request goes although the namespace of the register does not exist", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		rr.Finalizers = []string{v1alpha1.FinalizerRegister}
		p := startProcessor(ctx, rr.Namespace, func(o *signalprocessing.Options) {
			as(ctx, without("leases", documentedRules()))(o)
			o.GatewayNamespace = testenv.Unique("gone-*")
		})
		classified(ctx, rr)
		deleteRequest(ctx, rr)
		p.stop(ctx)
	}, SpecTimeout(specTimeout))

	It("costs at most seven API writes from the creation of a request to Classified", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		podOnNode(ctx, rr)
		counter := &writeCounter{}
		p := startProcessor(ctx, rr.Namespace, func(o *signalprocessing.Options) {
			o.RESTConfig = rest.CopyConfig(env.Config)
			o.RESTConfig.Wrap(counter.wrap)
		})
		classified(ctx, rr)
		kubernetesEvent(ctx, rr, "Classified")
		p.stop(ctx)
		Expect(len(counter.all())).To(BeNumerically("<=", 7), "%s", strings.Join(counter.all(), "\n"))
		Expect(rr.Status.Deduplication.OccurrenceCount).To(BeEquivalentTo(1))
	}, SpecTimeout(specTimeout))
})

// change changes the status of a request as the Gateway does.
func change(ctx context.Context, rr *v1alpha1.RemediationRequest, change func(*v1alpha1.RemediationRequestStatus)) {
	GinkgoHelper()
	Expect(env.Get(ctx, client.ObjectKeyFromObject(rr), rr)).To(Succeed())
	before := rr.DeepCopy()
	change(&rr.Status)
	Expect(env.Status().Patch(ctx, rr, client.MergeFrom(before), client.FieldOwner("gateway"))).To(Succeed())
}

// say lists the severities that the source has said.
func say(ctx context.Context, rr *v1alpha1.RemediationRequest, severities ...string) {
	GinkgoHelper()
	now := metav1.NowMicro()
	change(ctx, rr, func(s *v1alpha1.RemediationRequestStatus) {
		s.Signals = &v1alpha1.SignalInstances{
			Instances:  []v1alpha1.SignalInstance{{ID: "0123456789abcdef", StartsAt: now, LastSeenAt: now}},
			Severities: severities,
		}
	})
}

// kubernetesEvent waits for the Kubernetes event about a request.
func kubernetesEvent(ctx context.Context, rr *v1alpha1.RemediationRequest, reason string) *eventsv1.Event {
	GinkgoHelper()
	changes, err := env.Watch(ctx, &eventsv1.EventList{}, client.InNamespace(rr.Namespace), client.MatchingFields{"regarding.name": rr.Name})
	Expect(err).NotTo(HaveOccurred())
	defer changes.Stop()
	for change := range changes.ResultChan() {
		if e, ok := change.Object.(*eventsv1.Event); ok && e.Reason == reason && e.Regarding.UID == rr.UID {
			return e
		}
	}
	Fail("no event " + reason)
	return nil
}

// expectSkipped waits until a request has ended and expects what shows it.
func expectSkipped(ctx context.Context, rr *v1alpha1.RemediationRequest, reason string, from ...v1alpha1.RemediationPhase) {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationSkipped))).To(Succeed())
	Expect(rr.Status.CompletedAt).NotTo(BeNil())
	finished := meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionFinished)
	Expect(finished.Reason).To(Equal(reason))
	skipped := auditTrail(ctx, rr).Of(requestSkipped)
	Expect(skipped).To(ConsistOf(SatisfyAll(trailtest.WithOutcome("success"), trailtest.WithData("reason", reason), trailtest.WithData("to", "Skipped"))))
	for _, phase := range from {
		Expect(skipped[0]).To(trailtest.WithData("from", phase))
	}
}

// deleteRequest deletes a request as kubectl does, and waits until it is gone.
func deleteRequest(ctx context.Context, rr *v1alpha1.RemediationRequest) {
	GinkgoHelper()
	Expect(env.Delete(ctx, rr)).To(Succeed())
	waitUntilGone(ctx, rr)
}

func waitUntilGone(ctx context.Context, rr *v1alpha1.RemediationRequest) {
	GinkgoHelper()
	Expect(testenv.WaitForAll(ctx, env, &v1alpha1.RemediationRequestList{}, func(there map[client.ObjectKey]*v1alpha1.RemediationRequest) bool {
		return len(there) == 0
	}, client.InNamespace(rr.Namespace), client.MatchingFields{"metadata.name": rr.Name})).To(Succeed())
}

// registerIn is the register of a Gateway in a namespace.
func registerIn(namespace string) *signalregister.Register {
	return signalregister.New(signalregister.Options{Reader: env, Writer: env, Namespace: namespace, Clock: clock.RealClock{}, Random: rand.Reader})
}

// opened opens the register for a request and gives the request its name.
func opened(ctx context.Context, register *signalregister.Register, rr *v1alpha1.RemediationRequest) {
	GinkgoHelper()
	digest, err := signalregister.SpecDigest(&rr.Spec)
	Expect(err).NotTo(HaveOccurred())
	record, err := register.Create(ctx, rr.Spec.SignalFingerprint, signalregister.Request{Namespace: rr.Namespace, SpecDigest: digest})
	Expect(err).NotTo(HaveOccurred())
	rr.Name = record.Request().Name
	env.Track(rr.Name)
}

func stateOf(ctx context.Context, register *signalregister.Register, rr *v1alpha1.RemediationRequest) signalregister.State {
	GinkgoHelper()
	record, found, err := register.Find(ctx, rr.Spec.SignalFingerprint)
	Expect(err).NotTo(HaveOccurred())
	Expect(found).To(BeTrue())
	return record.State()
}

// writeCounter counts the API requests that write, except those of the leader election.
type writeCounter struct {
	mu     sync.Mutex
	writes []string // guarded by mu
}

func (c *writeCounter) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.Method != http.MethodGet && !strings.Contains(request.URL.Path, "/leases") {
			c.mu.Lock()
			c.writes = append(c.writes, request.Method+" "+request.URL.Path)
			c.mu.Unlock()
		}
		return next.RoundTrip(request)
	})
}

func (c *writeCounter) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.writes...)
}
