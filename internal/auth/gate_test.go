package auth_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"kubernaut.ai/internal/auth"
)

func TestARouteWithoutAnActionIsRefused(t *testing.T) {
	open := auth.NewGate(auth.None{}, zap.NewNop())
	if _, err := open.Permit(createEvents); err != nil {
		t.Error(err)
	}
	for name, forget := range map[string]func(*auth.Action){
		"group":    func(a *auth.Action) { a.Group = "" },
		"resource": func(a *auth.Action) { a.Resource = "" },
		"verb":     func(a *auth.Action) { a.Verb = "" },
		"role":     func(a *auth.Action) { a.Role = "" },
		"all":      func(a *auth.Action) { *a = auth.Action{} },
	} {
		action := createEvents
		forget(&action)
		if _, err := open.Permit(action); err == nil {
			t.Errorf("an action without %s was taken", name)
		}
	}
	for name, gate := range map[string]*auth.Gate{"no gate": nil, "no guard": auth.NewGate(nil, zap.NewNop())} {
		if _, err := gate.Permit(createEvents); err == nil {
			t.Errorf("%s: everybody would be let in", name)
		}
		if _, err := gate.Authenticated(); err == nil {
			t.Errorf("%s: everybody would be known", name)
		}
	}
}

// failing is a guard that fails as it should not.
type failing struct{ auth.None }

func (failing) Authorize(context.Context, auth.Caller, auth.Action, auth.Scope) error {
	return errors.New("bug")
}

func TestAFailureOfTheGuardLetsNobodyIn(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	answer := ask(t, served(t, auth.NewGate(failing{}, zap.New(core)), zap.New(core)), "any")
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") != "1" {
		t.Errorf("%d, Retry-After %q: %s", answer.Code, answer.Header().Get("Retry-After"), answer.Body)
	}
	if logs.Len() != 1 {
		t.Errorf("%d log lines, want one: nobody else tells it", logs.Len())
	}
}
