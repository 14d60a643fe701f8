package mustgather

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"kubernaut.ai/internal/printable"
)

const (
	recentFailures = 20          // timelines of failed requests that were not named
	oldestStuck    = 5           // likewise, of requests without progress
	stuckAfter     = time.Minute // for at least so long
)

// request is what timelines need to know of one of our objects.
type request struct {
	id, kind, name, phase, message string
	// created, started and completed are RFC 3339; started and completed may be empty.
	created, started, completed string
	conditions                  []moment
}

// moment is a dated change.
type moment struct{ time, text string }

// remember keeps what timelines need.
func (r *run) remember(object *unstructured.Unstructured) {
	field := func(path ...string) string {
		text, _, _ := unstructured.NestedString(object.Object, path...)
		return text
	}
	known := request{
		id:   cmp.Or(field("spec", "remediationRequestRef", "name"), field("spec", "request", "name"), object.GetName()),
		kind: strings.ToLower(object.GetKind()),
		name: object.GetNamespace() + "/" + object.GetName(), phase: field("status", "phase"), message: printable.Line(field("status", "message")),
		created: field("metadata", "creationTimestamp"), started: field("status", "startedAt"), completed: cmp.Or(field("status", "completedAt"), field("status", "finishedAt")),
	}
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, condition := range conditions {
		fields, _ := condition.(map[string]any)
		text := func(name string) string { text, _ := fields[name].(string); return text }
		known.conditions = append(known.conditions, moment{
			time: text("lastTransitionTime"),
			text: fmt.Sprintf("%s=%s %s: %s", text("type"), text("status"), text("reason"), printable.Line(text("message"))),
		})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, known)
}

// moments are the dated changes of an object.
func (q *request) moments() []moment {
	all := []moment{{q.created, "created"}}
	if q.started != "" {
		all = append(all, moment{q.started, "started"})
	}
	if q.completed != "" {
		all = append(all, moment{q.completed, "completed as " + q.phase + ": " + q.message})
	}
	return append(all, q.conditions...)
}

// chooseIDs returns the correlation ids that get a timeline: those that were named, the newest that need a person, and
// the oldest that are stuck, because requests rather wait than fail when something is broken.
func chooseIDs(named []string, requests []request, now time.Time, since time.Duration) []string {
	begin, stuck := now.Add(-since).UTC().Format(time.RFC3339), now.Add(-stuckAfter).UTC().Format(time.RFC3339)
	var failed, waiting []request
	for i := range requests {
		q := &requests[i]
		switch q.phase {
		case "ManualReview":
			if cmp.Or(q.completed, q.created) >= begin {
				failed = append(failed, *q)
			}
		case "", "Pending", "Processing":
			if q.kind == "remediationrequest" && q.created >= begin && q.created < stuck {
				waiting = append(waiting, *q)
			}
		}
	}
	slices.SortStableFunc(failed, func(a, b request) int {
		return cmp.Compare(cmp.Or(b.completed, b.created), cmp.Or(a.completed, a.created))
	})
	slices.SortStableFunc(waiting, func(a, b request) int { return cmp.Compare(a.created, b.created) })
	var ids []string
	add := func(candidates []request, most int) {
		seen := map[string]bool{}
		for i := range candidates {
			if id := candidates[i].id; !seen[id] && len(seen) < most {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	ids = append(ids, named...)
	add(failed, recentFailures)
	add(waiting, oldestStuck)
	seen := map[string]bool{}
	return slices.DeleteFunc(ids, func(id string) bool {
		again := seen[id]
		seen[id] = true
		return again
	})
}
