//go:build integration

package integration_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/pkg/audittrail/trailtest"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/alertmanager"
)

// The types of the events about heartbeats.
const (
	heartbeatLost     = "gateway.heartbeat.lost"
	heartbeatRestored = "gateway.heartbeat.restored"
)

// report sends a body about alerts with a token.
func report(ctx SpecContext, url, token string, alerts ...map[string]string) alertmanager.Answer {
	GinkgoHelper()
	return call(ctx, url, http.MethodPost, alertmanager.Path, bearing(token), alertBody(alertmanager.Firing, alerts...))
}

// alertIn are the labels of a random alert about a pod in a namespace.
func alertIn(namespace string) map[string]string {
	labels := podAlert()
	labels["namespace"] = namespace
	return labels
}

// nodeAlert are the labels of a random alert about a node.
func nodeAlert() map[string]string {
	name := env.CorrelationID()
	return map[string]string{"alertname": "Alert-" + name, "node": name, "severity": "warning"}
}

// away fails the requests to one resource of the API server, whose path ends so.
type away struct{ suffix atomic.Pointer[string] }

// resource chooses the resource; none if the suffix is empty.
func (a *away) resource(suffix string) { a.suffix.Store(&suffix) }

func (a *away) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if suffix := a.suffix.Load(); suffix != nil && *suffix != "" && strings.HasSuffix(r.URL.Path, *suffix) {
			return nil, errors.New(*suffix + " is away")
		}
		return next.RoundTrip(r)
	})
}

