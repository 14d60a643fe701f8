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
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/utils/clock"
)

const (
	// reloadInterval bounds how long a revoked token stays good.
	reloadInterval = 5 * time.Second
	// keepCallers is how long the callers of the last usable file stay good after
	// it has become unusable.
	keepCallers = time.Minute
)

const unknownToken = "show a known bearer token in the Authorization header"

// Use is what a service reads of a token file; a file with nothing of it is
// unusable for the service.
type Use int

// The uses of a token file.
const (
	// UseRights is for a service whose actions are in no namespace.
	UseRights Use = iota
	// UseNamespaces is for a service whose callers report on namespaces.
	UseNamespaces
)

// TokenFileOptions configure a TokenFile.
type TokenFileOptions struct {
	Path string
	Use  Use
	// Clock and Log are required.
	Clock clock.PassiveClock
	Log   *zap.Logger
}

// TokenFile believes the bearer tokens whose hashes a file lists, see parseTokens
// for its form. The file is read again when it has changed. Once it has become
// unusable, the last usable one stays in force for a minute; then nobody can tell
// who calls. It is a prometheus.Collector of:
//
//	auth_token_file_up                      whether the file is usable (1) or not (0)
//	auth_token_file_reloads_total{result}   how often a changed file was read: success, failure
type TokenFile struct {
	options TokenFileOptions
	up      *prometheus.Desc
	reloads *prometheus.CounterVec

	mu      sync.Mutex
	checked time.Time         // guarded by mu
	stamp   fileStamp         // guarded by mu: of the file that callers are from
	callers map[string]Caller // guarded by mu: by hash
	broken  error             // guarded by mu: why the file is unusable, nil while it is not
	since   time.Time         // guarded by mu: when it was found broken
}

// fileStamp tells a changed file.
type fileStamp struct {
	time time.Time
	size int64
}

func (s fileStamp) equal(other fileStamp) bool {
	return s.time.Equal(other.time) && s.size == other.size
}

// NewTokenFile reads the file and returns an error when it cannot be used.
func NewTokenFile(o TokenFileOptions) (*TokenFile, error) {
	t := &TokenFile{
		options: o,
		up:      prometheus.NewDesc("auth_token_file_up", "Whether the token file is usable.", nil, nil),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auth_token_file_reloads_total", Help: "How often a changed token file was read, by result.",
		}, []string{labelResult}),
	}
	for _, result := range []string{resultSuccess, resultFailure} {
		t.reloads.WithLabelValues(result)
	}
	t.checked = o.Clock.Now()
	var err error
	if t.callers, t.stamp, err = t.read(); err != nil {
		return nil, err
	}
	return t, nil
}

// The results of auth_token_file_reloads_total.
const (
	resultSuccess = "success"
	resultFailure = "failure"
)

// Describe implements prometheus.Collector.
func (t *TokenFile) Describe(to chan<- *prometheus.Desc) {
	to <- t.up
	t.reloads.Describe(to)
}

// Collect implements prometheus.Collector. It notices a changed file, so that a
// broken one is reported even if nobody calls.
func (t *TokenFile) Collect(to chan<- prometheus.Metric) {
	t.mu.Lock()
	t.refresh()
	up := 1.0
	if t.broken != nil {
		up = 0
	}
	t.mu.Unlock()
	to <- prometheus.MustNewConstMetric(t.up, prometheus.GaugeValue, up)
	t.reloads.Collect(to)
}

// Authenticate looks the request's bearer token up.
func (t *TokenFile) Authenticate(r *http.Request) (Caller, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	callers, err := t.current()
	if err != nil {
		return Caller{}, err
	}
	token, err := bearer(r)
	if err != nil {
		return Caller{}, err
	}
	// The map is looked up by hash: timing tells nothing about the tokens.
	hash := sha256.Sum256([]byte(token))
	caller, ok := callers[hex.EncodeToString(hash[:])]
	if !ok {
		return Caller{}, &UnauthenticatedError{Detail: unknownToken, Reason: ReasonUnknownToken}
	}
	return caller, nil
}

