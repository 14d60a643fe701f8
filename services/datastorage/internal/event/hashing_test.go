package event //nolint:testpackage // hashing is an inner part

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/google/uuid"
)

// TestHashesOfManyEventsAreThoseOfEach: an event has the digest and the commitment that are specified, whether it is
// hashed by itself or with others.
func TestHashesOfManyEventsAreThoseOfEach(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1, 2, hashedTogether - 1, hashedTogether, 3*hashedTogether + 1} {
		h := newHashing()
		events := make([]*Event, count)
		for n := range events {
			e := &Event{ID: uuid.New(), CorrelationID: fmt.Sprint("rr-", n), ActorID: "actor", ErrorMessage: string(bytes.Repeat([]byte{'e'}, 37*n))}
			e.Data = fmt.Appendf(nil, `{"k":%q}`, bytes.Repeat([]byte{'d'}, n*hashedAlone/hashedTogether))
			_, _ = rand.Read(e.Salts[:])
			events[n] = e
			h.add(e, "sent", 30)
		}
		h.finish()
		for n, e := range events {
			if e.Digest != digest(e, "sent", 30) {
				t.Errorf("event %d of %d has another digest", n, count)
			}
			if e.Commitment != e.Parts().Commitment() {
				t.Errorf("event %d of %d has another commitment", n, count)
			}
		}
	}
}
