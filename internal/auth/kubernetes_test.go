package auth_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/pkg/audit/wire"
)

var createEvents = auth.Action{Group: "audit.kubernaut.ai", Resource: "events", Verb: "create", Role: "audit-writer"}

// guarded is an API with one route for createEvents behind an API server's reviews.
type guarded struct {
	*apiServer

	clock *clocktesting.FakePassiveClock
	logs  *observer.ObservedLogs
	gate  *auth.Gate
	echo  *echo.Echo
}

func newGuarded(t *testing.T, change ...func(*auth.KubernetesOptions)) *guarded {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	g := &guarded{apiServer: newAPIServer(t), clock: clocktesting.NewFakePassiveClock(time.Now()), logs: logs}
	options := auth.KubernetesOptions{Namespace: "kubernaut-system", Clock: g.clock, Log: zap.New(core)}
	for _, f := range change {
		f(&options)
	}
	guard, err := auth.NewKubernetes(g.config(), options)
	if err != nil {
		t.Fatal(err)
	}
	g.gate = auth.NewGate(guard, options.Log)
	g.echo = served(t, g.gate, options.Log)
	g.knows("good", account("gateway"))
	return g
}

// served is an API whose one route answers with the caller's name.
func served(t *testing.T, gate *auth.Gate, log *zap.Logger) *echo.Echo {
	t.Helper()
	permitted, err := gate.Permit(createEvents)
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.HTTPErrorHandler = problem.ErrorHandler(log)
	e.GET("/", func(c echo.Context) error {
		return c.String(http.StatusOK, auth.CallerFrom(c.Request().Context()).Name)
	}, permitted)
	return e
}

func ask(t *testing.T, h http.Handler, token string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, r)
	return recorder
}

func (g *guarded) expect(t *testing.T, token string, status int) *httptest.ResponseRecorder {
	t.Helper()
	answer := ask(t, g.echo, token)
	if answer.Code != status {
		t.Errorf("token %q: %d %s, want %d", token, answer.Code, answer.Body, status)
	}
	return answer
}

// expectAsked compares the number of questions to the API server so far.
func (g *guarded) expectAsked(t *testing.T, tokens, access int) {
	t.Helper()
	if gotTokens, gotAccess := g.asked(); gotTokens != tokens || gotAccess != access {
		t.Errorf("the API server was asked about %d tokens and %d permissions, want %d and %d", gotTokens, gotAccess, tokens, access)
	}
}

func (g *guarded) step(d time.Duration) { g.clock.SetTime(g.clock.Now().Add(d)) }

func detail(t *testing.T, answer *httptest.ResponseRecorder) string {
	t.Helper()
	var p wire.Problem
	if err := json.Unmarshal(answer.Body.Bytes(), &p); err != nil || answer.Header().Get("Content-Type") != wire.ProblemMediaType {
		t.Errorf("answer %q is not a problem: %v", answer.Body, err)
	}
	return p.Detail
}

func TestTheAPIServerIsAskedWithAllThatItKnows(t *testing.T) {
	g := newGuarded(t, func(o *auth.KubernetesOptions) { o.Audiences = []string{"kubernaut-datastorage", "other"} })
	g.knows("good", account("gateway"), "kubernaut-datastorage")
	if answer := g.expect(t, "good", http.StatusOK); answer.Body.String() != "system:serviceaccount:kubernaut-system:gateway" {
		t.Errorf("caller %s", answer.Body)
	}
	wantToken := []authenticationv1.TokenReviewSpec{{Token: "good", Audiences: []string{"kubernaut-datastorage", "other"}}}
	if !reflect.DeepEqual(g.tokens, wantToken) {
		t.Errorf("asked about tokens %+v, want %+v", g.tokens, wantToken)
	}
	wantAccess := []authorizationv1.SubjectAccessReviewSpec{{
		User: "system:serviceaccount:kubernaut-system:gateway", UID: "uid-of-gateway",
		Groups:             []string{"system:serviceaccounts", "system:authenticated"},
		Extra:              map[string]authorizationv1.ExtraValue{"authentication.kubernetes.io/pod-name": {"gateway-0"}},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "kubernaut-system", Group: "audit.kubernaut.ai", Resource: "events", Verb: "create"},
	}}
	if !reflect.DeepEqual(g.access, wantAccess) {
		t.Errorf("asked about permissions %+v, want %+v", g.access, wantAccess)
	}
}

