package reconstruct_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/meta"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/events"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/reconstruct"
)

// start is when the trail of these tests begins.
var start = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// trail makes events one second apart, each from its type and its data.
func trail(pairs ...string) []datastorage.StoredEvent {
	var all []datastorage.StoredEvent
	for i := 0; i < len(pairs); i += 2 {
		resource, name := "SignalProcessing", "rr-1"
		all = append(all, datastorage.StoredEvent{
			EventId: uuid.New(), EventType: pairs[i], EventTimestamp: start.Add(time.Duration(i/2) * time.Second),
			EventData: json.RawMessage(pairs[i+1]), ResourceType: &resource, ResourceId: &name,
		})
	}
	return all
}

const (
	target  = `{"apiVersion":"apps/v1","kind":"Deployment","name":"web","namespace":"shop"}`
	first   = `{"instance":"a000000000000000","severity":"warning","firing_time":"2026-03-01T11:59:00Z","target_resource":` + target + `}`
	request = `{"name":"rr-1","namespace":"shop","uid":"u-1","spec":{"signalFingerprint":"f","signalName":"CrashLoop","signalType":"alert",` +
		`"signalSource":"am","severity":"warning","targetResource":` + target + `,"firingTime":"2026-03-01T11:59:00.000000Z",` +
		`"receivedTime":"2026-03-01T12:00:00.000000Z","originalPayload":"{}"}}`
)

// remediated is the trail of a request that a person approved and that was remediated.
func remediated() []datastorage.StoredEvent {
	return trail(
		"gateway.signal.received", first,
		"gateway.crd.created", request,
		"signalprocessing.phase.transition", `{"from":"Pending","to":"Enriching"}`,
		"signalprocessing.enrichment.completed", `{}`,
		"signalprocessing.classification.decision", `{}`,
		"signalprocessing.business.classified", `{}`,
		"signalprocessing.signal.processed", `{"phase":"Completed","severity":"medium","environment":"test","priority":"P3"}`,
		"remediation.workflow.selected", `{}`,
		"remediation.approval.requested", `{"execution":"rr-1-1","approval":"required","workflow":{"name":"restart"}}`,
		"gateway.signal.deduplicated", first,
		"remediation.approval.approved", `{"execution":"rr-1-1"}`,
		"workflowexecution.execution.started", `{"execution":"rr-1-1"}`,
		"workflowexecution.execution.completed", `{"execution":"rr-1-1","message":"restarted"}`,
		"remediation.verification.started", `{"execution":"rr-1-1","execution_finished_at":"2026-03-01T12:00:12.500000Z"}`,
		"gateway.signal.resolved", first,
		"remediation.verification.passed", `{"execution":"rr-1-1","execution_finished_at":"2026-03-01T12:00:12.500000Z"}`,
		"remediation.request.completed", `{"from":"Verifying","to":"Completed","reason":"Effective","message":"it helped","execution":"rr-1-1"}`,
	)
}

func build(all []datastorage.StoredEvent) *reconstruct.Result {
	b := reconstruct.New("rr-1")
	for i := range all {
		b.Add(&all[i])
	}
	return b.Result()
}

func TestWhatNoTrailHasIsNamed(t *testing.T) {
	t.Parallel()
	named := slices.ContainsFunc(build(remediated()).Approximate, func(g reconstruct.Gap) bool {
		return g.Field == "metadata" && strings.Contains(g.Reason, "annotations")
	})
	if !named {
		t.Error("nothing says that labels and annotations are missing")
	}
}

func TestATrailWithoutEventsOfARequestIsToldApart(t *testing.T) {
	t.Parallel()
	if r := build(trail("signalprocessing.policy.loaded", `{}`)); r.Known != 0 || r.Events != 1 {
		t.Errorf("%d of %d events are about a request", r.Known, r.Events)
	}
	if r := build(remediated()); r.Known != r.Events {
		t.Errorf("%d of %d events are about a request", r.Known, r.Events)
	}
}

