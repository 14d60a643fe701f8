//go:build integration

package integration_test

import (
	"context"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"kubernaut.ai/internal/telemetry/telemetrytest"
	datastorage "kubernaut.ai/services/datastorage/app"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// spanNamed waits for a span; those before it are kept by their ids.
func spanNamed(ctx context.Context, from *telemetrytest.Receiver, earlier map[string]*tracev1.Span, is func(*tracev1.Span) bool) *tracev1.Span {
	GinkgoHelper()
	for _, span := range earlier {
		if is(span) {
			return span
		}
	}
	for {
		select {
		case span := <-from.Spans:
			earlier[string(span.GetSpanId())] = span
			if is(span) {
				return span
			}
		case <-ctx.Done():
			Fail("no such span arrived")
		}
	}
}

var _ = Describe("traces", func() {
	It("lead from a batch of a service to its request and the statements in DataStorage", func(ctx SpecContext) {
		receiver := telemetrytest.NewReceiver(GinkgoTB())
		store := ownStore(ctx, func(o *datastorage.Options) { o.Tracing = receiver.Flags() })
		url, managementURL := replica(ctx, func(o *gateway.Options) { o.DataStorageURL, o.Tracing = store.URL, receiver.Flags() })
		labels := podAlert()
		Expect(call(ctx, url, http.MethodPost, alertmanager.Path, nil, alertBody(alertmanager.Firing, labels)).Code).To(Equal(http.StatusCreated))
		flushed := storeCall(ctx, managementURL, http.MethodPost, "/audit/flush", nil, nil)
		Expect(flushed.code).To(Equal(http.StatusOK), "%s", flushed.body)
		found := storeFind(ctx, store.URL, "namespace", env.Namespace)
		Expect(found.code).To(Equal(http.StatusOK))

		seen := map[string]*tracev1.Span{}
		batch := spanNamed(ctx, receiver, seen, func(s *tracev1.Span) bool { return s.GetName() == "audit.write" })
		request := spanNamed(ctx, receiver, seen, func(s *tracev1.Span) bool { return string(s.GetParentSpanId()) == string(batch.GetSpanId()) })
		Expect(request.GetTraceId()).To(Equal(batch.GetTraceId()))
		Expect(request.GetKind()).To(Equal(tracev1.Span_SPAN_KIND_SERVER))
		stored := spanNamed(ctx, receiver, seen, func(s *tracev1.Span) bool {
			return s.GetName() == "ingest.store" && string(s.GetParentSpanId()) == string(request.GetSpanId())
		})
		Expect(stored.GetTraceId()).To(Equal(batch.GetTraceId()))
		spanNamed(ctx, receiver, seen, func(s *tracev1.Span) bool {
			parent := seen[string(s.GetParentSpanId())]
			return s.GetKind() == tracev1.Span_SPAN_KIND_CLIENT && parent != nil && parent.GetKind() == tracev1.Span_SPAN_KIND_SERVER
		})
		for _, span := range seen {
			Expect(span.String()).NotTo(ContainSubstring(labels["pod"]), "values of statements and bodies stay here")
		}
	}, SpecTimeout(specTimeout))

	It("link reconciliations to the request of the alert that led to them, and have the calls of both", func(ctx SpecContext) {
		receiver := telemetrytest.NewReceiver(GinkgoTB())
		p, err := env.NewPipeline(ctx, testenv.PipelineOptions{
			Gateway:           func(o *gateway.Options) { o.Tracing = receiver.Flags() },
			SignalProcessing:  func(o *signalprocessing.Options) { o.Tracing = receiver.Flags() },
			WorkflowExecution: func(o *workflowexecution.Options) { o.Tracing = receiver.Flags() },
		})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(p.Stop()).To(Succeed()) })
		labels := podAlert()
		labels["namespace"] = p.Namespace
		answer := call(ctx, p.GatewayURL, http.MethodPost, alertmanager.Path, nil, alertBody(alertmanager.Firing, labels))
		Expect(answer.Code).To(Equal(http.StatusCreated))

		seen := map[string]*tracev1.Span{}
		for _, service := range []string{"request reconcile", "remediation reconcile"} {
			linked := spanNamed(ctx, receiver, seen, func(s *tracev1.Span) bool { return s.GetName() == service && len(s.GetLinks()) > 0 })
			Expect(linked.GetLinks()).To(HaveLen(1))
			to := linked.GetLinks()[0]
			alert := spanNamed(ctx, receiver, seen, func(s *tracev1.Span) bool { return string(s.GetSpanId()) == string(to.GetSpanId()) })
			Expect(alert.GetTraceId()).To(Equal(to.GetTraceId()))
			Expect(alert.GetKind()).To(Equal(tracev1.Span_SPAN_KIND_SERVER))
			Expect(linked.GetTraceId()).NotTo(Equal(alert.GetTraceId()))
			spanNamed(ctx, receiver, seen, func(s *tracev1.Span) bool {
				return s.GetName() == "kubernetes POST remediationrequests" && string(s.GetTraceId()) == string(alert.GetTraceId())
			})
		}
		spanNamed(ctx, receiver, seen, func(s *tracev1.Span) bool {
			parent := seen[string(s.GetParentSpanId())]
			return s.GetName() == "kubernetes PATCH remediationrequests/status" && parent != nil && parent.GetName() == "request reconcile"
		})
		for _, span := range seen {
			for _, name := range []string{labels["pod"], p.Namespace} {
				Expect(span.String()).NotTo(ContainSubstring(name), "names of objects stay here")
			}
		}
	}, SpecTimeout(specTimeout))
})
