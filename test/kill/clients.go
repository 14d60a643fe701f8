package kill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	webhookPath = "/api/v1/signals/prometheus"
	// callTimeout bounds a call of a Gateway that hangs.
	callTimeout = 30 * time.Second
	// maxAnswer bounds what is read of its answer.
	maxAnswer = 1 << 20
	// recent is how many of its latest alerts a client may send again.
	recent = 8
	// mostAlerts is how many a notification has at most.
	mostAlerts = 3
)

// server is where the Gateway is at the moment.
type server struct {
	mu    sync.Mutex
	url   string
	moved chan struct{} // closed when the url changes
}

// move says that the server is somewhere else now, or nowhere any more where url is empty.
func (s *server) move(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url = url
	close(s.moved)
	s.moved = make(chan struct{})
}

func (s *server) where() (url string, moved <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url, s.moved
}

// clients send notifications as Alertmanager does: each until it is answered.
type clients struct {
	namespace string
	http      *http.Client
	server    *server
	ticks     chan struct{}
	enough    chan struct{} // closed when no new notification is to be begun

	mu      sync.Mutex
	answers []answer // guarded by mu
}

func newClients(namespace string) *clients {
	return &clients{
		namespace: namespace,
		http:      &http.Client{Timeout: callTimeout},
		server:    &server{moved: make(chan struct{})},
		ticks:     make(chan struct{}, 1),
		enough:    make(chan struct{}),
	}
}

// finish lets the clients end once they have the answers that they wait for.
func (c *clients) finish() { close(c.enough) }

type alert struct {
	Status   string            `json:"status"`
	Labels   map[string]string `json:"labels"`
	StartsAt time.Time         `json:"startsAt"`
}

func (c *clients) newAlert() alert {
	name := uuid.NewString()
	return alert{Status: "firing", StartsAt: time.Now().UTC(), Labels: map[string]string{
		"alertname": "Kill-" + name, "namespace": c.namespace, "pod": "pod-" + name, "severity": "warning",
	}}
}

// send sends notifications until it is enough.
func (c *clients) send(ctx context.Context, random *rand.Rand) error {
	var known []alert
	for {
		select {
		case <-c.enough:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		var alerts []alert
		for range 1 + random.IntN(mostAlerts) {
			alerts = append(alerts, c.newAlert())
		}
		if len(known) > 0 && random.IntN(2) == 0 {
			alerts = append(alerts, known[random.IntN(len(known))])
		}
		if err := c.deliver(ctx, alerts); err != nil {
			return err
		}
		known = append(known, alerts[0])
		known = known[max(0, len(known)-recent):]
	}
}

// deliver sends a notification until it is answered.
func (c *clients) deliver(ctx context.Context, alerts []alert) error {
	body, err := json.Marshal(map[string]any{"version": "4", "receiver": "kill", "status": "firing", "alerts": alerts})
	if err != nil {
		return fmt.Errorf("encode a notification: %w", err)
	}
	for {
		url, moved := c.server.where()
		var done bool
		var failure error
		if url != "" {
			if done, failure = c.call(ctx, url, body); done || failure != nil {
				return failure
			}
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("a notification is not answered: %w", context.Cause(ctx))
		}
	}
}

// call sends a notification to one life of the Gateway, and again while that
// asks for it. It says whether it was answered; where it is not, that life is over.
func (c *clients) call(ctx context.Context, url string, body []byte) (done bool, err error) {
	for ctx.Err() == nil {
		code, text, delivery, err := c.post(ctx, url, body)
		switch {
		case err != nil:
			return false, nil //nolint:nilerr // it was killed
		case code == http.StatusServiceUnavailable:
			continue
		case code/100 != 2:
			return false, fmt.Errorf("the Gateway answered %d: %s", code, text)
		}
		return true, c.note(delivery, text)
	}
	return false, nil
}

func (c *clients) post(ctx context.Context, url string, body []byte) (code int, text []byte, delivery string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+webhookPath, bytes.NewReader(body))
	if err != nil {
		return 0, nil, "", fmt.Errorf("send to %s: %w", url, err)
	}
	delivery = uuid.NewString()
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Request-ID", delivery)
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, "", fmt.Errorf("send: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, text, delivery, err
}

// outcome is the Gateway's answer about one signal.
type outcome struct {
	Status      string `json:"status"`
	Fingerprint string `json:"fingerprint"`
	Duplicate   bool   `json:"duplicate"`
	Request     string `json:"remediationRequestName"`
}

var errUnexpected = errors.New("the Gateway's answer is not what was expected")

// note remembers an answer. An answer counts when it was read to its end.
func (c *clients) note(delivery string, text []byte) error {
	var said struct {
		outcome

		Results []outcome `json:"results"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return fmt.Errorf("%w: %w: %s", errUnexpected, err, text)
	}
	if len(said.Results) == 0 {
		said.Results = []outcome{said.outcome}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range said.Results {
		if r.Request == "" || r.Status != "created" && r.Status != "duplicate" {
			return fmt.Errorf("%w: %s", errUnexpected, text)
		}
		c.answers = append(c.answers, answer{Delivery: delivery, Request: r.Request, Fingerprint: r.Fingerprint, Duplicate: r.Duplicate})
	}
	tick(c.ticks)
	return nil
}
