package event //nolint:testpackage // the digest is an inner part

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/wire"
)

// TestDigestKeepsItsForm: stored digests tell replays from conflicts for years.
func TestDigestKeepsItsForm(t *testing.T) {
	t.Parallel()
	e := &Event{ID: uuid.New(), ParentID: uuid.New(), Sensitive: true, Data: []byte(`{"k":"v"}`)}
	v := reflect.ValueOf(e).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String {
			f.SetString(v.Type().Field(i).Name + string(rune('a'+rand.IntN(26))))
		}
	}
	for _, parent := range []uuid.UUID{e.ParentID, uuid.Nil} {
		e.ParentID = parent
		d := wire.NewDigest(digestDomain, e.RecordedBy, e.ID.String(),
			e.Version, e.Type, e.Category, e.Action, string(e.Outcome), e.CorrelationID,
			e.ActorType, "sent", e.ActorIP, e.ResourceType, e.ResourceID, e.Namespace, e.ClusterID,
			e.Severity, e.ErrorCode, e.ErrorMessage, parent.String())
		d.Number(30)
		d.Number(1)
		d.Text(string(e.Data))
		if got := digest(e, "sent", 30); got != d.Sum() {
			t.Errorf("with parent %s: got %x, want %x", parent, got, d.Sum())
		}
	}
}
