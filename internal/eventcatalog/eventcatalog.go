// Package eventcatalog describes the platform's audit events: a JSON Schema for the data of each
// type, made from the Go type that is recorded, and the page docs/events.md.
//
// A service lists its events in its package events. That is why a schema cannot differ from what
// is recorded: there is no second description.
package eventcatalog

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"kubernaut.ai/pkg/audit"
)

// Entry describes the events of one type.
type Entry struct {
	// Type is the event_type.
	Type string
	// When says when the event is recorded, as a clause without a full stop.
	When string
	// Trail says what the correlation id is; empty means the name of the RemediationRequest.
	Trail string
	// Outcomes are those that the event may have.
	Outcomes []audit.Outcome
	// Data holds a value of each Go type that the event's data may have; at least one.
	Data []any
}

// Service is the first word of the type.
func (e *Entry) Service() string {
	service, _, _ := strings.Cut(e.Type, ".")
	return service
}

// Catalog is a set of entries, sorted by type.
type Catalog []Entry

// Join makes one catalog of those of several services. Each type may be listed once only.
func Join(parts ...[]Entry) (Catalog, error) {
	all := Catalog(slices.Concat(parts...))
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Type, b.Type) })
	for i := range all {
		e := &all[i]
		switch {
		case i > 0 && all[i-1].Type == e.Type:
			return nil, fmt.Errorf("event type %s is listed twice", e.Type)
		case e.When == "" || len(e.Outcomes) == 0 || len(e.Data) == 0:
			return nil, fmt.Errorf("event type %s: say when it is recorded, with which outcomes and which data", e.Type)
		}
	}
	return all, nil
}

// Find returns the entry of a type, nil if there is none.
func (c Catalog) Find(eventType string) *Entry {
	for i := range c {
		if c[i].Type == eventType {
			return &c[i]
		}
	}
	return nil
}

// Schema returns the JSON Schema (draft 2020-12) of the entry's data. It accepts fields that it
// does not list, since a later version may add some, unless it is strict. comments describes the fields.
func (e *Entry) Schema(comments *Comments, strict bool) (*jsonschema.Schema, error) {
	schemas := make([]*jsonschema.Schema, 0, len(e.Data))
	for _, data := range e.Data {
		t := reflect.TypeOf(data)
		s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: wellKnown()})
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", e.Type, err)
		}
		if err := comments.describe(s, t); err != nil {
			return nil, fmt.Errorf("schema of %s: %w", e.Type, err)
		}
		if !strict {
			open(s)
		}
		schemas = append(schemas, s)
	}
	result := schemas[0]
	if len(schemas) > 1 {
		result = &jsonschema.Schema{AnyOf: schemas}
	}
	result.Schema = "https://json-schema.org/draft/2020-12/schema"
	result.Title, result.Description = e.Type, sentence(e.When)
	return result, nil
}

// open lets objects with listed properties have others.
func open(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if len(s.Properties) > 0 || s.AdditionalProperties != nil && reflect.DeepEqual(s.AdditionalProperties, &jsonschema.Schema{Not: &jsonschema.Schema{}}) {
		s.AdditionalProperties = nil
	}
	for _, p := range s.Properties {
		open(p)
	}
	open(s.Items)
	open(s.AdditionalProperties)
}

func sentence(clause string) string {
	return strings.ToUpper(clause[:1]) + clause[1:] + "."
}