func TestUnknownTokensAreUnauthenticated(t *testing.T) {
	for name, status := range map[string]authenticationv1.TokenReviewStatus{
		"unknown":              {Error: "expired"},
		"not authenticated":    {User: account("gateway"), Audiences: []string{"kubernaut-datastorage"}},
		"another audience":     {Authenticated: true, User: account("gateway"), Audiences: []string{"somebody-else"}},
		"audience not checked": {Authenticated: true, User: account("gateway")},
		"nobody":               {Authenticated: true, Audiences: []string{"kubernaut-datastorage"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t, func(o *auth.KubernetesOptions) { o.Audiences = []string{"kubernaut-datastorage"} })
			g.people["shown"] = status
			answer := g.expect(t, "shown", http.StatusUnauthorized)
			if got := answer.Header().Get("WWW-Authenticate"); got != `Bearer realm="kubernaut", error="invalid_token"` {
				t.Errorf("WWW-Authenticate %q", got)
			}
			if got := detail(t, answer); !strings.Contains(got, "another audience than kubernaut-datastorage; ") {
				t.Errorf("the detail does not name the audience: %s", got)
			}
			g.expectAsked(t, 1, 0)
		})
	}
}

func TestNoTokenIsNotAsked(t *testing.T) {
	g := newGuarded(t)
	answer := g.expect(t, "", http.StatusUnauthorized)
	if got := answer.Header().Get("WWW-Authenticate"); got != `Bearer realm="kubernaut"` {
		t.Errorf("WWW-Authenticate %q", got)
	}
	g.expectAsked(t, 0, 0)
}

func TestAMissingPermissionIsNamedWithItsRemedy(t *testing.T) {
	g := newGuarded(t)
	for reason, status := range map[string]authorizationv1.SubjectAccessReviewStatus{
		"no opinion":          {Reason: "secret reason"},
		"denied":              {Denied: true, Reason: "secret reason"},
		"denied and allowed":  {Denied: true, Allowed: true},
		"denied in confusion": {Denied: true, EvaluationError: "webhook away"},
	} {
		g.decides(func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus { return status })
		g.step(time.Hour)
		answer := g.expect(t, "good", http.StatusForbidden)
		want := `"system:serviceaccount:kubernaut-system:gateway" may not create resource events of API group audit.kubernaut.ai in namespace kubernaut-system; ` +
			`bind it to Role audit-writer there: kubectl create rolebinding --namespace kubernaut-system NAME --role audit-writer --serviceaccount kubernaut-system:gateway`
		if got := detail(t, answer); got != want {
			t.Errorf("%s: detail\n%s\nwant\n%s", reason, got, want)
		}
	}
	g.knows("a person's", authenticationv1.UserInfo{Username: "jane@example.com"})
	if got := detail(t, g.expect(t, "a person's", http.StatusForbidden)); !strings.HasSuffix(got, `--user "jane@example.com"`) {
		t.Errorf("detail %s", got)
	}
}

func TestWhatWasTakenAwayIsGoodForAMinuteAtMost(t *testing.T) {
	g := newGuarded(t)
	g.expect(t, "good", http.StatusOK)
	g.permits(false)
	g.step(time.Minute)
	g.expect(t, "good", http.StatusOK)
	g.expectAsked(t, 1, 1)
	g.step(1)
	g.expect(t, "good", http.StatusForbidden)
	g.expectAsked(t, 2, 2)

	g = newGuarded(t)
	g.expect(t, "good", http.StatusOK)
	g.forgets("good")
	g.step(time.Minute)
	g.expect(t, "good", http.StatusOK)
	g.step(1)
	g.expect(t, "good", http.StatusUnauthorized)
}

func TestTheMinuteBeginsWhenTheAPIServerIsAsked(t *testing.T) {
	g := newGuarded(t)
	g.decides(func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		g.step(4 * time.Second) // the answer takes its time
		return authorizationv1.SubjectAccessReviewStatus{Allowed: true}
	})
	g.expect(t, "good", http.StatusOK)
	g.permits(false)
	g.step(56*time.Second + 1)
	g.expect(t, "good", http.StatusForbidden)
}

func TestWhatWasGivenIsRefusedForTenSecondsAtMost(t *testing.T) {
	g := newGuarded(t)
	g.permits(false)
	g.expect(t, "good", http.StatusForbidden)
	g.expect(t, "new", http.StatusUnauthorized)
	g.permits(true)
	g.knows("new", account("signalprocessing"))
	g.step(10 * time.Second)
	g.expect(t, "good", http.StatusForbidden)
	g.expect(t, "new", http.StatusUnauthorized)
	g.expectAsked(t, 2, 1)
	g.step(1)
	g.expect(t, "good", http.StatusOK)
	g.expect(t, "new", http.StatusOK)
}

