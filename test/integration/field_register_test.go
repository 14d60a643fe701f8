//go:build integration

package integration_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

var _ = Describe("signals from the field: the register of requests", func() {
	// ownedPod creates a pod that a StatefulSet controls, and returns it with the labels of an alert about it.
	ownedPod := func(ctx SpecContext) (*corev1.Pod, map[string]string) {
		GinkgoHelper()
		name := env.CorrelationID()
		labels := map[string]string{"app": name}
		template := corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		owner := &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name},
			Spec:       appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
		}
		Expect(env.Create(ctx, owner)).To(Succeed())
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: env.Namespace, Name: name + "-0", Labels: labels,
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))},
			},
			Spec: template.Spec,
		}
		Expect(env.Create(ctx, pod)).To(Succeed())
		return pod, map[string]string{"alertname": "KubePodCrashLooping", "namespace": env.Namespace, "pod": pod.Name, "severity": "warning"}
	}

	It("field S10: the request stays the same when the pod is gone and another Gateway gets the repetition", func(ctx SpecContext) {
		pod, alert := ownedPod(ctx)
		first := post(ctx, env.GatewayURL, alertBody("firing", alert))
		Expect(first.Code).To(Equal(http.StatusCreated))
		Expect(env.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())

		// A Gateway that starts now knows neither the owner nor the request.
		url, _ := replica(ctx, nil)
		again := post(ctx, url, alertBody("firing", alert))
		Expect(again.Code).To(Equal(http.StatusOK))
		Expect(again.Status).To(Equal("duplicate"))
		Expect(again.RemediationRequestName).To(Equal(first.RemediationRequestName))

		By("alerting about another container of the pod")
		alert["container"] = "sidecar"
		Expect(post(ctx, url, alertBody("firing", alert)).RemediationRequestName).To(Equal(first.RemediationRequestName))

		By("resolving")
		Expect(post(ctx, url, alertBody("resolved", alert)).RemediationRequestName).To(Equal(first.RemediationRequestName))
	}, SpecTimeout(specTimeout))

	It("field S14: requests that somebody created by hand swallow no alerts", func(ctx SpecContext) {
		alert := podAlert()
		// The answer about the end of a problem tells its fingerprint, and creates nothing.
		fingerprint := post(ctx, env.GatewayURL, alertBody("resolved", alert)).Fingerprint
		Expect(fingerprint).To(HaveLen(64))
		changes := []func(*v1alpha1.RemediationRequest){
			func(r *v1alpha1.RemediationRequest) { r.Spec.TargetResource.Name = "somewhere-else" },
			func(r *v1alpha1.RemediationRequest) {
				r.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByGateway}
				r.Annotations = map[string]string{v1alpha1.AnnotationSpecDigest: fingerprint, v1alpha1.AnnotationOpening: "lease/" + r.Name}
			},
			func(r *v1alpha1.RemediationRequest) { r.Name = fmt.Sprintf("rr-%s-%020d", fingerprint[:12], 0) },
			// Another fingerprint, but the target of the problem to come.
			func(r *v1alpha1.RemediationRequest) { r.Spec.SignalFingerprint = strings.Repeat("0", 64) },
		}
		byHand := make([]*v1alpha1.RemediationRequest, 0, len(changes))
		for _, change := range changes {
			r := env.Request(env.CorrelationID())
			r.Spec.SignalFingerprint, r.Spec.SignalName = fingerprint, alert["alertname"]
			r.Spec.Severity, r.Spec.SignalSource = "info", "http://nobody.example"
			r.Spec.TargetResource = v1alpha1.TargetResource{Kind: "Pod", Name: alert["pod"], Namespace: env.Namespace}
			change(r)
			Expect(env.Create(ctx, r)).To(Succeed())
			byHand = append(byHand, r)
		}
		names := make([]string, len(byHand))
		for i, r := range byHand {
			names[i] = r.Name
		}

		// The cache of a Gateway that starts now has all of them.
		url, _ := replica(ctx, nil)
		first := post(ctx, url, alertBody("firing", alert))
		Expect(first.Code).To(Equal(http.StatusCreated))
		Expect(names).NotTo(ContainElement(first.RemediationRequestName))
		second := post(ctx, env.GatewayURL, alertBody("firing", alert))
		Expect(second.Code).To(Equal(http.StatusOK))
		Expect(second.RemediationRequestName).To(Equal(first.RemediationRequestName))
		for _, r := range byHand {
			Expect(env.Get(ctx, client.ObjectKeyFromObject(r), r)).To(Succeed(), "it is left alone")
			Expect(r.Occurrences()).To(BeEquivalentTo(1), "it counts no signals")
		}
	}, SpecTimeout(specTimeout))

	It("field S18: one sender with thousands of problems leaves room for others, and they go when they end", func(ctx SpecContext) {
		// Bounds below the defaults reach the same states with fewer objects; make bench-pipeline floods with the defaults.
		const problems, body, floods, perSender, perNamespace = 400, 20, 4, 60, 20
		namespaces := make([]string, 5)
		for i := range namespaces {
			var err error
			namespaces[i], err = env.NewNamespace(ctx, nil, nil)
			Expect(err).NotTo(HaveOccurred())
		}
		noisy, quiet := env.CorrelationID(), env.CorrelationID()
		file := filepath.Join(GinkgoT().TempDir(), "tokens")
		var lines strings.Builder
		for _, sender := range []string{noisy, quiet} {
			lines.WriteString(tokenLine(sender, "token of "+sender, "namespaces=*"))
		}
		Expect(os.WriteFile(file, []byte(lines.String()), 0o600)).To(Succeed())
		url, managementURL := replica(ctx, func(o *gateway.Options) {
			o.WatchNamespaces = nil
			o.MaxOpenPerSender, o.MaxOpenPerNamespace = perSender, perNamespace
			o.Auth.Mode, o.Auth.File = "token-file", file
			o.RequestTimeout = time.Minute // the machine may be busy with other specs
		})
		send := func(sender string, alerts ...map[string]string) alertmanager.Answer {
			GinkgoHelper()
			header := alertmanager.JSON()
			header.Set("Authorization", "Bearer token of "+sender)
			return call(ctx, url, http.MethodPost, alertmanager.Path, header, alertBody("firing", alerts...))
		}
		resolve := func(sender string, alerts ...map[string]string) alertmanager.Answer {
			GinkgoHelper()
			header := alertmanager.JSON()
			header.Set("Authorization", "Bearer token of "+sender)
			return call(ctx, url, http.MethodPost, alertmanager.Path, header, alertBody("resolved", alerts...))
		}
		problem := func(n int) map[string]string {
			return map[string]string{"alertname": fmt.Sprintf("Generated-%d", n), "namespace": namespaces[n%floods], "severity": "warning"}
		}

		var next, overflowed atomic.Int64
		exceeded, answered := make(chan struct{}), make(chan struct{})
		var once sync.Once
		var group sync.WaitGroup
		ended := func() bool {
			select {
			case <-answered:
				return true
			default:
				return false
			}
		}
		for range floods {
			group.Go(func() {
				defer GinkgoRecover()
				for next.Load() < problems || !ended() { // the flood goes on while the other sender waits
					first := int(next.Add(body)) - body
					alerts := make([]map[string]string, body)
					for i := range alerts {
						alerts[i] = problem(first + i)
					}
					answer := send(noisy, alerts...)
					Expect(answer.Code).To(Equal(http.StatusMultiStatus))
					Expect(answer.Summary["created"] + answer.Summary["overflow"]).To(Equal(body))
					if overflowed.Add(int64(answer.Summary["overflow"])) > 0 {
						once.Do(func() { close(exceeded) })
					}
				}
			})
		}
		Eventually(ctx, exceeded).Should(BeClosed())
		other := send(quiet, map[string]string{"alertname": "Real", "namespace": namespaces[floods], "severity": "warning"})
		close(answered)
		Expect(other.Code).To(Equal(http.StatusCreated))
		group.Wait()
		sent := int(next.Load())

		By("counting objects")
		objects, overflow := 0, map[string]*v1alpha1.RemediationRequest{}
		for _, namespace := range namespaces {
			var requests v1alpha1.RemediationRequestList
			Expect(env.List(ctx, &requests, client.InNamespace(namespace))).To(Succeed())
			Expect(len(requests.Items)).To(BeNumerically("<=", perNamespace+1))
			var processed v1alpha1.SignalProcessingList
			Expect(env.List(ctx, &processed, client.InNamespace(namespace))).To(Succeed())
			objects += len(requests.Items) + len(processed.Items)
			for i := range requests.Items {
				if requests.Items[i].Spec.SignalType == v1alpha1.SignalTypeOverflow {
					overflow[namespace] = &requests.Items[i]
				}
			}
		}
		Expect(objects).To(BeNumerically("<=", 2*(perSender+floods+1)), "a request and its processing each")
		Expect(overflowed.Load()).To(BeNumerically(">=", sent-perSender))
		Expect(overflow).To(HaveLen(floods))

		By("sending one problem of the overflow again, one that has a request, and a critical one")
		Expect(send(noisy, problem(sent-1)).Status).To(Equal("overflow"))
		Expect(send(quiet, map[string]string{"alertname": "Real", "namespace": namespaces[floods], "severity": "warning"}).Status).To(Equal("duplicate"))
		critical := problem(sent)
		critical["severity"] = "critical"
		Expect(send(noisy, critical).Code).To(Equal(http.StatusCreated))

		By("reading who it was")
		for _, r := range overflow {
			events := trailOf(ctx, r.Name, managementURL).Of("gateway.quota.exceeded")
			Expect(events).NotTo(BeEmpty())
			Expect(len(events)).To(BeNumerically("<", 100), "one event is about many signals")
			break
		}

		By("sending all of them as resolved")
		for first := 0; first < sent; first += body { // at once: each waits for a write of an overflow request's status
			group.Go(func() {
				defer GinkgoRecover()
				alerts := make([]map[string]string, body)
				for i := range alerts {
					alerts[i] = problem(first + i)
				}
				Expect(resolve(noisy, alerts...).Code).To(Equal(http.StatusMultiStatus))
			})
		}
		group.Wait()
		Expect(resolve(noisy, critical).Code).To(Equal(http.StatusOK))
		Expect(resolve(quiet, map[string]string{"alertname": "Real", "namespace": namespaces[floods], "severity": "warning"}).Code).To(Equal(http.StatusOK))
		for _, namespace := range namespaces {
			startProcessor(ctx, namespace, func(o *signalprocessing.Options) {
				o.GatewayNamespace, o.FinishedTTL = env.Namespace, time.Millisecond
				o.StaleAfter = 30 * time.Second // ends what was counted twice, because the response to a write was lost
			})
		}
		for _, namespace := range namespaces {
			Expect(testenv.WaitForAll(ctx, env, &v1alpha1.RemediationRequestList{}, func(left map[client.ObjectKey]*v1alpha1.RemediationRequest) bool {
				return len(left) == 0
			}, client.InNamespace(namespace))).To(Succeed())
		}
	}, SpecTimeout(specTimeout))
})
