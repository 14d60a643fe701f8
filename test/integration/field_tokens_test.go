//go:build integration

package integration_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/auth"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	gateway "kubernaut.ai/services/gateway/app"
)

// writeTokens makes a token file.
func writeTokens(text string) string {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "tokens")
	Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	return file
}

// messages are the lines of a log about something, with their levels.
func messages(logs *observer.ObservedLogs, about string) []string {
	var all []string
	for _, e := range logs.All() {
		if strings.Contains(e.Message, about) {
			all = append(all, e.Level.String()+" "+e.Message)
		}
	}
	return all
}

var _ = Describe("token files", func() {
	It("field C15: that become unusable stay in force for a minute, then callers are asked to retry", func(ctx SpecContext) {
		core, logs := observer.New(zapcore.InfoLevel)
		now := clocktesting.NewFakeClock(time.Now())
		good := tokenLine("auditor", "of-auditor", "rights=read") + tokenLine("monitoring", "of-monitoring", "namespaces=*")
		file := writeTokens(good)
		flags := auth.Flags{Mode: auth.ModeTokenFile, File: file}
		store := ownStore(ctx, func(o *datastorageapp.Options) { o.Auth, o.Clock, o.Log = flags, now, zap.New(core) })
		url, management := replica(ctx, func(o *gateway.Options) { o.Auth, o.Clock = flags, now })
		find := func(token string) storeAnswer {
			GinkgoHelper()
			return storeCall(ctx, store.URL, http.MethodGet, storeEvents+"?correlation_id="+env.CorrelationID(), bearing(token), nil)
		}
		decoded[datastorage.EventPage](find("of-auditor"), http.StatusOK)
		Expect(sampleOf(ctx, store.ManagementURL, "datastorage_auth_token_file_up")).To(BeEquivalentTo(1))

		By("making a typo")
		Expect(os.WriteFile(file, []byte(good+"garbage line\n"), 0o600)).To(Succeed())
		now.Step(5 * time.Second)
		decoded[datastorage.EventPage](find("of-auditor"), http.StatusOK)
		decoded[datastorage.Problem](find("unknown"), http.StatusUnauthorized)
		Expect(report(ctx, url, "of-monitoring", podAlert()).Code).To(Equal(http.StatusCreated))
		Expect(sampleOf(ctx, store.ManagementURL, "datastorage_auth_token_file_up")).To(BeEquivalentTo(0))
		Expect(sampleOf(ctx, management, "gateway_auth_token_file_up")).To(BeEquivalentTo(0))

		By("waiting for a minute")
		now.Step(aMinute)
		for _, token := range []string{"of-auditor", "unknown"} {
			answer := find(token)
			decoded[datastorage.Problem](answer, http.StatusServiceUnavailable)
			Expect(answer.header.Get("Retry-After")).NotTo(BeEmpty())
		}
		answer := report(ctx, url, "of-monitoring", podAlert())
		Expect(answer.Code).To(Equal(http.StatusServiceUnavailable), "Alertmanager repeats it")
		Expect(answer.Header.Get("Retry-After")).NotTo(BeEmpty())
		Expect(messages(logs, "token file")).To(HaveExactElements(HavePrefix("error token file unusable")))
		var cause string
		for _, e := range logs.FilterMessageSnippet("token file unusable").All() {
			cause, _ = e.ContextMap()["error"].(string)
		}
		Expect(cause).To(SatisfyAll(ContainSubstring("line 3"), ContainSubstring("garbage")))

		By("repairing it, and revoking a token")
		Expect(os.WriteFile(file, []byte(tokenLine("monitoring", "of-monitoring", "namespaces=*")+tokenLine("other", "of-other", "rights=read")), 0o600)).To(Succeed())
		now.Step(5 * time.Second)
		decoded[datastorage.Problem](find("of-auditor"), http.StatusUnauthorized)
		decoded[datastorage.EventPage](find("of-other"), http.StatusOK)
		Expect(report(ctx, url, "of-monitoring", podAlert()).Code).To(Equal(http.StatusCreated))
		Expect(messages(logs, "token file")).To(HaveExactElements(HavePrefix("error token file unusable"), Equal("info token file usable again")))
		Expect(sampleOf(ctx, store.ManagementURL, "datastorage_auth_token_file_up")).To(BeEquivalentTo(1))
	}, SpecTimeout(specTimeout))

	It("field C15: tell readers, writers and senders apart, in one file for both services", func(ctx SpecContext) {
		file := writeTokens("# who may do what\n\n" + tokenLine("auditor", "of-auditor", "rights=read") +
			tokenLine("writer", "of-writer", "rights=write", "types=gateway") + tokenLine("both", "of-both", "rights=read,write", "types=*") +
			tokenLine("sender", "of-sender", "namespaces="+env.Namespace))
		flags := auth.Flags{Mode: auth.ModeTokenFile, File: file}
		store := ownStore(ctx, func(o *datastorageapp.Options) { o.Auth = flags })
		url, _ := replica(ctx, func(o *gateway.Options) { o.Auth = flags })
		for token, may := range map[string][3]bool{ // read, write, send
			"of-auditor": {true, false, false}, "of-writer": {false, true, false}, "of-both": {true, true, false}, "of-sender": {false, false, true},
		} {
			for i, code := range []int{
				storeCall(ctx, store.URL, http.MethodGet, storeEvents+"?correlation_id="+env.CorrelationID(), bearing(token), nil).code,
				storeCall(ctx, store.URL, http.MethodPost, storeEvents, bearing(token), encode(anEvent(env.CorrelationID(), nil))).code,
				report(ctx, url, token, podAlert()).Code,
			} {
				want := http.StatusForbidden
				if may[i] {
					want = []int{http.StatusOK, http.StatusCreated, http.StatusCreated}[i]
				}
				Expect(code).To(Equal(want), "%s: %s", token, []string{"read", "write", "send"}[i])
			}
		}
	}, SpecTimeout(specTimeout))
})

