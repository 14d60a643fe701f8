package redact

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTheTargetInAnExecutionsStatusKeepsNoSecrets(t *testing.T) {
	t.Parallel()
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	execution := func(before string) map[string]any {
		return map[string]any{
			"apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution", "status": map[string]any{"phase": "Verifying", "before": before},
		}
	}
	before := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":3,"template":{"spec":{"containers":[` +
		`{"name":"web","env":[{"name":"OTHER","value":"hunter2"},{"name":"PORT","value":"8080"}]}]}}}}`
	object := execution(before)
	r.Object(object)
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hunter2") {
		t.Errorf("the value of a variable is left: %s", text)
	}
	for _, want := range []string{`\"replicas\":3`, `\"value\":\"8080\"`, `"phase":"Verifying"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is missing: %s", want, text)
		}
	}
	object = execution("hunter2, which is no object")
	r.Object(object)
	if status, _ := object["status"].(map[string]any); status["before"] != redacted {
		t.Errorf("text that is no object is left: %v", status)
	}
}
