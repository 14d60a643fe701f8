package testenv

import (
	"fmt"
	"slices"
	"strings"

	"kubernaut.ai/api/v1alpha1"
)

// gatewayManager is the field manager of the requests that the Gateway makes.
const gatewayManager = "gateway"

// findings are what a diagnosis has found out about one correlation id.
type findings struct {
	id string
	// request and processing are nil where they are not there; the errors say
	// why nobody knows.
	request                   *v1alpha1.RemediationRequest
	processing                *v1alpha1.SignalProcessing
	requestErr, processingErr error
	// wasRead tells whether the spec has read the trail; read is what it read.
	wasRead bool
	read    Trail
	// stored is what was stored when the diagnosis began, flushed what is after
	// a flush of all services.
	stored, flushed     Trail
	storedErr, flushErr error
	// states are from before that flush.
	states []StoreState
}

// latest is the trail as far as it is known.
func (f *findings) latest() Trail {
	if f.flushErr == nil {
		return f.flushed
	}
	return f.stored
}

// expected are the events that what can be seen vouches for: an event is
// recorded before the status that shows it.
func (f *findings) expected() []string {
	var events []string
	if f.madeByGateway() {
		events = append(events, SignalReceived, RequestCreated)
	}
	if f.processing != nil {
		events = append(events, eventsOf(StepsTo(f.processing.Status.Phase))...)
	}
	return events
}

func (f *findings) madeByGateway() bool {
	if f.request == nil {
		return false
	}
	for i := range f.request.ManagedFields {
		if f.request.ManagedFields[i].Manager == gatewayManager {
			return true
		}
	}
	return false
}

// lacks are the expected events that a trail does not have.
func (f *findings) lacks(t Trail) []string {
	said := t.said()
	return slices.DeleteFunc(f.expected(), func(event string) bool { return slices.Contains(said, event) })
}

// summary says first where the pipeline stopped, then how far each part of it came.
func (f *findings) summary() string {
	var text strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&text, format+"\n", args...) }
	line("where the pipeline of %s stopped:", f.id)
	for _, verdict := range f.verdicts() {
		line("  * %s", verdict)
	}
	line("  signal       %s", f.signalState())
	line("  request      %s", f.requestState())
	line("  processing   %s", f.processingState())
	for _, d := range f.states {
		line("  pending      %s", d)
	}
	line("  DataStorage  %s", f.storageState())
	return text.String()
}

// verdicts are sentences, the most telling first.
func (f *findings) verdicts() []string {
	var texts []string
	if f.storedErr == nil {
		texts = append(texts, f.missing()...)
		texts = append(texts, f.late()...)
		texts = append(texts, f.latest().repeated()...)
	} else {
		texts = append(texts, fmt.Sprintf("DataStorage does not say what is stored: %v%s", f.storedErr, f.pendingIn(false)))
	}
	if stopped := f.stopped(); stopped != "" {
		texts = append(texts, stopped)
	}
	if len(texts) == 0 {
		texts = append(texts, "nowhere: whatever the resources show is stored")
	}
	return texts
}

// missing distinguishes pending events from events that are lost.
func (f *findings) missing() []string {
	events := f.lacks(f.latest())
	if len(events) == 0 {
		return nil
	}
	what := areNot(events) + " stored, although the resources show what " + it(events)
	switch {
	case f.flushErr != nil:
		return []string{fmt.Sprintf("%s%s; a flush proved nothing: %v", what, f.pendingIn(false), f.flushErr)}
	case f.pendingIn(true) != "":
		return []string{what + f.pendingIn(true) + "; a flush has succeeded since, and so it proved what is not true"}
	default:
		return []string{what + ", and every service has proved by its flush that none of its events is pending: " + never(events)}
	}
}

// late are events that the spec did not find, but which are there now.
func (f *findings) late() []string {
	var texts []string
	found := func(events []string) []string {
		said := f.latest().said()
		return slices.DeleteFunc(events, func(event string) bool { return !slices.Contains(said, event) })
	}
	if unread := found(f.lacks(f.read)); f.wasRead && len(unread) > 0 {
		texts = append(texts, strings.Join(unread, ", ")+": stored, but not in the trail that the spec read: "+
			"either the spec read it before it had seen what shows them, or its flush proved what was not true")
	}
	if pending := found(f.lacks(f.stored)); f.flushErr == nil && len(pending) > 0 {
		texts = append(texts, strings.Join(pending, ", ")+": pending until this diagnosis flushed"+f.pendingIn(false))
	}
	return texts
}

