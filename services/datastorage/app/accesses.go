package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/acknowledgement"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/metrics"
	"kubernaut.ai/services/datastorage/internal/ownevent"
)

// The bounds of DataStorage's own audit store, which takes a few events a minute. What they cost belongs to memory.Rest.
const (
	ownEvents = 2000
	ownBytes  = 4 << 20
)

// openAccesses makes the log of accesses, and the audit store in which it records. The store writes into the service's
// own database, and keeps events in its spool while there is no primary.
func (s *serving) openAccesses(observed *metrics.Metrics, retention event.Retention) error {
	a := s.app
	// Not the decoder of the API: --max-event-data-bytes is about events of others.
	limits := event.DefaultLimits()
	limits.Retention = retention
	// A read must not wait: what cannot be recorded is summed up further.
	full := audit.Refuse
	if a.options.Spool.Dir != "" {
		full = audit.Spill
	}
	var err error
	s.store, err = a.options.Spool.NewStore(ownevent.NewSink(event.NewDecoder(limits, a.options.Clock, rand.Reader), s.writer), a.log.Named("audit"),
		audit.WithClock(a.options.Clock),
		audit.WithRegisterer(observed.Registerer()),
		audit.WithTracer(a.tracing.Tracer("audit")),
		audit.WithBounds(ownEvents, ownBytes),
		audit.WithInFlight(1),
		audit.WithFullPolicy(full),
	)
	if err != nil {
		return err //nolint:wrapcheck // says what
	}
	s.accesses = accesslog.New(accesslog.Options{Recorder: s.store, Clock: a.options.Clock, Log: a.log})
	return nil
}

// accessParts record what is noted, and then deliver what is recorded. The log stops first.
func (s *serving) accessParts() []lifecycle.Part {
	return []lifecycle.Part{
		{Name: "audit store", Share: storeShare, Run: lifecycle.OnStop(s.closeStore)},
		{Name: "log of accesses", Share: accessShare, Run: s.accesses.Run},
	}
}

// lastDelivery bounds the wait for a database that takes nothing, where the spool has what is pending.
const lastDelivery = 3 * time.Second

func (s *serving) closeStore(ctx context.Context) error {
	if s.app.options.Spool.Dir != "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lastDelivery)
		defer cancel()
	}
	return spool.Close(ctx, s.store) //nolint:wrapcheck // says what it did
}

// abandon gives the spool back after a failed start.
func (s *serving) abandon() {
	if s.store == nil {
		return
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.closeStore(ended) // nothing was recorded
}

// ownRecords are the records of acknowledgements for the control listener of DataStorage's own store.
type ownRecords struct{ store *acknowledgement.Store }

// Acknowledgement implements control.Records.
func (r ownRecords) Acknowledgement(ctx context.Context, id uuid.UUID) (*httpsink.Acknowledgement, error) {
	record, err := r.store.Get(ctx, id)
	switch {
	case errors.Is(err, acknowledgement.ErrNotFound):
		return nil, fmt.Errorf("%w: %s", httpsink.ErrNoAcknowledgement, id)
	case err != nil:
		return nil, &audit.SinkError{Err: err}
	}
	return &httpsink.Acknowledgement{
		ID: record.ID, Recorder: record.Recorder, EventIDs: record.EventIDs, Reason: record.Reason, By: record.User.Name, At: record.At,
	}, nil
}
