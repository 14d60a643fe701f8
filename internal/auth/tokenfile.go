package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"kubernaut.ai/internal/kube"
)

// reloadEvery bounds how long a revoked token stays good.
const reloadEvery = 5 * time.Second

const unknownToken = "show a known bearer token in the Authorization header"

// TokenFile believes the bearer tokens whose hashes a file lists. A line has up to
// three columns, separated by white space:
//
//	NAME  SHA256  NAMESPACES
//
// NAME is the caller's. SHA256 is the hex digest of its token. NAMESPACES are the
// ones in which the caller may do what depends on a namespace, separated by
// commas, or * for all; without the column it is none. Empty lines and lines that
// start with # are ignored. The file is read again when it has changed; one that
// has become unusable rejects everybody.
type TokenFile struct {
	path  string
	clock clock.PassiveClock
	// namespaced makes the third column required.
	namespaced bool

	mu      sync.Mutex
	checked time.Time         // guarded by mu
	stamp   time.Time         // guarded by mu: the file's modification time
	size    int64             // guarded by mu
	callers map[string]Caller // guarded by mu: by hash
}

// namespaces are the third column of a line; those of * contain everything.
type namespaces []string

const allNamespaces = "*"

func (n namespaces) contain(where Scope) bool {
	return slices.Contains(n, allNamespaces) || (!where.everywhere && slices.Contains(n, where.namespace))
}

// NewTokenFile reads the file and returns an error when it cannot be used.
func NewTokenFile(path string, c clock.PassiveClock) (*TokenFile, error) {
	return openTokenFile(&TokenFile{path: path, clock: c})
}

// NewNamespacedTokenFile is NewTokenFile for a file each of whose lines needs the
// column of namespaces.
func NewNamespacedTokenFile(path string, c clock.PassiveClock) (*TokenFile, error) {
	return openTokenFile(&TokenFile{path: path, clock: c, namespaced: true})
}

func openTokenFile(t *TokenFile) (*TokenFile, error) {
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
	caller, ok := t.callers[hex.EncodeToString(hash[:])]
	if !ok {
		return Caller{}, &UnauthenticatedError{Detail: unknownToken}
	}
	return caller, nil
}

// Authorize permits what depends on no namespace, because the file lists who may
// call, and else looks at the caller's namespaces.
func (t *TokenFile) Authorize(_ context.Context, caller Caller, action Action, where Scope) error {
	if where == (Scope{}) || caller.namespaces.contain(where) {
		return nil
	}
	add := where.namespace
	if where.everywhere {
		add = allNamespaces
	}
	return &ForbiddenError{
		Caller: caller.Name, Action: action, Where: where,
		Remedy: fmt.Sprintf("add %s to the third column of its line in the token file", add),
	}
}

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
	callers, err := parseTokens(string(text), t.namespaced)
	if err != nil {
		return fmt.Errorf("token file %s: %w", t.path, err)
	}
	t.callers, t.stamp, t.size = callers, info.ModTime(), info.Size()
	return nil
}

func parseTokens(text string, namespaced bool) (map[string]Caller, error) {
	callers := map[string]Caller{}
	for i, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		key, caller, err := parseCaller(fields, namespaced)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if other, taken := callers[key]; taken && other.Name != caller.Name {
			return nil, fmt.Errorf("line %d: %q has the token of %q: the audit trail could not tell them apart", i+1, caller.Name, other.Name)
		}
		callers[key] = caller
	}
	if len(callers) == 0 {
		return nil, errors.New("lists no caller")
	}
	return callers, nil
}

// The columns of a line.
const (
	columnName = iota
	columnHash
	columnNamespaces
	columns
)

// parseCaller reads the columns of a line. The key is the token's hash.
func parseCaller(fields []string, namespaced bool) (key string, caller Caller, err error) {
	switch {
	case len(fields) > columns, len(fields) <= columnHash:
		return "", Caller{}, errors.New("want a name, the hex SHA-256 of a token, and namespaces")
	case len(fields) <= columnNamespaces && namespaced:
		return "", Caller{}, fmt.Errorf("%q has no third column: want the namespaces that it may report on, separated by commas, or * for all", fields[columnName])
	}
	caller.Name = fields[columnName]
	hash, err := hex.DecodeString(fields[columnHash])
	if err != nil || len(hash) != sha256.Size {
		return "", Caller{}, fmt.Errorf("%q's second column is not a hex SHA-256 (make it with sha256sum)", caller.Name)
	}
	if len(fields) > columnNamespaces {
		caller.namespaces = strings.Split(fields[columnNamespaces], ",")
	}
	for _, namespace := range caller.namespaces {
		if namespace == allNamespaces {
			continue
		}
		if err := kube.CheckNamespace(namespace); err != nil {
			return "", Caller{}, fmt.Errorf("%q's third column: %q is no namespace: %w", caller.Name, namespace, err)
		}
	}
	return hex.EncodeToString(hash), caller, nil
}
