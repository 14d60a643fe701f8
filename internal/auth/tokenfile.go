package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// reloadEvery bounds how long a revoked token stays good.
const reloadEvery = 5 * time.Second

const unknownToken = "show a known bearer token in the Authorization header"

// TokenFile believes the bearer tokens whose hashes a file lists, one a line:
// the caller's name, white space, and the hex SHA-256 of its token. Empty lines
// and lines that start with # are left out. The file is read again when it
// has changed; one that has become unusable refuses everybody.
type TokenFile struct {
	path  string
	clock clock.PassiveClock

	mu      sync.Mutex
	checked time.Time         // guarded by mu
	stamp   time.Time         // guarded by mu: the file's modification time
	size    int64             // guarded by mu
	callers map[string]string // guarded by mu: hash to name
}

// NewTokenFile reads the file and returns an error when it cannot be used.
func NewTokenFile(path string, c clock.PassiveClock) (*TokenFile, error) {
	t := &TokenFile{path: path, clock: c}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Authenticate looks the request's bearer token up.
func (t *TokenFile) Authenticate(r *http.Request) (Caller, error) {
	token, err := bearer(r)
	if err != nil {
		return Caller{}, err
	}
	hash := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clock.Since(t.checked) >= reloadEvery {
		if err := t.reload(); err != nil {
			return Caller{}, &UnauthenticatedError{Detail: unknownToken, Cause: err}
		}
	}
	// The map is looked up by hash: timing tells nothing about the tokens.
	name, ok := t.callers[hex.EncodeToString(hash[:])]
	if !ok {
		return Caller{}, &UnauthenticatedError{Detail: unknownToken}
	}
	return Caller{Name: name}, nil
}

// Authorize permits everything: the file lists who may call.
func (t *TokenFile) Authorize(context.Context, Caller, Action) error { return nil }

func (t *TokenFile) reload() error {
	info, err := os.Stat(t.path)
	if err != nil {
		t.callers = nil
		return fmt.Errorf("token file: %w", err)
	}
	t.checked = t.clock.Now()
	if t.callers != nil && info.ModTime().Equal(t.stamp) && info.Size() == t.size {
		return nil
	}
	t.callers = nil
	text, err := os.ReadFile(t.path)
	if err != nil {
		return fmt.Errorf("token file: %w", err)
	}
	callers, err := parseTokens(string(text))
	if err != nil {
		return fmt.Errorf("token file %s: %w", t.path, err)
	}
	t.callers, t.stamp, t.size = callers, info.ModTime(), info.Size()
	return nil
}

func parseTokens(text string) (map[string]string, error) {
	callers := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("line %d: want a name and the hex SHA-256 of a token", i+1)
		}
		hash, err := hex.DecodeString(fields[1])
		if err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("line %d: %q's second field is not a hex SHA-256 (make it with sha256sum)", i+1, fields[0])
		}
		key := hex.EncodeToString(hash)
		if other, taken := callers[key]; taken && other != fields[0] {
			return nil, fmt.Errorf("line %d: %q has the token of %q: the audit trail could not tell them apart", i+1, fields[0], other)
		}
		callers[key] = fields[0]
	}
	if len(callers) == 0 {
		return nil, errors.New("lists no caller")
	}
	return callers, nil
}
