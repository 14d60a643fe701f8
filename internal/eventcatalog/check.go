package eventcatalog

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"

	"kubernaut.ai/pkg/audit"
)

// Checker compares events with the catalog.
type Checker struct {
	catalog Catalog
	schemas map[string]*jsonschema.Resolved
}

// NewChecker returns a Checker that refuses fields that the catalog does not list.
func NewChecker(catalog Catalog, comments *Comments) (*Checker, error) {
	c := &Checker{catalog: catalog, schemas: make(map[string]*jsonschema.Resolved, len(catalog))}
	for i := range catalog {
		e := &catalog[i]
		schema, err := e.Schema(comments, true)
		if err != nil {
			return nil, err
		}
		if c.schemas[e.Type], err = schema.Resolve(nil); err != nil {
			return nil, fmt.Errorf("schema of %s: %w", e.Type, err)
		}
	}
	return c, nil
}

// Check returns an error if an event of a type of the catalog has another outcome or other data than
// the catalog says. Other types pass.
func (c *Checker) Check(eventType string, outcome audit.Outcome, data []byte) error {
	e := c.catalog.Find(eventType)
	if e == nil {
		return nil
	}
	if !slices.Contains(e.Outcomes, outcome) {
		return fmt.Errorf("an event of type %s has the outcome %s, its entry in the catalog lists %v", eventType, outcome, e.Outcomes)
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return fmt.Errorf("data of an event of type %s: %w", eventType, err)
	}
	if err := c.schemas[eventType].Validate(value); err != nil {
		return fmt.Errorf("data of an event of type %s: %w\n%s", eventType, err, data)
	}
	return nil
}
