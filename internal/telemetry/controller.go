package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
)

// The outcomes of a reconciliation.
const (
	outcomeDone     = "done"
	outcomeRequeued = "requeued"
	outcomeFailed   = "failed"
)

// Manager is a manager whose controllers have spans, if they are made with Reconciler. It is m itself if there are no
// traces.
func (t *Tracing) Manager(m manager.Manager) manager.Manager {
	if !t.On() {
		return m
	}
	return &traced{m, t}
}

// traced is a manager with traces.
type traced struct {
	manager.Manager

	tracing *Tracing
}

// Reconciler makes a span of each reconciliation of a manager's controller, with the kind of its objects and the outcome.
// It is r itself if the manager has no traces.
func Reconciler(m manager.Manager, controller, kind string, r reconcile.Reconciler) reconcile.Reconciler {
	with, is := m.(*traced)
	if !is {
		return r
	}
	tracer := with.tracing.Tracer("controller")
	return reconcile.Func(func(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
		ctx, span := tracer.Start(ctx, controller+" reconcile", trace.WithAttributes(attribute.String("kubernaut.kind", kind)))
		defer span.End()
		result, err := r.Reconcile(ctx, request)
		outcome := outcomeDone
		switch {
		case err != nil:
			// The text may name objects, and the log has it.
			outcome = outcomeFailed
			span.SetStatus(codes.Error, "")
		case result.RequeueAfter > 0:
			outcome = outcomeRequeued
		}
		span.SetAttributes(attribute.String("kubernaut.outcome", outcome))
		return result, err //nolint:wrapcheck // passed on
	})
}

// header is the name of a trace's context in W3C Trace Context.
const header = "traceparent"

// Mark puts the span of a context into the annotations of an object that is about to be created, for Link.
func Mark(ctx context.Context, object metav1.Object) {
	carrier := propagation.MapCarrier{}
	if trace.SpanContextFromContext(ctx).IsSampled() {
		propagation.TraceContext{}.Inject(ctx, carrier)
	}
	if carrier[header] == "" {
		return
	}
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[v1alpha1.AnnotationTraceparent] = carrier[header]
	object.SetAnnotations(annotations)
}

// CopyMark gives an object the mark of the one that it is about.
func CopyMark(from, to metav1.Object) {
	text, marked := from.GetAnnotations()[v1alpha1.AnnotationTraceparent]
	if !marked {
		return
	}
	annotations := to.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[v1alpha1.AnnotationTraceparent] = text
	to.SetAnnotations(annotations)
}

// Link links the span of a context to the one that an object is marked with. It is a link: an object lives for longer
// than a trace, and whoever writes annotations must not decide what is sampled.
func Link(ctx context.Context, object metav1.Object) {
	span := trace.SpanFromContext(ctx)
	text, marked := object.GetAnnotations()[v1alpha1.AnnotationTraceparent]
	if !marked || !span.IsRecording() {
		return
	}
	from := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{header: text})
	if to := trace.SpanContextFromContext(from); to.IsValid() {
		span.AddLink(trace.Link{SpanContext: to})
	}
}
