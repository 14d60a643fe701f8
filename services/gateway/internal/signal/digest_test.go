package signal_test

import (
	"testing"

	"kubernaut.ai/services/gateway/internal/signal"
)

func TestADigestIdentifiesABody(t *testing.T) {
	t.Parallel()
	// The SHA-256 of no bytes, from FIPS 180-4's test vectors.
	if got := signal.Digest(nil); got != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("digest %s", got)
	}
	if signal.Digest([]byte("a")) == signal.Digest([]byte("b")) {
		t.Error("two bodies have one digest")
	}
}
