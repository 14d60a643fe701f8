package httpserver

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"kubernaut.ai/internal/lifecycle"
)

const (
	readyTimeout = 5 * time.Second
	// managementGrace is enough for a scrape or a flush; nobody waits for a
	// profile.
	managementGrace = time.Second
)

var errStopping = errors.New("the service is stopping")

// Check is one thing that must hold for a service to be ready.
type Check struct {
	Name string
	// Func returns nil when it holds; it must end with its context.
	Func func(ctx context.Context) error
}

// NotStopping holds until the stop of a program begins, so that no new requests
// are sent to it.
func NotStopping(g interface{ Stopping() bool }) Check {
	return Check{Name: "serving", Func: func(context.Context) error {
		if g.Stopping() {
			return errStopping
		}
		return nil
	}}
}

// Management is the handler of a management port: probes and metrics, without
// authentication as Kubernetes expects, and the audit flush, whose response
// holds counts and a token, but no ids and no event data.
type Management struct {
	Ready   []Check
	Metrics prometheus.Gatherer
	// Flush handles POST /audit/flush; nil for programs that keep no events.
	Flush http.Handler
	// Log gets the reasons for not being ready; the response names only the check.
	Log *zap.Logger
}

// ManagementParts are the servers of the management port and of the one for
// profiles, if that is open.
func ManagementParts(p *Ports, management http.Handler, share int, log *zap.Logger) []lifecycle.Part {
	servers := []lifecycle.Part{
		(&Server{Name: "management", Listener: p.Management, Handler: management, MaxGrace: managementGrace, Log: log}).Part(share),
	}
	if p.Profiles != nil {
		profiles := &Server{Name: "profiles", Listener: p.Profiles, Handler: PprofHandler(), MaxGrace: managementGrace, Log: log}
		servers = append(servers, profiles.Part(0))
	}
	return servers
}

// ControlParts are the server of the control listener, if that is open.
func ControlParts(p *Ports, control http.Handler, log *zap.Logger) []lifecycle.Part {
	if p.Control == nil {
		return nil
	}
	server := &Server{Name: "control", Listener: p.Control, Handler: control, MaxGrace: managementGrace, Log: log}
	return []lifecycle.Part{server.Part(0)}
}

// Handler returns the routes /healthz, /readyz, /metrics and /audit/flush.
func (m *Management) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeStatus(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", m.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.Metrics, promhttp.HandlerOpts{}))
	if m.Flush != nil {
		mux.Handle("/audit/flush", m.Flush)
	}
	return mux
}

func (m *Management) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	answer := map[string]string{"status": "ready"}
	status := http.StatusOK
	for _, check := range m.Ready {
		answer[check.Name] = "ok"
		if err := check.Func(ctx); err != nil {
			m.Log.Debug("not ready", zap.String("check", check.Name), zap.Error(err))
			answer[check.Name] = "failed"
			answer["status"] = "not ready"
			status = http.StatusServiceUnavailable
		}
	}
	writeStatus(w, status, answer)
}

func writeStatus(w http.ResponseWriter, status int, answer map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// It does not matter if the client has gone away.
	_ = json.NewEncoder(w).Encode(answer) //nolint:errchkjson // see above
}

// PprofHandler serves net/http/pprof under /debug/pprof/; listen on loopback only.
func PprofHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