var _ = Describe("senders of signals", func() {
	It("field S4: need the permission in the namespace that they report on", func(ctx SpecContext) {
		other, err := env.NewNamespace(ctx, nil, nil)
		Expect(err).NotTo(HaveOccurred())
		url, managementURL := replica(ctx, func(o *gateway.Options) {
			o.Auth, o.WatchNamespaces = sendersByCluster(), []string{env.Namespace, other}
		})
		bound, everywhere, stranger := newAccount(ctx, "bound"), newAccount(ctx, "everywhere"), newAccount(ctx, "stranger")
		bound.mayReport(ctx, env.Namespace)
		everywhere.mayReport(ctx, "")

		By("rejecting those whom the API server does not know")
		for what, token := range map[string]string{
			"none": "", "invented": "no.such.token", "for another audience": bound.token(ctx, ownAudience),
		} {
			answer := report(ctx, url, token, podAlert())
			Expect(answer.Code).To(Equal(http.StatusUnauthorized), what)
			Expect(answer.Header.Get("WWW-Authenticate")).To(HavePrefix("Bearer"), what)
		}

		By("rejecting a stranger")
		refused := report(ctx, url, stranger.token(ctx), podAlert())
		Expect(refused.Code).To(Equal(http.StatusForbidden))
		Expect(refused.Problem.Detail).To(SatisfyAll(
			ContainSubstring(stranger.user()), ContainSubstring("create"), ContainSubstring("signals"), ContainSubstring(gatewayGroup),
			ContainSubstring("namespace "+env.Namespace), ContainSubstring("--clusterrole kubernaut-signal-sender"),
		))

		By("confining a sender to its namespace")
		token := bound.token(ctx)
		taken := report(ctx, url, token, podAlert())
		Expect(taken.Code).To(Equal(http.StatusCreated))
		Expect(trailOf(ctx, taken.RemediationRequestName, managementURL)).To(trailtest.HaveAudited(signalReceived, trailtest.WithActorID(bound.user())))
		for what, alert := range map[string]map[string]string{
			"namespace " + other: alertIn(other), "all namespaces": nodeAlert(),
		} {
			answer := report(ctx, url, token, alert)
			Expect(answer.Code).To(Equal(http.StatusForbidden), what)
			Expect(answer.Problem.Detail).To(ContainSubstring(what))
		}

		By("taking what a body may report, and rejecting the rest for good")
		mixed := report(ctx, url, token, podAlert(), alertIn(other), nodeAlert())
		Expect(mixed.Code).To(Equal(http.StatusMultiStatus))
		statuses := make([]string, 0, len(mixed.Results))
		for _, r := range mixed.Results {
			statuses = append(statuses, r.Status)
		}
		Expect(statuses).To(Equal([]string{"created", "rejected", "rejected"}))
		Expect(mixed.Results[1].Message).To(ContainSubstring("namespace " + other))
		rejections := trailOf(ctx, mixed.CorrelationID, managementURL)
		Expect(rejections).To(HaveLen(2))
		Expect(rejections).To(trailtest.HaveAudited(signalRejected, trailtest.WithActorID(bound.user())))

		By("trusting a sender that may report everywhere")
		token = everywhere.token(ctx)
		for _, alert := range []map[string]string{podAlert(), alertIn(other), nodeAlert()} {
			Expect(report(ctx, url, token, alert).Code).To(Equal(http.StatusCreated))
		}
	}, SpecTimeout(specTimeout))

	It("field S4: are asked to retry while nobody can tell what they may report", func(ctx SpecContext) {
		var away away
		url, _ := replica(ctx, func(o *gateway.Options) {
			o.Auth = sendersByCluster()
			o.RESTConfig = rest.CopyConfig(env.Config)
			o.RESTConfig.Wrap(away.wrap)
		})
		sender := newAccount(ctx, "sender")
		sender.mayReport(ctx, env.Namespace)
		token := sender.token(ctx)
		away.resource("/subjectaccessreviews")
		answer := report(ctx, url, token, podAlert())
		Expect(answer.Code).To(Equal(http.StatusServiceUnavailable))
		Expect(answer.Header.Get("Retry-After")).NotTo(BeEmpty())
		away.resource("")
		Expect(report(ctx, url, token, podAlert()).Code).To(Equal(http.StatusCreated))
	}, SpecTimeout(specTimeout))

	It("field S4: are confined by the token file's column of namespaces", func(ctx SpecContext) {
		tokens := filepath.Join(GinkgoT().TempDir(), "tokens")
		lines := tokenLine("team", "of-a-team", "namespaces="+env.Namespace+",elsewhere") + tokenLine("monitoring", "of-all", "namespaces=*")
		Expect(os.WriteFile(tokens, []byte(lines), 0o600)).To(Succeed())
		url, _ := replica(ctx, func(o *gateway.Options) { o.Auth = auth.Flags{Mode: auth.ModeTokenFile, File: tokens} })

		Expect(report(ctx, url, "of-a-team", podAlert()).Code).To(Equal(http.StatusCreated))
		refused := report(ctx, url, "of-a-team", nodeAlert())
		Expect(refused.Code).To(Equal(http.StatusForbidden))
		Expect(refused.Problem.Detail).To(ContainSubstring("token file"))
		Expect(report(ctx, url, "of-a-team", alertIn("not-ours")).Code).To(Equal(http.StatusForbidden))
		Expect(report(ctx, url, "of-all", nodeAlert()).Code).To(Equal(http.StatusCreated))

		_, err := gateway.New(gateway.Options{
			DataStorageURL: env.DataStorage.URL, RESTConfig: env.Config,
			Auth: auth.Flags{Mode: auth.ModeTokenFile, File: fileOfTokens("team", "of-a-team")},
		})
		Expect(err).To(MatchError(ContainSubstring("no line has namespaces=")))
	}, SpecTimeout(specTimeout))
})

// fieldBody is a body that the field sends.
func fieldBody(name string) []byte {
	GinkgoHelper()
	body, err := os.ReadFile(filepath.Join("..", "..", "services", "gateway", "internal", "heartbeat", "testdata", name))
	Expect(err).NotTo(HaveOccurred())
	return body
}

// sampleOf is the value of a series without labels at a management port.
func sampleOf(ctx context.Context, url, name string) float64 {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			number, err := strconv.ParseFloat(value, 64)
			Expect(err).NotTo(HaveOccurred())
			return number
		}
	}
	Expect(lines.Err()).NotTo(HaveOccurred())
	Fail("no series " + name)
	return 0
}

// about lists the process's requests about a target of this name.
func about(ctx context.Context, target string) []v1alpha1.RemediationRequest {
	GinkgoHelper()
	var list v1alpha1.RemediationRequestList
	Expect(env.List(ctx, &list, client.InNamespace(env.Namespace))).To(Succeed())
	return slices.DeleteFunc(list.Items, func(r v1alpha1.RemediationRequest) bool { return r.Spec.TargetResource.Name != target })
}

