package mustgather

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	ahocorasick "github.com/BobuSumisu/aho-corasick"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/printable"
)

const (
	maxEvents = 10000 // audit events of one timeline
	pageSize  = 500
	maxRow    = 4000 // bytes of text

	rowTime = "2006-01-02T15:04:05.000000Z"
	// wholeSecond is the time of a source without fractions.
	wholeSecond = "2006-01-02T15:04:05Z"
)

// row is one line of a timeline.
type row struct {
	at     time.Time
	shown  string
	source string
	text   string
}

// timeline merges the sources of one request.
type timeline struct {
	id   string
	logs []row
}

// timelines prepares a timeline of each chosen request, with the lines of logs.
func (r *run) timelines() []*timeline {
	ids := chooseIDs(r.CorrelationIDs, r.requests, time.Now(), r.Since)
	all := make([]*timeline, len(ids))
	for i, id := range ids {
		all[i] = &timeline{id: id}
	}
	if len(all) == 0 {
		return nil
	}
	trie := ahocorasick.NewTrieBuilder().AddStrings(ids).Build()
	for _, root := range []string{"namespaces", "extra"} {
		_ = filepath.WalkDir(filepath.Join(r.files.dir, root), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() || filepath.Ext(path) != ".log" {
				return nil //nolint:nilerr // what was not collected is not searched
			}
			if name, err := filepath.Rel(r.files.dir, path); err == nil {
				search(r.files.read(filepath.ToSlash(name)), "log "+logSource(filepath.ToSlash(name)), trie, all)
			}
			return nil
		})
	}
	return all
}

var logPath = regexp.MustCompile(`^namespaces/[^/]*/pods/([^/]*)/([^/]*)/.*/(current|previous)\.log$`)

// logSource is what a timeline calls a log.
func logSource(path string) string {
	match := logPath.FindStringSubmatch(path)
	if match == nil {
		return path
	}
	source := match[1] + "/" + match[2]
	if match[3] == "previous" {
		source += " (earlier)"
	}
	return source
}

// search adds the lines of a log to the timelines whose ids they mention. Lines without a time cannot be put in order.
func search(text, source string, ids *ahocorasick.Trie, all []*timeline) {
	for line := range strings.Lines(text) {
		var found []int64
		ids.Walk([]byte(line), func(_, _, pattern int64) bool {
			if !slices.Contains(found, pattern) {
				found = append(found, pattern)
			}
			return true
		})
		for _, pattern := range found {
			t := all[pattern]
			if !mentions(line, t.id) {
				continue
			}
			given, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
			if tab := strings.IndexByte(given, '\t'); tab >= 0 {
				given, rest = given[:tab], given[tab+1:]+" "+rest
			}
			if row, ok := newRow(given, source, strings.TrimLeft(rest, " \t"), false); ok {
				t.logs = append(t.logs, row)
			}
		}
	}
}

// mentions reports whether a text has an id, and not one that begins or ends with it.
func mentions(text, id string) bool {
	part := func(c byte) bool {
		return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
	}
	for from := 0; ; from++ {
		at := strings.Index(text[from:], id)
		if at < 0 {
			return false
		}
		from += at
		end := from + len(id)
		after := ""
		if end < len(text) {
			after = text[end:min(len(text), end+2)] //nolint:mnd // a dot, and what follows it
		}
		longer := after != "" && (part(after[0]) || len(after) > 1 && after[0] == '.' && part(after[1]) && after[1] != '_' && after[1] != '-')
		if (from == 0 || !part(text[from-1])) && !longer {
			return true
		}
	}
}

// timeForms are those of our sources: RFC 3339, and zap's ISO 8601.
var timeForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999"}

// newRow makes a line of a time in text form. A time without a fraction may be anywhere in its second: late is closer to
// the truth than early, except for a beginning.
func newRow(given, source, text string, beginning bool) (row, bool) {
	var at time.Time
	err := error(nil)
	for _, form := range timeForms {
		if at, err = time.Parse(form, given); err == nil {
			break
		}
	}
	if err != nil {
		return row{}, false
	}
	at = at.UTC()
	shown := at.Format(rowTime)
	if !strings.Contains(given, ".") {
		shown = at.Format(wholeSecond)
		if !beginning {
			at = at.Add(time.Second - time.Nanosecond)
		}
	}
	if text = printable.Line(text); len(text) > maxRow {
		text = strings.ToValidUTF8(text[:maxRow], "") + " (cut)"
	}
	return row{at: at, shown: shown, source: printable.Line(source), text: text}, true
}

