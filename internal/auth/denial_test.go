package auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
	authenticationv1 "k8s.io/api/authentication/v1"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/problem"
)

func TestAnObserverIsToldOfEachDenial(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		token string
		known authenticationv1.TokenReviewStatus
		fails bool
		want  *auth.Denial
	}{
		"no token":        {want: &auth.Denial{Status: 401, Reason: auth.ReasonNoToken}},
		"unknown":         {token: "s3cret", known: authenticationv1.TokenReviewStatus{Error: "invalid bearer token"}, want: &auth.Denial{Status: 401, Reason: auth.ReasonUnknownToken}},
		"expired":         {token: "s3cret", known: authenticationv1.TokenReviewStatus{Error: "[invalid bearer token, service account token has expired]"}, want: &auth.Denial{Status: 401, Reason: auth.ReasonExpiredToken}},
		"told audience":   {token: "s3cret", known: authenticationv1.TokenReviewStatus{Error: `token audiences ["a"] is invalid for the target audiences ["b"]`}, want: &auth.Denial{Status: 401, Reason: auth.ReasonOtherAudience}},
		"other audience":  {token: "s3cret", known: authenticationv1.TokenReviewStatus{Authenticated: true, User: account("gateway")}, want: &auth.Denial{Status: 401, Reason: auth.ReasonOtherAudience}},
		"no permission":   {token: "good", want: &auth.Denial{Status: 403, Caller: auth.Caller{Name: account("gateway").Username, UID: account("gateway").UID, Groups: account("gateway").Groups}, Action: createEvents}},
		"nobody can tell": {token: "good", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, func(o *auth.KubernetesOptions) { o.Audiences = []string{"own"} })
			g.knows("good", account("gateway"), "own")
			g.permits(false)
			if test.token == "s3cret" {
				g.mu.Lock()
				g.people["s3cret"] = test.known
				g.mu.Unlock()
			}
			if test.fails {
				g.fails(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
			}
			var told []auth.Denial
			permitted, err := g.gate.WithObserver(func(d *auth.Denial) {
				d.Caller.Extra = nil
				told = append(told, *d)
			}).Permit(createEvents)
			if err != nil {
				t.Fatal(err)
			}
			e := echo.New()
			e.POST("/orders/:id", func(echo.Context) error { return errors.New("not denied") }, permitted)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders/4711?secret=1", http.NoBody)
			r.RemoteAddr = "192.0.2.7:1234"
			if test.token != "" {
				r.Header.Set("Authorization", "Bearer "+test.token)
			}
			e.ServeHTTP(httptest.NewRecorder(), r)
			var want []auth.Denial
			if test.want != nil {
				test.want.Address, test.want.Method, test.want.Route = "192.0.2.7", http.MethodPost, "/orders/:id"
				want = append(want, *test.want)
			}
			if fmt.Sprintf("%+v", told) != fmt.Sprintf("%+v", want) {
				t.Errorf("told\n%+v, want\n%+v", told, want)
			}
		})
	}
}

func TestThoseWhoPassAreNoDenial(t *testing.T) {
	t.Parallel()
	gate := auth.NewGate(auth.None{}, zap.NewNop()).WithObserver(func(d *auth.Denial) { t.Errorf("told of %+v", d) })
	if answer := ask(t, served(t, gate, zap.NewNop()), ""); answer.Code != http.StatusOK {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

func TestAnObserverIsToldOfDenialsByHandlers(t *testing.T) {
	t.Parallel()
	caller := auth.Caller{Name: account("gateway").Username, UID: account("gateway").UID, Groups: account("gateway").Groups}
	lacking := problem.New(http.StatusForbidden, "no")
	lacking.Cause = &auth.ForbiddenError{Action: createEvents.Named("shop")}
	for name, test := range map[string]struct {
		answer error
		want   *auth.Denial
	}{
		"with a reason":        {auth.Denied("too_late", "%s is over", "it"), &auth.Denial{Status: 403, Caller: caller, Reason: "too_late"}},
		"without a reason":     {problem.New(http.StatusForbidden, "no"), &auth.Denial{Status: 403, Caller: caller, Reason: auth.ReasonUnspecified}},
		"for a permission":     {fmt.Errorf("create: %w", lacking), &auth.Denial{Status: 403, Caller: caller, Action: createEvents.Named("shop")}},
		"by an HTTP error":     {echo.ErrUnauthorized, &auth.Denial{Status: 401, Caller: caller, Reason: auth.ReasonUnspecified}},
		"but of nothing found": {problem.New(http.StatusNotFound, "nothing"), nil},
		"but of a failure":     {errors.New("broken"), nil},
		"but of no error":      {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for route, gated := range map[string]func(g *auth.Gate) (echo.MiddlewareFunc, error){
				"permitted":     func(g *auth.Gate) (echo.MiddlewareFunc, error) { return g.Permit(createEvents) },
				"authenticated": func(g *auth.Gate) (echo.MiddlewareFunc, error) { return g.Authenticated() },
			} {
				g := newGuarded(t)
				var told []auth.Denial
				before, err := gated(g.gate.WithObserver(func(d *auth.Denial) {
					d.Caller.Extra = nil
					told = append(told, *d)
				}))
				if err != nil {
					t.Fatal(err)
				}
				e := echo.New()
				e.POST("/orders/:id", func(echo.Context) error { return test.answer }, before)
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders/4711", http.NoBody)
				r.RemoteAddr = "192.0.2.7:1234"
				r.Header.Set("Authorization", "Bearer good")
				e.ServeHTTP(httptest.NewRecorder(), r)
				var want []auth.Denial
				if test.want != nil {
					denial := *test.want
					denial.Address, denial.Method, denial.Route = "192.0.2.7", http.MethodPost, "/orders/:id"
					want = append(want, denial)
				}
				if fmt.Sprintf("%+v", told) != fmt.Sprintf("%+v", want) {
					t.Errorf("%s: told\n%+v, want\n%+v", route, told, want)
				}
			}
		})
	}
}
