//go:build integration

package integration_test

import (
	"context"
	"net/http"
	"regexp"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/testenv"
)

// backup is what a backup has of one problem.
type backup struct {
	request    *v1alpha1.RemediationRequest
	processing *v1alpha1.SignalProcessing
	register   *coordinationv1.Lease
}

// losing removes the objects of a request, whose services are stopped, and returns what a backup has of them.
func losing(ctx context.Context, rr *v1alpha1.RemediationRequest) backup {
	GinkgoHelper()
	b := backup{request: &v1alpha1.RemediationRequest{}, processing: processingOf(ctx, rr)}
	Expect(env.Get(ctx, client.ObjectKeyFromObject(rr), b.request)).To(Succeed())
	var leases coordinationv1.LeaseList
	Expect(env.List(ctx, &leases, client.InNamespace(rr.Namespace))).To(Succeed())
	for i := range leases.Items {
		if holder := leases.Items[i].Spec.HolderIdentity; holder != nil && *holder == rr.Name {
			b.register = &leases.Items[i]
		}
	}
	Expect(b.register).NotTo(BeNil())
	for _, object := range []client.Object{b.request, b.processing, b.register} {
		lost := object.DeepCopyObject().(client.Object)
		lost.SetFinalizers(nil)
		Expect(env.Update(ctx, lost)).To(Succeed())
		Expect(env.Delete(ctx, lost)).To(Succeed())
	}
	return b
}

// restore creates an object as tools for backups do: with the names, labels, annotations and finalizers that it had.
func restore[T client.Object](ctx context.Context, backup T) T {
	GinkgoHelper()
	object := backup.DeepCopyObject().(T)
	object.SetUID("")
	object.SetResourceVersion("")
	object.SetGeneration(0)
	object.SetManagedFields(nil)
	object.SetCreationTimestamp(metav1.Time{})
	Expect(env.Create(ctx, object)).To(Succeed())
	Expect(object.GetUID()).NotTo(Equal(backup.GetUID()))
	return object
}

