package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/signal"
)

// Server is the API. It also processes notifications that the Gateway itself read.
type Server struct {
	http.Handler

	api *api
}

// Deliver processes a body like one that was posted to an adapter's path. There
// is no caller: the Gateway's own permissions made it readable. An error means
// that the delivery is to be repeated; a body that can never be accepted is
// recorded as rejected, and is no error.
func (s *Server) Deliver(ctx context.Context, adapter Adapter, text []byte) error {
	a := s.api
	ctx = auth.WithCaller(ctx, auth.Internal(internalCaller))
	t := auditevents.New(a.Recorder, auditevents.Origin{
		CorrelationID: a.correlationID(), RequestID: a.NewID(), Caller: internalCaller, Source: adapter.Source, Cluster: a.Cluster,
	})
	held := a.BodyMemory.Open(internalCaller, nil)
	defer held.Close()
	b := body.NewReader(bytes.NewReader(text), func(n int64) error { return held.Take(ctx, n) }, a.Limits)
	n, err := adapter.Parse(b, a.Clock.Now())
	var invalid *signal.InvalidError
	switch {
	case errors.As(err, &invalid):
		if err := t.Rejected(ctx, codeInvalid, err.Error(), invalid.Fields); err != nil {
			return fmt.Errorf("reject %s: %w", adapter.Source, err)
		}
		a.metrics.signals.WithLabelValues(adapter.Source, string(statusRejected)).Inc()
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", adapter.Source, err)
	}
	n.Digest = signal.Digest(text)
	_, err = a.deliver(ctx, t.Delivery(n.Digest, a.Clock.Now()), n)
	return err
}

// internalCaller is the Gateway itself, for the signals that it reports.
const internalCaller = "gateway"

// Report processes a signal of the Gateway itself, and returns its request; the
// zero key if it has none. The id stands for that of an HTTP request. An error
// means that trying again may help.
func (s *Server) Report(ctx context.Context, source, id string, o *signal.Observation) (types.NamespacedName, error) {
	a := s.api
	ctx, cancel := context.WithTimeout(auth.WithCaller(ctx, auth.Internal(internalCaller)), a.Timeout)
	defer cancel()
	t := auditevents.New(a.Recorder, auditevents.Origin{RequestID: id, Caller: internalCaller, Source: source, Cluster: a.Cluster})
	n := &signal.Notification{Source: source, Observations: signal.List{*o}}
	results, err := a.process(ctx, t.Delivery(id, o.Spec.ReceivedTime.Time), n)
	if err != nil {
		return types.NamespacedName{}, err
	}
	a.metrics.counted(n, results)
	if r := results[0]; r.Status == statusRejected {
		return types.NamespacedName{}, fmt.Errorf("signal %s was rejected: %s", o.Spec.SignalName, r.Message)
	}
	return results[0].request(), nil
}
