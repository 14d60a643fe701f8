package kube_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubernaut.ai/internal/kube"
)

func TestAPodKnowsItsNamespace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "namespace")
	if _, err := kube.PodNamespace(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("outside of a pod: error %v", err)
	}
	for text, want := range map[string]string{"kubernaut-system": "kubernaut-system", "kubernaut-system\n": "kubernaut-system", "\n": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := kube.PodNamespace(file); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: namespace %q, error %v", text, got, err)
		}
	}
}
