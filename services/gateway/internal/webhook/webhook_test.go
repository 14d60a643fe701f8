package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/memory"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/duplicates"
	"kubernaut.ai/services/gateway/internal/heartbeat"
	"kubernaut.ai/services/gateway/internal/occurrence"
	"kubernaut.ai/services/gateway/internal/target"
	"kubernaut.ai/services/gateway/internal/webhook"
)

// cluster fakes the dependencies of the API. Each test sets its functions.
type cluster struct {
	// overflow is the request that lists every problem; nil if there is none.
	overflow *v1alpha1.RemediationRequest
	open     func(ctx context.Context, s dedup.Signal) (dedup.Result, error)
	current  func() (dedup.Found, error)
	change   occurrence.Change // what every signal of an existing request changes
	take     bool              // duplicates are recorded together
	record   func(e *audit.Event) error

	mu     sync.Mutex
	events []string // guarded by mu: "<type> <correlation id>"
	writes []string // guarded by mu: "count" or "apply", and the instance
}

func (c *cluster) Open(ctx context.Context, s dedup.Signal, _ dedup.Trail) (dedup.Result, error) {
	return c.open(ctx, s)
}

func (c *cluster) Current(context.Context, *v1alpha1.RemediationRequestSpec) (dedup.Found, error) {
	return c.current()
}

func (c *cluster) Change(*v1alpha1.RemediationRequest, occurrence.Report) occurrence.Change {
	return c.change
}

func (c *cluster) Take(duplicates.Duplicate) bool { return c.take }

func (c *cluster) Resolve(_ context.Context, s target.Signal) (target.Resolution, error) {
	t := v1alpha1.TargetResource{Kind: target.KindUnknown, Name: s.Name, Namespace: s.Labels["namespace"]}
	return target.Resolution{Target: t, Owner: t, OwnerKnown: true}, nil
}

func (c *cluster) Membership(context.Context, string) (*v1alpha1.RemediationRequest, error) {
	return c.overflow, nil
}

func (c *cluster) OverflowOf(context.Context, *v1alpha1.RemediationRequestSpec) (*v1alpha1.RemediationRequest, error) {
	return c.overflow, nil
}

func (c *cluster) Count(_ context.Context, _ occurrence.Request, r occurrence.Report) error {
	return c.write("count", r)
}

func (c *cluster) Apply(_ context.Context, _ occurrence.Request, r occurrence.Report) error {
	return c.write("apply", r)
}

func (c *cluster) Record(_ context.Context, e *audit.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e.Type+" "+e.CorrelationID)
	return c.record(e)
}

func (c *cluster) write(how string, r occurrence.Report) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = append(c.writes, how+" "+r.Name)
	return nil
}

// existing makes every firing signal one of a request that exists for an hour.
func (b *bundle) existing() {
	create := b.open
	b.open = func(ctx context.Context, s dedup.Signal) (dedup.Result, error) {
		result, err := create(ctx, s)
		result.Created = false
		result.Request.Spec.ReceivedTime = metav1.NewMicroTime(b.options.Clock.Now().Add(-time.Hour))
		return result, err
	}
}

// found is an existing request.
func found(name string) dedup.Found {
	r := &v1alpha1.RemediationRequest{}
	r.Namespace, r.Name, r.UID = "ns", name, "u"
	return dedup.Found{Key: types.NamespacedName{Namespace: "ns", Name: name}, Request: r}
}

// noHeartbeats takes every signal for a problem.
type noHeartbeats struct{}

func (noHeartbeats) Match(*v1alpha1.RemediationRequestSpec) ([]*heartbeat.Beat, bool) {
	return nil, false
}

type bundle struct {
	*cluster

	handler http.Handler
	api     *webhook.Server
	options webhook.Options
}

func setup(t *testing.T, change ...func(*webhook.Options)) *bundle {
	t.Helper()
	c := &cluster{
		open: func(_ context.Context, s dedup.Signal) (dedup.Result, error) {
			r := &v1alpha1.RemediationRequest{Spec: *s.Spec}
			r.Name, r.Namespace, r.UID = "rr-"+s.Spec.SignalFingerprint[:12]+"-x", "ns", "u"
			return dedup.Result{Request: r, Created: true}, nil
		},
		current: func() (dedup.Found, error) { return dedup.Found{}, nil },
		record:  func(*audit.Event) error { return nil },
	}
	o := webhook.Options{
		Opener: c, Targets: c, Counter: c, Duplicates: c, Recorder: c,
		Auth:          auth.NewGate(auth.None{}, zap.NewNop()),
		Heartbeats:    noHeartbeats{},
		Limits:        body.Limits{Bytes: 64 << 10, Signals: 30, Blank: 8 << 10},
		BodyMemory:    memory.NewBudget(1 << 20),
		MaxConcurrent: 2,
		Timeout:       10 * time.Second,
		NewID:         func() string { return "made-id" },
		Clock:         clocktesting.NewFakePassiveClock(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)),
		Log:           zap.NewNop(),
		Registerer:    prometheus.NewRegistry(),
	}
	for _, f := range change {
		f(&o)
	}
	api, err := webhook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &bundle{cluster: c, handler: api, api: api, options: o}
}

