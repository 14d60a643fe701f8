package signal_test

import (
	"strings"
	"testing"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/signal"
)

func TestFingerprintTellsProblemsApart(t *testing.T) {
	t.Parallel()
	owner := v1alpha1.TargetResource{Kind: "Deployment", Name: "checkout", Namespace: "prod"}
	first := signal.Fingerprint("c", owner, "A")
	if len(first) != 64 || first != strings.ToLower(first) {
		t.Errorf("fingerprint %q is no hex SHA-256", first)
	}
	if first != signal.Fingerprint("c", owner, "A") {
		t.Error("the same problem has two fingerprints")
	}
	others := map[string]string{
		"cluster":   signal.Fingerprint("d", owner, "A"),
		"name":      signal.Fingerprint("c", owner, "B"),
		"owner":     signal.Fingerprint("c", v1alpha1.TargetResource{Kind: "Deployment", Name: "checkout2", Namespace: "prod"}, "A"),
		"kind":      signal.Fingerprint("c", v1alpha1.TargetResource{Kind: "StatefulSet", Name: "checkout", Namespace: "prod"}, "A"),
		"namespace": signal.Fingerprint("c", v1alpha1.TargetResource{Kind: "Deployment", Name: "checkout", Namespace: "dev"}, "A"),
		"moved boundary": signal.Fingerprint("cp", v1alpha1.TargetResource{
			Kind: "Deployment", Name: "checkout", Namespace: "rod",
		}, "A"),
	}
	for what, other := range others {
		if other == first {
			t.Errorf("another %s has the same fingerprint", what)
		}
	}
}

// The fingerprint is on stored requests: a change of the algorithm would open
// every problem a second time.
func TestFingerprintIsStable(t *testing.T) {
	t.Parallel()
	owner := v1alpha1.TargetResource{Kind: "Deployment", Name: "checkout", Namespace: "prod"}
	const want = "691c350966ab140a88a3c99230ac581c71b983221dd25e178cf6360b29617e7a"
	if got := signal.Fingerprint("prod-eu-1", owner, "KubePodCrashLooping"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
