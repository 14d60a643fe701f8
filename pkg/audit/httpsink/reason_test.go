package httpsink //nolint:testpackage // how a reason is put together is internal

import (
	"testing"

	"kubernaut.ai/pkg/audit/wire"
)

// Regression test: a detail that repeats its field's complaint used to be doubled.
func TestItemReasonSaysEverythingOnce(t *testing.T) {
	t.Parallel()
	for want, item := range map[string]*wire.ItemProblem{
		"no":                         {Detail: "no"},
		"severity too long":          {FieldErrors: map[string]string{"severity": "too long"}},
		"event_timestamp lies ahead": {Detail: "event_timestamp lies ahead", FieldErrors: map[string]string{"event_timestamp": "lies ahead"}},
		"this event_id was used":     {Detail: "this event_id was used", FieldErrors: map[string]string{"event_id": "this event_id was used"}},
		"event is invalid: severity too long": {
			Detail: "event is invalid", FieldErrors: map[string]string{"severity": "too long"},
		},
		"a no: a no; b never": {Detail: "a no", FieldErrors: map[string]string{"a": "no", "b": "never"}},
	} {
		if got := itemReason(item); got != want {
			t.Errorf("reason of %+v: %q, want %q", item, got, want)
		}
	}
}