func TestAPermissionOnOneNameIsReviewedAndNamed(t *testing.T) {
	g := newGuarded(t)
	g.decides(func(spec authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{Allowed: spec.ResourceAttributes.Name == "gateway"}
	})
	ctx := auth.WithCaller(t.Context(), auth.Caller{Name: "system:serviceaccount:kubernaut-system:gateway"})
	for range 2 {
		if err := g.gate.Authorize(ctx, createEvents.Named("gateway"), auth.Scope{}); err != nil {
			t.Error(err)
		}
	}
	g.expectAsked(t, 0, 1)
	err := g.gate.Authorize(ctx, createEvents.Named("shop"), auth.Scope{})
	forbidden, ok := errors.AsType[*auth.ForbiddenError](err)
	const want = `"system:serviceaccount:kubernaut-system:gateway" may not create resource events/shop of API group audit.kubernaut.ai in namespace kubernaut-system; ` +
		"bind it to a Role there with the rule apiGroups [audit.kubernaut.ai], resources [events], verbs [create], resourceNames [shop]: " +
		"kubectl create rolebinding --namespace kubernaut-system NAME --role ROLE --serviceaccount kubernaut-system:gateway"
	if !ok || forbidden.Detail() != want {
		t.Errorf("error %v, want\n%s", err, want)
	}
}

func TestWhoRecordedIsKnownByItsName(t *testing.T) {
	g := newGuarded(t)
	g.decides(func(spec authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{
			Allowed: slices.Contains(spec.Groups, "system:serviceaccounts:shop") || spec.User == "jane",
		}
	})
	for name, want := range map[string][2]bool{
		"system:serviceaccount:shop:cart":  {true, true},
		"system:serviceaccount:bank:vault": {false, true},
		"jane":                             {true, true},
		"joe":                              {false, false}, // a group of his may have it
		"":                                 {false, true},
	} {
		holds, known, err := g.gate.Holds(t.Context(), name, createEvents.Named("shop"))
		if err != nil || [2]bool{holds, known} != want {
			t.Errorf("%q: holds %t, known %t, error %v; want %v", name, holds, known, err, want)
		}
	}
	g.fails(answering(http.StatusInternalServerError, "{}"))
	if _, known, err := g.gate.Holds(t.Context(), "jill", createEvents.Named("shop")); err == nil || known {
		t.Errorf("known %t, error %v", known, err)
	}
	if holds, known, err := auth.NewGate(auth.None{}, zap.NewNop()).Holds(t.Context(), "", createEvents); !holds || !known || err != nil {
		t.Errorf("without authentication: holds %t, known %t, error %v", holds, known, err)
	}
}

func TestPermissionsAreToldApart(t *testing.T) {
	g := newGuarded(t)
	g.knows("other", account("signalprocessing"))
	g.decides(func(spec authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{
			Allowed: spec.User == account("gateway").Username && spec.ResourceAttributes.Verb == "create",
		}
	})
	g.expect(t, "good", http.StatusOK)
	g.expect(t, "other", http.StatusForbidden)
	permitted, err := g.gate.Permit(auth.Action{Group: "audit.kubernaut.ai", Resource: "events", Verb: "list", Role: "audit-reader"})
	if err != nil {
		t.Fatal(err)
	}
	g.echo.GET("/list", func(c echo.Context) error { return c.NoContent(http.StatusOK) }, permitted)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/list", http.NoBody)
	r.Header.Set("Authorization", "Bearer good")
	answer := httptest.NewRecorder()
	g.echo.ServeHTTP(answer, r)
	if answer.Code != http.StatusForbidden {
		t.Errorf("the permission to create lists: %d %s", answer.Code, answer.Body)
	}
}

