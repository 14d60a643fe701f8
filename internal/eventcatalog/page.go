package eventcatalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

const introduction = `# Events

Every type of audit event that the platform records: when, and what ` + "`event_data`" + ` carries. The common fields of an event
(times, actor, resource, outcome) are in [the OpenAPI document](../api/datastorage/openapi.yaml). Fields that may be absent
are marked with a question mark. A later version may add fields and types; it removes or changes none without a new type.

The complete JSON Schemas are in [api/events/schemas](../api/events/schemas). The examples are events that the
integration suite stored. All of this page is generated from the Go types that are recorded: ` + "`make generate`" + `.
`

// Page returns the page about all events, in Markdown. examples has one file for each type, with
// an event in its wire form.
func (c Catalog) Page(comments *Comments, examples fs.FS) ([]byte, error) {
	var page bytes.Buffer
	page.WriteString(introduction)
	page.WriteString("\n| event type | recorded when |\n|---|---|\n")
	for i := range c {
		fmt.Fprintf(&page, "| [`%s`](#%s) | %s |\n", c[i].Type, strings.ReplaceAll(c[i].Type, ".", ""), c[i].When)
	}
	for i := range c {
		if err := c[i].section(&page, comments, examples); err != nil {
			return nil, err
		}
	}
	return page.Bytes(), nil
}

func (e *Entry) section(page *bytes.Buffer, comments *Comments, examples fs.FS) error {
	schema, err := e.Schema(comments, false)
	if err != nil {
		return err
	}
	outcomes := make([]string, len(e.Outcomes))
	for i, outcome := range e.Outcomes {
		outcomes[i] = "`" + string(outcome) + "`"
	}
	trail := e.Trail
	if trail == "" {
		trail = "the name of the RemediationRequest"
	}
	fmt.Fprintf(page, "\n## %s\n\n%s Outcome: %s. Correlation id: %s.\n", e.Type, sentence(e.When), strings.Join(outcomes, " or "), trail)
	alternatives := schema.AnyOf
	if len(alternatives) == 0 {
		alternatives = []*jsonschema.Schema{schema}
	}
	for i, s := range alternatives {
		if i > 0 {
			page.WriteString("\nOr:\n")
		}
		page.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
		rows(page, s, "")
	}
	return e.example(page, examples)
}

// rows writes a line for each property: nested ones too, unless they are a part of the Kubernetes
// API, whose fields the CRDs explain.
func rows(page *bytes.Buffer, s *jsonschema.Schema, prefix string) {
	for _, name := range order(s) {
		p := s.Properties[name]
		optional := "?"
		if slices.Contains(s.Required, name) {
			optional = ""
		}
		fmt.Fprintf(page, "| `%s%s`%s | %s | %s |\n", prefix, name, optional, kind(p), strings.ReplaceAll(p.Description, "|", "\\|"))
		if depth := strings.Count(prefix, "."); depth < maxDepth {
			rows(page, p, prefix+name+".")
			if p.Items != nil {
				rows(page, p.Items, prefix+name+"[].")
			}
		}
	}
}

// maxDepth of fields in the tables.
const maxDepth = 1

func order(s *jsonschema.Schema) []string {
	if len(s.PropertyOrder) == len(s.Properties) {
		return s.PropertyOrder
	}
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func kind(s *jsonschema.Schema) string {
	types := s.Types
	if s.Type != "" {
		types = []string{s.Type}
	}
	text := strings.Join(slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t == "null" }), " or ")
	switch {
	case len(s.Enum) > 0:
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			values[i] = fmt.Sprintf("`%v`", v)
		}
		return strings.Join(values, ", ")
	case text == "":
		return "any"
	case s.Format != "":
		return s.Format
	case s.Items != nil:
		return "array of " + kind(s.Items)
	default:
		return text
	}
}

func (e *Entry) example(page *bytes.Buffer, examples fs.FS) error {
	text, err := fs.ReadFile(examples, e.Type+".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the example of %s: %w", e.Type, err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, bytes.TrimSpace(text), "", "  "); err != nil {
		return fmt.Errorf("read the example of %s: %w", e.Type, err)
	}
	fmt.Fprintf(page, "\n```json\n%s\n```\n", indented.Bytes())
	return nil
}
