package reconstruct

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
)

// Builder reads a trail, event by event. It keeps the request and what it has to know of the events before, which
// does not grow with their number beyond what a request lists.
type Builder struct {
	request *v1alpha1.RemediationRequest
	result  Result

	created    bool // typeCreated was read
	seen       map[string]bool
	executions map[string]*execution              // by name
	dropped    int                                // executions beyond maxExecutions
	instances  bool                               // a signal after the first changed what fires
	before     *v1alpha1.RemediationRequestStatus // where the request was when it ended
}

// maxExecutions bounds the executions of one request whose steps are checked.
const maxExecutions = 1000

// maxGaps bounds the gaps that are listed.
const maxGaps = 100

// execution is which events of an execution were read.
type execution struct{ requested, approved, started, executed bool }

// New begins with a request of which only the name is known: it is the trail's correlation id.
func New(name string) *Builder {
	rr := &v1alpha1.RemediationRequest{}
	rr.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("RemediationRequest"))
	rr.Name = name
	return &Builder{request: rr, seen: map[string]bool{}, executions: map[string]*execution{}}
}

// Add reads the next event. Events come in the order of their times.
func (b *Builder) Add(e *datastorage.StoredEvent) {
	b.result.Events++
	switch {
	case e.Foreign:
		b.result.Foreign++
		return
	case e.RecorderUnchecked:
		b.result.Unchecked++
	}
	read, known := readers[e.EventType]
	if !known {
		return
	}
	b.result.Known++
	b.seen[e.EventType] = true
	if e.ErasedAt != nil {
		b.missingf("", "event %s (%s) was erased on %s", e.EventId, e.EventType, e.ErasedAt.UTC().Format(time.DateOnly))
		return
	}
	if err := read(b, e); err != nil {
		b.missingf("", "event %s (%s) cannot be read: %v", e.EventId, e.EventType, err)
	}
}

// Cut notes that the trail goes on, and how many events of it were read.
func (b *Builder) Cut(events int) {
	b.missingf("", "the trail goes on after its first %d events, which were read", events)
}

// readers are the events that change what a request is. All others tell its story only.
var readers = map[string]func(*Builder, *datastorage.StoredEvent) error{
	typeCreated:      with((*Builder).create),
	typeReceived:     with((*Builder).received),
	typeDeduplicated: with((*Builder).deduplicated),
	typeResolved:     with((*Builder).resolved),
	typeTransition:   with((*Builder).transition),
	typeEnriched:     noted,
	typeClassified:   noted,
	typeBusiness:     noted,
	typeProcessed:    with((*Builder).processed),
	typeReclassified: with((*Builder).reclassified),
	typeSkippedBySP:  with((*Builder).ended),
	typeSelected:     with((*Builder).selected),
	typeRequested:    with((*Builder).requested),
	typeApproved:     with((*Builder).approved),
	typeStarted:      with((*Builder).started),
	typeExecuted:     with((*Builder).executed),
	typeFailed:       with((*Builder).failed),
	typeVerifying:    with((*Builder).verifying),
	typeEffective:    with((*Builder).verifying),
	typeIneffective:  with((*Builder).verifying),
	typeReview:       with((*Builder).review),
	typeRetried:      with((*Builder).retried),
	typeClosed:       with((*Builder).closed),
	typeCompleted:    with((*Builder).ended),
	typeSkipped:      with((*Builder).ended),
}

// noted is for events of which only the presence counts.
func noted(*Builder, *datastorage.StoredEvent) error { return nil }

// with decodes the data of an event for its reader.
func with[T any](read func(*Builder, *datastorage.StoredEvent, *T)) func(*Builder, *datastorage.StoredEvent) error {
	return func(b *Builder, e *datastorage.StoredEvent) error {
		var data T
		if err := json.Unmarshal(e.EventData, &data); err != nil {
			return fmt.Errorf("decode its data: %w", err)
		}
		read(b, e, &data)
		return nil
	}
}

func (b *Builder) missingf(field, format string, args ...any) {
	if b.result.Lost++; b.result.Lost <= maxGaps {
		b.result.Missing = append(b.result.Missing, Gap{Field: field, Reason: fmt.Sprintf(format, args...)})
	}
}

func (b *Builder) approximate(field, reason string) {
	b.result.Approximate = append(b.result.Approximate, Gap{Field: field, Reason: reason})
}

// needf counts a part, and notes it as missing if the trail does not tell it.
func (b *Builder) needf(told bool, field, format string, args ...any) {
	if told {
		b.result.Rebuilt++
		return
	}
	b.missingf(field, format, args...)
}

func at(e *datastorage.StoredEvent) *metav1.MicroTime { return micro(e.EventTimestamp) }

func micro(t time.Time) *metav1.MicroTime {
	m := metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
	return &m
}

// Types are the types of the events that are read, sorted.
func Types() []string { return slices.Sorted(maps.Keys(readers)) }
