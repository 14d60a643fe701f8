// Package eventschema holds the JSON Schemas of event types: those of the platform, which are
// published, and those that users register in a folder, which DataStorage enforces at ingest.
package eventschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	platform "kubernaut.ai/api/events"
)

// Bounds of what users register.
const (
	maxSchemas     = 500
	maxSchemaBytes = 256 << 10
	extension      = ".json"
)

// Schema is the schema of the data of one event type.
type Schema struct {
	EventType string
	// Text is the schema, a JSON object.
	Text json.RawMessage
	// Enforced: events that do not conform are refused. False for those of the platform, whose
	// events are made from the same source as their schemas.
	Enforced bool

	resolved *jsonschema.Resolved
}

// Set is a set of schemas, at most one for a type.
type Set struct {
	byType map[string]*Schema
	sorted []*Schema
}

// All returns the schemas, sorted by type.
func (s *Set) All() []*Schema { return s.sorted }

// Find returns the schema of a type, nil if there is none.
func (s *Set) Find(eventType string) *Schema { return s.byType[eventType] }

// Check returns why the data of an event does not conform to the schema that a user registered for its
// type; nil if there is none.
func (s *Set) Check(eventType string, data []byte) error {
	found := s.byType[eventType]
	if found == nil || !found.Enforced {
		return nil
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return fmt.Errorf("event_data: %w", err)
	}
	if err := found.resolved.Validate(value); err != nil {
		return fmt.Errorf("event_data does not conform to the schema that is registered for %s: %w", eventType, err)
	}
	return nil
}

// typeName is the form of an event type; it is also a file name without surprises.
var typeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+$`)

// Load reads the schemas of the platform and those in a folder; without a folder only the first.
// Every file that cannot be used is named in the error.
func Load(dir string) (*Set, error) {
	texts, err := platformSchemas()
	if err != nil {
		return nil, err
	}
	set := &Set{byType: texts}
	if dir != "" {
		if err := set.register(dir); err != nil {
			return nil, err
		}
	}
	for _, s := range set.byType {
		set.sorted = append(set.sorted, s)
	}
	slices.SortFunc(set.sorted, func(a, b *Schema) int { return strings.Compare(a.EventType, b.EventType) })
	return set, nil
}

func platformSchemas() (map[string]*Schema, error) {
	found := make(map[string]*Schema)
	entries, err := fs.ReadDir(platform.Schemas, platform.Dir)
	if err != nil {
		return nil, fmt.Errorf("read the platform's schemas: %w", err)
	}
	for _, entry := range entries {
		text, err := fs.ReadFile(platform.Schemas, platform.Dir+"/"+entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read the platform's schemas: %w", err)
		}
		eventType := strings.TrimSuffix(entry.Name(), extension)
		found[eventType] = &Schema{EventType: eventType, Text: text}
	}
	return found, nil
}

// register adds the schemas of a folder. A ConfigMap that is mounted has hidden entries beside its
// files, which are skipped, as are files of other kinds.
func (s *Set) register(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read event schemas: %w", err)
	}
	var faults []error
	registered := 0
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || filepath.Ext(name) != extension {
			continue
		}
		if registered++; registered > maxSchemas {
			return fmt.Errorf("%s has more than %d event schemas", dir, maxSchemas)
		}
		schema, err := read(dir, name)
		if err == nil && s.byType[schema.EventType] != nil {
			err = errors.New("the platform records this type, and publishes its schema: register other types")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("event schema %s: %w", filepath.Join(dir, name), err))
			continue
		}
		s.byType[schema.EventType] = schema
	}
	return errors.Join(faults...)
}

func read(dir, name string) (*Schema, error) {
	eventType := strings.TrimSuffix(name, extension)
	if !typeName.MatchString(eventType) {
		return nil, errors.New("the file must be named after the event type, as in shop.order.placed.json")
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	if len(text) > maxSchemaBytes {
		return nil, fmt.Errorf("has %d bytes, at most %d are taken", len(text), maxSchemaBytes)
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] != '{' {
		return nil, errors.New("must be a JSON object")
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(text, &schema); err != nil {
		return nil, fmt.Errorf("is no JSON Schema: %w", err)
	}
	// Without a loader a reference to another document is an error: nothing is fetched.
	resolved, err := schema.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		return nil, fmt.Errorf("is no usable JSON Schema (draft 2020-12 or 7, without references to other documents): %w", err)
	}
	return &Schema{EventType: eventType, Text: text, Enforced: true, resolved: resolved}, nil
}
