//go:build integration

package integration_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/pkg/audit/flushhttp"
	"kubernaut.ai/pkg/audittrail/podflush"
	gateway "kubernaut.ai/services/gateway/app"
)

// Specs about who flushes a service, and how often.

var writesMetric = regexp.MustCompile(`(?m)^audit_write_duration_seconds_count (\d+)$`)

// writes is how often a service has tried to write to DataStorage.
func writes(ctx context.Context, managementURL string) int {
	GinkgoHelper()
	found := writesMetric.FindStringSubmatch(metricsOf(ctx, managementURL))
	Expect(found).To(HaveLen(2))
	n, err := strconv.Atoi(found[1])
	Expect(err).NotTo(HaveOccurred())
	return n
}

// flushAnswer flushes a service with a timeout.
func flushAnswer(ctx context.Context, managementURL, timeout string) (status int, body string) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, managementURL+"/audit/flush?timeout="+timeout, http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(text)
}

var _ = Describe("flushes by anybody in the network", func() {
	It("field C14: thousands of them make no more attempts of a dead DataStorage than a few", func(ctx SpecContext) {
		const flushes = 3000
		dead := func(o *gateway.Options) { o.DataStorageURL, o.Spool = "http://"+closedPort(), newSpool() }
		left, _ := soleGateway(ctx, dead)
		flushedOne, _ := soleGateway(ctx, dead)
		for _, g := range []*gateway.App{left, flushedOne} {
			Expect(post(ctx, g.APIURL(), alertBody("firing", podAlert())).Code).To(Equal(http.StatusCreated))
		}
		before := writes(ctx, flushedOne.ManagementURL())
		began := time.Now()
		statuses := map[int]int{}
		var mu sync.Mutex
		var flushing sync.WaitGroup
		for range flushhttp.MaxConcurrent {
			flushing.Go(func() {
				defer GinkgoRecover()
				for range flushes / flushhttp.MaxConcurrent {
					status, _ := flushAnswer(ctx, flushedOne.ManagementURL(), "1ms")
					mu.Lock()
					statuses[status]++
					mu.Unlock()
				}
			})
		}
		flushing.Wait()
		made := writes(ctx, flushedOne.ManagementURL()) - before
		took := time.Since(began)
		AddReportEntry("attempts", map[string]any{
			"flushes": flushes, "took": took.String(), "attempts": made, "without": writes(ctx, left.ManagementURL()), "answers": statuses,
		})
		Expect(statuses).To(HaveKey(http.StatusGatewayTimeout))
		Expect(statuses[http.StatusGatewayTimeout] + statuses[http.StatusTooManyRequests]).To(Equal(flushes / flushhttp.MaxConcurrent * flushhttp.MaxConcurrent))
		natural := writes(ctx, left.ManagementURL())
		Expect(made).To(BeNumerically("<=", natural+int(took/time.Second)+8), "one a second after the first few, beside those that the backoff makes")
	}, SpecTimeout(specTimeout))

	It("field C14: the answers have counts and a token, but no ids", func(ctx SpecContext) {
		disk, event := refusedEvent()
		g, _ := soleGateway(ctx, func(o *gateway.Options) { o.Spool = disk })
		status, body := flushAnswer(ctx, g.ManagementURL(), "30s")
		Expect(status).To(Equal(http.StatusConflict))
		expectCounts(body, "rejected")
		for _, secret := range []string{event.ID.String(), event.CorrelationID, event.Type, "event_outcome", "secret"} {
			Expect(body).NotTo(ContainSubstring(secret))
		}

		waiting, _ := soleGateway(ctx, func(o *gateway.Options) { o.DataStorageURL, o.Spool = "http://"+closedPort(), newSpool() })
		answered := post(ctx, waiting.APIURL(), alertBody("firing", podAlert()))
		Expect(answered.Code).To(Equal(http.StatusCreated))
		status, body = flushAnswer(ctx, waiting.ManagementURL(), "1ms")
		Expect(status).To(Equal(http.StatusGatewayTimeout))
		expectCounts(body, "pending")
		Expect(body).NotTo(ContainSubstring(answered.RemediationRequestName))

		By("asking the management port for what the control listener shows")
		for _, path := range []string{"/audit/state", "/audit/rejections", "/audit/quarantine", "/audit/quarantine/retry", "/audit/acknowledgements"} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				Expect(codeOf(ctx, method, g.ManagementURL()+path)).To(Equal(http.StatusNotFound), path)
			}
		}
	}, SpecTimeout(specTimeout))

	It("field C14: a flush that failed says why it cannot name the events", func(ctx SpecContext) {
		disk, _ := refusedEvent()
		g, _ := soleGateway(ctx, func(o *gateway.Options) { o.Spool, o.ControlListen = disk, anyLoopback })
		workload := podOf(ctx, "", g)
		flusher, _ := flusherOf(workload, func(o *podflush.Options) { o.Config = userWith(ctx, append(mayWatch, mayProxy)...) })
		_, err := flusher.FlushPods(ctx, "")
		Expect(err).To(MatchError(SatisfyAll(ContainSubstring("1 rejected"), ContainSubstring("the events cannot be named"), ContainSubstring("pods/portforward"))))
	}, SpecTimeout(specTimeout))
})

// codeOf is the status of a response to a JSON object.
func codeOf(ctx context.Context, method, address string) int {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader("{}"))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	return response.StatusCode
}

// expectCounts wants a problem document without anything but numbers, the token and
// fixed texts.
func expectCounts(body, count string) {
	GinkgoHelper()
	var document map[string]any
	Expect(json.Unmarshal([]byte(body), &document)).To(Succeed())
	Expect(document).To(HaveKey(count))
	for name, value := range document {
		switch name {
		case "type", "title", "detail", "sink", "consistency_token":
			Expect(value).To(BeAssignableToTypeOf(""), name)
		default:
			Expect(value).To(BeAssignableToTypeOf(0.0), name)
		}
	}
}
