//go:build integration

package integration_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

var _ = Describe("gateway: deduplication", func() {
	// requestsOf are the requests of a fingerprint that are not being deleted.
	requestsOf := func(ctx SpecContext, fingerprint string) []v1alpha1.RemediationRequest {
		GinkgoHelper()
		var list v1alpha1.RemediationRequestList
		Expect(env.List(ctx, &list, client.InNamespace(env.Namespace),
			client.MatchingFields{"spec.signalFingerprint": fingerprint})).To(Succeed())
		return slices.DeleteFunc(list.Items, func(r v1alpha1.RemediationRequest) bool { return !r.DeletionTimestamp.IsZero() })
	}

	get := func(ctx SpecContext, r alertmanager.Result) *v1alpha1.RemediationRequest {
		GinkgoHelper()
		rr := &v1alpha1.RemediationRequest{}
		Expect(env.Get(ctx, client.ObjectKey{Namespace: r.RemediationRequestNamespace, Name: r.RemediationRequestName}, rr)).To(Succeed())
		return rr
	}

	// finish ends a request as soon as nobody else writes its phase.
	finish := func(ctx SpecContext, rr *v1alpha1.RemediationRequest, ago time.Duration) {
		GinkgoHelper()
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		before := rr.DeepCopy()
		end := metav1.NewMicroTime(time.Now().Add(-ago))
		rr.Status.Phase, rr.Status.CompletedAt = v1alpha1.RemediationCompleted, &end
		Expect(env.Status().Patch(ctx, rr, client.MergeFrom(before))).To(Succeed())
	}

	// workload creates a Deployment with a ReplicaSet and pods, and returns an
	// alert about each pod.
	workload := func(ctx SpecContext, pods int) []map[string]string {
		GinkgoHelper()
		name := env.CorrelationID()
		labels := map[string]string{"app": name}
		template := corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		selector := &metav1.LabelSelector{MatchLabels: labels}
		d := &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name},
			Spec:       appsv1.DeploymentSpec{Selector: selector, Template: template},
		}
		Expect(env.Create(ctx, d)).To(Succeed())
		rs := &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: env.Namespace, Name: name + "-1",
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
			},
			Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template},
		}
		Expect(env.Create(ctx, rs)).To(Succeed())
		alerts := make([]map[string]string, 0, pods)
		for i := range pods {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: env.Namespace, Name: fmt.Sprintf("%s-1-%d", name, i), Labels: labels,
					OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(rs, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))},
				},
				Spec: template.Spec,
			}
			Expect(env.Create(ctx, pod)).To(Succeed())
			alerts = append(alerts, map[string]string{"alertname": "KubePodCrashLooping", "namespace": env.Namespace, "pod": pod.Name})
		}
		return alerts
	}

	// storm sends each alert once, all at the same time, to the Gateways in turn.
	storm := func(ctx SpecContext, alerts []map[string]string, urls ...string) []alertmanager.Answer {
		GinkgoHelper()
		bodies := make([][]byte, len(alerts))
		for i, alert := range alerts {
			bodies[i] = alertBody("firing", alert)
		}
		answers := make([]alertmanager.Answer, len(alerts))
		begin := make(chan struct{})
		var group sync.WaitGroup
		for i := range bodies {
			group.Go(func() {
				defer GinkgoRecover()
				<-begin
				answers[i] = post(ctx, urls[i%len(urls)], bodies[i])
			})
		}
		close(begin)
		group.Wait()
		return answers
	}

	It("creates one request for first signals that two Gateways receive at the same time", func(ctx SpecContext) {
		const signals = 40
		url, managementURL := replica(ctx, nil)
		alerts := workload(ctx, 10)
		for len(alerts) < signals {
			alerts = append(alerts, alerts[len(alerts)%10])
		}
		answers := storm(ctx, alerts, env.GatewayURL, url)
		created := 0
		for _, a := range answers {
			Expect(a.Code).To(Or(Equal(http.StatusCreated), Equal(http.StatusOK)))
			Expect(a.RemediationRequestName).To(Equal(answers[0].RemediationRequestName))
			if a.Code == http.StatusCreated {
				created++
			}
		}
		Expect(created).To(Equal(1), "one signal is the first")
		Expect(requestsOf(ctx, answers[0].Fingerprint)).To(HaveLen(1))

		events := trailOf(ctx, answers[0].RemediationRequestName, managementURL)
		Expect(events.Of(signalReceived)).NotTo(BeEmpty())
		Expect(duplicatesIn(events)).To(BeEquivalentTo(signals-1), "one by one or together")
		Expect(events.Of(requestCreated)).To(HaveLen(1), "both replicas recorded the same event")

		rr := get(ctx, answers[0].Result)
		Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool {
			return rr.Status.Deduplication != nil && rr.Status.Deduplication.OccurrenceCount == signals
		})).To(Succeed(), "the counts of both replicas add up")
		Expect(rr.Status.Deduplication.FirstSeenAt).To(Equal(rr.Spec.ReceivedTime))
	}, SpecTimeout(specTimeout))

	It("creates one successor when the request was deleted in between", func(ctx SpecContext) {
		url, managementURL := replica(ctx, nil)
		alerts := workload(ctx, 8)
		names := map[string]bool{}
		for range 4 {
			answers := storm(ctx, alerts, env.GatewayURL, url)
			name := answers[0].RemediationRequestName
			Expect(names).NotTo(HaveKey(name), "names never repeat")
			names[name] = true
			for _, a := range answers {
				Expect(a.RemediationRequestName).To(Equal(name))
			}
			Expect(requestsOf(ctx, answers[0].Fingerprint)).To(HaveLen(1))
			Expect(trailOf(ctx, name, managementURL).Of(requestCreated)).To(HaveLen(1))
			Expect(env.Delete(ctx, get(ctx, answers[0].Result))).To(Succeed())
		}
	}, SpecTimeout(specTimeout))

	It("gives the first signal after a deletion a request with another name", func(ctx SpecContext) {
		alert := podAlert()
		names := map[string]bool{}
		for range 3 {
			answer := post(ctx, env.GatewayURL, alertBody("firing", alert))
			Expect(answer.Code).To(Equal(http.StatusCreated))
			names[answer.RemediationRequestName] = true
			Expect(env.Delete(ctx, get(ctx, answer.Result))).To(Succeed())
		}
		Expect(names).To(HaveLen(3))
	}, SpecTimeout(specTimeout))

	It("deduplicates signals about different pods of one Deployment", func(ctx SpecContext) {
		alerts := workload(ctx, 2)
		first := post(ctx, env.GatewayURL, alertBody("firing", alerts[0]))
		Expect(first.Code).To(Equal(http.StatusCreated))
		second := post(ctx, env.GatewayURL, alertBody("firing", alerts[1]))
		Expect(second.Code).To(Equal(http.StatusOK))
		Expect(second.Status).To(Equal("duplicate"))
		Expect(second.RemediationRequestName).To(Equal(first.RemediationRequestName))
	}, SpecTimeout(specTimeout))

	It("keeps signals about different owners, alerts and clusters apart", func(ctx SpecContext) {
		base := podAlert()
		names := map[string]bool{}
		for _, change := range []map[string]string{
			{}, {"pod": base["pod"] + "-2"}, {"alertname": base["alertname"] + "2"}, {"cluster": "other"},
		} {
			alert := maps.Clone(base)
			maps.Copy(alert, change)
			answer := post(ctx, env.GatewayURL, alertBody("firing", alert))
			Expect(answer.Code).To(Equal(http.StatusCreated))
			names[answer.RemediationRequestName] = true
		}
		Expect(names).To(HaveLen(4))
	}, SpecTimeout(specTimeout))

	It("adds signals to a request in its cool-down", func(ctx SpecContext) {
		alert := podAlert()
		first := post(ctx, env.GatewayURL, alertBody("firing", alert))
		finish(ctx, get(ctx, first.Result), time.Minute)
		second := post(ctx, env.GatewayURL, alertBody("firing", alert))
		Expect(second.Code).To(Equal(http.StatusOK))
		Expect(second.RemediationRequestName).To(Equal(first.RemediationRequestName))
	}, SpecTimeout(specTimeout))

	It("creates one successor of a request whose cool-down is over", func(ctx SpecContext) {
		alerts := workload(ctx, 6)
		first := post(ctx, env.GatewayURL, alertBody("firing", alerts[0]))
		Expect(first.Code).To(Equal(http.StatusCreated))
		finish(ctx, get(ctx, first.Result), 10*time.Minute)

		url, _ := replica(ctx, nil)
		answers := storm(ctx, alerts, env.GatewayURL, url)
		for _, a := range answers {
			Expect(a.RemediationRequestName).NotTo(Equal(first.RemediationRequestName))
			Expect(a.RemediationRequestName).To(Equal(answers[0].RemediationRequestName))
		}
		Expect(requestsOf(ctx, first.Fingerprint)).To(HaveLen(2))
	}, SpecTimeout(specTimeout))

	It("adds no signals to a request that was created by hand", func(ctx SpecContext) {
		alert := podAlert()
		first := post(ctx, env.GatewayURL, alertBody("firing", alert))
		rr := get(ctx, first.Result)
		byHand := &v1alpha1.RemediationRequest{
			ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: env.CorrelationID()}, Spec: rr.Spec,
		}
		Expect(env.Create(ctx, byHand)).To(Succeed())
		Expect(env.Delete(ctx, rr)).To(Succeed())
		// The cache of a Gateway that starts now is complete.
		url, _ := replica(ctx, nil)
		second := post(ctx, url, alertBody("firing", alert))
		Expect(second.Code).To(Equal(http.StatusCreated))
		Expect(second.RemediationRequestName).NotTo(Or(Equal(byHand.Name), Equal(first.RemediationRequestName)))
		Expect(env.Get(ctx, client.ObjectKeyFromObject(byHand), byHand)).To(Succeed(), "it stays")
	}, SpecTimeout(specTimeout))

	It("counts duplicates", func(ctx SpecContext) {
		alert := podAlert()
		var last alertmanager.Answer
		for range 7 {
			last = post(ctx, env.GatewayURL, alertBody("firing", alert))
		}
		rr := get(ctx, last.Result)
		Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool {
			return rr.Status.Deduplication != nil && rr.Status.Deduplication.OccurrenceCount == 7
		})).To(Succeed())
		Expect(rr.Status.Deduplication.LastSeenAt.After(rr.Status.Deduplication.FirstSeenAt.Time)).To(BeTrue())
		Expect(audited(ctx, rr.Name).Of(signalDeduplicated)).To(HaveLen(6))
	}, SpecTimeout(specTimeout))

	It("adds up the counts of replicas", func(ctx SpecContext) {
		alert := podAlert()
		first := post(ctx, env.GatewayURL, alertBody("firing", alert))
		other, _ := replica(ctx, nil)
		const duplicates = 7
		var group sync.WaitGroup
		for _, url := range []string{env.GatewayURL, other} {
			group.Go(func() {
				defer GinkgoRecover()
				for range duplicates {
					Expect(post(ctx, url, alertBody("firing", alert)).RemediationRequestName).To(Equal(first.RemediationRequestName))
				}
			})
		}
		group.Wait()
		rr := get(ctx, first.Result)
		Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool {
			return rr.Status.Deduplication != nil && rr.Status.Deduplication.OccurrenceCount == 1+2*duplicates
		})).To(Succeed())
	}, SpecTimeout(specTimeout))

	Describe("of a resolved signal", func() {
		It("never creates a request", func(ctx SpecContext) {
			alert := podAlert()
			answer := post(ctx, env.GatewayURL, alertBody("resolved", alert))
			Expect(answer.Code).To(Equal(http.StatusOK))
			Expect(answer.Status).To(Equal("ignored"))
			Expect(requestsOf(ctx, answer.Fingerprint)).To(BeEmpty())
			Expect(audited(ctx, answer.CorrelationID)).To(trailtest.HaveAudited(signalResolved, trailtest.WithData("ignored", true)))
		}, SpecTimeout(specTimeout))

		It("records it on the open request", func(ctx SpecContext) {
			alert := podAlert()
			first := post(ctx, env.GatewayURL, alertBody("firing", alert))
			answer := post(ctx, env.GatewayURL, alertBody("resolved", alert))
			Expect(answer.Code).To(Equal(http.StatusOK))
			Expect(answer.Status).To(Equal("resolved"))
			Expect(answer.RemediationRequestName).To(Equal(first.RemediationRequestName))
			Expect(audited(ctx, first.RemediationRequestName).Of(signalResolved)).To(HaveLen(1))
		}, SpecTimeout(specTimeout))

		It("records it on the latest request if that one is gone", func(ctx SpecContext) {
			alert := podAlert()
			first := post(ctx, env.GatewayURL, alertBody("firing", alert))
			Expect(env.Delete(ctx, get(ctx, first.Result))).To(Succeed())
			answer := post(ctx, env.GatewayURL, alertBody("resolved", alert))
			Expect(answer.Status).To(Equal("resolved"))
			Expect(answer.RemediationRequestName).To(Equal(first.RemediationRequestName))
			Expect(requestsOf(ctx, first.Fingerprint)).To(BeEmpty())
			Expect(audited(ctx, first.RemediationRequestName).Of(signalResolved)).To(HaveLen(1))
		}, SpecTimeout(specTimeout))

		It("finds the request if the pod is gone, and its owner is unknown", func(ctx SpecContext) {
			alerts := workload(ctx, 1)
			first := post(ctx, env.GatewayURL, alertBody("firing", alerts[0]))
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: alerts[0]["pod"]}}
			Expect(env.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
			// A Gateway that starts now has not cached the owner.
			url, managementURL := replica(ctx, nil)
			answer := post(ctx, url, alertBody("resolved", alerts[0]))
			Expect(answer.Status).To(Equal("resolved"))
			Expect(answer.RemediationRequestName).To(Equal(first.RemediationRequestName))
			Expect(trailOf(ctx, first.RemediationRequestName, managementURL).Of(signalResolved)).To(HaveLen(1))
		}, SpecTimeout(specTimeout))
	})

	It("deletes the Lease of a problem that has not come back for a month, and repeats no name", func(ctx SpecContext) {
		alert := podAlert()
		first := post(ctx, env.GatewayURL, alertBody("firing", alert))
		kept := post(ctx, env.GatewayURL, alertBody("firing", podAlert()))
		leases := make([]*coordinationv1.Lease, 0, 2)
		for _, r := range []alertmanager.Result{first.Result, kept.Result} {
			lease := &coordinationv1.Lease{}
			Expect(env.Get(ctx, client.ObjectKey{Namespace: env.Namespace, Name: "signal-" + r.Fingerprint[:40]}, lease)).To(Succeed())
			before := lease.DeepCopy()
			old := metav1.NewMicroTime(time.Now().AddDate(0, 0, -31))
			lease.Spec.RenewTime = &old
			Expect(env.Patch(ctx, lease, client.MergeFrom(before))).To(Succeed())
			leases = append(leases, lease)
		}
		gone := get(ctx, first.Result)
		before := gone.DeepCopy()
		gone.Finalizers = nil // nobody closes the register
		Expect(env.Patch(ctx, gone, client.MergeFrom(before))).To(Succeed())
		Expect(env.Delete(ctx, gone)).To(Succeed())
		changes, err := env.Watch(ctx, &coordinationv1.LeaseList{}, client.InNamespace(env.Namespace),
			&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: leases[1].ResourceVersion}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(changes.Stop)

		replica(ctx, nil) // sweeps when it starts
		Eventually(ctx, changes.ResultChan()).Should(Receive(SatisfyAll(
			HaveField("Type", watch.Deleted), HaveField("Object.ObjectMeta.Name", leases[0].Name))))
		Expect(env.Get(ctx, client.ObjectKeyFromObject(leases[1]), leases[1])).To(Succeed(), "its request is there")
		again := post(ctx, env.GatewayURL, alertBody("firing", alert))
		Expect(again.Code).To(Equal(http.StatusCreated))
		Expect(again.RemediationRequestName).NotTo(Equal(first.RemediationRequestName))
	}, SpecTimeout(specTimeout))

	It("puts a request into the target's namespace, and into its own where that is not there", func(ctx SpecContext) {
		namespace, err := env.NewNamespace(ctx, nil, nil)
		Expect(err).NotTo(HaveOccurred())
		url, _ := replica(ctx, func(o *gateway.Options) { o.WatchNamespaces = nil })
		alert := podAlert()
		alert["namespace"] = namespace
		Expect(post(ctx, url, alertBody("firing", alert)).RemediationRequestNamespace).To(Equal(namespace))
		alert["namespace"] = env.CorrelationID()
		Expect(post(ctx, url, alertBody("firing", alert)).RemediationRequestNamespace).To(Equal(env.Namespace))
	}, SpecTimeout(specTimeout))
})
