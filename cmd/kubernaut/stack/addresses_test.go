package stack_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"kubernaut.ai/cmd/kubernaut/stack"
)

func TestAddressesSurviveTheirFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "addresses.json")
	want := stack.Addresses{
		DataStorage: "http://127.0.0.1:1", Gateway: "http://127.0.0.1:2", Kubeconfig: "/kubeconfig",
		Management: map[string]string{"gateway": "http://127.0.0.1:3"},
	}
	if err := want.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := stack.ReadAddresses(path)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, error %v; want %+v", got, err, want)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left %v beside the file, error %v", entries, err)
	}
}

func TestUnusableAddressesSayWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{"": "kubernaut up", "{": "JSON", "{}": "is missing"} {
		path := filepath.Join(t.TempDir(), "addresses.json")
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := stack.ReadAddresses(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: error %v does not name %s and %q", text, err, path, want)
		}
	}
	if err := (stack.Addresses{}).WriteFile(filepath.Join(t.TempDir(), "no", "such", "folder")); err == nil {
		t.Error("wrote into a folder that does not exist")
	}
}
