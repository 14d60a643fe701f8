package demo

import (
	"encoding/json"
	"fmt"
	"strings"

	"kubernaut.ai/api/datastorage"
)

// decision is a decided value: an object with its evidence, or a string.
type decision struct{ Value string }

// UnmarshalJSON accepts both forms; any other one results in an empty value.
func (v *decision) UnmarshalJSON(text []byte) error {
	var object struct {
		Value string `json:"value"`
	}
	if json.Unmarshal(text, &v.Value) != nil && json.Unmarshal(text, &object) == nil {
		v.Value = object.Value
	}
	return nil
}

// summary describes an event in a few words from its data.
func summary(e *datastorage.StoredEvent) string {
	var data struct {
		From        string   `json:"from"`
		To          string   `json:"to"`
		Degraded    bool     `json:"degraded"`
		Severity    decision `json:"severity"`
		Environment decision `json:"environment"`
		Priority    decision `json:"priority"`
		SignalName  string   `json:"signal_name"`
		Context     struct {
			OwnerChain []any `json:"ownerChain"`
		} `json:"context"`
	}
	words := []string{}
	// Data of another shape has no specific summary.
	if err := json.Unmarshal(e.EventData, &data); err == nil {
		switch {
		case data.To != "":
			words = append(words, data.From+" → "+data.To)
		case data.SignalName != "":
			return data.SignalName
		case len(data.Context.OwnerChain) > 0:
			words = append(words, fmt.Sprintf("%d owners found", len(data.Context.OwnerChain)))
		}
		for _, value := range []string{data.Severity.Value, data.Environment.Value, data.Priority.Value} {
			if value != "" {
				words = append(words, value)
			}
		}
		if data.Degraded {
			words = append(words, "degraded")
		}
	}
	if len(words) == 0 && e.ResourceType != nil && e.ResourceId != nil {
		words = append(words, *e.ResourceType+" "+*e.ResourceId)
	}
	if len(words) == 0 {
		words = append(words, e.EventAction)
	}
	return strings.Join(words, ", ")
}
