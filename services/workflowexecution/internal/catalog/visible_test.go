package catalog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const webBefore = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web, env: test}
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"password":"planted"}'
  managedFields: [{manager: kubectl}]
spec:
  replicas: 3
  template:
    spec:
      containers:
      - name: web
        image: web:1
        command: [web, --password=planted]
        args: [--token, planted]
        env: [{name: PASSWORD, value: planted}]
        livenessProbe:
          httpGet: {path: /, httpHeaders: [{name: Authorization, value: planted}]}
        lifecycle:
          preStop: {exec: {command: [stop, planted]}}
status: {}
`

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestConditionsDoNotSeeWhatMayBeASecret(t *testing.T) {
	target := object(t, webBefore)
	encoded, err := json.Marshal(Visible(target))
	if err != nil || strings.Contains(string(encoded), "planted") || strings.Contains(string(encoded), "managedFields") {
		t.Errorf("%s %v", encoded, err)
	}
	for _, kept := range []string{`"env":"test"`, `"image":"web:1"`, `"path":"/"`} {
		if !strings.Contains(string(encoded), kept) {
			t.Errorf("%s is not in %s", kept, encoded)
		}
	}
	if original := fmt.Sprint(target.Object); !strings.Contains(original, "planted") {
		t.Error("the object itself was changed")
	}
}

func TestBeforeHasWhatTheExpressionSelects(t *testing.T) {
	for expression, want := range map[string]string{
		"target.spec.replicas > 1":                                                      `{}`,
		"target.spec.replicas == before.spec.replicas":                                  `{"spec":{"replicas":3}}`,
		"has(before.status.readyReplicas) || before.metadata.name == 'web'":             `{"metadata":{"name":"web"},"status":{}}`,
		"!has(before.spec.paused)":                                                      `{"spec":{}}`,
		"before.metadata.labels['app'] == 'web'":                                        `{"metadata":{"labels":{"app":"web","env":"test"}}}`,
		"before.spec.template.spec.containers[0].image == 'web:1'":                      `{"spec":{"template":{"spec":{"containers":[{"image":"web:1","lifecycle":{"preStop":{"exec":{}}},"livenessProbe":{"httpGet":{"path":"/"}},"name":"web"}]}}}}`,
		"before.spec.replicas == 3 && has(before.spec.template.spec)":                   `{"spec":{"replicas":3,"template":{"spec":{"containers":[{"image":"web:1","lifecycle":{"preStop":{"exec":{}}},"livenessProbe":{"httpGet":{"path":"/"}},"name":"web"}]}}}}`,
		"before.metadata.labels.app == 'web' && before.metadata.labels == {'a': 'web'}": `{"metadata":{"labels":{"app":"web","env":"test"}}}`,
	} {
		c, err := CompileCondition(expression)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(c.Before(object(t, webBefore)))
		if err != nil || string(got) != want {
			t.Errorf("%s selects\n%s, want\n%s; error %v", expression, got, want, err)
		}
	}
	whole, err := CompileCondition("before == target")
	if err != nil {
		t.Fatal(err)
	}
	target := object(t, webBefore)
	if holds, err := whole.Holds(t.Context(), target, &unstructured.Unstructured{Object: whole.Before(target)}); !holds || err != nil {
		t.Errorf("an unchanged object differs from what it was: %v", err)
	}
}
