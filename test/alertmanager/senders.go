package alertmanager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// recent bounds the latest alerts that a sender may send again.
	recent = 8
	// maxAlerts bounds the new alerts of a notification.
	maxAlerts = 3
	// siblingOdds is how many notifications there are for each new sibling of an
	// alert, and for each sibling that is resolved.
	siblingOdds = 4
)

// ErrBusy is the failure of an attempt that was answered 503.
var ErrBusy = errors.New("the Gateway is busy")

// Route returns the URL for an attempt to send a notification. It is called before
// each attempt, with the failure of the one before: nil at first, ErrBusy, or the error
// of the call. It blocks until it is time for the attempt; an error ends the attempts.
type Route func(ctx context.Context, failure error) (url string, err error)

// Options of Senders.
type Options struct {
	// Namespace that the alerts are about.
	Namespace string
	// NewRoute is called for each notification.
	NewRoute func() Route
	// Pace is the interval between the notifications of a sender; 0 means no delay.
	Pace time.Duration
	// MaxProblems bounds the problems of a sender, which then repeats its alerts; 0 means no bound.
	MaxProblems int
	// HTTP and Authorize are those of a Call.
	HTTP      *http.Client
	Authorize func(ctx context.Context, r *http.Request) error
}

// Senders send notifications as Alertmanager does, and retry until they are answered.
type Senders struct {
	Options

	ticks  chan struct{}
	enough chan struct{}
	finish func() // closes enough, once

	mu       sync.Mutex
	answered []Answered // guarded by mu
}

// Answered is the Gateway's answer about one signal.
type Answered struct {
	// Delivery is the request id of the notification.
	Delivery string
	// Request is the name of the signal's RemediationRequest, the correlation id.
	Request     string
	Fingerprint string
	// Container is the container of an alert's sibling, whose signals change the
	// state of the request; empty for the alert itself.
	Container string
	// Resolved is set for a sibling that does not fire any more.
	Resolved bool
}

// NewSenders makes senders; Send starts one.
func NewSenders(o Options) *Senders {
	s := &Senders{Options: o, ticks: make(chan struct{}, 1), enough: make(chan struct{})}
	s.finish = sync.OnceFunc(func() { close(s.enough) })
	return s
}

// Ticks has a value if a notification was answered since the last one was received.
func (s *Senders) Ticks() <-chan struct{} { return s.ticks }

// Finish ends the senders after their current notifications are answered.
func (s *Senders) Finish() { s.finish() }

// Answers are those so far.
func (s *Senders) Answers() []Answered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.answered)
}

// Send sends notifications until Finish, and repeats some alerts.
func (s *Senders) Send(ctx context.Context, random *rand.Rand) error {
	var known, siblings []Alert
	made := 0
	var pace <-chan time.Time
	if s.Pace > 0 {
		ticker := time.NewTicker(s.Pace)
		defer ticker.Stop()
		pace = ticker.C
	}
	for {
		select {
		case <-s.enough:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		alerts := s.newAlerts(1+random.IntN(maxAlerts), made)
		made += len(alerts)
		if len(known) > 0 && (len(alerts) == 0 || random.IntN(2) == 0) {
			alerts = append(alerts, known[random.IntN(len(known))])
		}
		var sibling *Alert
		if len(known) > 0 && random.IntN(siblingOdds) == 0 {
			sibling = newSibling(&known[random.IntN(len(known))])
			alerts = append(alerts, *sibling)
		}
		if len(siblings) > 0 && random.IntN(siblingOdds) == 0 {
			alerts = append(alerts, resolve(&siblings[0]))
			siblings = siblings[1:]
		}
		if err := s.deliver(ctx, alerts); err != nil {
			return err
		}
		if sibling != nil {
			siblings = append(siblings, *sibling)
			siblings = siblings[max(0, len(siblings)-recent):]
		}
		known = append(known, alerts[0])
		known = known[max(0, len(known)-recent):]
		if s.Pace > 0 {
			select {
			case <-pace:
			case <-s.enough:
			case <-ctx.Done():
			}
		}
	}
}

// newAlerts makes alerts about new problems, no more than are left after those that were made.
func (s *Senders) newAlerts(want, made int) []Alert {
	if s.MaxProblems > 0 {
		want = min(want, s.MaxProblems-made)
	}
	alerts := make([]Alert, 0, want)
	for range want {
		alerts = append(alerts, s.newAlert())
	}
	return alerts
}

func (s *Senders) newAlert() Alert {
	name := uuid.NewString()
	return Alert{Status: Firing, StartsAt: time.Now().UTC(), Labels: map[string]string{
		"alertname": "Load-" + name, "namespace": s.Namespace, "pod": "pod-" + name, "severity": "warning",
	}}
}

// newSibling is another instance of an alert: another container of its pod.
func newSibling(of *Alert) *Alert {
	labels := maps.Clone(of.Labels)
	labels["container"] = "c-" + uuid.NewString()
	return &Alert{Status: Firing, StartsAt: time.Now().UTC(), Labels: labels}
}

func resolve(a *Alert) Alert {
	return Alert{Status: Resolved, StartsAt: a.StartsAt, EndsAt: time.Now().UTC(), Labels: a.Labels}
}

// deliver sends a notification, and retries until it is answered.
func (s *Senders) deliver(ctx context.Context, alerts []Alert) error {
	body, err := notification(Firing, alerts)
	if err != nil {
		return err
	}
	route := s.NewRoute()
	var failure error
	for {
		url, err := route(ctx, failure)
		if err != nil {
			return fmt.Errorf("send notification: %w", err)
		}
		answer, err := Call{URL: url, Body: body, HTTP: s.HTTP, Authorize: s.Authorize}.Do(ctx)
		switch {
		case err != nil:
			failure = err
		case answer.Code == http.StatusServiceUnavailable:
			failure = ErrBusy
		case answer.Code/100 != 2:
			return fmt.Errorf("the Gateway answered %d: %s", answer.Code, answer.Detail)
		default:
			return s.note(&answer, alerts)
		}
	}
}

// taken are the statuses of signals that belong to a request.
var taken = []string{"created", "duplicate", "resolved"}

var errUnexpected = errors.New("unexpected answer of the Gateway")

// note stores an answer that was read completely.
func (s *Senders) note(a *Answer, alerts []Alert) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	results := a.Each()
	if len(results) != len(alerts) {
		return fmt.Errorf("%w: %d with %d results about %d alerts", errUnexpected, a.Code, len(results), len(alerts))
	}
	for i, r := range results {
		resolved := alerts[i].Status == Resolved
		if r.RemediationRequestName == "" || (r.Status == "resolved") != resolved || !slices.Contains(taken, r.Status) {
			return fmt.Errorf("%w: %d %+v", errUnexpected, a.Code, r)
		}
		s.answered = append(s.answered, Answered{
			Delivery: a.RequestID, Request: r.RemediationRequestName, Fingerprint: r.Fingerprint,
			Container: alerts[i].Labels["container"], Resolved: resolved,
		})
	}
	select {
	case s.ticks <- struct{}{}:
	default:
	}
	return nil
}

// Backoff is a Route to one address that retries like Alertmanager, at intervals that
// grow from first to limit.
func Backoff(url string, first, limit time.Duration) Route {
	wait := first
	return func(ctx context.Context, failure error) (string, error) {
		if failure == nil {
			return url, nil
		}
		timer := time.NewTimer(wait)
		defer timer.Stop()
		wait = min(2*wait, limit)
		select {
		case <-timer.C:
			return url, nil
		case <-ctx.Done():
			return "", fmt.Errorf("%w, after %w", context.Cause(ctx), failure)
		}
	}
}
