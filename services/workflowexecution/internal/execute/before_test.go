package execute

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestTheTargetBeforeIsBounded(t *testing.T) {
	t.Parallel()
	target := func(value string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(3), "value": value}}}
		u.SetName("web")
		u.SetAnnotations(map[string]string{lastApplied: "a copy", "kept": "yes"})
		return u
	}
	if got, want := before(target("")), `{"metadata":{"annotations":{"kept":"yes"},"name":"web"},"spec":{"replicas":3,"value":""}}`; got != want {
		t.Errorf("before = %s, want %s", got, want)
	}
	rest := maxBefore - len(before(target("")))
	if got := before(target(strings.Repeat("x", rest))); len(got) != maxBefore {
		t.Errorf("before has %d bytes, want %d", len(got), maxBefore)
	}
	if got := before(target(strings.Repeat("x", rest+1))); got != "" || before(nil) != "" {
		t.Errorf("before has %d bytes, want none", len(got))
	}
}