func TestACompleteTrailTellsTheRequest(t *testing.T) {
	t.Parallel()
	r := build(remediated())
	if r.Completeness() != 1 || r.Lost != 0 {
		t.Errorf("completeness %v, missing %v", r.Completeness(), r.Missing)
	}
	rr := r.Request
	if rr.Namespace != "shop" || rr.UID != "u-1" || rr.Spec.SignalName != "CrashLoop" || rr.Spec.TargetResource.Name != "web" {
		t.Errorf("request %+v", rr)
	}
	s := rr.Status
	if s.Phase != v1alpha1.RemediationCompleted || s.Severity != "medium" || s.Environment != "test" || s.Priority != "P3" ||
		s.ExecutionRef != "rr-1-1" || s.SignalProcessingRef != "rr-1" || s.Deduplication.OccurrenceCount != 2 || s.CompletedAt == nil {
		t.Errorf("status %+v", s)
	}
	if want := start.Add(12*time.Second + 500*time.Millisecond); s.RemediatedAt == nil || !s.RemediatedAt.Time.Equal(want) {
		t.Errorf("remediated at %v, want the end of the execution %v", s.RemediatedAt, want)
	}
	if s.Signals == nil || len(s.Signals.Instances) != 0 || s.Signals.EndedAt == nil {
		t.Errorf("signals %+v: the only instance resolved", s.Signals)
	}
}

// Each event that the request consists of is missed when it is not there.
func TestEachMissingEventIsNoticed(t *testing.T) {
	t.Parallel()
	// These change nothing that the events after them do not tell as well; after the last one the trail may go on.
	redundant := []string{"remediation.request.completed", "signalprocessing.phase.transition", "remediation.verification.started", "gateway.signal.deduplicated", "gateway.signal.resolved"}
	all := remediated()
	for i := range all {
		left := slices.Delete(slices.Clone(all), i, i+1)
		r := build(left)
		if noticed := r.Lost > 0 && r.Completeness() < 1; noticed == slices.Contains(redundant, all[i].EventType) {
			t.Errorf("without %s: completeness %v, missing %v", all[i].EventType, r.Completeness(), r.Missing)
		}
	}
}

func TestTheFieldsOfAMissingEventAreNamed(t *testing.T) {
	t.Parallel()
	for gone, fields := range map[string][]string{
		"gateway.crd.created":               {"metadata", "spec"},
		"gateway.signal.received":           {"status.deduplication"},
		"signalprocessing.signal.processed": {"status.severity", "status.environment", "status.priority"},
	} {
		all := slices.DeleteFunc(remediated(), func(e datastorage.StoredEvent) bool { return e.EventType == gone })
		r := build(all)
		for _, field := range fields {
			if !slices.ContainsFunc(r.Missing, func(g reconstruct.Gap) bool { return g.Field == field && strings.Contains(g.Reason, gone) }) {
				t.Errorf("without %s: %s is not named in %v", gone, field, r.Missing)
			}
		}
	}
}

// A signal may prevent an end whose event was recorded. The request goes on from where it was.
func TestAnEndThatWasPreventedIsNone(t *testing.T) {
	t.Parallel()
	const end = `{"from":"Classified","to":"Skipped","reason":"ResolvedBeforeExecution","message":"no instance of the signal fires any more"}`
	before, after := remediated()[:7], remediated()[7:]
	prevented := append(slices.Clone(before), trail("gateway.signal.resolved", first, "remediation.request.skipped", end, "gateway.signal.deduplicated", first)...)
	review := trail("remediation.manual_review.required", `{"from":"Classified","reason":"NoWorkflow","message":"none fits"}`)
	for name, test := range map[string]struct {
		rest  []datastorage.StoredEvent
		phase v1alpha1.RemediationPhase
	}{
		"a proposal":  {after, v1alpha1.RemediationCompleted},
		"a review":    {review, v1alpha1.RemediationManualReview},
		"another end": {trail("remediation.request.skipped", end), v1alpha1.RemediationSkipped},
	} {
		r := build(append(slices.Clone(prevented), test.rest...))
		s := r.Request.Status
		finished := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionFinished)
		if r.Lost > 0 || s.Phase != test.phase || (finished != nil) != s.Phase.Terminal() || (s.CompletedAt != nil) != s.Phase.Terminal() {
			t.Errorf("%s: phase %s, %+v, completed at %v, missing %v", name, s.Phase, finished, s.CompletedAt, r.Missing)
		}
	}
}

