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
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audittrail/podflush"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
)

// kills is how often each service's pods are killed.
const kills = 3

// services are those that are restarted and killed.
var services = []podflush.Workload{cluster.DataStorage, cluster.Gateway, cluster.SignalProcessing}

// leaderLease is SignalProcessing's.
const leaderLease = "signalprocessing.kubernaut.ai"

var _ = Describe("under load,", Serial, Label("chaos"), func() {
	BeforeEach(func(ctx SpecContext) {
		// Whatever happens, the next spec finds the platform as it was.
		DeferCleanup(func(ctx SpecContext) {
			Expect(env.Settled(ctx, cluster.Workloads...)).To(Succeed())
		}, NodeTimeout(specTimeout))
	})

	It("rolling restarts of all services, as of an upgrade, lose and double nothing", func(ctx SpecContext) {
		l := startLoad(ctx)
		l.moment(ctx)
		for _, w := range services {
			Expect(env.Restart(ctx, w)).To(Succeed())
		}
		Expect(env.Settled(ctx, services...)).To(Succeed())
		l.moment(ctx)
		l.judge(ctx, "rolling-restart", "restarts", len(services))
	}, SpecTimeout(chaosTimeout))

	for _, w := range services {
		It("kills of "+w.Name+"'s pods lose and double nothing", func(ctx SpecContext) {
			l := startLoad(ctx)
			for n := range kills {
				l.moment(ctx)
				victim := l.victim(ctx, w)
				if n == 0 && w == cluster.SignalProcessing {
					victim = leader(ctx)
				}
				kill(ctx, w, victim)
			}
			l.moment(ctx)
			l.judge(ctx, "kill-"+w.Name, "kills", kills)
		}, SpecTimeout(chaosTimeout))
	}

	// A deletion without a kill would let two servers work on one volume for a
	// while: to delete the pod of a database without grace is a mistake.
	It("the loss of PostgreSQL's pod, with all that it had not written, loses and doubles nothing", func(ctx SpecContext) {
		l := startLoad(ctx)
		l.moment(ctx)
		kill(ctx, cluster.PostgreSQL, l.victim(ctx, cluster.PostgreSQL))
		l.moment(ctx)
		Expect(env.Settled(ctx, cluster.PostgreSQL, cluster.DataStorage)).To(Succeed())
		l.moment(ctx)
		l.judge(ctx, "kill-postgres", "kills", 1)
	}, SpecTimeout(chaosTimeout))

	It("what a Gateway owes when it is killed is stored by its successor on the same volume", func(ctx SpecContext) {
		away(ctx, cluster.DataStorage)
		l := startLoad(ctx)
		l.moment(ctx)
		pods, err := env.Pods(ctx, cluster.Gateway)
		Expect(err).NotTo(HaveOccurred())
		for i := range pods {
			l.moment(ctx)
			Expect(owed(ctx, pods[i].Name)).To(BeNumerically(">", 0), "it was asked, and cannot store")
			kill(ctx, cluster.Gateway, &pods[i])
		}
		Expect(env.Settled(ctx, cluster.Gateway)).To(Succeed())
		l.end()
		Expect(owed(ctx, pods[0].Name)+owed(ctx, pods[1].Name)).To(BeNumerically(">=", len(l.Answers())), "each answer's receipt, at least")
		back(ctx, cluster.DataStorage)
		l.judge(ctx, "kill-owing-gateway", "kills", len(pods))
	}, SpecTimeout(chaosTimeout))
})

// leader is the pod that leads SignalProcessing.
func leader(ctx context.Context) *corev1.Pod {
	GinkgoHelper()
	lease := &coordinationv1.Lease{}
	Expect(env.Get(ctx, client.ObjectKey{Namespace: cluster.System, Name: leaderLease}, lease)).To(Succeed())
	name, _, _ := strings.Cut(ptr.Deref(lease.Spec.HolderIdentity, ""), "_")
	pod := &corev1.Pod{}
	Expect(env.Get(ctx, client.ObjectKey{Namespace: cluster.System, Name: name}, pod)).To(Succeed())
	return pod
}

// owed is how many events a pod owes.
func owed(ctx context.Context, pod string) int {
	GinkgoHelper()
	for _, debt := range env.Debts(ctx) {
		if debt.Service == pod {
			Expect(debt.Err).NotTo(HaveOccurred())
			return debt.Owed
		}
	}
	Fail("pod " + pod + " is not there")
	return 0
}

// away takes a workload's pods away, until back, or the spec's end.
func away(ctx context.Context, w podflush.Workload) {
	GinkgoHelper()
	Expect(env.Scale(ctx, w, 0)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { back(ctx, w) })
	Expect(env.Settled(ctx, w)).To(Succeed())
}

func back(ctx context.Context, w podflush.Workload) {
	GinkgoHelper()
	const replicas = 2
	Expect(env.Scale(ctx, w, replicas)).To(Succeed())
	Expect(env.Settled(ctx, w)).To(Succeed())
}

var _ = Describe("a flush", Serial, Label("flush"), func() {
	// hasty gives each pod little time; a pod that owes says so then.
	hasty := func() *podflush.Flusher {
		GinkgoHelper()
		flusher, err := podflush.New(podflush.Options{
			Config: env.Config, Workloads: []podflush.Workload{cluster.Gateway}, Timeout: time.Second,
		})
		Expect(err).NotTo(HaveOccurred())
		return flusher
	}

	It("names the pods that owe events when DataStorage is away, and what they owe", func(ctx SpecContext) {
		away(ctx, cluster.DataStorage)
		alert := podAlert()
		rr := fire(ctx, alert)
		_, err := hasty().FlushPods(ctx, rr.Name)
		Expect(err).To(MatchError(ContainSubstring("events are still owed")))
		owing, ok := errors.AsType[*audit.FlushError](err)
		Expect(ok).To(BeTrue(), "%v", err)
		Expect(owing.Pending).To(Equal(2), "the signal and its request")
		_, err = hasty().FlushPods(ctx, "")
		Expect(err).To(MatchError(ContainSubstring("pod gateway-")))

		back(ctx, cluster.DataStorage)
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
		Expect(env.Settled(ctx, cluster.Gateway)).To(Succeed())
		classified(ctx, rr)
		Expect(audited(ctx, rr.Name)).To(testenv.BeProcessed(signalReceived, requestCreated))
	}, SpecTimeout(chaosTimeout))
})

// cordon keeps new pods from every node, until uncordon, or the spec's end.
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
		Expect(env.Settled(ctx, cluster.Workloads...)).To(Succeed())
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
