package testenv

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
)

// whole is the trail of a processed signal.
func whole() Trail {
	event := func(eventType, data string) datastorage.StoredEvent {
		return datastorage.StoredEvent{EventId: uuid.New(), EventType: eventType, EventData: json.RawMessage(data)}
	}
	t := Trail{event(SignalReceived, `{}`), event(RequestCreated, `{}`)}
	for _, s := range Steps {
		for _, work := range s.Work {
			t = append(t, event(work, `{}`))
		}
		t = append(t, event(PhaseTransition, fmt.Sprintf(`{"from":%q,"to":%q}`, s.From, s.To)))
	}
	return t
}

// withoutType is a trail without the events of one type.
func withoutType(t Trail, eventType string) Trail {
	var rest Trail
	for i := range t {
		if t[i].EventType != eventType {
			rest = append(rest, t[i])
		}
	}
	return rest
}

// processed are the findings about a signal with which all is well; change
// breaks something.
func processed(change func(*findings)) *findings {
	t := whole()
	f := &findings{
		id: "rr-1", stored: t, flushed: t,
		request: &v1alpha1.RemediationRequest{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr-1", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "gateway"}}},
			Status:     v1alpha1.RemediationRequestStatus{Phase: v1alpha1.RemediationClassified},
		},
		processing: &v1alpha1.SignalProcessing{Status: v1alpha1.SignalProcessingStatus{Phase: v1alpha1.ProcessingCompleted}},
		states:     []StoreState{{Service: "gateway-0"}, {Service: "signalprocessing-0"}},
	}
	if change != nil {
		change(f)
	}
	return f
}

const classified = "signalprocessing.business.classified"