// make writes the timeline.
func (t *timeline) make(ctx context.Context, s *step) error {
	rows, err := t.audit(ctx, s)
	trail := fmt.Sprintf("%d audit events", len(rows))
	if s.storage == nil {
		trail = "its audit events could not be read, see not-collected.txt"
	}
	var objects strings.Builder
	rows = append(rows, t.logs...)
	rows = append(rows, t.cluster(s)...)
	for i := range s.requests {
		q := &s.requests[i]
		if q.id != t.id {
			continue
		}
		fmt.Fprintf(&objects, "%s %s: %s", q.kind, q.name, cmp.Or(q.phase, "no phase"))
		if q.message != "" {
			objects.WriteString(": " + q.message)
		}
		objects.WriteString("\n")
		for _, m := range q.moments() {
			if row, ok := newRow(m.time, q.kind, m.text, m.text == "created"); ok {
				rows = append(rows, row)
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return a.at.Compare(b.at) })
	var out strings.Builder
	fmt.Fprintf(&out, "Correlation id %s; %s. Times are UTC. Timestamps with second precision are sorted to the end of their second.\n%s\n",
		printable.Line(t.id), trail, objects.String())
	for _, r := range rows {
		fmt.Fprintf(&out, "%-27s  %-28s  %s\n", r.shown, r.source, r.text)
	}
	if len(rows) == 0 {
		out.WriteString("No collected data mentions it.\n")
	}
	if saveErr := s.files.save("timelines/"+safeName(t.id)+".txt", out.String()); saveErr != nil {
		return saveErr
	}
	if err != nil {
		s.fail("audit events of "+t.id, err)
	}
	return nil
}

// cluster are the Kubernetes events about the request.
func (t *timeline) cluster(s *step) []row {
	var rows []row
	for i := range s.events {
		e := &s.events[i]
		if e.InvolvedObject.Name != t.id && !mentions(e.Message, t.id) {
			continue
		}
		text := fmt.Sprintf("%s %s %s/%s/%s (%dx): %q", e.Type, e.Reason, e.Namespace, e.InvolvedObject.Kind, e.InvolvedObject.Name, max(1, e.Count), e.Message)
		if row, ok := newRow(eventTime(e), "event", text, false); ok {
			rows = append(rows, row)
		}
	}
	return rows
}

// audit are the audit events. With an error, the first ones.
func (t *timeline) audit(ctx context.Context, s *step) ([]row, error) {
	if s.storage == nil {
		return nil, nil
	}
	command := "GET " + s.storage.url + "/api/v1/audit/events?order=asc&correlation_id=" + t.id
	limit, order := pageSize, datastorage.ListEventsParamsOrder("asc")
	var rows []row
	for event, err := range s.storage.reader.Query(ctx, datastorage.ListEventsParams{CorrelationId: &t.id, Limit: &limit, Order: &order}) {
		if err != nil {
			return rows, by(err, "%s", command)
		}
		if len(rows) == maxEvents {
			return rows, by(fmt.Errorf("there are more than %d; the first ones are in its timeline", maxEvents), "%s", command)
		}
		row, _ := newRow(event.EventTimestamp.UTC().Format(rowTime), "audit "+deref(event.ActorId), s.describe(&event), false)
		rows = append(rows, row)
	}
	return rows, nil
}

func deref[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// describe is an audit event in one line, without secrets.
func (s *step) describe(e *datastorage.StoredEvent) string {
	hidden := deref(e.IsSensitive) && !s.ShowSensitive
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s", e.EventType, e.EventOutcome)
	if e.ErrorCode != nil || e.ErrorMessage != nil {
		message := deref(e.ErrorMessage)
		if hidden && message != "" {
			message = "[redacted]"
		}
		fmt.Fprintf(&out, " error=%q", s.files.redact.Text(deref(e.ErrorCode)+": "+message))
	}
	if e.ResourceId != nil {
		fmt.Fprintf(&out, " resource=%s/%s", deref(e.ResourceType), *e.ResourceId)
	}
	if e.DurationMs != nil {
		fmt.Fprintf(&out, " duration_ms=%v", *e.DurationMs)
	}
	switch {
	case e.ErasedAt != nil:
		out.WriteString(" (erased " + e.ErasedAt.UTC().Format(time.RFC3339) + ")")
	case hidden:
		out.WriteString(" event_data=[redacted]")
	default:
		if data, err := s.files.redact.Data(e.EventData); err == nil {
			flatten(&out, "", data)
		}
	}
	switch {
	case e.Foreign:
		fmt.Fprintf(&out, " (not a part of the trail: %s may not write this type)", deref(e.RecordedBy))
	case e.RecorderUnchecked:
		fmt.Fprintf(&out, " (the permission of %s could not be checked)", deref(e.RecordedBy))
	}
	fmt.Fprintf(&out, " (event %s, received %s)", e.EventId, e.ReceivedAt.UTC().Format(time.RFC3339Nano))
	return out.String()
}

// flatten writes path=value for each value.
func flatten(out *strings.Builder, path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			flatten(out, strings.TrimPrefix(path+"."+name, "."), value[name])
		}
	case []any:
		for _, item := range value {
			flatten(out, path+"[]", item)
		}
	case string:
		if value == "" || strings.ContainsAny(value, " \n\t\"") {
			value = strconv.Quote(value)
		}
		out.WriteString(" " + path + "=" + value)
	default:
		text, _ := json.Marshal(value) //nolint:errchkjson // a number, a boolean or null
		out.WriteString(" " + path + "=" + string(text))
	}
}
