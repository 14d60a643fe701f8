package httpapi //nolint:testpackage // what stands before the operations is an inner step

import (
	"context"
	"crypto/rand"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/memory"
	"kubernaut.ai/services/datastorage/internal/event"
)

// forbidding knows everybody, permits nothing, and remembers what it was asked.
type forbidding struct {
	auth.None

	asked *auth.Action
}

func (forbidding) Authenticate(*http.Request) (auth.Caller, error) {
	return auth.Caller{Name: "somebody"}, nil
}

func (f forbidding) Authorize(_ context.Context, _ auth.Caller, action auth.Action, _ auth.Scope) error {
	*f.asked = action
	return &auth.ForbiddenError{Action: action}
}

type unobserved struct{}

func (unobserved) Ingested(int, int, int, map[event.Code]int) {}
func (unobserved) Misdated(string, int, int)                  {}
func (unobserved) Queried(string, int, time.Duration)         {}

func TestEachRouteNamesItsAction(t *testing.T) {
	t.Parallel()
	var asked auth.Action
	handler, err := New(Config{
		Auth: auth.NewGate(forbidding{asked: &asked}, zap.NewNop()), Log: zap.NewNop(), Observer: unobserved{},
		BodyBytes: 1 << 20, BodyEvents: 1, BodyMemory: memory.NewBudget(PeakBodyBytes(1<<20, 1)),
		Decoder: event.NewDecoder(event.DefaultLimits(), clock.RealClock{}, rand.Reader),
		Clock:   clocktesting.NewFakePassiveClock(time.Now()), Ready: func(*http.Request) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	const (
		events = "/api/v1/audit/events"
		one    = `{"version": "1.0", "event_type": "shop.order.placed", "event_timestamp": "2026-01-02T03:04:05Z", "event_category": "shop",
			"event_action": "placed", "event_outcome": "success", "correlation_id": "order-1", "event_data": {}}`
	)
	for route, verb := range map[string]string{
		"POST " + events:            "create",
		"POST " + events + "/batch": "create",
		"GET " + events:             "list",
		"GET " + events + "/stats":  "list",
		"GET " + events + "/01890000-0000-7000-8000-000000000000":                 "get",
		"GET /api/v1/audit/acknowledgements/01890000-0000-7000-8000-000000000000": "get acknowledgements",
		"GET /openapi.json": "",
		"GET /health":       "",
		"GET /health/live":  "",
		"GET /health/ready": "",
	} {
		method, path, _ := strings.Cut(route, " ")
		asked = auth.Action{}
		answer := httptest.NewRecorder()
		body := map[string]string{"POST " + events: one, "POST " + events + "/batch": "[" + one + "]"}[route]
		request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		handler.ServeHTTP(answer, request)
		want, status := auth.Action{}, http.StatusOK
		if verb != "" {
			want, status = auth.Action{Group: "audit.kubernaut.ai", Resource: "events", Verb: verb, Role: "audit-reader"}, http.StatusForbidden
		}
		switch {
		case verb == "create":
			want.Name, want.Role = "shop", "audit-writer-*"
		case strings.HasPrefix(verb, "get "):
			want.Verb, want.Resource, want.Role = "get", strings.TrimPrefix(verb, "get "), "audit-writer-*"
		}
		if asked != want || answer.Code != status {
			t.Errorf("%s: asked for %+v and answered %d, want %+v and %d", route, asked, answer.Code, want, status)
		}
	}
}

func TestAnOperationWithoutAnActionIsRefused(t *testing.T) {
	t.Parallel()
	document, err := newDocument()
	if err != nil {
		t.Fatal(err)
	}
	gate := auth.NewGate(auth.None{}, zap.NewNop())
	before, err := middlewares(document.operations, gate)
	if err != nil || len(before) != len(document.operations) {
		t.Errorf("%d of %d operations have something before them, error %v", len(before), len(document.operations), err)
	}
	forgotten := maps.Clone(document.operations)
	forgotten["eraseEvents"] = nil
	if _, err := middlewares(forgotten, gate); err == nil || !strings.Contains(err.Error(), "eraseEvents") {
		t.Errorf("error %v, want one that names the operation", err)
	}
	if _, err := middlewares(document.operations, nil); err == nil {
		t.Error("an API without a gate was taken")
	}
}
