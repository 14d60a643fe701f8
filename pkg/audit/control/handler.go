package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/httpsink"
)

const (
	// pageEvents is how many rejected events a page has at most.
	pageEvents = 1000
	// maxRequestBytes is enough for the ids of a full quarantine.
	maxRequestBytes = 1 << 20
)

// Records reads DataStorage's records of acknowledgements. A *httpsink.Sink is one.
type Records interface {
	Acknowledgement(ctx context.Context, id uuid.UUID) (*httpsink.Acknowledgement, error)
}

// Options of a Handler; all are required.
type Options struct {
	Store   *audit.Store
	Records Records
	// Log gets a line for each time that something was settled.
	Log *slog.Logger
}

// Handler serves the control listener.
func Handler(o Options) http.Handler {
	h := &handler{Options: o}
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(*http.Request) (any, error){
		"GET " + StatePath:                h.state,
		"GET " + RejectionsPath:           h.rejections,
		"GET " + QuarantinePath:           h.quarantine,
		"GET " + QuarantinePath + "/{id}": h.quarantined,
		"POST " + RetryPath:               h.retry,
		"POST " + AcknowledgementsPath:    h.acknowledge,
	} {
		mux.Handle(pattern, h.answer(serve))
	}
	return mux
}

type handler struct{ Options }

// answer writes what a function returns, or its error.
func (h *handler) answer(serve func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := h.serve(r, serve)
		if err == nil {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			_ = json.NewEncoder(w).Encode(answer) // fails only if the client is gone
			return
		}
		var p *ProblemError
		if !errors.As(err, &p) {
			p = newProblem(http.StatusInternalServerError, "%v", err)
		}
		if p.Status >= http.StatusInternalServerError {
			h.Log.WarnContext(r.Context(), "request of the control listener failed", slog.String("path", r.URL.Path), slog.Any("error", err))
		}
		p.write(w)
	})
}

// serve rejects what a web page could make a browser on the same machine send:
// the listener asks nobody who they are.
func (h *handler) serve(r *http.Request, serve func(*http.Request) (any, error)) (any, error) {
	if !isLoopback(r.Host) {
		return nil, newProblem(http.StatusMisdirectedRequest, "the control listener is called by a loopback address or localhost, not as %q", r.Host)
	}
	if r.Method == http.MethodPost {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			return nil, newProblem(http.StatusUnsupportedMediaType, "send Content-Type: application/json")
		}
	}
	return serve(r)
}

func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func (h *handler) state(r *http.Request) (any, error) {
	if _, err := parameters(r); err != nil {
		return nil, err
	}
	return stateOf(h.Store.State()), nil
}

func (h *handler) rejections(r *http.Request) (any, error) {
	given, err := parameters(r, ParameterCorrelationID)
	if err != nil {
		return nil, err
	}
	u := h.Store.Unacknowledged(given[ParameterCorrelationID])
	return Rejections{
		Rejected: emptyNotNil(u.Rejected), RejectedUnnamed: u.RejectedUnnamed,
		Lost: emptyNotNil(u.Lost), LostUnnamed: u.LostUnnamed,
		Stalled: emptyNotNil(h.Store.StalledEvents(given[ParameterCorrelationID])),
		Pending: emptyNotNil(h.Store.PendingEvents(given[ParameterCorrelationID])),
	}, nil
}

func emptyNotNil[T any](list []T) []T { return append(make([]T, 0, len(list)), list...) }

func (h *handler) quarantine(r *http.Request) (any, error) {
	given, err := parameters(r, ParameterAfter, ParameterLimit)
	if err != nil {
		return nil, err
	}
	limit := pageEvents
	if text := given[ParameterLimit]; text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > pageEvents {
			return nil, invalid(map[string]string{ParameterLimit: fmt.Sprintf("must be 1 to %d", pageEvents)}, "unusable parameter")
		}
	}
	all, err := h.Store.Quarantine()
	page := Quarantine{Total: len(all), Events: []QuarantinedEvent{}, Unreadable: err != nil}
	if text := given[ParameterAfter]; text != "" {
		id, err := uuid.Parse(text)
		at := slices.IndexFunc(all, func(q audit.Quarantined) bool { return q.ID == id })
		if err != nil || at < 0 {
			return nil, invalid(map[string]string{ParameterAfter: "must be the id of an event in quarantine"}, "unusable parameter")
		}
		all = all[at+1:]
	}
	for i := range all[:min(limit, len(all))] {
		page.Events = append(page.Events, quarantinedOf(&all[i]))
	}
	if len(all) > limit {
		page.After = &all[limit-1].ID
	}
	return page, nil
}

