package httpsink_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/httpsink"
)

func TestAcknowledgementIsReadWithTheSinksOwnToken(t *testing.T) {
	t.Parallel()
	id, event := uuid.New(), uuid.New()
	whole := `{"id":"` + id.String() + `","recorder":"r","event_ids":["` + event.String() + `"],"reason":"known","acknowledged_by":"jane","acknowledged_at":"2026-11-26T10:00:00Z"}`
	const problem, page = "application/problem+json", "text/html"
	for name, test := range map[string]struct {
		status            int
		contentType, body string
		unknown           bool
		ok                bool
	}{
		"the record":             {status: http.StatusOK, contentType: "application/json", body: whole, ok: true},
		"none":                   {status: http.StatusNotFound, contentType: problem, body: `{"status":404}`, unknown: true},
		"a proxy's page":         {status: http.StatusNotFound, contentType: page, body: "<html>"},
		"another record":         {status: http.StatusOK, contentType: "application/json", body: `{"id":"` + uuid.NewString() + `","recorder":"r","event_ids":["` + event.String() + `"],"acknowledged_by":"jane"}`},
		"a record of nobody":     {status: http.StatusOK, contentType: "application/json", body: `{"id":"` + id.String() + `","recorder":"r","event_ids":["` + event.String() + `"]}`},
		"a record of no events":  {status: http.StatusOK, contentType: "application/json", body: `{"id":"` + id.String() + `","recorder":"r","event_ids":[],"acknowledged_by":"jane"}`},
		"a page in its place":    {status: http.StatusOK, contentType: page, body: "<html>"},
		"a missing permission":   {status: http.StatusForbidden, contentType: problem, body: `{"status":403,"detail":"get acknowledgements"}`},
		"a server that is away":  {status: http.StatusServiceUnavailable, contentType: problem, body: `{}`},
		"a redirect to somebody": {status: http.StatusFound, contentType: page},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.Path != "/prefix/api/v1/audit/acknowledgements/"+id.String() || r.Header.Get("Authorization") != "Bearer mine" {
					t.Errorf("%s %s with %q", r.Method, r.URL, r.Header.Get("Authorization"))
				}
				w.Header().Set("Content-Type", test.contentType)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			t.Cleanup(server.Close)
			sink, err := httpsink.New(server.URL+"/prefix", httpsink.WithTokenSource(func(context.Context) (string, error) { return "mine", nil }))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sink.CloseIdleConnections)
			a, err := sink.Acknowledgement(t.Context(), id)
			switch {
			case test.ok:
				if err != nil || a.ID != id || len(a.EventIDs) != 1 || a.EventIDs[0] != event || a.By != "jane" {
					t.Errorf("%+v, %v", a, err)
				}
			case test.unknown:
				if !errors.Is(err, httpsink.ErrNoAcknowledgement) {
					t.Errorf("error %v", err)
				}
			default:
				var failure *audit.SinkError
				if !errors.As(err, &failure) || errors.Is(err, httpsink.ErrNoAcknowledgement) {
					t.Errorf("%+v, %v, want that nothing is known", a, err)
				}
			}
		})
	}
}