// answering fails a question with a status and a body.
func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func TestAnAPIServerThatCannotTellRefusesNobodyForGood(t *testing.T) {
	status := func(code int, reason string) http.HandlerFunc {
		return answering(code, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"`+reason+`","message":"10.0.0.1 is away"}`)
	}
	for name, fail := range map[string]http.HandlerFunc{
		"internal error":        status(http.StatusInternalServerError, "InternalError"),
		"we are not known":      status(http.StatusUnauthorized, "Unauthorized"),
		"we are not permitted":  status(http.StatusForbidden, "Forbidden"),
		"not an API server":     answering(http.StatusNotFound, "not found"),
		"bad request":           status(http.StatusBadRequest, "BadRequest"),
		"unreadable":            answering(http.StatusCreated, "{"),
		"connection broken off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t)
			g.fails(fail)
			answer := g.expect(t, "good", http.StatusServiceUnavailable)
			if answer.Header().Get("Retry-After") == "" || strings.Contains(detail(t, answer), "10.0.0.1") {
				t.Errorf("Retry-After %q: %s", answer.Header().Get("Retry-After"), answer.Body)
			}
			// A failure is not remembered.
			g.fails(nil)
			g.expect(t, "good", http.StatusOK)
		})
	}
	t.Run("an authorizer behind it is away", func(t *testing.T) {
		g := newGuarded(t)
		g.decides(func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
			return authorizationv1.SubjectAccessReviewStatus{EvaluationError: "webhook timed out"}
		})
		g.expect(t, "good", http.StatusServiceUnavailable)
		g.decides(func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
			return authorizationv1.SubjectAccessReviewStatus{EvaluationError: "webhook timed out", Allowed: true}
		})
		g.expect(t, "good", http.StatusOK)
	})
	t.Run("it does not answer in time", func(t *testing.T) {
		g := newGuarded(t, func(o *auth.KubernetesOptions) { o.Timeout = 50 * time.Millisecond })
		over := make(chan struct{})
		t.Cleanup(func() { close(over) })
		g.fails(func(http.ResponseWriter, *http.Request) { <-over })
		g.expect(t, "good", http.StatusServiceUnavailable)
	})
}

func TestAnOutageIsBridgedByWhatIsRemembered(t *testing.T) {
	g := newGuarded(t)
	g.expect(t, "good", http.StatusOK)
	g.expect(t, "bad", http.StatusUnauthorized)
	g.fails(answering(http.StatusInternalServerError, "{}"))
	g.step(10 * time.Second)
	g.expect(t, "good", http.StatusOK)
	g.expect(t, "bad", http.StatusUnauthorized)
	g.step(50 * time.Second)
	g.expect(t, "good", http.StatusOK)
	g.expect(t, "bad", http.StatusServiceUnavailable)
	g.expect(t, "another", http.StatusServiceUnavailable)
	g.step(1)
	g.expect(t, "good", http.StatusServiceUnavailable)
}

func TestTheLogTellsTheBeginningAndTheEndOfAnOutage(t *testing.T) {
	g := newGuarded(t)
	outage := answering(http.StatusInternalServerError, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"etcd is away"}`)
	for range 2 {
		g.fails(outage)
		for range 3 {
			g.expect(t, "s3cret", http.StatusServiceUnavailable)
		}
		g.fails(nil)
		for range 3 {
			g.expect(t, "s3cret", http.StatusUnauthorized)
		}
		g.step(time.Hour)
	}
	g.permits(false)
	g.expect(t, "good", http.StatusForbidden)
	var lines []string
	for _, entry := range g.logs.All() {
		if entry.Level > zap.DebugLevel && entry.Message != "caller refused" {
			lines = append(lines, entry.Level.String()+" "+entry.Message)
		}
		text, err := json.Marshal(entry.ContextMap())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "s3cret") {
			t.Errorf("the log has the token: %s", text)
		}
	}
	const away, again = "warn callers cannot be checked: the API server does not answer as it should", "info callers can be checked again"
	if want := []string{away, again, away, again}; !reflect.DeepEqual(lines, want) {
		t.Errorf("log %q, want %q", lines, want)
	}
}

func TestChecksAreCounted(t *testing.T) {
	g := newGuarded(t)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(g.gate)
	g.expect(t, "good", http.StatusOK)
	g.expect(t, "good", http.StatusOK)
	g.expect(t, "bad", http.StatusUnauthorized)
	g.permits(false)
	g.step(time.Hour)
	g.expect(t, "good", http.StatusForbidden)
	g.fails(answering(http.StatusInternalServerError, "{}"))
	g.expect(t, "new", http.StatusServiceUnavailable)
	want := `
# HELP auth_requests_total Requests by what became of their check.
# TYPE auth_requests_total counter
auth_requests_total{result="allowed"} 2
auth_requests_total{result="forbidden"} 1
auth_requests_total{result="unauthenticated"} 1
auth_requests_total{result="unavailable"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "auth_requests_total"); err != nil {
		t.Error(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "auth_review_seconds" {
				counts[m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleCount()
			}
		}
	}
	wantCounts := map[string]uint64{
		"token good": 2, "token refused": 1, "token failed": 1, "access good": 1, "access refused": 1, "access failed": 0,
	}
	if !reflect.DeepEqual(counts, wantCounts) {
		t.Errorf("reviews %v, want %v", counts, wantCounts)
	}
}
