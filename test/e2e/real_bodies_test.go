//go:build e2e

package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// body is a notification as Alertmanager sent it, with unique names: all names of
// alerts, namespaces, pods and nodes are replaced. Everything else is unchanged.
func realBody(name string) []byte {
	GinkgoHelper()
	text, err := alertmanager.Real(name)
	Expect(err).NotTo(HaveOccurred())
	var notification struct {
		Alerts []struct {
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	Expect(json.Unmarshal(text, &notification)).To(Succeed())
	suffix := testenv.Unique("-*")
	var pairs []string
	for _, alert := range notification.Alerts {
		for _, label := range []string{"pod", "node", "deployment", "statefulset", "alertname"} {
			if value := alert.Labels[label]; value != "" {
				pairs = append(pairs, `"`+value+`"`, `"`+value+suffix+`"`)
			}
		}
		if namespace := alert.Labels["namespace"]; namespace != "" {
			pairs = append(pairs, `"`+namespace+`"`, `"`+env.Namespace+`"`)
		}
	}
	return []byte(strings.NewReplacer(pairs...).Replace(string(text)))
}

var _ = Describe("a real notification of Alertmanager", func() {
	// whole expects the request of an answer to be classified, and its trail to
	// contain exactly the given events of the Gateway and those of processing.
	whole := func(ctx SpecContext, r alertmanager.Result, gateway ...string) (*v1alpha1.RemediationRequest, testenv.Trail) {
		GinkgoHelper()
		rr := requestOf(r)
		discard(rr)
		classified(ctx, rr)
		Expect(rr.Spec.SignalFingerprint).To(Equal(r.Fingerprint))
		trail := audited(ctx, rr.Name)
		Expect(trail).To(testenv.BeProcessed(gateway...))
		Expect(trail).To(trailtest.HaveAudited(requestCreated,
			trailtest.WithData("uid", rr.UID), trailtest.WithData("spec.signalFingerprint", r.Fingerprint)))
		return rr, trail
	}

	It("with one firing alert becomes a classified request with its whole trail", func(ctx SpecContext) {
		answer := post(ctx, realBody("one-firing.json"))
		Expect(answer.Code).To(Equal(http.StatusCreated))
		rr, trail := whole(ctx, answer.Result, signalReceived, requestCreated)
		Expect(rr.Namespace).To(Equal(env.Namespace), "where the target would be")
		Expect(rr.Spec.TargetResource.Kind).To(Equal("Pod"))
		Expect(rr.Spec.Labels).To(HaveKeyWithValue("container", "checkout"))
		Expect(rr.Spec.Annotations).To(HaveKeyWithValue("summary", "Pod is crash looping."))
		Expect(trail).To(trailtest.HaveAudited(signalReceived,
			trailtest.WithData("delivery", answer.Header.Get("X-Correlation-ID")),
			trailtest.WithActorID(ContainSubstring(":sender"))), "the account that sent it")
	}, SpecTimeout(specTimeout))

	It("with a group of alerts becomes a request for each of them", func(ctx SpecContext) {
		answer := post(ctx, realBody("group-of-three.json"))
		Expect(answer.Code).To(Equal(http.StatusMultiStatus))
		Expect(answer.Summary).To(SatisfyAll(HaveKeyWithValue("total", 3), HaveKeyWithValue("created", 3)))
		kinds := make([]string, 0, len(answer.Results))
		for _, r := range answer.Results {
			rr, _ := whole(ctx, r, signalReceived, requestCreated)
			kinds = append(kinds, rr.Spec.TargetResource.Kind)
		}
		Expect(kinds).To(Equal([]string{"StatefulSet", "Deployment", "Deployment"}), "in the order of the body")
	}, SpecTimeout(specTimeout))

	It("with a resolved alert that was never firing records it, and makes a request for the other", func(ctx SpecContext) {
		answer := post(ctx, realBody("resolved-and-firing.json"))
		Expect(answer.Code).To(Equal(http.StatusMultiStatus))
		Expect(answer.Results).To(HaveLen(2))
		Expect(answer.Results[0].Status).To(Equal("ignored"))
		whole(ctx, answer.Results[1], signalReceived, requestCreated)
		Expect(audited(ctx, answer.CorrelationID)).To(trailtest.HaveAudited(signalResolved,
			trailtest.WithData("ignored", true), trailtest.WithData("resolved_time", "2026-11-23T09:35:49Z")))
	}, SpecTimeout(specTimeout))

	It("with truncated alerts warns on each request", func(ctx SpecContext) {
		answer := post(ctx, realBody("truncated.json"))
		Expect(answer.Code).To(Equal(http.StatusMultiStatus))
		Expect(answer.Results).To(HaveLen(2))
		for _, r := range answer.Results {
			rr, trail := whole(ctx, r, signalReceived, requestCreated, signalTruncated)
			Expect(rr.Spec.TargetResource.Kind).To(Equal("Node"))
			Expect(trail).To(trailtest.HaveAudited(signalTruncated, trailtest.WithData("truncated_alerts", 1)))
		}
	}, SpecTimeout(specTimeout))

	It("sent again is deduplicated into the same requests", func(ctx SpecContext) {
		body := realBody("group-of-three.json")
		first, again := post(ctx, body), post(ctx, body)
		Expect(again.Summary).To(HaveKeyWithValue("duplicates", 3))
		for i, r := range again.Results {
			Expect(r.RemediationRequestName).To(Equal(first.Results[i].RemediationRequestName))
			whole(ctx, r, signalReceived, requestCreated, signalDeduplicated)
		}
	}, SpecTimeout(specTimeout))

	It("that is not valid is rejected, which the trail of the call shows", func(ctx SpecContext) {
		answer := post(ctx, []byte(strings.Replace(string(realBody("one-firing.json")), `"version": "4"`, `"version": "3"`, 1)))
		Expect(answer.Code).To(Equal(http.StatusBadRequest))
		Expect(answer.Problem.FieldErrors).To(HaveKey("version"))
		Expect(audited(ctx, answer.CorrelationID)).To(SatisfyAll(HaveLen(1), trailtest.HaveAudited(signalRejected)))
		Expect(env.Get(ctx, client.ObjectKey{Namespace: env.Namespace, Name: answer.CorrelationID}, &v1alpha1.RemediationRequest{})).NotTo(Succeed())
	}, SpecTimeout(specTimeout))
})
