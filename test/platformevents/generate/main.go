// Command generate writes the JSON Schemas of the platform's events and docs/events.md. It reads
// the examples beside the schemas, which the integration suite stored.
//
// Usage: go run ./test/platformevents/generate, in the root of the module
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/test/platformevents"
)

const (
	examples = "api/events/examples"
	schemas  = "api/events/schemas"
	page     = "docs/events.md"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	catalog, err := platformevents.Catalog()
	if err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	comments := eventcatalog.NewComments(".")
	if err := os.RemoveAll(schemas); err != nil {
		return fmt.Errorf("remove the schemas: %w", err)
	}
	if err := os.MkdirAll(schemas, 0o755); err != nil {
		return fmt.Errorf("make the folder of the schemas: %w", err)
	}
	for i := range catalog {
		if err := writeSchema(&catalog[i], comments); err != nil {
			return err
		}
	}
	text, err := catalog.Page(comments, os.DirFS(examples))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return write(page, text)
}

func writeSchema(e *eventcatalog.Entry, comments *eventcatalog.Comments) error {
	schema, err := e.Schema(comments, false)
	if err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the schema of %s: %w", e.Type, err)
	}
	return write(filepath.Join(schemas, e.Type+".json"), append(text, '\n'))
}

func write(path string, text []byte) error {
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
