package acknowledgement //nolint:testpackage // the form of the event is an inner part

import (
	"crypto/rand"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/query"
)

func ids(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = uuid.NewString()
	}
	return texts
}

func TestRequestsAreChecked(t *testing.T) {
	t.Parallel()
	one := uuid.NewString()
	for name, tc := range map[string]struct {
		recorder string
		ids      []string
		reason   string
		bad      []string
	}{
		"usable":         {recorder: "system:serviceaccount:shop:operator", ids: ids(MaxEvents), reason: strings.Repeat("ü", MaxReason)},
		"nothing":        {bad: []string{"eventIDs", "reason", "recorder"}},
		"spaces":         {recorder: " ", ids: ids(1), reason: "\t\n", bad: []string{"reason", "recorder"}},
		"too long":       {recorder: strings.Repeat("r", maxName+1), ids: ids(1), reason: strings.Repeat("r", MaxReason+1), bad: []string{"reason", "recorder"}},
		"not text":       {recorder: "\xff", ids: ids(1), reason: "a\x00b", bad: []string{"reason", "recorder"}},
		"too many":       {recorder: "r", ids: ids(MaxEvents + 1), reason: "r", bad: []string{"eventIDs"}},
		"twice":          {recorder: "r", ids: []string{one, one}, reason: "r", bad: []string{"eventIDs[1]"}},
		"nil":            {recorder: "r", ids: []string{uuid.Nil.String()}, reason: "r", bad: []string{"eventIDs[0]"}},
		"another syntax": {recorder: "r", ids: []string{"{" + one + "}"}, reason: "r", bad: []string{"eventIDs[0]"}},
	} {
		r, bad := NewRequest(tc.recorder, tc.ids, tc.reason)
		if got := slices.Sorted(maps.Keys(bad)); !slices.Equal(got, tc.bad) {
			t.Errorf("%s: %v is wrong, want %v", name, bad, tc.bad)
		}
		if len(tc.bad) == 0 && (r.Recorder != tc.recorder || len(r.EventIDs) != len(tc.ids) || r.Reason != tc.reason) {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func record(t *testing.T) (Record, query.Stored) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	r, bad := NewRequest("recorder", ids(MaxEvents), "the events were sent by a test")
	if bad != nil {
		t.Fatal(bad)
	}
	want := Record{Request: r, ID: uuid.New(), User: User{Name: "ada@example.org", UID: "17", Groups: []string{"oncall"}}, At: now}
	batch, err := ownevent.Batch(event.NewDecoder(event.DefaultLimits(), clocktesting.NewFakePassiveClock(now), rand.Reader), want.event())
	if err != nil {
		t.Fatal(err)
	}
	return want, query.Stored{Event: *batch.Events[0]}
}

func TestARecordIsAnEventUnderTheUsersName(t *testing.T) {
	t.Parallel()
	want, stored := record(t)
	if stored.ActorID != "ada@example.org" || stored.ActorType != "user" || stored.RecordedBy != "kubernaut:datastorage" ||
		stored.Category != "security" || stored.Type != "datastorage.acknowledgement.created" || stored.CorrelationID != want.ID.String() {
		t.Errorf("the event is %+v", stored)
	}
	got, err := read(&stored)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v (%v), want %+v", got, err, want)
	}
}

func TestAnEventOfAClientIsNoRecord(t *testing.T) {
	t.Parallel()
	_, forged := record(t)
	forged.RecordedBy = "system:serviceaccount:shop:operator"
	_, other := record(t)
	other.Type = "datastorage.other.created"
	for name, stored := range map[string]query.Stored{"forged": forged, "another type": other} {
		if _, err := read(&stored); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: error %v, want ErrNotFound", name, err)
		}
	}
}
