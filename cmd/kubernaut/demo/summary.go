package demo

import (
	"encoding/json"
	"fmt"
	"strings"

	"kubernaut.ai/api/datastorage"
)

// verdict is a decided value: an object where its evidence is beside it, else a string.
type verdict struct{ Value string }

// UnmarshalJSON takes both forms; another one is no verdict.
func (v *verdict) UnmarshalJSON(text []byte) error {
	var object struct {
		Value string `json:"value"`
	}
	if json.Unmarshal(text, &v.Value) != nil && json.Unmarshal(text, &object) == nil {
		v.Value = object.Value
	}
	return nil
}

// summary says in a few words what an event tells, from those of its data that
// are worth a column.
func summary(e *datastorage.StoredEvent) string {
	var data struct {
		From        string  `json:"from"`
		To          string  `json:"to"`
		Degraded    bool    `json:"degraded"`
		Severity    verdict `json:"severity"`
		Environment verdict `json:"environment"`
		Priority    verdict `json:"priority"`
		SignalName  string  `json:"signal_name"`
		Context     struct {
			OwnerChain []any `json:"ownerChain"`
		} `json:"context"`
	}
	said := []string{}
	// Data of another shape has no summary of its own.
	if err := json.Unmarshal(e.EventData, &data); err == nil {
		switch {
		case data.To != "":
			said = append(said, data.From+" → "+data.To)
		case data.SignalName != "":
			return data.SignalName
		case len(data.Context.OwnerChain) > 0:
			said = append(said, fmt.Sprintf("%d owners found", len(data.Context.OwnerChain)))
		}
		for _, value := range []string{data.Severity.Value, data.Environment.Value, data.Priority.Value} {
			if value != "" {
				said = append(said, value)
			}
		}
		if data.Degraded {
			said = append(said, "degraded")
		}
	}
	if len(said) == 0 && e.ResourceType != nil && e.ResourceId != nil {
		said = append(said, *e.ResourceType+" "+*e.ResourceId)
	}
	if len(said) == 0 {
		said = append(said, e.EventAction)
	}
	return strings.Join(said, ", ")
}