var _ = Describe("heartbeats", func() {
	It("field S7: are ignored, and never become a request", func(ctx SpecContext) {
		url, managementURL := replica(ctx, nil)
		none := podAlert()
		none["severity"] = "none"
		for what, body := range map[string][]byte{
			"Watchdog":        fieldBody("watchdog.json"),
			"InfoInhibitor":   fieldBody("infoinhibitor-pending.json"),
			"severity none":   alertBody(alertmanager.Firing, none),
			"one that is off": alertBody(alertmanager.Resolved, none),
		} {
			answer := post(ctx, url, body)
			Expect(answer.Code).To(Equal(http.StatusOK), what)
			Expect(answer.Status).To(Equal("ignored"), what)
			Expect(answer.RemediationRequestName).To(BeEmpty(), what)
			Expect(trailOf(ctx, answer.CorrelationID, managementURL)).To(BeEmpty(), what)
		}
		mixed := post(ctx, url, alertBody(alertmanager.Firing, none, podAlert()))
		Expect(mixed.Code).To(Equal(http.StatusMultiStatus))
		Expect([]string{mixed.Results[0].Status, mixed.Results[1].Status}).To(Equal([]string{"ignored", "created"}))
		Expect(about(ctx, none["pod"])).To(BeEmpty())
		Expect(sampleOf(ctx, managementURL, "gateway_heartbeats_total")).To(BeEquivalentTo(5))
	}, SpecTimeout(specTimeout))

	It("field S7: that stop are one problem, on all replicas together, until they are back", func(ctx SpecContext) {
		now := clocktesting.NewFakeClock(time.Now())
		run := env.CorrelationID()
		options := func(o *gateway.Options) { o.Clock, o.Heartbeats = now, []string{"Watchdog,within=1m,run=" + run} }
		first, firstManagement := replica(ctx, options)
		second, secondManagement := replica(ctx, options)
		beat := alertBody(alertmanager.Firing, map[string]string{"alertname": "Watchdog", "severity": "none", "run": run})
		Expect(post(ctx, first, beat).Status).To(Equal("ignored"))
		lost := "Watchdog,run=" + run
		Expect(about(ctx, lost)).To(BeEmpty())

		By("staying silent for longer than a minute")
		Eventually(ctx, func() []v1alpha1.RemediationRequest {
			now.Step(10 * time.Second)
			return about(ctx, lost)
		}).Should(HaveLen(1))
		request := about(ctx, lost)[0]
		Expect(request.Spec.Severity).To(Equal("critical"))
		Expect(request.Spec.SignalName).To(Equal("HeartbeatLost"))
		Eventually(ctx, func() []float64 {
			now.Step(10 * time.Second)
			return []float64{sampleOf(ctx, firstManagement, "gateway_heartbeats_lost"), sampleOf(ctx, secondManagement, "gateway_heartbeats_lost")}
		}).Should(Equal([]float64{1, 1}), "both replicas know")

		By("coming back on the other replica")
		Expect(post(ctx, second, beat).Status).To(Equal("ignored"))
		Expect(about(ctx, lost)).To(HaveLen(1))
		trailOf(ctx, request.Name, firstManagement)
		trail := trailOf(ctx, request.Name, secondManagement)
		Expect(trail).To(SatisfyAll(
			trailtest.HaveAudited(signalReceived), trailtest.HaveAudited(requestCreated), trailtest.HaveAudited(heartbeatLost),
			trailtest.HaveAudited(signalResolved), trailtest.HaveAudited(heartbeatRestored),
		))
	}, SpecTimeout(specTimeout))

	It("field S7: count only from a sender that may report on what they are about", func(ctx SpecContext) {
		run := env.CorrelationID()
		url, _ := replica(ctx, func(o *gateway.Options) {
			o.Auth = sendersByCluster()
			o.Heartbeats = []string{"Watchdog,run=" + run, "Pulse,namespace=" + env.Namespace}
		})
		bound := newAccount(ctx, "bound")
		bound.mayReport(ctx, env.Namespace)
		token := bound.token(ctx)
		cluster := map[string]string{"alertname": "Watchdog", "severity": "none", "namespace": env.Namespace, "run": run}
		Expect(report(ctx, url, token, cluster).Code).To(Equal(http.StatusForbidden), "it would keep the cluster's heartbeat alive")
		own := map[string]string{"alertname": "Pulse", "severity": "none", "namespace": env.Namespace}
		Expect(report(ctx, url, token, own).Status).To(Equal("ignored"))
		cluster["run"] = "another"
		Expect(report(ctx, url, token, cluster).Status).To(Equal("ignored"), "nobody expects it")
	}, SpecTimeout(specTimeout))
})
