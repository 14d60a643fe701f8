package auth_test

import (
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
	authorizationv1 "k8s.io/api/authorization/v1"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/problem"
)

var createSignals = auth.Action{Group: "gateway.kubernaut.ai", Resource: "signals", Verb: "create", Role: "kubernaut-signal-sender"}

// inScope is an API whose one route any known caller may use; it answers with the
// error of the action in a scope.
func inScope(t *testing.T, gate *auth.Gate, where *auth.Scope) *echo.Echo {
	t.Helper()
	known, err := gate.Authenticated()
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.HTTPErrorHandler = problem.ErrorHandler(zap.NewNop())
	e.GET("/", func(c echo.Context) error {
		if err := gate.Authorize(c.Request().Context(), createSignals, *where); err != nil {
			return c.String(http.StatusTeapot, err.Error())
		}
		return c.String(http.StatusOK, "")
	}, known)
	return e
}

// permitting allows the action in the namespaces; the empty one stands for all.
func permitting(namespaces ...string) func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
	return func(spec authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{Allowed: slices.Contains(namespaces, spec.ResourceAttributes.Namespace)}
	}
}

// reviewed lists the namespaces that the API server was asked about.
func (s *apiServer) reviewed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	namespaces := make([]string, 0, len(s.access))
	for _, spec := range s.access {
		namespaces = append(namespaces, spec.ResourceAttributes.Namespace)
	}
	return namespaces
}

func TestPermissionsHoldInNamespacesOrEverywhere(t *testing.T) {
	for name, test := range map[string]struct {
		permitted []string
		where     auth.Scope
		forbidden string // part of the error
		reviewed  []string
	}{
		"everywhere":                 {permitted: []string{""}, where: auth.Everywhere(), reviewed: []string{""}},
		"everywhere, in a namespace": {permitted: []string{""}, where: auth.InNamespace("shop"), reviewed: []string{""}},
		"in its namespace":           {permitted: []string{"shop"}, where: auth.InNamespace("shop"), reviewed: []string{"", "shop"}},
		"in another namespace": {
			permitted: []string{"shop"}, where: auth.InNamespace("bank"), reviewed: []string{"", "bank"},
			forbidden: "in namespace bank; bind it to ClusterRole kubernaut-signal-sender there, or in all namespaces: " +
				"kubectl create rolebinding --namespace bank NAME --clusterrole kubernaut-signal-sender --serviceaccount kubernaut-system:gateway",
		},
		"in no namespace": {
			permitted: []string{"shop"}, where: auth.InNamespace(""), reviewed: []string{""},
			forbidden: "in all namespaces; bind it to ClusterRole kubernaut-signal-sender: " +
				"kubectl create clusterrolebinding NAME --clusterrole kubernaut-signal-sender --serviceaccount kubernaut-system:gateway",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t)
			g.decides(permitting(test.permitted...))
			answer := ask(t, inScope(t, g.gate, &test.where), "good")
			if (answer.Code == http.StatusOK) != (test.forbidden == "") || !strings.Contains(answer.Body.String(), test.forbidden) {
				t.Errorf("%d %s, want %q", answer.Code, answer.Body, test.forbidden)
			}
			if got := g.reviewed(); !reflect.DeepEqual(got, test.reviewed) {
				t.Errorf("reviews in %q, want %q", got, test.reviewed)
			}
		})
	}
}

func TestACallerWithThePermissionEverywhereCostsOneReview(t *testing.T) {
	g := newGuarded(t)
	g.decides(permitting(""))
	where := auth.Everywhere()
	e := inScope(t, g.gate, &where)
	for _, namespace := range []string{"a", "b", "c", ""} {
		where = auth.InNamespace(namespace)
		if answer := ask(t, e, "good"); answer.Code != http.StatusOK {
			t.Errorf("%s: %d %s", where, answer.Code, answer.Body)
		}
	}
	g.expectAsked(t, 1, 1)
}

func TestAnAPIServerThatIsAwayPermitsAndForbidsNothing(t *testing.T) {
	g := newGuarded(t)
	g.decides(permitting("shop"))
	where := auth.InNamespace("shop")
	e := inScope(t, g.gate, &where)
	if answer := ask(t, e, "good"); answer.Code != http.StatusOK {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	g.step(11 * time.Second) // the rejection in all namespaces is forgotten
	g.fails(answering(http.StatusInternalServerError, "{}"))
	if answer := ask(t, e, "good"); answer.Code != http.StatusOK {
		t.Errorf("what is remembered: %d %s", answer.Code, answer.Body)
	}
	where = auth.InNamespace("bank")
	if answer := ask(t, e, "good"); answer.Code != http.StatusTeapot || !strings.HasPrefix(answer.Body.String(), "callers cannot be checked") {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

func TestAKnownCallerNeedsNoPermissionForTheRoute(t *testing.T) {
	g := newGuarded(t)
	where := auth.InNamespace("shop")
	e := inScope(t, g.gate, &where)
	for token, status := range map[string]int{"": http.StatusUnauthorized, "bad": http.StatusUnauthorized, "good": http.StatusOK} {
		if answer := ask(t, e, token); answer.Code != status {
			t.Errorf("token %q: %d %s", token, answer.Code, answer.Body)
		}
	}
	g.fails(answering(http.StatusInternalServerError, "{}"))
	g.step(time.Hour)
	if answer := ask(t, e, "good"); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

func TestTheServiceItselfMayDoEverything(t *testing.T) {
	g := newGuarded(t)
	g.permits(false)
	if err := g.gate.Authorize(auth.WithCaller(t.Context(), auth.Internal("gateway")), createSignals, auth.Everywhere()); err != nil {
		t.Error(err)
	}
	g.expectAsked(t, 0, 0)
	var forbidden *auth.ForbiddenError
	if err := g.gate.Authorize(t.Context(), createSignals, auth.Everywhere()); !errors.As(err, &forbidden) {
		t.Errorf("without a caller: %v", err)
	}
}
