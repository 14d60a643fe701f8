package testenv

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// StoreState is the state of a service's audit store, as its metrics show it.
type StoreState struct {
	// Service is the name of the pod, or the URL of the management port.
	Service string
	// Pending is the number of accepted events that are not stored yet, Oldest
	// the age of the oldest of them.
	Pending int
	Oldest  time.Duration
	// Unacknowledged is the number of rejected and lost events.
	Unacknowledged int
	// SinkDown reports that the last write failed.
	SinkDown bool
	// Err says why the state is unknown.
	Err error
}

// ReadStoreState reads the state from a service's metrics.
func ReadStoreState(service string, metrics io.Reader) StoreState {
	s := StoreState{Service: service}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(metrics)
	if err != nil {
		s.Err = fmt.Errorf("read metrics: %w", err)
		return s
	}
	gauge := func(name string) float64 {
		if m := families["audit_"+name].GetMetric(); len(m) == 1 {
			return m[0].GetGauge().GetValue()
		}
		s.Err = fmt.Errorf("read metrics: audit_%s is missing", name)
		return 0
	}
	s.Pending = int(gauge("pending_events"))
	s.Oldest = time.Duration(gauge("oldest_pending_age_seconds") * float64(time.Second))
	s.Unacknowledged = int(gauge("unacknowledged_events"))
	s.SinkDown = gauge("sink_up") == 0
	return s
}

// String is like "gateway-0 has 3 pending events, the oldest for 12s; its last write failed".
func (s StoreState) String() string {
	if s.Err != nil {
		return fmt.Sprintf("pending events of %s are unknown: %v", s.Service, s.Err)
	}
	text := s.Service + " has no pending events"
	if s.Pending > 0 {
		text = fmt.Sprintf("%s has %d pending events, the oldest for %s", s.Service, s.Pending, s.Oldest.Round(time.Millisecond))
	}
	if s.Unacknowledged > 0 {
		text += fmt.Sprintf("; %d of its events were rejected or lost", s.Unacknowledged)
	}
	if s.SinkDown {
		text += "; its last write failed"
	}
	return text
}

// usualAge is longer than an event stays pending in a healthy system.
const usualAge = time.Second

// healthy reports a state that explains no missing event. Other specs record
// events all the time, so that some may be pending.
func (s StoreState) healthy() bool {
	return s.Err == nil && s.Unacknowledged == 0 && !s.SinkDown && s.Oldest < usualAge
}

// storeStates reads the states of services from their management ports.
func storeStates(ctx context.Context, managementURLs []string) []StoreState {
	states := make([]StoreState, 0, len(managementURLs))
	for _, base := range managementURLs {
		states = append(states, storeState(ctx, base))
	}
	return states
}

func storeState(ctx context.Context, managementURL string) StoreState {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(managementURL, "/")+"/metrics", http.NoBody)
	if err != nil {
		return StoreState{Service: managementURL, Err: err}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return StoreState{Service: managementURL, Err: err}
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return StoreState{Service: managementURL, Err: fmt.Errorf("metrics endpoint answered %s", response.Status)}
	}
	return ReadStoreState(managementURL, response.Body)
}
