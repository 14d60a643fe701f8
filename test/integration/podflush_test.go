//go:build integration

package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/pkg/audittrail/podflush"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/testenv"
)

var _ = Describe("flush of all pods through the API server", Label("flush"), func() {
	It("makes the trail complete, whichever pods hold pending parts of it", func(ctx SpecContext) {
		workload, urls := gateways(ctx, podflush.StatefulSet)
		processing, err := env.NewWorkload(ctx, podflush.Deployment, env.ManagementURLs[1])
		Expect(err).NotTo(HaveOccurred())
		flusher, err := podflush.New(podflush.Options{
			Config:    userWith(ctx, append(mayWatch, mayProxy)...),
			Workloads: []podflush.Workload{workload.Workload, processing.Workload},
		})
		Expect(err).NotTo(HaveOccurred())
		reader, err := audittrail.NewReader(audittrail.Options{DataStorageURL: env.DataStorage.URL, Flushers: []audittrail.Flusher{flusher}})
		Expect(err).NotTo(HaveOccurred())

		By("sending an alert to each Gateway, and seeing both requests classified")
		names := make([]string, 0, len(urls))
		for _, url := range urls {
			answer := post(ctx, url, alertBody("firing", podAlert()))
			Expect(answer.Code).To(Equal(http.StatusCreated))
			rr := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{
				Namespace: answer.RemediationRequestNamespace, Name: answer.RemediationRequestName,
			}}
			Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
			names = append(names, rr.Name)
			env.Track(rr.Name)
		}

		By("flushing every pod, and querying once")
		for _, name := range names {
			read, err := reader.Read(ctx, name)
			Expect(err).NotTo(HaveOccurred())
			events := testenv.Trail(read)
			Expect(events.Of(signalReceived)).To(HaveLen(1))
			Expect(events.Of(requestCreated)).To(HaveLen(1))
			Expect(events).To(testenv.HaveSteps(testenv.Steps))
		}
	}, SpecTimeout(specTimeout))

	DescribeTable("has a receipt of each pod", func(ctx SpecContext, kind podflush.Kind, port string) {
		workload, urls := gateways(ctx, kind)
		for _, url := range urls {
			Expect(post(ctx, url, alertBody("firing", podAlert())).Code).To(Equal(http.StatusCreated))
		}
		flusher, tap := flusherOf(workload, func(o *podflush.Options) { o.Port, o.Concurrency = port, 1 })
		receipts, err := flusher.FlushPods(ctx, "")
		Expect(err).NotTo(HaveOccurred())
		Expect(receipts).To(HaveLen(2))
		for i, r := range receipts {
			Expect(r.Pod).To(Equal(workload.PodName(i)))
			Expect(r.UID).NotTo(BeEmpty())
			Expect(r.Barrier).To(BeNumerically(">", 0), "its Gateway recorded something")
			Expect(r.Events).To(BeNumerically(">", 0), "only this Gateway could store its pending events")
			Expect(r.ConsistencyToken).NotTo(BeEmpty())
		}
		Expect(tap.pods()).To(Equal([]string{workload.PodName(0), workload.PodName(1)}), "each once")
	},
		Entry("of a stateful set", SpecTimeout(specTimeout), podflush.StatefulSet, ""),
		Entry("of a deployment", SpecTimeout(specTimeout), podflush.Deployment, "management"))

	It("passes the correlation id on", func(ctx SpecContext) {
		workload, urls := gateways(ctx, podflush.StatefulSet)
		answer := post(ctx, urls[0], alertBody("firing", podAlert()))
		Expect(post(ctx, urls[1], alertBody("firing", podAlert())).Code).To(Equal(http.StatusCreated))
		flusher, _ := flusherOf(workload, nil)
		receipts, err := flusher.FlushPods(ctx, answer.RemediationRequestName)
		Expect(err).NotTo(HaveOccurred())
		Expect(receipts).To(HaveLen(2))
		Expect(receipts[0].Events).To(Equal(2), "the signal and its request")
		Expect(receipts[1].Events).To(BeZero(), "its pending events have another correlation id")
	}, SpecTimeout(specTimeout))
})

// unsettled is a state of a workload of two pods in which a flush would prove too little.
type unsettled struct {
	name       string
	begin, end func(context.Context, *testenv.Workload) error
	// says is a part of the error when it does not end.
	says []string
}

