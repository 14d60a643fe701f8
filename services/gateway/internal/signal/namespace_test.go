package signal_test

import (
	"testing"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/signal"
)

func TestANamespaceBelongsToItself(t *testing.T) {
	t.Parallel()
	for want, target := range map[string]v1alpha1.TargetResource{
		"shop": {APIVersion: "v1", Kind: "Namespace", Name: "shop"},
		"old":  {Kind: "Namespace", Name: "old"},
		"prod": {APIVersion: "apps/v1", Kind: "Deployment", Name: "web", Namespace: "prod"},
		"":     {APIVersion: "v1", Kind: "Node", Name: "n1"},
	} {
		if got := signal.Namespace(target); got != want {
			t.Errorf("%+v belongs to %q, want %q", target, got, want)
		}
	}
	if got := signal.Namespace(v1alpha1.TargetResource{APIVersion: "example.com/v1", Kind: "Namespace", Name: "x"}); got != "" {
		t.Errorf("a kind of the same name belongs to %q", got)
	}
}