// Authorize looks at the rights and event types of the caller's line, or at its
// namespaces for an action that takes place in some.
func (t *TokenFile) Authorize(_ context.Context, caller Caller, action Action, where Scope) error {
	if missing := caller.grants.missing(action, where); missing != "" {
		return &ForbiddenError{
			Caller: caller.Name, Action: action, Where: where,
			Remedy: fmt.Sprintf("add %s to its line in the token file", missing),
		}
	}
	return nil
}

// Holds implements Holder. Several lines of a name, which have different tokens,
// count together.
func (t *TokenFile) Holds(_ context.Context, name string, action Action) (holds, known bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	callers, err := t.current()
	if err != nil {
		return false, false, err
	}
	for _, caller := range callers {
		if caller.Name == name && caller.grants.missing(action, Scope{}) == "" {
			return true, true, nil
		}
	}
	return false, true, nil
}

// Callers returns the names in the file, each once.
func (t *TokenFile) Callers() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := make([]string, 0, len(t.callers))
	for _, caller := range t.callers {
		names = append(names, caller.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// current returns the callers in force. Called with mu.
func (t *TokenFile) current() (map[string]Caller, error) {
	t.refresh()
	if t.broken != nil && t.options.Clock.Since(t.since) >= keepCallers {
		return nil, &UnavailableError{Cause: t.broken}
	}
	return t.callers, nil
}

// refresh reads the file if it is time to and if it has changed. Called with mu.
func (t *TokenFile) refresh() {
	if t.options.Clock.Since(t.checked) < reloadInterval {
		return
	}
	t.checked = t.options.Clock.Now()
	// A broken file is read each time: that it can be read again shows in no stamp.
	if stamp, err := t.look(); err == nil && t.broken == nil && stamp.equal(t.stamp) {
		return
	}
	callers, stamp, err := t.read()
	if err != nil {
		if t.broken == nil {
			t.since = t.options.Clock.Now()
			t.reloads.WithLabelValues(resultFailure).Inc()
			t.options.Log.Error("token file unusable: its last usable version stays in force for a while, then every request is answered 503",
				zap.String("file", t.options.Path), zap.Duration("in_force", keepCallers), zap.Error(err),
				zap.String("remedy", "repair the file; it is read again within seconds"))
		}
		t.broken = err
		return
	}
	t.reloads.WithLabelValues(resultSuccess).Inc()
	if t.broken != nil {
		t.options.Log.Info("token file usable again", zap.String("file", t.options.Path), zap.Int("callers", len(callers)),
			zap.Duration("unusable", t.options.Clock.Since(t.since)))
	} else {
		t.options.Log.Info("token file reloaded", zap.String("file", t.options.Path), zap.Int("callers", len(callers)))
	}
	t.callers, t.stamp, t.broken = callers, stamp, nil
}

func (t *TokenFile) look() (fileStamp, error) {
	info, err := os.Stat(t.options.Path)
	if err != nil {
		return fileStamp{}, fmt.Errorf("token file: %w", err)
	}
	return fileStamp{time: info.ModTime(), size: info.Size()}, nil
}

// read reads the file. Its stamp is taken first: a file that is replaced while it
// is read is read again.
func (t *TokenFile) read() (map[string]Caller, fileStamp, error) {
	stamp, err := t.look()
	if err != nil {
		return nil, stamp, err
	}
	text, err := os.ReadFile(t.options.Path)
	if err != nil {
		return nil, stamp, fmt.Errorf("token file: %w", err)
	}
	callers, err := parseTokens(string(text))
	if err == nil {
		err = t.options.Use.check(callers)
	}
	if err != nil {
		return nil, stamp, fmt.Errorf("token file %s: %w", t.options.Path, err)
	}
	return callers, stamp, nil
}

// check refuses a file that lets nobody do anything.
func (u Use) check(callers map[string]Caller) error {
	for _, caller := range callers {
		if (u == UseRights && len(caller.grants.rights) > 0) || (u == UseNamespaces && len(caller.grants.namespaces) > 0) {
			return nil
		}
	}
	if u == UseNamespaces {
		return errors.New("no line has namespaces=, so nobody could report on anything: add namespaces=*, or a list, to the lines of senders")
	}
	return errors.New("no line has rights=, so nobody could read or write: add rights=read, or rights=write types=TYPE, to lines")
}
