// Package story tells what an audit event says, in one sentence.
package story

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/printable"
)

// maxValue bounds a value in a sentence, in bytes.
const maxValue = 200

var (
	// optional is a part of a template that is left out if a value in it is missing.
	optional = regexp.MustCompile(`\[[^\[\]]*\]`)
	value    = regexp.MustCompile(`\{([a-zA-Z0-9_.@]+\??)\}`)
)

// Tell returns the sentence of an event. One of an unknown type is told by its action and
// resource. The sentence controls no terminal: senders chose many of its words.
func Tell(e *datastorage.StoredEvent) string {
	if e.ErasedAt != nil {
		return printable.Line(e.EventAction + "; what it was about was erased on " + e.ErasedAt.UTC().Format(time.DateOnly) + ".")
	}
	template, known := sentences[e.EventType]
	if !known {
		template = "{@action}[ {@resource}]."
	}
	v := valuesOf(e)
	template = optional.ReplaceAllStringFunc(template, func(part string) string {
		for _, name := range value.FindAllStringSubmatch(part, -1) {
			path, condition := strings.CutSuffix(name[1], "?")
			found := v.find(path)
			if found == "" || condition && (found == "0" || found == "false") {
				return ""
			}
			if condition {
				part = strings.Replace(part, name[0], "", 1)
			}
		}
		return part[1 : len(part)-1]
	})
	text := value.ReplaceAllStringFunc(template, func(name string) string {
		found := v.find(name[1 : len(name)-1])
		if found == "" {
			return "something unnamed"
		}
		return found
	})
	return printable.Line(text)
}

// Known reports whether there is a sentence for a type.
func Known(eventType string) bool {
	_, known := sentences[eventType]
	return known
}

// values are those that a sentence can name: fields of the event with @, and paths in its data.
type values struct {
	event map[string]string
	data  map[string]any
}

func valuesOf(e *datastorage.StoredEvent) values {
	v := values{event: map[string]string{
		"@action":  e.EventAction,
		"@outcome": string(e.EventOutcome),
		"@actor":   Actor(e),
		"@error":   text(e.ErrorMessage),
	}}
	if e.ResourceType != nil && e.ResourceId != nil {
		v.event["@resource"] = *e.ResourceType + " " + *e.ResourceId
	}
	// Data of another shape has no values.
	_ = json.Unmarshal(e.EventData, &v.data)
	return v
}

// Actor names who acted, or who recorded the event.
func Actor(e *datastorage.StoredEvent) string {
	if e.ActorId != nil && *e.ActorId != "" {
		return *e.ActorId
	}
	return text(e.RecordedBy)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// find returns a value as text, "" if it is missing.
func (v values) find(path string) string {
	if strings.HasPrefix(path, "@") {
		return bounded(v.event[path])
	}
	var at any = v.data
	for step := range strings.SplitSeq(path, ".") {
		switch object := at.(type) {
		case map[string]any:
			at = object[step]
		case []any:
			if n, err := strconv.Atoi(step); err == nil && n < len(object) {
				at = object[n]
			} else {
				return ""
			}
		default:
			return ""
		}
	}
	switch found := at.(type) {
	case nil:
		return ""
	case string:
		return bounded(found)
	case float64:
		return strconv.FormatFloat(found, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(found)
	case []any:
		return strconv.Itoa(len(found))
	default:
		return ""
	}
}

func bounded(s string) string {
	if len(s) <= maxValue {
		return s
	}
	return strings.ToValidUTF8(s[:maxValue], "") + "…"
}