var _ = Describe("restored from a backup", func() {
	var (
		alert      map[string]string
		lost       backup
		url        string
		processing *processor
	)

	// A request that was classified, and then its cluster was lost.
	BeforeEach(func(ctx SpecContext) {
		p, err := env.NewPipeline(ctx, testenv.PipelineOptions{})
		Expect(err).NotTo(HaveOccurred())
		alert = podAlert()
		rr := requestIn(ctx, post(ctx, p.GatewayURL, alertBody("firing", alert)).Result)
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		Expect(p.Stop()).To(Succeed())
		lost = losing(ctx, rr)
	})

	// start starts the services for the namespace that was restored.
	start := func(ctx SpecContext) {
		GinkgoHelper()
		namespace := lost.request.Namespace
		url, _ = replica(ctx, func(o *gateway.Options) { o.Namespace, o.WatchNamespaces = namespace, []string{namespace} })
		processing = startProcessor(ctx, namespace, nil)
	}

	// expectToContinue expects a restored request to take signals, to end, and to go.
	expectToContinue := func(ctx SpecContext, rr *v1alpha1.RemediationRequest) {
		GinkgoHelper()
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		Expect(metav1.IsControlledBy(processingOf(ctx, rr), rr)).To(BeTrue(), "it goes with its request")

		again := post(ctx, url, alertBody("firing", alert))
		Expect(again.Code).To(Equal(http.StatusOK))
		Expect(again.Status).To(Equal("duplicate"))
		Expect(again.RemediationRequestName).To(Equal(rr.Name))
		Expect(post(ctx, url, alertBody("resolved", alert)).Status).To(Equal("resolved"))
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationSkipped))).To(Succeed())
		Expect(meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionFinished).Reason).To(Equal(v1alpha1.ReasonResolvedBeforeExecution))
		deleteRequest(ctx, rr)
	}

	// decisions stops the service and counts the classifications on the request's trail.
	decisions := func(ctx SpecContext) int {
		GinkgoHelper()
		processing.stop(ctx)
		return len(auditTrail(ctx, lost.request).Of(classificationDecision))
	}

	for _, owned := range []bool{true, false} {
		text := map[bool]string{true: "with", false: "without"}[owned] + " owner references"
		It("field C20: all objects with new UIDs and without status, "+text+", go on from the beginning", func(ctx SpecContext) {
			if !owned {
				lost.processing.OwnerReferences = nil
			}
			restore(ctx, lost.register)
			restore(ctx, lost.processing)
			rr := restore(ctx, lost.request)
			start(ctx)
			expectToContinue(ctx, rr)
			Expect(decisions(ctx)).To(Equal(2), "the trail of the name has those of both objects")
		}, SpecTimeout(specTimeout))
	}

	It("field C20: all objects with new UIDs and their status go on where they were", func(ctx SpecContext) {
		restore(ctx, lost.register)
		for _, object := range []client.Object{lost.processing, lost.request} {
			restored := restore(ctx, object)
			switch o := restored.(type) {
			case *v1alpha1.SignalProcessing:
				o.Status = *lost.processing.Status.DeepCopy()
			case *v1alpha1.RemediationRequest:
				o.Status = *lost.request.Status.DeepCopy()
			}
			Expect(env.Status().Update(ctx, restored)).To(Succeed())
		}
		start(ctx)
		rr := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: lost.request.Namespace, Name: lost.request.Name}}
		sp := &v1alpha1.SignalProcessing{ObjectMeta: rr.ObjectMeta}
		Expect(env.Get(ctx, client.ObjectKeyFromObject(rr), rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, sp, func(sp *v1alpha1.SignalProcessing) bool { return metav1.IsControlledBy(sp, rr) })).To(Succeed())
		expectToContinue(ctx, rr)
		Expect(decisions(ctx)).To(Equal(1), "nothing is decided twice")
	}, SpecTimeout(specTimeout))

	for _, phase := range []v1alpha1.RemediationPhase{"", v1alpha1.RemediationClassified} {
		It("field C20: a request without its SignalProcessing gets another (phase \""+string(phase)+"\")", func(ctx SpecContext) {
			restore(ctx, lost.register)
			rr := restore(ctx, lost.request)
			if phase != "" {
				rr.Status = *lost.request.Status.DeepCopy()
				Expect(env.Status().Update(ctx, rr)).To(Succeed())
			}
			start(ctx)
			sp := &v1alpha1.SignalProcessing{ObjectMeta: metav1.ObjectMeta{Namespace: rr.Namespace, Name: rr.Name}}
			Expect(testenv.WaitFor(ctx, env, sp, func(sp *v1alpha1.SignalProcessing) bool {
				return sp.Status.Phase == v1alpha1.ProcessingCompleted
			})).To(Succeed())
			expectToContinue(ctx, rr)
		}, SpecTimeout(specTimeout))
	}

	It("field C20: a request without its record in the register is processed, and the next signal opens another", func(ctx SpecContext) {
		rr := restore(ctx, lost.request)
		start(ctx)
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		next := post(ctx, url, alertBody("firing", alert))
		Expect(next.Code).To(Equal(http.StatusCreated))
		Expect(next.RemediationRequestName).NotTo(Equal(rr.Name))
	}, SpecTimeout(specTimeout))

	It("field C20: a record in the register without its request holds up one signal for seconds", func(ctx SpecContext) {
		restore(ctx, lost.register)
		start(ctx)
		next := post(ctx, url, alertBody("firing", alert))
		Expect(next.Code).To(Equal(http.StatusCreated))
		Expect(next.RemediationRequestName).NotTo(Equal(lost.request.Name))
		Expect(post(ctx, url, alertBody("firing", alert)).RemediationRequestName).To(Equal(next.RemediationRequestName))
	}, SpecTimeout(specTimeout))

	It("field C20: the watch of events goes on from its time, not from the resource version of another cluster", func(ctx SpecContext) {
		namespace, err := env.NewNamespace(ctx, nil, nil)
		Expect(err).NotTo(HaveOccurred())
		stop := watchEvents(ctx, namespace)
		position := awaitPosition(ctx, namespace)
		Expect(stop()).To(Succeed())
		Expect(env.Get(ctx, client.ObjectKeyFromObject(position), position)).To(Succeed())
		Expect(env.Delete(ctx, position)).To(Succeed())
		const annotation = "kubernaut.ai/event-positions"
		position.Annotations[annotation] = regexp.MustCompile(`"resourceVersion":"[0-9]+"`).
			ReplaceAllString(position.Annotations[annotation], `"resourceVersion":"900000000000"`)
		Expect(position.Annotations[annotation]).To(ContainSubstring("900000000000"))
		restore(ctx, position)

		reportEvent(ctx, namespace, "FailedMount", corev1.EventTypeWarning)
		stop = watchEvents(ctx, namespace)
		awaitSignals(ctx, namespace, "FailedMount")
		reportEvent(ctx, namespace, "BackOff", corev1.EventTypeWarning)
		awaitSignals(ctx, namespace, "BackOff", "FailedMount")
		Expect(stop()).To(Succeed())
	}, SpecTimeout(specTimeout))

	It("field C20: a request whose name is taken says what to delete, and goes on when it is", func(ctx SpecContext) {
		lost.processing.Spec.Signal.SignalName = env.CorrelationID()
		taken := restore(ctx, lost.processing)
		restore(ctx, lost.register)
		rr := restore(ctx, lost.request)
		start(ctx)
		var condition *metav1.Condition
		Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool {
			condition = meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionSignalProcessed)
			return condition != nil
		})).To(Succeed())
		Expect(condition.Status).To(Equal(metav1.ConditionFalse))
		Expect(condition.Reason).To(Equal(v1alpha1.ReasonForeignSignalProcessing))
		Expect(condition.Message).To(ContainSubstring("SignalProcessing " + taken.Name + " in namespace " + taken.Namespace))
		Expect(env.Delete(ctx, taken)).To(Succeed())
		expectToContinue(ctx, rr)
	}, SpecTimeout(specTimeout))
})