var _ = Describe("refused callers", func() {
	It("field C15: are logged with the remedy, once and then counted", func(ctx SpecContext) {
		core, logs := observer.New(zapcore.InfoLevel)
		now := clocktesting.NewFakeClock(time.Now())
		store := ownStore(ctx, func(o *datastorageapp.Options) {
			o.Clock, o.Log = now, zap.New(core)
			o.Auth = auth.Flags{Mode: auth.ModeTokenFile, File: writeTokens(tokenLine("auditor", "of-auditor", "rights=read"))}
		})
		attempt := func(ctx context.Context) {
			GinkgoHelper()
			storeCall(ctx, store.URL, http.MethodPost, storeEvents, bearing("of-auditor"), encode(anEvent(env.CorrelationID(), nil)))
			storeCall(ctx, store.URL, http.MethodGet, storeEvents, bearing("unknown"), nil)
		}
		for range 5 {
			attempt(ctx)
		}
		refused := logs.FilterMessage("caller refused").All()
		Expect(refused).To(HaveLen(2))
		Expect(refused[0].ContextMap()).To(SatisfyAll(
			HaveKeyWithValue("caller", "auditor"), HaveKeyWithValue("action", "create events.audit.kubernaut.ai/gateway"),
			HaveKeyWithValue("remedy", ContainSubstring("add write to rights=")), HaveKeyWithValue("status", BeEquivalentTo(http.StatusForbidden))))
		Expect(refused[1].ContextMap()).To(SatisfyAll(HaveKeyWithValue("status", BeEquivalentTo(http.StatusUnauthorized)), HaveKey("address")))
		now.Step(aMinute)
		Expect(sampleOf(ctx, store.ManagementURL, `datastorage_auth_requests_total{result="unauthenticated"}`)).To(BeEquivalentTo(5))
		Expect(logs.FilterMessage("caller refused").FilterField(zap.Int("repeated", 4)).Len()).To(Equal(2))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("audiences", func() {
	It("field C16: are the services' own, and a token for the API server is refused", func(ctx SpecContext) {
		store := ownStore(ctx, func(o *datastorageapp.Options) { o.Auth, o.RESTConfig = byCluster(), env.Config })
		url, _ := replica(ctx, func(o *gateway.Options) { o.Auth = sendersByCluster() })
		caller := newAccount(ctx, "caller")
		caller.may(ctx, auditGroup, "events", "list")
		sender := newAccount(ctx, "sender")
		sender.mayReport(ctx, env.Namespace)
		list := func(token string) storeAnswer {
			GinkgoHelper()
			return storeCall(ctx, store.URL, http.MethodGet, storeEvents+"?correlation_id="+env.CorrelationID(), bearing(token), nil)
		}
		decoded[datastorage.EventPage](list(caller.token(ctx, ownAudience)), http.StatusOK)
		Expect(report(ctx, url, sender.token(ctx, gatewayAudience), podAlert()).Code).To(Equal(http.StatusCreated))

		for what, token := range map[string]string{"the API server's": caller.apiServerToken(ctx), "the Gateway's": caller.token(ctx, gatewayAudience)} {
			problem := decoded[datastorage.Problem](list(token), http.StatusUnauthorized)
			Expect(problem.Detail).To(ContainSubstring("audience than "+ownAudience), what)
		}
		for what, token := range map[string]string{"the API server's": sender.apiServerToken(ctx), "DataStorage's": sender.token(ctx, ownAudience)} {
			answer := report(ctx, url, token, podAlert())
			Expect(answer.Code).To(Equal(http.StatusUnauthorized), what)
			Expect(answer.Problem.Detail).To(ContainSubstring("audience than "+gatewayAudience), what)
		}
		replaced := ownStore(ctx, func(o *datastorageapp.Options) { o.Auth, o.RESTConfig = byCluster("another"), env.Config })
		answer := storeCall(ctx, replaced.URL, http.MethodGet, storeEvents, bearing(caller.token(ctx, ownAudience)), nil)
		Expect(decoded[datastorage.Problem](answer, http.StatusUnauthorized).Detail).To(ContainSubstring("audience than another"))
	}, SpecTimeout(specTimeout))

	It("field C16: are those of the deployment's tokens", func() {
		for _, overlay := range []string{"kind", "local", "production"} {
			d := build(overlay)
			Expect(d.start("datastorage").auth.Audiences).To(BeEmpty(), overlay)
			Expect(d.start("gateway").auth.Audiences).To(BeEmpty(), overlay)
		}
		Expect(datastorageapp.Audience).To(Equal(ownAudience))
		Expect(gateway.Audience).To(Equal(gatewayAudience))
	})
})

var _ = Describe("certificates", func() {
	It("field C17: that cannot be reloaded are reported once, and their expiry is a metric", func(ctx SpecContext) {
		core, logs := observer.New(zapcore.InfoLevel)
		now := clocktesting.NewFakeClock(time.Now())
		files := newCertificate()
		store := ownStore(ctx, func(o *datastorageapp.Options) { o.TLS, o.Clock, o.Log = files, now, zap.New(core) })
		metric := func(name string) float64 {
			GinkgoHelper()
			now.Step(5 * time.Second)
			return sampleOf(ctx, store.ManagementURL, name)
		}
		const up, expiry = `datastorage_tls_files_up{server="api"}`, `datastorage_tls_certificate_not_after_seconds{certificate="server",server="api"}`
		Expect(metric(up)).To(BeEquivalentTo(1))
		Expect(metric(expiry)).To(BeNumerically("~", time.Now().Add(time.Hour).Unix(), 60))

		By("breaking the files")
		good, err := os.ReadFile(files.Cert)
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(files.Cert, good[:len(good)/2], 0o600)).To(Succeed())
		for range 3 {
			Expect(metric(up)).To(BeEquivalentTo(0))
		}
		Expect(messages(logs, "TLS files")).To(Equal([]string{"warn TLS files cannot be reloaded: the last usable ones stay in place"}))
		Expect(metric(`datastorage_tls_reloads_total{result="failure",server="api"}`)).To(BeEquivalentTo(1))
		client := trusting(caOf(good))
		Expect(answerOf(ctx, client, store.URL+"/health")).To(Equal(http.StatusOK), "the last usable certificate is served")

		By("renewing them")
		renewed := newCertificate()
		for from, to := range map[string]string{renewed.Cert: files.Cert, renewed.Key: files.Key} {
			text, err := os.ReadFile(from)
			Expect(err).NotTo(HaveOccurred())
			Expect(os.WriteFile(to, text, 0o600)).To(Succeed())
		}
		Expect(metric(up)).To(BeEquivalentTo(1))
		Expect(messages(logs, "TLS files")).To(HaveLen(2))
		Expect(messages(logs, "TLS files")[1]).To(Equal("info TLS files can be reloaded again"))
		Expect(answerOf(ctx, trusting(renewed.Cert), store.URL+"/health")).To(Equal(http.StatusOK))

		By("letting it expire")
		now.Step(time.Hour)
		for range 3 {
			metric(expiry)
		}
		Expect(messages(logs, "expired")).To(Equal([]string{"warn the TLS certificate has expired"}))
	}, SpecTimeout(specTimeout))

	It("field C17: of DataStorage's authority have an expiry at its clients", func(ctx SpecContext) {
		files := newCertificate()
		store := ownStore(ctx, func(o *datastorageapp.Options) { o.TLS = files })
		_, management := replica(ctx, func(o *gateway.Options) { o.DataStorageURL, o.DataStorageCAFile = store.URL, files.Cert })
		const expiry = `gateway_tls_certificate_not_after_seconds{certificate="ca",server="datastorage"}`
		Expect(sampleOf(ctx, management, expiry)).To(BeNumerically("~", time.Now().Add(time.Hour).Unix(), 60))
	}, SpecTimeout(specTimeout))
})

// caOf makes a file of a certificate.
func caOf(certificate []byte) string {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "ca.crt")
	Expect(os.WriteFile(file, certificate, 0o600)).To(Succeed())
	return file
}

// answerOf is the status of an answer.
func answerOf(ctx context.Context, client *http.Client, url string) int {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := client.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode
}
