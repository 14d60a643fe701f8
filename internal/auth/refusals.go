package auth

import (
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
	"k8s.io/utils/clock"
)

const (
	// refusalsInterval is how often the same refusal is logged at most.
	refusalsInterval = time.Minute
	// maxRefusals bounds the refusals that are told apart in an interval.
	maxRefusals = 20
	// maxReason bounds the text of others in a line.
	maxReason = 300
)

// refusal tells refused requests apart: by caller and action (403), or by address
// if the caller is unknown (401).
type refusal struct {
	caller  string
	action  Action
	where   Scope
	address string
}

// refusals logs refused requests: the first of its kind at once, how many
// followed after an interval. Beyond maxRefusals kinds in an interval it only
// counts, so that nobody can flood the log.
type refusals struct {
	clock clock.PassiveClock
	log   *zap.Logger

	mu     sync.Mutex
	began  time.Time               // guarded by mu: of the interval
	kinds  map[refusal]*refusedFew // guarded by mu
	others int                     // guarded by mu: beyond maxRefusals
}

// refusedFew are the requests of a kind in an interval.
type refusedFew struct {
	// repeated counts those that no line has told yet.
	repeated       int
	remedy, reason string
}

func newRefusals(c clock.PassiveClock, log *zap.Logger) *refusals {
	return &refusals{clock: c, log: log, kinds: map[refusal]*refusedFew{}}
}

// add logs or counts a refused request.
func (r *refusals) add(kind refusal, remedy, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush()
	if few, known := r.kinds[kind]; known {
		few.repeated++
		return
	}
	if len(r.kinds) == maxRefusals {
		r.others++
		return
	}
	if len(r.kinds) == 0 {
		r.began = r.clock.Now()
	}
	few := &refusedFew{remedy: remedy, reason: shortened(reason)}
	r.kinds[kind] = few
	r.log.Info("caller refused", kind.fields(few)...)
}

// report logs what has been counted, if the interval is over.
func (r *refusals) report() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush()
}

// flush ends an interval that is over. A kind that was refused in it stays, so
// that lasting refusals cost a line in each interval. Called with mu.
func (r *refusals) flush() {
	now := r.clock.Now()
	if len(r.kinds) == 0 || now.Sub(r.began) < refusalsInterval {
		return
	}
	for kind, few := range r.kinds {
		if few.repeated == 0 {
			delete(r.kinds, kind)
			continue
		}
		r.log.Info("caller refused", append(kind.fields(few), zap.Int("repeated", few.repeated), zap.Duration("within", now.Sub(r.began)))...)
		few.repeated = 0
	}
	if r.others > 0 {
		r.log.Info("more callers refused", zap.Int("requests", r.others), zap.Duration("within", now.Sub(r.began)))
	}
	r.began, r.others = now, 0
}

func (k refusal) fields(few *refusedFew) []zap.Field {
	var fields []zap.Field
	if k.address != "" {
		fields = append(fields, zap.Int("status", http.StatusUnauthorized), zap.String("address", k.address))
	} else {
		fields = append(fields, zap.Int("status", http.StatusForbidden), zap.String("caller", k.caller),
			zap.Stringer("action", k.action), zap.Stringer("where", k.where))
	}
	fields = append(fields, zap.String("remedy", few.remedy))
	if few.reason != "" {
		fields = append(fields, zap.String("reason", few.reason))
	}
	return fields
}

// address is the host that a request came from.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "unknown"
	}
	return host
}

func causeOf(e *UnauthenticatedError) string {
	if e.Cause == nil {
		return ""
	}
	return e.Cause.Error()
}

func shortened(text string) string {
	if len(text) > maxReason {
		return text[:maxReason] + "…"
	}
	return text
}
