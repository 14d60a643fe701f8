package decode_test

import (
	"testing"

	"github.com/go-json-experiment/json"

	"kubernaut.ai/services/gateway/internal/decode"
	"kubernaut.ai/services/gateway/internal/signal"
)

func TestValuesOfAWrongTypeAreNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ field, problem string }{
		`[]`:                     {"body", "want an object, got an array"},
		`{"name":1}`:             {"name", "want a string, got a number"},
		`{"count":-1}`:           {"count", "want a count, got a number"},
		`{"labels":true}`:        {"labels", "want an object, got a boolean"},
		`{"labels":{"a":{}}}`:    {"labels.a", "want a string, got an object"},
		`{"labels":{"a":["x"]}}`: {"labels.a", "want a string, got an array"},
	} {
		var into struct {
			Name   string       `json:"name"`
			Count  uint64       `json:"count"`
			Labels decode.Pairs `json:"labels"`
		}
		err := json.Unmarshal([]byte(text), &into, decode.Options())
		if err == nil {
			t.Errorf("%s was accepted as %+v", text, into)
			continue
		}
		var wrong signal.Complaints
		decode.Value(&wrong, "", err)
		if got := wrong.Invalid().Fields[want.field]; got != want.problem {
			t.Errorf("%s: %v, want %s: %s", text, wrong.Invalid(), want.field, want.problem)
		}
	}
}
