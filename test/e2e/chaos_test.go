//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audittrail/podflush"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
)

// kills is how often each service's pods are killed.
const kills = 3

// services are the workloads that are restarted and killed.
var services = []podflush.Workload{cluster.DataStorage, cluster.Gateway, cluster.SignalProcessing}

// processingLease is the name of SignalProcessing's lease.
const processingLease = "signalprocessing.kubernaut.ai"

var _ = Describe("under load,", Serial, Label("chaos"), func() {
	BeforeEach(func(ctx SpecContext) {
		// Also after a failure the next spec finds all pods ready.
		DeferCleanup(func(ctx SpecContext) {
			Expect(env.AwaitRollout(ctx, cluster.Workloads...)).To(Succeed())
		}, NodeTimeout(specTimeout))
	})

	It("rolling restarts of all services, as in an upgrade, lose and double nothing", func(ctx SpecContext) {
		l := startLoad(ctx)
		l.awaitAnswers(ctx)
		for _, w := range services {
			Expect(env.Restart(ctx, w)).To(Succeed())
		}
		Expect(env.AwaitRollout(ctx, services...)).To(Succeed())
		l.awaitAnswers(ctx)
		l.check(ctx, "rolling-restart", "restarts", len(services))
	}, SpecTimeout(chaosTimeout))

	for _, w := range services {
		It("kills of "+w.Name+"'s pods lose and double nothing", func(ctx SpecContext) {
			l := startLoad(ctx)
			for n := range kills {
				l.awaitAnswers(ctx)
				victim := l.victim(ctx, w)
				if n == 0 && w == cluster.SignalProcessing {
					victim, _ = leader(ctx, processingLease, "")
				}
				kill(ctx, w, victim)
			}
			l.awaitAnswers(ctx)
			l.check(ctx, "kill-"+w.Name, "kills", kills)
		}, SpecTimeout(chaosTimeout))
	}

	// Deleting a database's pod without grace and without a kill would let two
	// servers use one volume for a while.
	It("a kill of PostgreSQL loses and doubles nothing", func(ctx SpecContext) {
		l := startLoad(ctx)
		l.awaitAnswers(ctx)
		kill(ctx, cluster.PostgreSQL, l.victim(ctx, cluster.PostgreSQL))
		l.awaitAnswers(ctx)
		Expect(env.AwaitRollout(ctx, cluster.PostgreSQL, cluster.DataStorage)).To(Succeed())
		l.awaitAnswers(ctx)
		l.check(ctx, "kill-postgres", "kills", 1)
	}, SpecTimeout(chaosTimeout))

	It("events that are pending in a Gateway when it is killed are stored by its successor on the same volume", func(ctx SpecContext) {
		scaleToZero(ctx, cluster.DataStorage)
		l := startLoad(ctx)
		l.awaitAnswers(ctx)
		pods, err := env.Pods(ctx, cluster.Gateway)
		Expect(err).NotTo(HaveOccurred())
		for i := range pods {
			l.awaitAnswers(ctx)
			Expect(pending(ctx, pods[i].Name)).To(BeNumerically(">", 0), "it accepted signals that it cannot store")
			kill(ctx, cluster.Gateway, &pods[i])
		}
		Expect(env.AwaitRollout(ctx, cluster.Gateway)).To(Succeed())
		l.finish()
		Expect(pending(ctx, pods[0].Name)+pending(ctx, pods[1].Name)).To(BeNumerically(">=", len(l.Answers())), "at least the receipt of each answer")
		scaleBack(ctx, cluster.DataStorage)
		l.check(ctx, "kill-pending-gateway", "kills", len(pods))
	}, SpecTimeout(chaosTimeout))
})

// leader is the pod that holds a lease, and its identity in the lease. It waits until that is another than the killed one,
// as what the killed leader did last may be seen while the lease is still its own; a pod of the same name replaces it.
func leader(ctx context.Context, name, killed string) (pod *corev1.Pod, identity string) {
	GinkgoHelper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.System, Name: name}}
	Expect(testenv.WaitFor(ctx, env, lease, func(l *coordinationv1.Lease) bool {
		identity = ptr.Deref(l.Spec.HolderIdentity, "")
		return identity != "" && identity != killed
	})).To(Succeed())
	holder, _, _ := strings.Cut(identity, "_")
	pod = &corev1.Pod{}
	Expect(env.Get(ctx, client.ObjectKey{Namespace: cluster.System, Name: holder}, pod)).To(Succeed())
	return pod, identity
}

