//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/pkg/audittrail/podflush"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
	"kubernaut.ai/test/verdict"
)

// The load of a scenario: a few signals a second, which two busy cores can
// process during restarts. It proves that nothing is lost on the path through a
// real cluster; make torture runs the same checks under full load.
const (
	senders = 2
	pace    = 500 * time.Millisecond
	// problems bounds the open requests of the namespace: of those that are allowed, a quarter is for critical ones.
	problems = 120
	// minBackoff and maxBackoff are shorter than Alertmanager's.
	minBackoff = 100 * time.Millisecond
	maxBackoff = time.Second
	// maxTicks bounds the answers between two disruptions.
	maxTicks = 8
)

// load sends signals until it is checked.
type load struct {
	*alertmanager.Senders

	namespace string
	group     *errgroup.Group
	sending   context.Context //nolint:containedctx // ends with the first sender that fails, and names its error
	random    *rand.Rand
}

// startLoad starts to send signals about a new namespace.
func startLoad(ctx context.Context) *load {
	GinkgoHelper()
	namespace, err := env.NewNamespace(ctx)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) {
		if CurrentSpecReport().Failed() {
			GinkgoWriter.Printf("kept namespace %s of a failed spec\n", namespace)
			return
		}
		Expect(env.RemoveNamespace(ctx, namespace)).To(Succeed())
	})
	l := &load{namespace: namespace, random: rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 0))}
	l.Senders = alertmanager.NewSenders(alertmanager.Options{
		Namespace: namespace, Pace: pace, MaxProblems: problems / senders, HTTP: env.HTTP, Authorize: env.Tokens.Sender.Authorize,
		NewRoute: func() alertmanager.Route { return alertmanager.Backoff(env.GatewayURL, minBackoff, maxBackoff) },
	})
	l.group, l.sending = errgroup.WithContext(ctx)
	for i := range senders {
		random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), uint64(i)+1))
		l.group.Go(func() error { return l.Send(l.sending, random) })
	}
	return l
}

// awaitAnswers waits for a random number of answers.
func (l *load) awaitAnswers(ctx context.Context) {
	GinkgoHelper()
	for range 1 + l.random.IntN(maxTicks) {
		select {
		case <-l.Ticks():
		case <-l.sending.Done():
			Fail("signals are not answered any more: " + context.Cause(l.sending).Error())
		}
	}
}

// finish waits until every notification in progress is answered, and returns all
// answers.
func (l *load) finish() []alertmanager.Answered {
	GinkgoHelper()
	l.Finish()
	Expect(l.group.Wait()).To(Succeed())
	return l.Answers()
}

// check waits until every request is classified, flushes every pod once, and reads
// each trail once. No event of an answered signal may be missing, and no event may
// be stored twice.
func (l *load) check(ctx context.Context, scenario, disruptions string, times int) {
	GinkgoHelper()
	By("waiting for the last answers")
	answers := l.finish()
	names := map[string]bool{}
	for _, a := range answers {
		names[a.Request] = true
	}
	By(fmt.Sprintf("waiting until %d requests are classified", len(names)))
	l.awaitClassified(ctx, names)
	By("waiting until all rollouts are complete")
	Expect(env.AwaitRollout(ctx, cluster.Workloads...)).To(Succeed())

	By("flushing every pod once, and querying each trail once")
	processed := slices.Sorted(maps.Keys(names))
	trails, err := verdict.ReadTrails(ctx, env.Flusher, trailOptions(ctx), processed)
	Expect(err).NotTo(HaveOccurred())
	result := verdict.Result{Disruptions: times}
	By("checking the trails")
	Expect(result.Check(verdict.Observations{Answers: answers, Processed: processed, Trails: trails})).To(Succeed())
	AddReportEntry(result.Line("chaos "+scenario, disruptions))
	for _, id := range result.CorrelationIDs {
		env.Track(id)
	}
	Expect(result.Err()).To(Succeed())
}

func (l *load) awaitClassified(ctx context.Context, names map[string]bool) {
	GinkgoHelper()
	var late []string
	err := testenv.WaitForAll(ctx, env, &v1alpha1.RemediationRequestList{}, func(requests map[client.ObjectKey]*v1alpha1.RemediationRequest) bool {
		late = nil
		for name := range names {
			rr, found := requests[client.ObjectKey{Namespace: l.namespace, Name: name}]
			if !found || !testenv.IsClassified(rr) {
				late = append(late, name)
			}
		}
		return len(late) == 0
	}, client.InNamespace(l.namespace))
	for _, name := range late {
		env.Track(name)
	}
	Expect(err).NotTo(HaveOccurred(), "%d of %d requests are not classified", len(late), len(names))
}

// trailOptions query a ready pod of DataStorage directly: the proxy of a Service may
// still forward to a pod that is gone.
func trailOptions(ctx context.Context) audittrail.Options {
	GinkgoHelper()
	pods := podsOf(ctx, cluster.DataStorage.Name)
	Expect(pods).NotTo(BeEmpty())
	return audittrail.Options{DataStorageURL: forward(ctx, pods[0])[0], HTTP: env.Reusing(), Authorize: env.Tokens.Reader.Authorize}
}

// kill kills the process of a pod with SIGKILL, and deletes the pod.
func kill(ctx context.Context, w podflush.Workload, pod *corev1.Pod) {
	GinkgoHelper()
	killer := reaper(ctx)
	By("killing pod " + pod.Name)
	Expect(killer.Kill(ctx, w, pod)).To(Succeed())
}

// theReaper is created on first use; Serial specs share it.
var theReaper *cluster.Reaper

func reaper(ctx context.Context) *cluster.Reaper {
	GinkgoHelper()
	if theReaper == nil {
		var err error
		theReaper, err = env.NewReaper(ctx)
		Expect(err).NotTo(HaveOccurred())
	}
	return theReaper
}

// victim waits until a workload has a ready pod, and returns a random one.
func (l *load) victim(ctx context.Context, w podflush.Workload) *corev1.Pod {
	GinkgoHelper()
	pods, err := env.AnyReady(ctx, w)
	Expect(err).NotTo(HaveOccurred())
	return pods[l.random.IntN(len(pods))]
}
