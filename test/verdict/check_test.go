package verdict

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// event makes a stored event with a random id.
func event(eventType, data string) datastorage.StoredEvent {
	return datastorage.StoredEvent{EventId: uuid.New(), EventType: eventType, EventData: json.RawMessage(data)}
}

// gatewayTrail is the trail of a request with a sibling that fired and ended.
func gatewayTrail() testenv.Trail {
	return testenv.Trail{
		event(testenv.SignalReceived, `{"delivery":"d1","fingerprint":"f"}`),
		event(testenv.RequestCreated, `{"uid":"u","fingerprint":"f"}`),
		event(signalDeduplicated, `{"delivery":"d2","fingerprint":"f","labels":{"container":"c"}}`),
		event(signalDeduplicated, `{"delivery":"d3","fingerprint":"f"}`),
		event(signalResolved, `{"delivery":"d4","fingerprint":"f","labels":{"container":"c"}}`),
		event(signalDeduplicated, `{"fingerprint":"f","count":7}`),
	}
}

// without returns a trail without one of its events, twice one with a second copy of it.
func without(t testenv.Trail, i int) testenv.Trail {
	return append(append(testenv.Trail{}, t[:i]...), t[i+1:]...)
}

func twice(t testenv.Trail, i int) testenv.Trail {
	return append(append(testenv.Trail{}, t...), event(t[i].EventType, string(t[i].EventData)))
}

func TestCheckFindsWhatAnswersImply(t *testing.T) {
	whole := gatewayTrail()
	for name, tc := range map[string]struct {
		trail         testenv.Trail
		lost, doubled int
	}{
		"whole":                    {whole, 0, 0},
		"no receipt":               {without(whole, 0), 4, 0},
		"no creation":              {without(whole, 1), 4, 0},
		"no new instance":          {without(whole, 2), 1, 0},
		"a duplicate is no change": {without(whole, 3), 0, 0},
		"no end":                   {without(whole, 4), 1, 0},
		"no count":                 {without(whole, 5), 0, 0},
		"nothing":                  {nil, 4, 0},
		"a receipt twice":          {twice(whole, 0), 0, 1},
		"a creation twice":         {twice(whole, 1), 0, 1},
		"a change twice":           {twice(whole, 2), 0, 1},
		"counts twice":             {twice(whole, 5), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			result := Result{Disruptions: 1}
			err := result.Check(Observations{Answers: []alertmanager.Answered{
				{Delivery: "d1", Request: "rr", Fingerprint: "f"},
				{Delivery: "d2", Request: "rr", Fingerprint: "f", Container: "c"},
				{Delivery: "d3", Request: "rr", Fingerprint: "f"},
				{Delivery: "d4", Request: "rr", Fingerprint: "f", Container: "c", Resolved: true},
			}, Trails: map[string]testenv.Trail{"rr": tc.trail}})
			result.want(t, err, 4, tc.lost, tc.doubled)
		})
	}
}

func TestCheckFindsWhatStatusesImply(t *testing.T) {
	whole := testenv.Trail{
		event(testenv.PhaseTransition, `{"from":"Pending","to":"Enriching"}`),
		event("signalprocessing.enrichment.completed", `{}`),
		event(testenv.PhaseTransition, `{"from":"Enriching","to":"Classifying"}`),
		event("signalprocessing.classification.decision", `{}`),
		event(testenv.PhaseTransition, `{"from":"Classifying","to":"Categorizing"}`),
		event("signalprocessing.business.classified", `{}`),
		event("signalprocessing.signal.processed", `{}`),
		event(testenv.PhaseTransition, `{"from":"Categorizing","to":"Completed"}`),
	}
	phases := map[v1alpha1.ProcessingPhase]bool{
		v1alpha1.ProcessingEnriching: true, v1alpha1.ProcessingClassifying: true,
		v1alpha1.ProcessingCategorizing: true, v1alpha1.ProcessingCompleted: true,
	}
	check := func(t *testing.T, trail testenv.Trail, lost, doubled int) {
		t.Helper()
		trails := map[string]testenv.Trail{"rr": trail}
		result := Result{Disruptions: 1}
		err := result.Check(Observations{Phases: map[string]map[v1alpha1.ProcessingPhase]bool{"rr": phases}, Trails: trails})
		result.want(t, err, len(phases), lost, doubled)

		result = Result{Disruptions: 1, Accepted: 1}
		err = result.Check(Observations{Processed: []string{"rr"}, Trails: trails})
		result.want(t, err, 1, lost, doubled)
	}
	check(t, whole, 0, 0)
	check(t, nil, len(phases), 0)
	for i := range whole {
		check(t, without(whole, i), 1, 0)
		check(t, twice(whole, i), 0, 1)
	}
}

func (r *Result) want(tb testing.TB, err error, accepted, lost, doubled int) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	if r.Accepted != accepted || r.Lost != lost || r.Doubled != doubled || len(r.Findings) != lost+doubled {
		tb.Errorf("%+v, want %d accepted, %d lost, %d doubled", r, accepted, lost, doubled)
	}
	if failed := r.Err() != nil; failed != (lost+doubled > 0) {
		tb.Errorf("error %v", r.Err())
	}
}

func TestAnEmptyResultProvesNothing(t *testing.T) {
	if (&Result{Disruptions: 3}).Err() == nil {
		t.Error("no error although nothing was accepted")
	}
	if (&Result{Accepted: 3}).Err() == nil {
		t.Error("no error although nothing was killed or restarted")
	}
	result := Result{Disruptions: 1, Accepted: 2}
	if line := result.Line("torture gateway", "kills"); line != "torture gateway kills 1 accepted 2 lost 0 doubled 0" {
		t.Errorf("line %q", line)
	}
}

func TestUnreadableDataIsAnError(t *testing.T) {
	broken := map[string]testenv.Trail{"rr": {event(testenv.SignalReceived, `[]`)}}
	if (&Result{}).Check(Observations{Trails: broken}) == nil {
		t.Error("no error for a trail whose data cannot be read")
	}
}