func TestEventsOfOthersAreNotUsed(t *testing.T) {
	t.Parallel()
	all := append(remediated(), trail("remediation.request.retried", `{"from":"Completed","command_uid":"c"}`)...)
	all[len(all)-1].Foreign = true
	all[0].RecorderUnchecked = true
	r := build(all)
	if r.Request.Status.Phase != v1alpha1.RemediationCompleted || r.Foreign != 1 || r.Unchecked != 1 || r.Events != len(all) {
		t.Errorf("phase %s, %d foreign, %d unchecked", r.Request.Status.Phase, r.Foreign, r.Unchecked)
	}
}

func TestALostStepIsSeenByWhatTheNextEventSays(t *testing.T) {
	t.Parallel()
	r := build(trail(
		"gateway.signal.received", first,
		"gateway.crd.created", request,
		"remediation.manual_review.required", `{"from":"Executing","reason":"ExecutionFailed","message":"it failed","execution":"rr-1-1"}`,
	))
	if !slices.ContainsFunc(r.Missing, func(g reconstruct.Gap) bool {
		return strings.Contains(g.Reason, "in phase Executing") && strings.Contains(g.Reason, "lead to phase Pending")
	}) {
		t.Errorf("missing %v", r.Missing)
	}
	if r.Request.Status.Phase != v1alpha1.RemediationManualReview || r.Request.Status.ExecutionRef != "rr-1-1" {
		t.Errorf("status %+v", r.Request.Status)
	}
}

func TestUnusableDataIsAGapAndGapsAreBounded(t *testing.T) {
	t.Parallel()
	all := make([]datastorage.StoredEvent, 0, 150)
	for range 150 {
		all = append(all, trail("remediation.approval.approved", `{"execution":7}`)...)
	}
	r := build(all)
	if len(r.Missing) != 100 || r.Lost < 150 {
		t.Errorf("%d gaps are listed of %d", len(r.Missing), r.Lost)
	}
	if !strings.Contains(r.Missing[0].Reason, all[0].EventId.String()) {
		t.Errorf("the first gap is %v", r.Missing[0])
	}
}

func TestASilentRequestHasOneInstanceWithoutAList(t *testing.T) {
	t.Parallel()
	r := build(remediated()[:2])
	if r.Request.Status.Signals != nil || r.Request.Status.Phase != v1alpha1.RemediationPending || r.Completeness() != 1 {
		t.Errorf("status %+v, missing %v", r.Request.Status, r.Missing)
	}
}

// The types that are read are types that the platform records, and their examples can be read.
func TestTheExamplesOfTheCatalogCanBeRead(t *testing.T) {
	t.Parallel()
	for _, typ := range reconstruct.Types() {
		if _, err := events.Schemas.ReadFile(events.Dir + "/" + typ + ".json"); err != nil {
			t.Errorf("no event has the type %s: %v", typ, err)
		}
		text, err := os.ReadFile(fmt.Sprintf("../../api/events/examples/%s.json", typ))
		if os.IsNotExist(err) {
			continue
		}
		var e datastorage.StoredEvent
		if err == nil {
			err = json.Unmarshal(text, &e)
		}
		if err != nil {
			t.Fatal(err)
		}
		if r := build([]datastorage.StoredEvent{e}); slices.ContainsFunc(r.Missing, func(g reconstruct.Gap) bool { return strings.Contains(g.Reason, "cannot be read") }) {
			t.Errorf("%s: %v", typ, r.Missing)
		}
	}
}