// pending is the number of a pod's pending events.
func pending(ctx context.Context, pod string) int {
	GinkgoHelper()
	for _, state := range env.StoreStates(ctx) {
		if state.Service == pod {
			Expect(state.Err).NotTo(HaveOccurred())
			return state.Pending
		}
	}
	Fail("pod " + pod + " does not exist")
	return 0
}

// scaleToZero removes a workload's pods until scaleBack or the end of the spec.
func scaleToZero(ctx context.Context, w podflush.Workload) {
	GinkgoHelper()
	Expect(env.Scale(ctx, w, 0)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { scaleBack(ctx, w) })
	Expect(env.AwaitRollout(ctx, w)).To(Succeed())
}

func scaleBack(ctx context.Context, w podflush.Workload) {
	GinkgoHelper()
	const replicas = 2
	Expect(env.Scale(ctx, w, replicas)).To(Succeed())
	Expect(env.AwaitRollout(ctx, w)).To(Succeed())
}

var _ = Describe("a flush", Serial, Label("flush"), func() {
	// hasty gives each pod one second, after which a pod with pending events says so.
	hasty := func() *podflush.Flusher {
		GinkgoHelper()
		flusher, err := podflush.New(podflush.Options{
			Config: env.Config, Workloads: []podflush.Workload{cluster.Gateway}, Timeout: time.Second,
		})
		Expect(err).NotTo(HaveOccurred())
		return flusher
	}

	It("names the pods with pending events when DataStorage is down, and counts the events", func(ctx SpecContext) {
		scaleToZero(ctx, cluster.DataStorage)
		alert := podAlert()
		rr := fire(ctx, alert)
		_, err := hasty().FlushPods(ctx, rr.Name)
		Expect(err).To(MatchError(ContainSubstring("events are still pending")))
		flushErr, ok := errors.AsType[*audit.FlushError](err)
		Expect(ok).To(BeTrue(), "%v", err)
		Expect(flushErr.Pending).To(Equal(2), "the signal and its request")
		_, err = hasty().FlushPods(ctx, "")
		Expect(err).To(MatchError(ContainSubstring("pod gateway-")))

		scaleBack(ctx, cluster.DataStorage)
		classified(ctx, rr)
		Expect(audited(ctx, rr.Name)).To(testenv.BeProcessed(signalReceived, requestCreated))
	}, SpecTimeout(chaosTimeout))

	It("names a pod that is missing, instead of proving too little", func(ctx SpecContext) {
		rr := fire(ctx, podAlert())
		nodes := cordon(ctx)
		pods, err := env.Pods(ctx, cluster.Gateway)
		Expect(err).NotTo(HaveOccurred())
		missing := pods[1].Name
		Expect(env.DeletePod(ctx, &pods[1])).To(Succeed())

		bounded, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		receipts, err := hasty().FlushPods(bounded, rr.Name)
		Expect(receipts).To(BeEmpty())
		Expect(err).To(MatchError(context.DeadlineExceeded))
		Expect(err).To(MatchError(SatisfyAll(ContainSubstring("statefulset "+cluster.System+"/gateway"), ContainSubstring("1 of 2 replicas ready"))))
		Expect(err).To(MatchError(SatisfyAny(ContainSubstring("pod "+missing+" is not ready"), ContainSubstring("1 pods exist where 2 are declared"))))

		uncordon(ctx, nodes)
		Expect(env.AwaitRollout(ctx, cluster.Gateway)).To(Succeed())
		classified(ctx, rr)
		Expect(audited(ctx, rr.Name)).To(testenv.BeProcessed(signalReceived, requestCreated))
	}, SpecTimeout(chaosTimeout))
})

// cordon cordons every node until uncordon or the end of the spec.
func cordon(ctx context.Context) []string {
	GinkgoHelper()
	var list corev1.NodeList
	Expect(env.List(ctx, &list)).To(Succeed())
	var nodes []string
	for i := range list.Items {
		if !list.Items[i].Spec.Unschedulable {
			nodes = append(nodes, list.Items[i].Name)
		}
	}
	DeferCleanup(func(ctx SpecContext) {
		uncordon(ctx, nodes)
		Expect(env.AwaitRollout(ctx, cluster.Workloads...)).To(Succeed())
	})
	setUnschedulable(ctx, nodes, "true")
	return nodes
}

func uncordon(ctx context.Context, nodes []string) {
	GinkgoHelper()
	setUnschedulable(ctx, nodes, "false")
}

func setUnschedulable(ctx context.Context, nodes []string, value string) {
	GinkgoHelper()
	for _, name := range nodes {
		node := &corev1.Node{}
		node.Name = name
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"unschedulable":`+value+`}}`))
		Expect(env.Patch(ctx, node, patch)).To(Succeed())
	}
}
