package telemetry_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/internal/telemetry/telemetrytest"
)

// attributes of a span, as text.
func attributes(s *tracev1.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.GetAttributes() {
		all[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return all
}

func TestAReconciliationHasASpanWithKindAndOutcome(t *testing.T) {
	r := telemetrytest.NewReceiver(t)
	f := r.Flags()
	tracing, err := f.New(t.Context(), "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ manager.Manager }
	traced := tracing.Manager(&m)
	for _, c := range []struct {
		outcome string
		result  reconcile.Result
		err     error
	}{
		{"done", reconcile.Result{}, nil},
		{"requeued", reconcile.Result{RequeueAfter: time.Second}, nil},
		{"failed", reconcile.Result{}, errors.New("secret-name is gone")},
	} {
		inner := reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) { return c.result, c.err })
		got, err := telemetry.Reconciler(traced, "request", "RemediationRequest", inner).Reconcile(t.Context(), reconcile.Request{})
		if got != c.result || !errors.Is(err, c.err) {
			t.Errorf("%s: got %v %v", c.outcome, got, err)
		}
	}
	stop(t, tracing)
	for _, outcome := range []string{"done", "requeued", "failed"} {
		span := <-r.Spans
		has := attributes(span)
		if span.GetName() != "request reconcile" || has["kubernaut.kind"] != "RemediationRequest" || has["kubernaut.outcome"] != outcome {
			t.Errorf("span %v, want outcome %s", span, outcome)
		}
		if failed := span.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR; failed != (outcome == "failed") || span.GetStatus().GetMessage() != "" {
			t.Errorf("%s: status %v", outcome, span.GetStatus())
		}
	}
}

func TestWithoutTracesNothingIsWrapped(t *testing.T) {
	tracing := telemetry.Off()
	m := &struct{ manager.Manager }{}
	config := &rest.Config{Host: "https://127.0.0.1:1"}
	if tracing.Manager(m) != manager.Manager(m) || tracing.Cluster(config) != config {
		t.Error("a manager or a configuration is wrapped without traces")
	}
}

func TestAnObjectLeadsToTheSpanThatCreatedIt(t *testing.T) {
	r := telemetrytest.NewReceiver(t)
	f := r.Flags()
	tracing, err := f.New(t.Context(), "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	object, copied := &metav1.ObjectMeta{}, &metav1.ObjectMeta{}
	telemetry.Mark(t.Context(), object)
	if len(object.Annotations) > 0 {
		t.Errorf("an object is marked without a span: %v", object.Annotations)
	}
	ctx, first := tracing.Tracer("test").Start(t.Context(), "create")
	telemetry.Mark(ctx, object)
	first.End()
	telemetry.CopyMark(object, copied)
	for _, from := range []*metav1.ObjectMeta{copied, {Annotations: map[string]string{v1alpha1.AnnotationTraceparent: "00-forged"}}, {}} {
		ctx, second := tracing.Tracer("test").Start(t.Context(), "reconcile")
		telemetry.Link(ctx, from)
		second.End()
	}
	telemetry.Link(t.Context(), copied) // no span to link
	stop(t, tracing)
	created, linked := <-r.Spans, <-r.Spans
	if links := linked.GetLinks(); len(links) != 1 || string(links[0].GetTraceId()) != string(created.GetTraceId()) || string(links[0].GetSpanId()) != string(created.GetSpanId()) {
		t.Errorf("links %v, want one to %v", links, created)
	}
	if string(linked.GetTraceId()) == string(created.GetTraceId()) {
		t.Error("a reconciliation joins the trace that created its object")
	}
	for range 2 {
		if span := <-r.Spans; len(span.GetLinks()) > 0 {
			t.Errorf("links without a usable mark: %v", span)
		}
	}
}

func TestACallOfTheAPIServerIsASpanOfItsStep(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("X-Traceparent", request.Header.Get("Traceparent"))
	}))
	t.Cleanup(server.Close)
	r := telemetrytest.NewReceiver(t)
	f := r.Flags()
	tracing, err := f.New(t.Context(), "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(tracing.Cluster(&rest.Config{Host: server.URL}))
	if err != nil {
		t.Fatal(err)
	}
	get := func(ctx context.Context, path string) (traceparent string) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.Header.Get("X-Traceparent")
	}
	if got := get(t.Context(), "/api/v1/pods"); got != "" {
		t.Errorf("a call outside of a step has a span: %s", got)
	}
	ctx, step := tracing.Tracer("test").Start(t.Context(), "step")
	paths := []string{
		"/api/v1/pods?watch=true", "/api/v1/namespaces/secret-shop/pods/secret-pod/log?container=secret", "/api/v1/namespaces/secret-shop",
		"/api/v1/namespaces/secret-shop/status", "/apis/apps/v1/namespaces/secret-shop/deployments?fieldSelector=metadata.name%3Dsecret", "/version",
	}
	for _, path := range paths {
		if get(ctx, path) == "" {
			t.Errorf("%s: the server is not told of the trace", path)
		}
	}
	step.End()
	stop(t, tracing)
	for _, want := range []string{"pods", "pods/log", "namespaces", "namespaces/status", "deployments", "version"} {
		span := <-r.Spans
		if span.GetName() != "kubernetes GET "+want || string(span.GetTraceId()) != traceOf(step) {
			t.Errorf("span %v, want one of %s", span, want)
		}
		if at := attributes(span)["url.full"]; at != server.URL {
			t.Errorf("%s: a span has the URL %q, want no more than the server", want, at)
		}
	}
}

func traceOf(s trace.Span) string {
	id := s.SpanContext().TraceID()
	return string(id[:])
}