var changingStates = []unsettled{
	{
		name: "a pod that is not ready",
		begin: func(ctx context.Context, w *testenv.Workload) error {
			return w.ChangePod(ctx, w.PodName(1), testenv.Ready(false))
		},
		end: func(ctx context.Context, w *testenv.Workload) error {
			return w.ChangePod(ctx, w.PodName(1), testenv.Ready(true))
		},
		says: []string{"1 of 2 replicas ready", "-1 is not ready"},
	},
	{
		name:  "a pod that is missing",
		begin: func(ctx context.Context, w *testenv.Workload) error { return w.RemovePod(ctx, w.PodName(1)) },
		end: func(ctx context.Context, w *testenv.Workload) error {
			return w.AddPod(ctx, w.PodName(1), env.ManagementURLs[0])
		},
		says: []string{"1 of 2 replicas ready", "1 pods exist where 2 are declared"},
	},
	{
		name: "a pod of another generation that is terminating",
		begin: func(ctx context.Context, w *testenv.Workload) error {
			return errors.Join(w.AddPod(ctx, w.Name+"-old", env.ManagementURLs[0]), w.TerminatePod(ctx, w.Name+"-old"))
		},
		end:  func(ctx context.Context, w *testenv.Workload) error { return w.RemovePod(ctx, w.Name+"-old") },
		says: []string{"3 pods exist where 2 are declared", "-old is terminating"},
	},
	{
		name: "a pod that was evicted",
		begin: func(ctx context.Context, w *testenv.Workload) error {
			return errors.Join(w.AddPod(ctx, w.Name+"-old", env.ManagementURLs[0]),
				w.ChangePod(ctx, w.Name+"-old", func(s *corev1.PodStatus) { s.Phase = corev1.PodFailed }))
		},
		end:  func(ctx context.Context, w *testenv.Workload) error { return w.RemovePod(ctx, w.Name+"-old") },
		says: []string{"-old has finished (Failed)"},
	},
	{
		name: "a change that its controller has not observed",
		begin: func(ctx context.Context, w *testenv.Workload) error {
			return errors.Join(w.Declare(ctx, 3), w.Declare(ctx, 2))
		},
		end:  func(ctx context.Context, w *testenv.Workload) error { return w.Report(ctx) },
		says: []string{"its controller has observed generation 1 of 3"},
	},
}

