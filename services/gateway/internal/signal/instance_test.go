package signal_test

import (
	"regexp"
	"testing"

	"kubernaut.ai/services/gateway/internal/signal"
)

func TestAnInstanceIDDependsOnTheLabelsAlone(t *testing.T) {
	t.Parallel()
	base := map[string]string{"alertname": "A", "pod": "p-1", "severity": "warning"}
	id := signal.InstanceID(base)
	if !regexp.MustCompile(`^[a-f0-9]{16}$`).MatchString(id) {
		t.Errorf("id %q, want 16 hex digits", id)
	}
	if same := signal.InstanceID(map[string]string{"severity": "warning", "pod": "p-1", "alertname": "A"}); same != id {
		t.Errorf("id %q of the same labels, want %q", same, id)
	}
	for name, labels := range map[string]map[string]string{
		"another pod":      {"alertname": "A", "pod": "p-2", "severity": "warning"},
		"another severity": {"alertname": "A", "pod": "p-1", "severity": "critical"},
		"one label less":   {"alertname": "A", "pod": "p-1"},
		"another split":    {"alertname": "Ap", "od": "p-1", "severity": "warning"},
		"no labels":        nil,
	} {
		if other := signal.InstanceID(labels); other == id {
			t.Errorf("%s: the same id %q", name, other)
		}
	}
}