func alert(status, name string) string {
	return `{"status":"` + status + `","labels":{"alertname":"` + name + `"},"startsAt":"2026-11-23T09:35:44Z","endsAt":"2026-11-23T09:40:00Z"}`
}

func message(alerts ...string) string { return truncatedMessage(0, alerts...) }

// truncatedMessage is a message whose sender left alerts out.
func truncatedMessage(left int, alerts ...string) string {
	return fmt.Sprintf(`{"version":"4","receiver":"r","truncatedAlerts":%d,"alerts":[%s]}`, left, strings.Join(alerts, ","))
}

// response is a response without its body.
type response struct {
	code   int
	header http.Header
}

func (b *bundle) call(t *testing.T, method, path, contentType, body string) (response, map[string]any) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-Request-ID", "given-id")
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	answer := map[string]any{}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("response %q is not JSON: %v", w.Body, err)
	}
	return response{w.Code, w.Header()}, answer
}

func (b *bundle) post(t *testing.T, body string) (response, map[string]any) {
	t.Helper()
	return b.call(t, http.MethodPost, webhook.PathPrometheus, "application/json", body)
}

// madeID matches correlation ids that the Gateway makes for deliveries.
var madeID = regexp.MustCompile(`gw-[0-9a-f-]{36}`)

func (b *bundle) expectEvents(t *testing.T, want ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	got := make([]string, 0, len(b.events))
	for _, e := range b.events {
		got = append(got, madeID.ReplaceAllString(e, "gw-"))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestResponsesAboutOneAlert(t *testing.T) {
	t.Parallel()
	t.Run("created", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		response, answer := b.post(t, message(alert("firing", "A")))
		if response.code != http.StatusCreated || answer["status"] != "created" || answer["duplicate"] != false {
			t.Errorf("%d %v", response.code, answer)
		}
		if answer["remediationRequestNamespace"] != "ns" || answer["message"] == "" {
			t.Errorf("%v", answer)
		}
		if response.header.Get("X-Request-ID") != "given-id" {
			t.Errorf("request id %q", response.header.Get("X-Request-ID"))
		}
		if len(b.writes) != 0 {
			t.Errorf("writes %v, but the request's spec says it all", b.writes)
		}
	})
	t.Run("duplicate", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.existing()
		response, answer := b.post(t, message(alert("firing", "A")))
		if response.code != http.StatusOK || answer["status"] != "duplicate" || answer["duplicate"] != true {
			t.Errorf("%d %v", response.code, answer)
		}
		b.expectEvents(t, "gateway.signal.deduplicated "+answer["remediationRequestName"].(string))
		if !slices.Equal(b.writes, []string{"count Unknown/A"}) {
			t.Errorf("writes %v, want one count", b.writes)
		}
	})
	t.Run("resolved", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.open = nil
		b.current = func() (dedup.Found, error) { return found("rr-1"), nil }
		response, answer := b.post(t, message(alert("resolved", "A")))
		if response.code != http.StatusOK || answer["status"] != "resolved" || answer["remediationRequestName"] != "rr-1" {
			t.Errorf("%d %v", response.code, answer)
		}
		b.expectEvents(t, "gateway.signal.resolved rr-1")
	})
	t.Run("resolved, without a request", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.open = nil
		response, answer := b.post(t, message(alert("resolved", "A")))
		if response.code != http.StatusOK || answer["status"] != "ignored" {
			t.Errorf("%d %v", response.code, answer)
		}
		b.expectEvents(t, "gateway.signal.resolved gw-")
	})
}

