package auth_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/internal/auth"
)

func TestAGateListsTheCallersOfATokenFile(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, caller := range [][2]string{{"b", "1"}, {"a", "2"}, {"b", "3"}} {
		hash := sha256.Sum256([]byte(caller[1]))
		lines = append(lines, caller[0]+" "+hex.EncodeToString(hash[:]))
	}
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
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
