package holds_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/cmd/kubernaut/holds"
)

// run runs a command about holds beside a DataStorage that gives one answer.
func run(t *testing.T, status int, answer string, args ...string) (out string, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	c := holds.Command("HOLDS_TEST", func(*connection.Flags) cobra.CompletionFunc { return cobra.NoFileCompletions })
	var text bytes.Buffer
	c.SetOut(&text)
	c.SetErr(&text)
	c.SetArgs(append(args, "--datastorage-url", server.URL))
	err = c.ExecuteContext(t.Context())
	return text.String(), err
}

func TestARepetitionIsProposedOnlyWhereItIsUnknownWhetherAHoldWasPlaced(t *testing.T) {
	t.Parallel()
	for status, unknown := range map[int]bool{
		http.StatusBadRequest: false, http.StatusForbidden: false, http.StatusConflict: false,
		http.StatusRequestTimeout: true, http.StatusServiceUnavailable: true, http.StatusBadGateway: true,
	} {
		_, err := run(t, status, `{"title":"t","status":400,"type":"about:blank","detail":"the reason"}`, "place", "rr-1", "--reason", "case")
		if err == nil || !strings.Contains(err.Error(), "the reason") || strings.Contains(err.Error(), "--id") != unknown {
			t.Errorf("%d: got %v", status, err)
		}
	}
}

func TestAHoldOfNobodyKnownNamesNobody(t *testing.T) {
	t.Parallel()
	const id = "0190163d-8694-739b-aea5-966c26f8ad91"
	hold := `{"hold_id":"` + id + `","correlation_id":"rr-1","reason":"case","placed_by":%q,"placed_at":"2026-01-02T03:04:05Z"}`
	for by, want := range map[string]string{"": "hold " + id + " placed on rr-1\n", "ada": "hold " + id + " placed on rr-1 by ada\n"} {
		out, err := run(t, http.StatusCreated, fmt.Sprintf(hold, by), "place", "rr-1", "--reason", "case")
		if err != nil || out != want {
			t.Errorf("got %q, %v, want %q", out, err, want)
		}
	}
	released := strings.TrimSuffix(fmt.Sprintf(hold, ""), "}") + `,"released_at":"2026-01-03T03:04:05Z","released_by":%q,"release_reason":"settled"}`
	for by, want := range map[string]string{"": "2026-01-03T03:04:05Z: settled", "ada": "2026-01-03T03:04:05Z by ada: settled"} {
		out, err := run(t, http.StatusOK, `{"legal_holds":[`+fmt.Sprintf(released, by)+`]}`, "list", "rr-1", "--released")
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("got %q, %v, want %q", out, err, want)
		}
	}
}
