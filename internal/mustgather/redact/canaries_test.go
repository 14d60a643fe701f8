package redact_test

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"kubernaut.ai/internal/mustgather/redact/redacttest"
)

func TestNoCanarySurvives(t *testing.T) {
	t.Parallel()
	r := newRedactor(t)
	for _, c := range redacttest.Canaries("unit") {
		quoted, err := json.Marshal(map[string]string{"message": c.Text})
		if err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(map[string]string{"body": string(quoted)})
		if err != nil {
			t.Fatal(err)
		}
		data := func() any {
			data, err := r.Data(quoted)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		object := func(o map[string]any) string {
			r.Object(o)
			text, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		pod := func(container map[string]any) map[string]any {
			return map[string]any{"apiVersion": "v1", "kind": "Pod", "spec": map[string]any{"containers": []any{container}}}
		}
		event, err := json.Marshal(data())
		if err != nil {
			t.Fatal(err)
		}
		for where, got := range map[string]string{
			"a log":             r.Text("2026-01-02T03:04:05Z job says\n" + c.Text + "\nend\n"),
			"JSON in a log":     r.Text("2026-01-02T03:04:05Z " + string(quoted)),
			"JSON in JSON":      r.Text(string(again)),
			"an audit event":    string(event),
			"a ConfigMap":       object(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"file": "a: b\n" + c.Text + "\n"}}),
			"a variable":        object(pod(map[string]any{"env": []any{map[string]any{"name": "SETTING", "value": c.Text}}})),
			"our own variable":  object(pod(map[string]any{"env": []any{map[string]any{"name": "GATEWAY_SETTING", "value": c.Text}}})),
			"an argument":       object(pod(map[string]any{"args": []any{"--setting", c.Text}})),
			"an annotation":     object(map[string]any{"metadata": map[string]any{"annotations": map[string]any{"example.com/setting": c.Text}}}),
			"a label's name":    object(map[string]any{"metadata": map[string]any{"labels": map[string]any{c.Text: "x"}}}),
			"a custom resource": object(map[string]any{"apiVersion": "example.com/v1", "kind": "Thing", "spec": map[string]any{"url": c.Text}}),
			"an event":          object(map[string]any{"apiVersion": "v1", "kind": "Event", "message": "failed: " + c.Text}),
		} {
			if strings.Contains(got, c.Secret) || strings.Contains(got, hex.EncodeToString([]byte(c.Secret))) {
				t.Errorf("%s survives in %s: %s", c.Kind, where, got)
			}
		}
	}
}