func TestSeveralAlertsGetOneResultEach(t *testing.T) {
	t.Parallel()
	b := setup(t)
	create := b.open
	b.open = func(ctx context.Context, s dedup.Signal) (dedup.Result, error) {
		if s.Spec.SignalName == "Refused" {
			kind := schema.GroupKind{Group: "kubernaut.ai", Kind: "RemediationRequest"}
			return dedup.Result{}, &dedup.Error{Err: apierrors.NewInvalid(kind, "rr-2", field.ErrorList{field.Required(field.NewPath("spec"), "")})}
		}
		return create(ctx, s)
	}
	body := truncatedMessage(7, alert("firing", "A"), alert("resolved", "B"), alert("firing", "Refused"), `{"status":"firing"}`)
	response, answer := b.post(t, body)
	if response.code != http.StatusMultiStatus {
		t.Fatalf("%d %v", response.code, answer)
	}
	results, _ := answer["results"].([]any)
	states := make([]any, 0, len(results))
	for _, r := range results {
		entry, _ := r.(map[string]any)
		states = append(states, entry["status"])
	}
	if !slices.Equal(states, []any{"created", "ignored", "rejected", "rejected"}) {
		t.Errorf("states %v, in the order of the alerts", states)
	}
	summary, _ := answer["summary"].(map[string]any)
	if summary["total"] != 4.0 || summary["created"] != 1.0 || summary["ignored"] != 1.0 || summary["rejected"] != 2.0 {
		t.Errorf("summary %v", summary)
	}
	unusable, _ := results[3].(map[string]any)
	fields, _ := unusable["field_errors"].(map[string]any)
	if fields["alerts[3].labels.alertname"] == nil {
		t.Errorf("the unusable alert's answer %v does not name the field", unusable)
	}
	first, _ := results[0].(map[string]any)
	name, _ := first["remediationRequestName"].(string)
	b.expectEvents(t, "gateway.signal.truncated "+name, "gateway.signal.resolved gw-",
		"gateway.crd.failed gw-", "gateway.signal.rejected gw-", "gateway.signal.rejected gw-")
}

func TestRejectionsAreProblemsAndAudited(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		method, path, contentType, body string
		status                          int
		field                           string
		unrecorded                      bool
	}{
		"no json":            {body: "alert!", status: 400, field: "body"},
		"missing field":      {body: message(`{"status":"firing"}`), status: 400, field: "alerts[0].labels.alertname"},
		"wrong content type": {contentType: "text/plain", body: message(alert("firing", "A")), status: 415},
		"no content type":    {contentType: "-", body: message(alert("firing", "A")), status: 415},
		"oversized":          {body: message(alert("firing", strings.Repeat("A", 64<<10))), status: 413},
		"unknown route":      {path: "/api/v1/signals/smoke", status: 404, unrecorded: true},
		"wrong method":       {method: http.MethodGet, status: 405, unrecorded: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.open = nil
			orElse := func(value, fallback string) string {
				if value == "" {
					return fallback
				}
				return value
			}
			response, answer := b.call(t, orElse(test.method, http.MethodPost), orElse(test.path, webhook.PathPrometheus),
				orElse(test.contentType, "application/json; charset=utf-8"), test.body)
			if response.code != test.status || response.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %s, want a problem with %d", response.code, response.header.Get("Content-Type"), test.status)
			}
			fields, _ := answer["field_errors"].(map[string]any)
			if test.field != "" && fields[test.field] == nil {
				t.Errorf("field %s is not named in %v", test.field, answer)
			}
			if test.unrecorded {
				b.expectEvents(t)
				return
			}
			b.expectEvents(t, "gateway.signal.rejected gw-made-id")
		})
	}
}

