package execute

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestTheTargetBeforeIsWhatTheConditionNeedsAndBounded(t *testing.T) {
	t.Parallel()
	target := func(value string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(3), "value": value}}}
	}
	const needsValue = "target.spec.value == before.spec.value"
	for _, c := range []struct{ condition, want string }{
		{"true", ""},
		{"before.spec.replicas == 3", `{"spec":{"replicas":3}}`},
		{needsValue, `{"spec":{"value":""}}`},
	} {
		if got, err := before(c.condition, target("")); got != c.want || err != nil {
			t.Errorf("%s needs %s, want %s; error %v", c.condition, got, c.want, err)
		}
	}
	rest := maxBefore - len(`{"spec":{"value":""}}`)
	if got, err := before(needsValue, target(strings.Repeat("x", rest))); len(got) != maxBefore || err != nil {
		t.Errorf("before has %d bytes, want %d; error %v", len(got), maxBefore, err)
	}
	if got, err := before(needsValue, target(strings.Repeat("x", rest+1))); got != "" || err != nil {
		t.Errorf("before has %d bytes, want none; error %v", len(got), err)
	}
	if got, err := before(needsValue, nil); got != "" || err != nil {
		t.Errorf("without a target: %q, error %v", got, err)
	}
	if _, err := before("target.(", target("")); err == nil {
		t.Error("a broken condition is accepted")
	}
}
