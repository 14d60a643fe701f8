// Package producer knows whose producer a producer_id is: the recorder that was
// the first to use it, as the first events of its epochs tell. Events under `audit.` speak about a producer, and nobody
// else may send them.
//
// The owner is recorded as an event itself, which no client can write. Its id is
// derived from the producer's, so that a look-up is one row, and of several
// replicas that record an owner at the same time, one is first.
package producer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/ingest"
	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/query"
)

const (
	// Claimed is the type of the event that records an owner.
	Claimed = "datastorage.producer.claimed"
	// maxOwners bounds the owners that are remembered.
	maxOwners = 4096
	// timeout bounds one look-up. It goes on if its request ends, so that a request
	// that is sent again finds the answer.
	timeout = time.Minute
)

// Events finds stored events; a *query.Finder.
type Events interface {
	Get(ctx context.Context, id uuid.UUID) (query.Stored, error)
	FirstRecorder(ctx context.Context, producerID string) (recorder string, found bool, err error)
}

// Writer stores events; an *ingest.Writer.
type Writer interface {
	Store(ctx context.Context, r ingest.Request) (ingest.Result, error)
}

// Owners finds and records the owners of producers. It is safe for concurrent use.
type Owners struct {
	decoder *event.Decoder
	events  Events
	writer  Writer
	clock   clock.PassiveClock
	known   *lru.Cache // owners by producer id
	flight  singleflight.Group
}

// NewOwners makes an Owners.
func NewOwners(d *event.Decoder, e Events, w Writer, c clock.PassiveClock) *Owners {
	return &Owners{decoder: d, events: e, writer: w, clock: c, known: lru.New(maxOwners)}
}

// Claim returns the owner of a producer. One that nobody used before belongs to
// the recorder from now on. After an error, nobody can tell.
func (o *Owners) Claim(ctx context.Context, producerID, recorder string) (owner string, err error) {
	if owner, ok := o.remembered(producerID); ok {
		return owner, nil
	}
	answered := o.flight.DoChan(producerID+"\x00"+recorder, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		return o.claim(ctx, producerID, recorder)
	})
	select {
	case answer := <-answered:
		owner, _ := answer.Val.(string)
		return owner, answer.Err
	case <-ctx.Done():
		return "", fmt.Errorf("owner of producer %q: %w", producerID, context.Cause(ctx))
	}
}

// Owner returns the owner of a producer, if one is recorded.
func (o *Owners) Owner(ctx context.Context, producerID string) (owner string, found bool, err error) {
	if owner, ok := o.remembered(producerID); ok {
		return owner, true, nil
	}
	stored, err := o.events.Get(ctx, claimID(producerID))
	switch {
	case errors.Is(err, query.ErrNotFound):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("owner of producer %q: %w", producerID, err)
	}
	var data claim
	if err := json.Unmarshal(stored.Data, &data); err != nil {
		return "", false, fmt.Errorf("owner of producer %q: event %s: %w", producerID, stored.ID, err)
	}
	o.known.Add(producerID, data.Owner)
	return data.Owner, true, nil
}

func (o *Owners) remembered(producerID string) (string, bool) {
	if found, ok := o.known.Get(producerID); ok {
		owner, ok := found.(string)
		return owner, ok
	}
	return "", false
}

func (o *Owners) claim(ctx context.Context, producerID, recorder string) (string, error) {
	if owner, found, err := o.Owner(ctx, producerID); found || err != nil {
		return owner, err
	}
	owner := recorder
	first, used, err := o.events.FirstRecorder(ctx, producerID)
	if err != nil {
		return "", fmt.Errorf("first recorder of producer %q: %w", producerID, err)
	}
	if used && first != "" { // what was recorded without authentication is nobody's
		owner = first
	}
	if err := o.record(ctx, producerID, owner); err != nil {
		return "", err
	}
	// Another replica may have been faster.
	owner, found, err := o.Owner(ctx, producerID)
	if err == nil && !found {
		err = fmt.Errorf("owner of producer %q: its event is not visible", producerID)
	}
	return owner, err
}

// claim is the event's data.
type claim struct {
	ProducerID string `json:"producer_id"`
	Owner      string `json:"owner"`
}

func claimID(producerID string) uuid.UUID {
	return wire.DerivedID(time.Unix(0, 0), Claimed, producerID)
}

// record stores an owner. That another one is stored already is no error.
func (o *Owners) record(ctx context.Context, producerID, owner string) error {
	batch, err := ownevent.Batch(o.decoder, &ownevent.Event{
		ID: claimID(producerID), Type: Claimed, Action: "claimed", At: o.clock.Now(), Outcome: audit.OutcomeSuccess, CorrelationID: producerID,
		ActorType: "service", ActorID: owner, Data: claim{ProducerID: producerID, Owner: owner},
	})
	if err != nil {
		return fmt.Errorf("owner of producer %q: %w", producerID, err)
	}
	_, err = o.writer.Store(ctx, ingest.Request{Batch: batch, Exclusive: true})
	if refused, ok := errors.AsType[*ingest.RefusedError](err); ok && refused.Refusals[0].Code == event.CodeConflict {
		return nil
	}
	if err != nil {
		return fmt.Errorf("record the owner of producer %q: %w", producerID, err)
	}
	return nil
}