var _ = Describe("flush of all pods: a workload that is changing", Label("flush"), func() {
	for _, state := range changingStates {
		It("waits for the end of "+state.name, func(ctx SpecContext) {
			workload, _ := gateways(ctx, podflush.StatefulSet)
			Expect(state.begin(ctx, workload)).To(Succeed())
			flusher, tap := flusherOf(workload, nil)
			done := flushHeld(ctx, flusher, tap)
			Expect(tap.pods()).To(BeEmpty())

			Expect(state.end(ctx, workload)).To(Succeed())
			Expect(<-done).To(Succeed())
			Expect(tap.pods()).To(Equal([]string{workload.PodName(0), workload.PodName(1)}))
		}, SpecTimeout(specTimeout))

		It("names, when the context ends, "+state.name, func(ctx SpecContext) {
			workload, _ := gateways(ctx, podflush.Deployment)
			Expect(state.begin(ctx, workload)).To(Succeed())
			flusher, tap := flusherOf(workload, nil)
			bounded, cancel := context.WithCancel(ctx)
			defer cancel()
			done := flushHeld(bounded, flusher, tap)
			cancel()
			err := <-done
			Expect(err).To(MatchError(context.Canceled))
			waiting, ok := errors.AsType[*podflush.WaitError](err)
			Expect(ok).To(BeTrue(), "%v", err)
			Expect(waiting.Workload).To(Equal(workload.Workload))
			for _, text := range append(state.says, "deployment "+workload.Namespace+"/"+workload.Name) {
				Expect(err).To(MatchError(ContainSubstring(text)))
			}
			Expect(tap.pods()).To(BeEmpty())
		}, SpecTimeout(specTimeout))
	}

	It("fails at once when there is nothing to wait for", func(ctx SpecContext) {
		workload, err := env.NewWorkload(ctx, podflush.StatefulSet)
		Expect(err).NotTo(HaveOccurred())
		flusher, _ := flusherOf(workload, nil)
		_, err = flusher.FlushPods(ctx, "")
		Expect(err).To(MatchError(podflush.ErrNoReplicas))

		flusher, _ = flusherOf(workload, func(o *podflush.Options) { o.Workloads[0].AllowEmpty = true })
		Expect(flusher.FlushPods(ctx, "")).To(BeEmpty())

		flusher, _ = flusherOf(workload, func(o *podflush.Options) { o.Workloads[0].Name = "mistyped" })
		_, err = flusher.FlushPods(ctx, "")
		Expect(err).To(MatchError(ContainSubstring("statefulset " + env.Namespace + "/mistyped: not found")))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("flush of all pods: a pod that proves nothing", Label("flush"), func() {
	It("is named when it cannot be reached", func(ctx SpecContext) {
		workload, err := env.NewWorkload(ctx, podflush.StatefulSet, env.ManagementURLs[0], "http://"+closedPort())
		Expect(err).NotTo(HaveOccurred())
		flusher, _ := flusherOf(workload, nil)
		receipts, err := flusher.FlushPods(ctx, "")
		expectPodFailure(err, workload, 1)
		Expect(apierrors.IsServiceUnavailable(podFailure(err).Err)).To(BeTrue(), "%v", err)
		Expect(receipts).To(HaveLen(1), "the other pod proved its part")
	}, SpecTimeout(specTimeout))

	It("is named when it does not respond before the context ends", func(ctx SpecContext) {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(listener.Close()).To(Succeed()) })
		workload, err := env.NewWorkload(ctx, podflush.StatefulSet, env.ManagementURLs[0], "http://"+listener.Addr().String())
		Expect(err).NotTo(HaveOccurred())
		accepted := make(chan net.Conn, 1)
		bounded, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			defer cancel()
			conn, err := listener.Accept()
			if err == nil {
				accepted <- conn // never read from
			}
		}()
		flusher, _ := flusherOf(workload, nil)
		_, err = flusher.FlushPods(bounded, "")
		Expect(err).To(MatchError(context.Canceled))
		Expect(err).To(MatchError(ContainSubstring("pod " + workload.PodName(1) + ": no answer")))
		Expect((<-accepted).Close()).To(Succeed())
	}, SpecTimeout(specTimeout))

	It("is named with its pending events until they are stored", func(ctx SpecContext) {
		cable, storageURL := wireTo(ctx, env.DataStorage.URL)
		held, _ := soleGateway(ctx, func(o *gateway.Options) { o.DataStorageURL, o.ControlListen = storageURL, "127.0.0.1:0" })
		url, managementURL := held.APIURL(), held.ManagementURL()
		workload, err := env.NewWorkload(ctx, podflush.StatefulSet, env.ManagementURLs[0], managementURL)
		Expect(err).NotTo(HaveOccurred())
		Expect(workload.Control(ctx, workload.PodName(1), held.ControlURL())).To(Succeed())
		DeferCleanup(cable.restore) // before the Gateway is stopped
		cable.cut()
		answer := post(ctx, url, alertBody("firing", podAlert()))
		Expect(answer.Code).To(Equal(http.StatusCreated))

		hasty, _ := flusherOf(workload, func(o *podflush.Options) { o.Timeout = time.Millisecond })
		_, err = hasty.FlushPods(ctx, answer.RemediationRequestName)
		expectPodFailure(err, workload, 1)
		flushErr, ok := errors.AsType[*audit.FlushError](err)
		Expect(ok).To(BeTrue(), "%v", err)
		Expect(flushErr.Pending).To(Equal(2), "the signal and its request")
		Expect(flushErr.PendingEvents).To(HaveLen(2))

		cable.restore()
		patient, _ := flusherOf(workload, nil)
		receipts, err := patient.FlushPods(ctx, answer.RemediationRequestName)
		Expect(err).NotTo(HaveOccurred())
		Expect(receipts).To(HaveLen(2))
	}, SpecTimeout(specTimeout))

	It("is named with the missing permission", func(ctx SpecContext) {
		workload, err := env.NewWorkload(ctx, podflush.StatefulSet, env.ManagementURLs[0])
		Expect(err).NotTo(HaveOccurred())
		flusher, _ := flusherOf(workload, func(o *podflush.Options) { o.Config = userWith(ctx, mayWatch...) })
		_, err = flusher.FlushPods(ctx, "")
		expectPodFailure(err, workload, 0)
		Expect(apierrors.IsForbidden(podFailure(err).Err)).To(BeTrue(), "%v", err)
		Expect(err).To(MatchError(ContainSubstring(`cannot create resource "pods/proxy"`)))

		flusher, _ = flusherOf(workload, func(o *podflush.Options) { o.Config = userWith(ctx, mayProxy) })
		_, err = flusher.FlushPods(ctx, "")
		Expect(err).To(MatchError(ContainSubstring(`cannot list resource "statefulsets"`)))
	}, SpecTimeout(specTimeout))

	It("is named when it has no management port", func(ctx SpecContext) {
		workload, err := env.NewWorkload(ctx, podflush.StatefulSet, env.ManagementURLs[0])
		Expect(err).NotTo(HaveOccurred())
		flusher, _ := flusherOf(workload, func(o *podflush.Options) { o.Port = "metrics" })
		_, err = flusher.FlushPods(ctx, "")
		expectPodFailure(err, workload, 0)
		Expect(err).To(MatchError(ContainSubstring(`no port is named "metrics"`)))
	}, SpecTimeout(specTimeout))

	DescribeTable("is named although it responded", func(ctx SpecContext, change func(context.Context, *testenv.Workload) error, says string) {
		workload, _ := gateways(ctx, podflush.StatefulSet)
		flusher, tap := flusherOf(workload, nil)
		tap.beforeFlush = func(pod string) {
			if pod == workload.PodName(1) {
				defer GinkgoRecover()
				Expect(change(ctx, workload)).To(Succeed())
			}
		}
		receipts, err := flusher.FlushPods(ctx, "")
		Expect(receipts).To(HaveLen(2), "%v", err)
		changed, ok := errors.AsType[*podflush.ChangedError](err)
		Expect(ok).To(BeTrue(), "%v", err)
		Expect(changed.Changes).To(ConsistOf(HaveSuffix(says)))
	},
		Entry("and had been replaced by its namesake", SpecTimeout(specTimeout), func(ctx context.Context, w *testenv.Workload) error {
			return errors.Join(w.RemovePod(ctx, w.PodName(1)), w.AddPod(ctx, w.PodName(1), env.ManagementURLs[0]))
		}, "-1 was replaced"),
		Entry("and had been restarted", SpecTimeout(specTimeout), func(ctx context.Context, w *testenv.Workload) error {
			return w.ChangePod(ctx, w.PodName(1), testenv.Restarted)
		}, "-1 was restarted"),
		Entry("and has a new sibling", SpecTimeout(specTimeout), func(ctx context.Context, w *testenv.Workload) error {
			return errors.Join(w.Declare(ctx, 3), w.AddPod(ctx, w.PodName(2), env.ManagementURLs[0]))
		}, "-2 is new"))

	It("is named when it is gone", func(ctx SpecContext) {
		workload, _ := gateways(ctx, podflush.StatefulSet)
		flusher, tap := flusherOf(workload, nil)
		tap.beforeFlush = func(pod string) {
			if pod == workload.PodName(1) {
				defer GinkgoRecover()
				Expect(workload.RemovePod(ctx, pod)).To(Succeed())
			}
		}
		_, err := flusher.FlushPods(ctx, "")
		expectPodFailure(err, workload, 1)
		Expect(apierrors.IsNotFound(podFailure(err).Err)).To(BeTrue(), "%v", err)
		Expect(err).To(MatchError(ContainSubstring("changed during the flush: pod " + workload.PodName(1) + " is gone")))
	}, SpecTimeout(specTimeout))
})

// flushHeld begins a flush and returns when that watches its workload; the
// channel gets the flush's error.
func flushHeld(ctx context.Context, flusher *podflush.Flusher, t *tap) <-chan error {
	GinkgoHelper()
	done := make(chan error, 1)
	go func() {
		_, err := flusher.FlushPods(ctx, "")
		done <- err
	}()
	select {
	case err := <-done:
		Fail(fmt.Sprintf("the flush did not wait; its error is %v", err))
	case <-t.watching:
	}
	return done
}

// podFailure is the first failure of a pod; an empty one where there is none.
func podFailure(err error) *podflush.PodError {
	failure, ok := errors.AsType[*podflush.PodError](err)
	if !ok {
		return &podflush.PodError{}
	}
	return failure
}

func expectPodFailure(err error, w *testenv.Workload, ordinal int) {
	GinkgoHelper()
	Expect(podFailure(err).Pod).To(Equal(w.PodName(ordinal)), "%v", err)
	Expect(podFailure(err).Workload).To(Equal(w.Workload))
}
