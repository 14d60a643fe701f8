package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kubernaut.ai/internal/cli"
)

func runMustGather(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	root := command()
	var out, complaints bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&complaints)
	code = cli.Execute(t.Context(), root, append([]string{"must-gather"}, args...), &complaints)
	return code, out.String(), complaints.String()
}

// archived runs must-gather and returns the directory that it made.
func archived(t *testing.T, args ...string) string {
	t.Helper()
	code, out, complaints := runMustGather(t, append([]string{"--dest", t.TempDir()}, args...)...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	archive := lines[len(lines)-1]
	if code != cli.ExitOK || !strings.HasSuffix(archive, ".tar.gz") {
		t.Fatalf("code %d, output %q, %q", code, out, complaints)
	}
	if _, err := os.Stat(archive); err != nil {
		t.Error(err)
	}
	return strings.TrimSuffix(archive, ".tar.gz")
}

func contains(t *testing.T, file, want string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), want) {
		t.Errorf("%s is %q, %v, want %q in it", filepath.Base(file), text, err, want)
	}
}

func TestMustGatherRejectsUnusableFlagsInOneLine(t *testing.T) {
	for want, args := range map[string][]string{
		"--since":                             {"--since", "soon"},
		"takes no arguments, got [\"extra\"]": {"extra"},
		"unknown flag: --snce (did you mean --since?)":                        {"--snce", "1h"},
		"--namespace Kube_System: not a valid namespace name":                 {"--namespace", "Kube_System"},
		"--namespace b_d: not a valid namespace name":                         {"-n", "b_d"},
		"--correlation-id: a correlation id is one line of at most 255 bytes": {"--correlation-id", "a\nb"},
		"--kubeconfig: open /nowhere: no such file or directory":              {"--kubeconfig", "/nowhere"},
		"want http://host[:port] or https://host[:port]":                      {"--datastorage-url", "localhost:8080"},
		"--extra-logs /nowhere: not a directory":                              {"--extra-logs", "/nowhere"},
	} {
		code, _, complaints := runMustGather(t, args...)
		if code != cli.ExitUsage || !strings.Contains(complaints, want) || strings.Count(complaints, "\n") != 1 {
			t.Errorf("%q: code %d, output %q, want %q", args, code, complaints, want)
		}
	}
}

func TestMustGatherNamesAMisspeltVariable(t *testing.T) {
	t.Setenv("MUST_GATHER_DATASTORAGE_URI", "http://127.0.0.1:1")
	if code, _, complaints := runMustGather(t); code != cli.ExitUsage || !strings.Contains(complaints, "did you mean MUST_GATHER_DATASTORAGE_URL?") {
		t.Errorf("code %d, output %q", code, complaints)
	}
}

func TestMustGatherWithoutAClusterCollectsWhatItCan(t *testing.T) {
	const id = "rr-without-a-cluster"
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer opensesame" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"data":[{"event_id":"018f6b1e-0000-7000-8000-000000000001","event_type":"a.b.c","event_outcome":"success",
			"event_timestamp":"2026-01-02T03:04:05.000006Z","received_at":"2026-01-02T03:04:05Z","correlation_id":"` + id + `","event_data":{"n":1}}],"pagination":{"has_more":false}}`))
	}))
	defer storage.Close()
	dir := t.TempDir()
	token, logs := filepath.Join(dir, "token"), filepath.Join(dir, "logs")
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{token: "opensesame\n", filepath.Join(logs, "a.log"): "2026-01-02T03:04:06Z about " + id + "\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", t.TempDir()) // neither kubectl nor anything else is needed
	t.Setenv("MUST_GATHER_DATASTORAGE_URL", storage.URL)
	t.Setenv("MUST_GATHER_DATASTORAGE_TOKEN_FILE", token)
	t.Setenv("EXTRA_LOGS", logs)
	archive := archived(t, "--correlation-id", id)
	contains(t, filepath.Join(archive, "timelines", id+".txt"), "1 audit events.")
	contains(t, filepath.Join(archive, "timelines", id+".txt"), "log extra/a.log")
	contains(t, filepath.Join(archive, "not-collected.txt"), "the cluster\n    reason:  ")
	contains(t, filepath.Join(archive, "SHA256SUMS"), "  timelines/"+id+".txt\n")
}

func TestMustGatherOfAClusterThatIsAway(t *testing.T) {
	config := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a}}], clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, filepath.Join(archived(t, "--kubeconfig", config), "not-collected.txt"), "connection refused")
}

func TestAnImageRunsMustGatherAsGather(t *testing.T) {
	t.Parallel()
	if got := gatherArguments([]string{"--since", "2h"}); !slices.Equal(got, []string{"must-gather", "--dest", "/must-gather", "--since", "2h"}) {
		t.Errorf("arguments %q", got)
	}
}