func TestASummarySaysWhereThePipelineStopped(t *testing.T) {
	away := errors.New("query DataStorage: 503 Service Unavailable")
	for name, tc := range map[string]struct {
		change func(*findings)
		says   []string
	}{
		"all is well": {nil, []string{
			"where the pipeline of rr-1 stopped:\n  * nowhere: whatever the resources show is stored\n",
			"signal       accepted by the Gateway, gateway.signal.received is stored 1 times",
			`request      shop/rr-1 in phase "Classified"`, "processing   in phase Completed", "pending      gateway-0 has no pending events",
		}},
		"an event was never recorded": {func(f *findings) {
			f.stored = withoutType(f.stored, classified)
			f.flushed = f.stored
		}, []string{"* " + classified + " is not stored, although", "never recorded, or it was lost"}},
		"an event was never recorded, while others are": {func(f *findings) {
			f.stored = withoutType(f.stored, classified)
			f.flushed = f.stored
			f.states[1].Pending, f.states[1].Oldest = 3, 20*time.Millisecond
		}, []string{"* " + classified + " is not stored, although", "never recorded, or it was lost", "pending      signalprocessing-0 has 3 pending events"}},
		"several events were never recorded": {func(f *findings) {
			f.stored = f.stored[:2]
			f.flushed = f.stored
		}, []string{
			"* signalprocessing.phase.transition from Pending to Enriching, signalprocessing.enrichment.completed, ",
			" are not stored, although the resources show what they tell, and every service has proved by its flush that none of its events is pending: they were",
		}},
		"a flush that lies": {func(f *findings) {
			f.stored = withoutType(f.stored, classified)
			f.flushed = f.stored
			f.states[0].Pending, f.states[0].Oldest = 1, 20*time.Millisecond // of another spec
			f.states[1].Pending, f.states[1].Oldest = 3, 2*time.Second
		}, []string{
			classified + " is not stored, although the resources show what it tells; signalprocessing-0 has 3 pending events, the oldest for 2s; " +
				"a flush has succeeded since, and so it proved what is not true",
		}},
		"a flush that did nothing": {func(f *findings) {
			f.stored = withoutType(f.stored, classified)
			f.wasRead, f.read = true, f.stored
			f.states[1].Pending, f.states[1].Oldest = 3, 12*time.Second
		}, []string{
			classified + ": stored, but not in the trail that the spec read",
			classified + ": pending until this diagnosis flushed; signalprocessing-0 has 3 pending events, the oldest for 12s",
		}},
		"a sink that is down": {func(f *findings) {
			f.stored = withoutType(f.stored, classified)
			f.flushed, f.flushErr = nil, errors.New("pod signalprocessing-0: 1 of 1 events are still pending")
			f.states[1].Pending, f.states[1].SinkDown = 1, true
		}, []string{
			classified + " is not stored, although the resources show what it tells; signalprocessing-0 has 1 pending events, the oldest for 0s; its last write failed; a flush proved nothing: pod signalprocessing-0",
			"DataStorage  answers: 9 events are stored; a flush failed",
		}},
		"an event that was refused": {func(f *findings) {
			f.stored = withoutType(f.stored, classified)
			f.flushed = f.stored
			f.states[1].Unacknowledged = 1
		}, []string{classified + " is not stored, although the resources show what it tells; signalprocessing-0 has no pending events; 1 of its events were rejected or lost"}},
		"DataStorage is down": {func(f *findings) {
			f.stored, f.storedErr = nil, away
			f.flushed, f.flushErr = nil, away
			f.states[0].Err = errors.New("no answer")
		}, []string{
			"* DataStorage does not say what is stored: query DataStorage: 503 Service Unavailable; pending events of gateway-0 are unknown: no answer",
			"signal       nobody knows", "DataStorage  fails: query DataStorage: 503",
		}},
		"no signal": {func(f *findings) {
			*f = findings{id: "rr-1"}
		}, []string{"* nothing is known of it", "signal       not accepted", "request      there is none", "processing   there is none"}},
		"no request": {func(f *findings) {
			f.request, f.processing = nil, nil
			f.stored = f.stored[:1]
			f.flushed = f.stored
		}, []string{"the Gateway took the signal, but there is no request"}},
		"processing that has not begun": {func(f *findings) {
			f.processing = nil
		}, []string{"SignalProcessing has not begun"}},
		"processing that stopped": {func(f *findings) {
			f.processing.Status.Phase, f.processing.Status.Message = v1alpha1.ProcessingCategorizing, "the policies took too long"
			f.request.Status.Phase = v1alpha1.RemediationProcessing
			f.stored = f.stored[:7] // it has not got to the work of the last step
			f.flushed = f.stored
		}, []string{"* processing has not got beyond its phase Categorizing", "in phase Categorizing, attempt 0 the policies took too long"}},
		"processing that failed": {func(f *findings) {
			f.processing.Status.Phase, f.processing.Status.Message = v1alpha1.ProcessingFailed, "no"
		}, []string{"* processing failed: no"}},
		"a request that lags behind": {func(f *findings) {
			f.request.Status.Phase = v1alpha1.RemediationProcessing
		}, []string{`the request still shows phase "Processing"`}},
		"an event twice": {func(f *findings) {
			f.flushed = append(f.flushed, f.flushed[0])
		}, []string{"is there twice"}},
		"a request made by hand": {func(f *findings) {
			f.request.ManagedFields = nil
			f.stored = f.stored[2:]
			f.flushed = f.stored
		}, []string{"* nowhere", "signal       none: the request was made by hand"}},
		"an API server that is away": {func(f *findings) {
			f.request, f.requestErr = nil, errors.New("look for it: connection refused")
			f.processing, f.processingErr = nil, f.requestErr
		}, []string{"request      look for it: connection refused", "processing   look for it"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			text := processed(tc.change).summary()
			for _, says := range tc.says {
				g.Expect(text).To(ContainSubstring(says))
			}
		})
	}
}

func TestStepsAreLookedForEachOnce(t *testing.T) {
	g := NewWithT(t)
	all := whole()
	g.Expect(all).To(HaveSteps(Steps))
	g.Expect(all).To(BeProcessed(SignalReceived, RequestCreated))
	g.Expect(all).NotTo(BeProcessed(RequestCreated, SignalReceived), "another order")
	g.Expect(all).NotTo(BeProcessed(SignalReceived))
	for i := range all {
		shorter := append(append(Trail{}, all[:i]...), all[i+1:]...)
		longer := append(append(Trail{}, all...), all[i])
		g.Expect(shorter).NotTo(BeProcessed(SignalReceived, RequestCreated))
		g.Expect(longer).NotTo(BeProcessed(SignalReceived, RequestCreated))
		g.Expect(longer).NotTo(HaveSteps(Steps), "the same event twice")
		if i > 1 {
			g.Expect(shorter).NotTo(HaveSteps(Steps))
		}
	}
	g.Expect(StepsTo(v1alpha1.ProcessingClassifying)).To(HaveLen(2))
	g.Expect(StepsTo(v1alpha1.ProcessingPending)).To(BeEmpty())
	g.Expect(StepsTo(v1alpha1.ProcessingFailed)).To(BeEmpty())
	g.Expect(all[:5]).To(HaveSteps(StepsTo(v1alpha1.ProcessingClassifying)))
	g.Expect(HaveSteps(Steps).(trailMatcher).FailureMessage(all[:4])).To(ContainSubstring("signalprocessing.phase.transition from Enriching to Classifying is there 0 times"))
}
