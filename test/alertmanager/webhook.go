package alertmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/google/uuid"
)

// Path of the webhook.
const Path = "/api/v1/signals/prometheus"

// maxAnswer bounds what is read of an answer.
const maxAnswer = 4 << 20

// Result is the Gateway's answer about one signal.
type Result struct {
	Status                      string `json:"status"`
	Fingerprint                 string `json:"fingerprint"`
	Duplicate                   bool   `json:"duplicate"`
	RemediationRequestName      string `json:"remediationRequestName"`
	RemediationRequestNamespace string `json:"remediationRequestNamespace"`
	Message                     string `json:"message"`
	// FieldErrors of a signal that is not usable.
	FieldErrors map[string]string `json:"field_errors"`
}

// Problem is the Gateway's answer when it took nothing.
type Problem struct {
	Detail      string            `json:"detail"`
	FieldErrors map[string]string `json:"field_errors"`
}

// Taken is the Gateway's answer about one signal or several.
type Taken struct {
	Result

	Results []Result       `json:"results"`
	Summary map[string]int `json:"summary"`
}

// Each are the results, one for each signal of the notification.
func (t *Taken) Each() []Result {
	if len(t.Results) == 0 {
		return []Result{t.Result}
	}
	return t.Results
}

// Answer is any answer of the Gateway.
type Answer struct {
	Taken
	Problem

	Code   int
	Header http.Header
	// RequestID is the X-Request-ID of the call.
	RequestID string
}

// Call is a call of the Gateway.
type Call struct {
	// URL of the Gateway's API, and where Path or Method are another's.
	URL, Path, Method string
	Header            http.Header
	Body              []byte
	// RequestID is a random one where it is empty.
	RequestID string
	// HTTP makes the call; http.DefaultClient where it is nil.
	HTTP *http.Client
	// Authorize adds credentials; none where it is nil.
	Authorize func(ctx context.Context, r *http.Request) error
}

// JSON is the header of a notification.
func JSON() http.Header { return http.Header{"Content-Type": {"application/json"}} }

// Do makes the call and reads the answer to its end. The error says why there
// is none, or none that a Gateway would give.
func (c Call) Do(ctx context.Context) (Answer, error) {
	if c.Path == "" {
		c.Path = Path
	}
	if c.Method == "" {
		c.Method = http.MethodPost
	}
	if c.HTTP == nil {
		c.HTTP = http.DefaultClient
	}
	if c.RequestID == "" {
		c.RequestID = uuid.NewString()
	}
	if c.Header == nil {
		c.Header = JSON()
	}
	r, err := http.NewRequestWithContext(ctx, c.Method, c.URL+c.Path, bytes.NewReader(c.Body))
	if err != nil {
		return Answer{}, fmt.Errorf("call the Gateway: %w", err)
	}
	r.Header = c.Header.Clone()
	r.Header.Set("X-Request-ID", c.RequestID)
	if c.Authorize != nil {
		if err := c.Authorize(ctx, r); err != nil {
			return Answer{}, fmt.Errorf("call the Gateway: %w", err)
		}
	}
	response, err := c.HTTP.Do(r)
	if err != nil {
		return Answer{}, fmt.Errorf("call the Gateway: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return Answer{}, fmt.Errorf("read the Gateway's answer: %w", err)
	}
	return c.answer(response, text)
}

// answer reads what a Gateway says.
func (c Call) answer(response *http.Response, text []byte) (Answer, error) {
	a := Answer{Code: response.StatusCode, Header: response.Header, RequestID: c.RequestID}
	var into any = &a.Taken
	if a.Code >= http.StatusBadRequest {
		into = &a.Problem
	}
	if err := json.Unmarshal(text, into); err != nil {
		return Answer{}, fmt.Errorf("the Gateway answered %d %q: %w", a.Code, text, err)
	}
	if got := a.Header.Get("X-Request-ID"); got != c.RequestID {
		return Answer{}, fmt.Errorf("the Gateway answered %d to request %q, not to %q", a.Code, got, c.RequestID)
	}
	return a, nil
}