func (h *handler) quarantined(r *http.Request) (any, error) {
	given, err := parameters(r, ParameterSensitive)
	if err != nil {
		return nil, err
	}
	sensitive := false
	if text := given[ParameterSensitive]; text != "" {
		if sensitive, err = strconv.ParseBool(text); err != nil {
			return nil, invalid(map[string]string{ParameterSensitive: "must be true or false"}, "unusable parameter")
		}
	}
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return nil, invalid(map[string]string{"id": "must be the id of an event"}, "unusable path")
	}
	all, err := h.Store.Quarantine()
	at := slices.IndexFunc(all, func(q audit.Quarantined) bool { return q.ID == id })
	switch {
	case at < 0 && err != nil:
		return nil, unavailable(err, "not all of the quarantine can be read")
	case at < 0:
		return nil, newProblem(http.StatusNotFound, "no event %s is in quarantine", id)
	}
	q := quarantinedOf(&all[at])
	q.Event = contentsOf(all[at].Event, sensitive)
	return q, nil
}

func (h *handler) retry(r *http.Request) (any, error) {
	var request RetryRequest
	if err := read(r, &request); err != nil {
		return nil, err
	}
	retried, err := h.Store.Retry(r.Context(), request.EventIDs...)
	if retried > 0 || err != nil {
		h.Log.InfoContext(r.Context(), "rejected audit events are sent again", slog.Int("events", retried), slog.Any("error", err))
	}
	if err != nil {
		return nil, unavailable(err, "%d events are sent again, the others are not: %v", retried, err)
	}
	return Retried{Retried: retried}, nil
}

func (h *handler) acknowledge(r *http.Request) (any, error) {
	var request AcknowledgementRequest
	if err := read(r, &request); err != nil {
		return nil, err
	}
	if request.ID == uuid.Nil {
		return nil, invalid(map[string]string{"id": "is required: the id of the record in DataStorage"}, "unusable body")
	}
	return Acknowledge(r.Context(), h.Options, request.ID)
}

// Acknowledge settles the events that DataStorage's record of an acknowledgement
// names: flushes and stops no longer report them. It may be repeated. The error
// is a *ProblemError.
func Acknowledge(ctx context.Context, o Options, id uuid.UUID) (Acknowledged, error) {
	record, err := o.Records.Acknowledgement(ctx, id)
	switch {
	case errors.Is(err, httpsink.ErrNoAcknowledgement):
		return Acknowledged{}, newProblem(http.StatusNotFound, "%v", err)
	case err != nil:
		return Acknowledged{}, unavailable(err, "the record cannot be read from DataStorage: %v", err)
	}
	settled, err := o.Store.Acknowledge(record.EventIDs...)
	if err != nil {
		return Acknowledged{}, unavailable(err, "%v", err)
	}
	o.Log.InfoContext(ctx, "rejected or lost audit events were acknowledged", slog.String("acknowledgement", id.String()),
		slog.String("acknowledged_by", record.By), slog.Int("events", settled), slog.Int("events_of_the_record", len(record.EventIDs)))
	return Acknowledged{ID: id, Acknowledged: settled, By: record.By}, nil
}

// parameters takes the known ones, each once and not empty.
func parameters(r *http.Request, known ...string) (map[string]string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid(nil, "unusable parameters: %v", err)
	}
	given := make(map[string]string, len(query))
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			return nil, invalid(map[string]string{name: "is unknown"}, "unusable parameter")
		case len(values) != 1 || values[0] == "":
			return nil, invalid(map[string]string{name: "must have one value"}, "unusable parameter")
		}
		given[name] = values[0]
	}
	return given, nil
}

// read reads the body of a request. Unknown fields are errors: a misspelled list
// of ids must not turn into all of them.
func read(r *http.Request, into any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBytes+1))
	if err != nil {
		return newProblem(http.StatusBadRequest, "read body: %v", err)
	}
	if len(body) > maxRequestBytes {
		return newProblem(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", maxRequestBytes)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return invalid(nil, "the body is not a JSON object: %v", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return invalid(nil, "unusable body: %v", err)
	}
	return nil
}