func TestTransientFailuresGetRetryAfter(t *testing.T) {
	t.Parallel()
	full := func(*audit.Event) error { return audit.ErrFull }
	inDoubt := func(*audit.Event) error { return audit.ErrInDoubt }
	away := errors.New("connection refused")
	tests := map[string]struct {
		change func(*bundle)
		body   string
		events []string
	}{
		"API server unavailable": {
			func(b *bundle) {
				b.open = func(context.Context, dedup.Signal) (dedup.Result, error) {
					return dedup.Result{}, &dedup.Error{Request: types.NamespacedName{Namespace: "ns", Name: "rr-1"}, Err: away}
				}
			},
			message(alert("firing", "A")),
			[]string{"gateway.crd.failed rr-1"},
		},
		"API server unavailable for a resolved alert": {
			func(b *bundle) {
				b.current = func() (dedup.Found, error) { return dedup.Found{}, away }
			},
			message(alert("resolved", "A")), nil,
		},
		"one of three": {
			func(b *bundle) {
				create := b.open
				b.open = func(ctx context.Context, s dedup.Signal) (dedup.Result, error) {
					if s.Spec.SignalName == "B" {
						return dedup.Result{}, away
					}
					return create(ctx, s)
				}
			},
			message(alert("firing", "A"), alert("firing", "B"), alert("firing", "C")),
			[]string{"gateway.crd.failed gw-"},
		},
		"audit store full": {
			func(b *bundle) { b.record = full },
			message(alert("resolved", "A")),
			[]string{"gateway.signal.resolved gw-"},
		},
		"event in doubt": {
			func(b *bundle) { b.record = inDoubt },
			message(alert("resolved", "A")),
			[]string{"gateway.signal.resolved gw-"},
		},
		"audit store full for a rejection": {
			func(b *bundle) { b.record = full }, "alert!",
			[]string{"gateway.signal.rejected gw-made-id"},
		},
		"panic in a signal": {
			func(b *bundle) {
				b.open = func(context.Context, dedup.Signal) (dedup.Result, error) { panic("bug") }
			},
			message(alert("firing", "A")), nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			test.change(b)
			response, answer := b.post(t, test.body)
			if response.code != http.StatusServiceUnavailable || response.header.Get("Retry-After") == "" {
				t.Errorf("%d, Retry-After %q: %v", response.code, response.header.Get("Retry-After"), answer)
			}
			if strings.Contains(answer["detail"].(string), "refused") {
				t.Errorf("the response exposes an internal error: %v", answer)
			}
			b.expectEvents(t, test.events...)
		})
	}
}

func TestTooManyRequestsAreRejected(t *testing.T) {
	t.Parallel()
	b := setup(t)
	create := b.open
	entered, leave := make(chan struct{}), make(chan struct{})
	b.open = func(ctx context.Context, s dedup.Signal) (dedup.Result, error) {
		entered <- struct{}{}
		<-leave
		return create(ctx, s)
	}
	var group sync.WaitGroup
	for range b.options.MaxConcurrent {
		group.Go(func() {
			if response, answer := b.post(t, message(alert("firing", "A"))); response.code != http.StatusCreated {
				t.Errorf("%d %v", response.code, answer)
			}
		})
		<-entered
	}
	response, answer := b.post(t, message(alert("firing", "A")))
	if response.code != http.StatusServiceUnavailable || response.header.Get("Retry-After") != "1" {
		t.Errorf("%d, Retry-After %q: %v", response.code, response.header.Get("Retry-After"), answer)
	}
	close(leave)
	group.Wait()
}

func TestAnAPIWithoutAuthenticationIsRejected(t *testing.T) {
	t.Parallel()
	o := setup(t).options
	o.Auth, o.Registerer = nil, prometheus.NewRegistry()
	if _, err := webhook.New(o); err == nil || !strings.Contains(err.Error(), webhook.PathPrometheus) {
		t.Errorf("error %v, want one that names the route", err)
	}
}

func TestARequestWithoutAUsableIDGetsOne(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "with space", strings.Repeat("x", 129), "ümlaut"} {
		b := setup(t)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.PathPrometheus, strings.NewReader("{"))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Request-ID", id)
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, r)
		if got := w.Header().Get("X-Request-ID"); got != "made-id" {
			t.Errorf("id %q became %q", id, got)
		}
		b.expectEvents(t, "gateway.signal.rejected gw-made-id")
	}
}

func TestALinkLocalSenderIsAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.open = func(_ context.Context, s dedup.Signal) (dedup.Result, error) {
		r := &v1alpha1.RemediationRequest{Spec: *s.Spec}
		r.Name, r.Namespace, r.UID = "rr-1", "ns", "u"
		return dedup.Result{Request: r}, nil
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.PathPrometheus, strings.NewReader(message(alert("firing", "A"))))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = "[fe80::1%eth0]:4711"
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("answer %d %s, want 200", w.Code, w.Body)
	}
}

// brokenBody fails like a connection whose read deadline has passed.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func TestAnIncompleteBodyGetsRetryAfter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.PathPrometheus, brokenBody{})
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("answer %d %v, want 503 with Retry-After", w.Code, w.Header())
	}
	b.expectEvents(t)
}

func TestADenialByAnAdmissionWebhookIsTransient(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// The API server's response if the webhook gives neither code nor reason.
	denied := &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusBadRequest,
		Message: `admission webhook "policy.example.com" denied the request: label team is required`,
	}}
	b.open = func(context.Context, dedup.Signal) (dedup.Result, error) {
		return dedup.Result{}, &dedup.Error{Err: denied}
	}
	if a, _ := b.post(t, message(alert("firing", "A"))); a.code != http.StatusServiceUnavailable {
		t.Errorf("answer %d, want 503", a.code)
	}
	b.expectEvents(t, "gateway.crd.failed gw-")
}
