package integration_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/testenv"
)

// foundingInstances is how many random instances one run of the suite has.
const foundingInstances = 24

// step is a transition of processing, and the event of what was done in the
// phase that it leaves.
type step struct {
	from, to v1alpha1.ProcessingPhase
	work     string // empty: the phase has no event but the transition
}

var steps = []step{
	{v1alpha1.ProcessingPending, v1alpha1.ProcessingEnriching, ""},
	{v1alpha1.ProcessingEnriching, v1alpha1.ProcessingClassifying, "signalprocessing.enrichment.completed"},
	{v1alpha1.ProcessingClassifying, v1alpha1.ProcessingCategorizing, "signalprocessing.classification.decision"},
	{v1alpha1.ProcessingCategorizing, v1alpha1.ProcessingCompleted, "signalprocessing.business.classified"},
}

const (
	transition = "signalprocessing.phase.transition"
	processed  = "signalprocessing.signal.processed"
)

// A suite of 87 specs in 12 processes once lost 2 of them to "audit event not
// found": they changed a resource, waited for its status and polled for the
// event. Here they look once, at a random moment of processing.
var _ = Describe("founding scenario", Label("flush"), func() {
	for instance := range foundingInstances {
		It(fmt.Sprintf("finds every event of what it has seen, looking once (%d)", instance), func(ctx SpecContext) {
			random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), uint64(instance)))
			seen := random.IntN(len(steps)) // the last step that the spec waits for
			rr := env.Request(env.CorrelationID())
			rr.Spec.Severity = []string{"critical", "warning", "info", "page", ""}[random.IntN(5)]
			By(fmt.Sprintf("creating a request of severity %q", rr.Spec.Severity))
			Expect(env.Create(ctx, rr)).To(Succeed())

			By(fmt.Sprintf("waiting until processing is %s or further", steps[seen].to))
			sp := &v1alpha1.SignalProcessing{ObjectMeta: metav1.ObjectMeta{Namespace: rr.Namespace, Name: rr.Name}}
			Expect(testenv.WaitFor(ctx, env, sp, func(sp *v1alpha1.SignalProcessing) bool {
				return reached(sp.Status.Phase) >= seen
			})).To(Succeed())
			seen = reached(sp.Status.Phase) // it may have been faster

			By("flushing, and querying once")
			trail, err := env.AuditTrail(ctx, rr.Name)
			Expect(err).NotTo(HaveOccurred())
			expectSteps(trail, seen)
		}, SpecTimeout(specTimeout))
	}

	It("finds the whole trail, each event once and in order, when the request shows the outcome", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())

		trail, err := env.AuditTrail(ctx, rr.Name)
		Expect(err).NotTo(HaveOccurred())
		expectSteps(trail, len(steps)-1)
		Expect(trail).To(HaveLen(len(steps)+4), "four transitions, three phases' work, one outcome")
		Expect(slices.IsSortedFunc(trail, func(a, b datastorage.StoredEvent) int {
			return a.EventTimestamp.Compare(b.EventTimestamp)
		})).To(BeTrue(), "oldest first")
	}, SpecTimeout(specTimeout))
})

// reached is the index of the step that led to a phase, -1 before the first.
func reached(phase v1alpha1.ProcessingPhase) int {
	return slices.IndexFunc(steps, func(s step) bool { return s.to == phase })
}

// expectSteps expects every event of all steps up to the last one that was
// seen, each once. Later ones may be there: processing went on.
func expectSteps(trail testenv.Trail, last int) {
	GinkgoHelper()
	for _, s := range steps[:last+1] {
		Expect(trail).To(testenv.HaveAudited(transition,
			testenv.Data("from", BeEquivalentTo(s.from)), testenv.Data("to", BeEquivalentTo(s.to))))
		if s.work != "" {
			Expect(trail.Of(s.work)).To(HaveLen(1), s.work)
		}
	}
	if last == len(steps)-1 {
		Expect(trail.Of(processed)).To(HaveLen(1), processed)
	}
	Expect(len(trail.Of(transition))).To(BeNumerically(">", last), "a transition for each step")
	ids := map[string]bool{}
	for i := range trail {
		ids[trail[i].EventId.String()] = true
	}
	Expect(ids).To(HaveLen(len(trail)), "no event twice")
}