func areNot(events []string) string {
	if len(events) == 1 {
		return events[0] + " is not"
	}
	return strings.Join(events, ", ") + " are not"
}

func it(events []string) string {
	if len(events) == 1 {
		return "it tells"
	}
	return "they tell"
}

func never(events []string) string {
	if len(events) == 1 {
		return "it was never recorded, or it was lost"
	}
	return "they were never recorded, or they were lost"
}

// stopped says which resource did not get further.
func (f *findings) stopped() string {
	switch received := len(f.latest().Of(SignalReceived)) > 0; {
	case f.requestErr != nil || f.processingErr != nil:
		return "" // the lines say it
	case f.request == nil && f.processing == nil && received:
		return "the Gateway took the signal, but there is no request: it was not created, or was deleted since"
	case f.request == nil && f.processing == nil && len(f.latest()) > 0:
		return "" // a trail without a request, as that of a refusal
	case f.request == nil && f.processing == nil:
		return "nothing is known of it: the Gateway has not taken a signal for it, and nobody has made a request"
	case f.processing == nil:
		return "the request is there, but SignalProcessing has not begun with it"
	case f.processing.Status.Phase == v1alpha1.ProcessingFailed:
		return "processing failed: " + f.processing.Status.Message
	case f.processing.Status.Phase != v1alpha1.ProcessingCompleted:
		return "processing has not got beyond its phase " + phaseOf(f.processing)
	case f.request != nil && (f.request.Status.Phase == "" || f.request.Status.Phase == v1alpha1.RemediationPending || f.request.Status.Phase == v1alpha1.RemediationProcessing):
		return fmt.Sprintf("processing is complete, but the request still shows phase %q", f.request.Status.Phase)
	}
	return ""
}

func phaseOf(sp *v1alpha1.SignalProcessing) string {
	if sp.Status.Phase == "" {
		return string(v1alpha1.ProcessingPending)
	}
	return string(sp.Status.Phase)
}

// pendingIn names the services that may hold what is missing: those with pending
// events, or only those with events that are pending for longer than usual.
func (f *findings) pendingIn(unusual bool) string {
	var texts []string
	for _, d := range f.states {
		if !d.healthy() || !unusual && d.Pending > 0 {
			texts = append(texts, d.String())
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return "; " + strings.Join(texts, "; ")
}

func (f *findings) signalState() string {
	received := len(f.latest().Of(SignalReceived))
	switch {
	case received > 0:
		return fmt.Sprintf("accepted by the Gateway, %s is stored %d times", SignalReceived, received)
	case f.storedErr != nil:
		return "nobody knows, as DataStorage does not answer"
	case f.madeByGateway():
		return "accepted by the Gateway, which made a request of it"
	case f.request != nil:
		return "none: the request was made by hand"
	default:
		return "not accepted by the Gateway"
	}
}

func (f *findings) requestState() string {
	switch {
	case f.requestErr != nil:
		return f.requestErr.Error()
	case f.request == nil:
		return "there is none"
	default:
		return fmt.Sprintf("%s/%s in phase %q %s", f.request.Namespace, f.request.Name, f.request.Status.Phase, f.request.Status.Message)
	}
}

func (f *findings) processingState() string {
	switch {
	case f.processingErr != nil:
		return f.processingErr.Error()
	case f.processing == nil:
		return "there is none"
	default:
		return fmt.Sprintf("in phase %s, attempt %d %s", phaseOf(f.processing), f.processing.Status.Attempt, f.processing.Status.Message)
	}
}

func (f *findings) storageState() string {
	switch {
	case f.storedErr != nil:
		return "fails: " + f.storedErr.Error()
	case f.flushErr != nil:
		return fmt.Sprintf("answers: %d events are stored; a flush failed", len(f.stored))
	default:
		return fmt.Sprintf("answers: %d events were stored, %d after a flush", len(f.stored), len(f.flushed))
	}
}
