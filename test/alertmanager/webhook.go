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

// maxAnswer bounds the size of an answer.
const maxAnswer = 4 << 20

// Result is the Gateway's answer about one signal.
type Result struct {
	Status                      string `json:"status"`
	Fingerprint                 string `json:"fingerprint"`
	Duplicate                   bool   `json:"duplicate"`
	RemediationRequestName      string `json:"remediationRequestName"`
	RemediationRequestNamespace string `json:"remediationRequestNamespace"`
	Message                     string `json:"message"`
	// FieldErrors of an invalid signal.
	FieldErrors map[string]string `json:"field_errors"`
}

// Problem is the Gateway's answer to a request that it rejected.
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
	// CorrelationID of what the Gateway recorded about the call itself.
	CorrelationID string
}

// Call is a call of the Gateway.
type Call struct {
	// URL of the Gateway's API. Path and Method are those of the webhook if empty.
	URL, Path, Method string
	Header            http.Header
	Body              []byte
	// RequestID is random if empty.
	RequestID string
	// HTTP makes the call; nil means http.DefaultClient.
	HTTP *http.Client
	// Authorize adds credentials; nil means none.
	Authorize func(ctx context.Context, r *http.Request) error
}

// JSON is the header of a notification.
func JSON() http.Header { return http.Header{"Content-Type": {"application/json"}} }

// Do makes the call and reads the answer completely. It fails if there is no answer,
// or none that a Gateway would give.
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

// answer decodes a response.
func (c Call) answer(response *http.Response, text []byte) (Answer, error) {
	a := Answer{Code: response.StatusCode, Header: response.Header, RequestID: c.RequestID, CorrelationID: response.Header.Get("X-Correlation-ID")}
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
