package auditevents_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/heartbeat"
)

func TestEventsAboutALossAreTheSameOnAllReplicas(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 9, 35, 44, 394_726_000, time.UTC)
	loss := &heartbeat.Loss{Heartbeat: strings.Repeat("W", 253), Namespace: "shop", LastSeen: at, Since: at.Add(time.Minute)}
	other := *loss
	other.Since = at.Add(time.Hour)
	var events recorder
	h := auditevents.NewHeartbeats(&events)
	for _, err := range []error{
		h.Lost(t.Context(), key(), loss), h.Lost(t.Context(), key(), loss), h.Restored(t.Context(), key(), loss), h.Lost(t.Context(), key(), &other),
		h.Restored(t.Context(), types.NamespacedName{}, loss),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if events[0].ID != events[1].ID || string(events[0].Data) != string(events[1].Data) || events[0].CorrelationID != "rr-1" || events[0].Namespace != "prod" {
		t.Errorf("%+v, then %+v", events[0], events[1])
	}
	for _, e := range events[2:] {
		if e.ID == events[0].ID {
			t.Errorf("%s has the id of another event", e.Type)
		}
	}
	if last := events[4]; last.Type != "gateway.heartbeat.restored" || last.Namespace != "shop" || !strings.HasPrefix(last.CorrelationID, "heartbeat-") {
		t.Errorf("without a request: %+v", last)
	}
}
