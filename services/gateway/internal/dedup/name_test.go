package dedup_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"kubernaut.ai/services/gateway/internal/dedup"
)

func TestNamesContainTheFingerprintAndNeverRepeat(t *testing.T) {
	t.Parallel()
	fingerprint := strings.Repeat("0123456789abcdef", 4)
	seen := map[string]bool{}
	for _, uid := range []types.UID{"a", "b", "5b0c8a8e-6f52-4d3c-9a42-0c6a5f6f0c11"} {
		for transitions := range int32(1000) {
			name := dedup.Name(fingerprint, uid, transitions)
			if seen[name] {
				t.Fatalf("name %s repeats at lease %s, transition %d", name, uid, transitions)
			}
			seen[name] = true
			if name != dedup.Name(fingerprint, uid, transitions) {
				t.Fatalf("two replicas derive different names from lease %s, transition %d", uid, transitions)
			}
			if !strings.HasPrefix(name, "rr-0123456789ab-") || len(name) != len("rr-0123456789ab-")+10 {
				t.Fatalf("name %s is not rr-<12 hex>-<10 hex>", name)
			}
			if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
				t.Fatalf("name %s: %v", name, problems)
			}
		}
	}
	// The form is a promise: replicas of different versions derive the same name.
	if got, want := dedup.Name(fingerprint, "5b0c8a8e-6f52-4d3c-9a42-0c6a5f6f0c11", 7), "rr-0123456789ab-a5ce452fa1"; got != want {
		t.Errorf("name %s, want %s", got, want)
	}
	if got := dedup.LeaseName(fingerprint); got != "signal-"+fingerprint[:40] {
		t.Errorf("lease name %s", got)
	}
}
