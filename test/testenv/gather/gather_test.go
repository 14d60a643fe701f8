package gather_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubernaut.ai/test/testenv/gather"
)

func setup(t *testing.T) (dest string, target gather.Target) {
	t.Helper()
	dest = filepath.Join(t.TempDir(), "archives")
	t.Setenv("MUST_GATHER_DEST", dest)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dest, gather.Target{Kubeconfig: kubeconfig}
}

func TestARunWithoutFailuresLeavesNothing(t *testing.T) {
	dest, target := setup(t)
	run := gather.New()
	if err := run.Begin(); err != nil {
		t.Fatal(err)
	}
	archive, err := run.Collect(t.Context(), target, io.Discard)
	if err != nil || archive != "" {
		t.Errorf("archive %q, error %v", archive, err)
	}
	if _, err := os.Stat(dest); !os.IsNotExist(err) {
		t.Errorf("there is %s: %v", dest, err)
	}
}

func TestFailuresOfAllProcessesAreCollectedOnce(t *testing.T) {
	dest, target := setup(t)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "the state at "+r.URL.Path)
	}))
	t.Cleanup(service.Close)
	// As if they were of two processes with the same parent.
	first, second := gather.New(), gather.New()
	if err := first.Begin(); err != nil {
		t.Fatal(err)
	}
	for run, f := range map[*gather.Run]gather.Failure{
		first:  {Spec: "one fails", CorrelationIDs: []string{"rr-one"}, Namespace: "ns-one", Output: "words of one\n", ManagementURLs: []string{service.URL}},
		second: {Spec: "two fails", CorrelationIDs: []string{"rr-two"}, Namespace: "ns-two", Output: "words of two about rr-two\n"},
	} {
		if err := run.Note(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := first.Collect(t.Context(), target, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	folder := strings.TrimSuffix(archive, ".tar.gz")
	for pattern, want := range map[string]string{
		"extra/spec-*.log": "one fails\n\nwords of one", "extra/spec-*-readyz.txt": "the state at /readyz", "extra/spec-*-metrics.txt": "the state at /metrics",
		"timelines/rr-one.txt": "Correlation id rr-one", "timelines/rr-two.txt": "Correlation id rr-two", "not-collected.txt": "the cluster",
	} {
		if text := contents(t, filepath.Join(folder, pattern)); !strings.Contains(text, want) {
			t.Errorf("%s has no %q but %q", pattern, want, text)
		}
	}
	latest, err := os.ReadFile(filepath.Join(dest, "latest"))
	if err != nil || string(latest) != archive+"\n" {
		t.Errorf("the newest archive is %q, %v; want %s", latest, err, archive)
	}
	if again, err := second.Collect(t.Context(), target, io.Discard); err != nil || again != "" {
		t.Errorf("collected again: %q, %v", again, err)
	}
}

func contents(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
