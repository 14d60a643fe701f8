package auth_test

import (
	"crypto/sha256"
	"encoding/hex"
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
	line := func(name, token string) string {
		hash := sha256.Sum256([]byte(token))
		return name + " " + hex.EncodeToString(hash[:]) + "\n"
	}
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(line("b", "1")+line("a", "2")+line("b", "3")), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.NewTokenFile(path, clocktesting.NewFakePassiveClock(time.Now()))
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
