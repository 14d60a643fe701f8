package httpapi

import (
	"fmt"

	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/datastorage"
)

// document is the API's OpenAPI document, as far as the server itself reads it.
type document struct {
	json []byte
	// operations maps an operationId to its parameters.
	operations map[string]parameters
}

// parameters maps the name of each query or path parameter to what it must be.
type parameters map[string]parameter

type parameter struct {
	query bool
	want  string
}

func newDocument() (*document, error) {
	text, err := yaml.YAMLToJSON(datastorage.Document)
	if err != nil {
		return nil, fmt.Errorf("OpenAPI document: %w", err)
	}
	var parsed struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct {
				Name string `json:"name"`
				In   string `json:"in"`
				// Schema where it is not a reference.
				Schema struct {
					Type   string `json:"type"`
					Format string `json:"format"`
				} `json:"schema"`
			} `json:"parameters"`
		} `json:"paths"`
	}
	if err := yaml.Unmarshal(text, &parsed); err != nil {
		return nil, fmt.Errorf("OpenAPI document: %w", err)
	}
	d := &document{json: text, operations: map[string]parameters{}}
	for _, methods := range parsed.Paths {
		for _, operation := range methods {
			known := parameters{}
			for _, p := range operation.Parameters {
				known[p.Name] = parameter{query: p.In == "query", want: want(p.Schema.Type, p.Schema.Format)}
			}
			d.operations[operation.OperationID] = known
		}
	}
	return d, nil
}

// typeInteger is what the document calls whole numbers.
const typeInteger = "integer"

func want(kind, format string) string {
	switch {
	case format == "uuid":
		return "must be a UUID"
	case kind == typeInteger:
		return "must be a whole number, given once"
	default:
		return "must be given once"
	}
}
