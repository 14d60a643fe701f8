package auth_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/internal/auth"
)

func TestAGateListsTheCallersOfATokenFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(line("b", "1")+line("a", "2")+line("b", "3")), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.NewTokenFile(auth.TokenFileOptions{Path: path, Clock: clocktesting.NewFakePassiveClock(time.Now()), Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	if got := auth.NewGate(tokens, zap.NewNop()).Callers(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("callers %q", got)
	}
	if got := auth.NewGate(auth.None{}, zap.NewNop()).Callers(); got != nil {
		t.Errorf("callers %q without a list", got)
	}
}
