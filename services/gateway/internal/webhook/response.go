package webhook

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/gateway/internal/signal"
)

// status is the outcome of a signal.
type status string

const (
	// statusCreated: the signal created a request.
	statusCreated status = "created"
	// statusDuplicate: the signal was added to an existing request.
	statusDuplicate status = "duplicate"
	// statusOverflow: as many requests are open as may be, and the signal was added
	// to the overflow request of its namespace.
	statusOverflow status = "overflow"
	// statusResolved: the end of the problem was recorded on its request.
	statusResolved status = "resolved"
	// statusIgnored: the problem that ended has no request.
	statusIgnored status = "ignored"
	// statusRejected: the signal can never become a request.
	statusRejected status = "rejected"
	// statusUndeliverable: the cluster has denied the signal's request for too long.
	statusUndeliverable status = "undeliverable"
)

// result is the response about one signal.
type result struct {
	Status                      status `json:"status"`
	Fingerprint                 string `json:"fingerprint,omitempty"`
	Duplicate                   bool   `json:"duplicate"`
	RemediationRequestName      string `json:"remediationRequestName,omitempty"`
	RemediationRequestNamespace string `json:"remediationRequestNamespace,omitempty"`
	Message                     string `json:"message"`
	// FieldErrors names the invalid fields of an unusable signal.
	FieldErrors map[string]string `json:"field_errors,omitempty"`

	// forbidden says what its sender may not report; empty if it may.
	forbidden string
	index     int // of the signal in the body
}

func newResult(s status, fingerprint string, request types.NamespacedName, message string) result {
	return result{
		Status:                      s,
		Fingerprint:                 fingerprint,
		Duplicate:                   s == statusDuplicate,
		RemediationRequestName:      request.Name,
		RemediationRequestNamespace: request.Namespace,
		Message:                     message,
	}
}

// code is the HTTP status of the response if there is no other signal.
func (r result) code() int {
	switch r.Status {
	case statusCreated:
		return http.StatusCreated
	case statusDuplicate, statusOverflow, statusResolved, statusIgnored:
		return http.StatusOK
	case statusRejected, statusUndeliverable:
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}

// request is the key of the signal's request; zero if it has none.
func (r result) request() types.NamespacedName {
	return types.NamespacedName{Namespace: r.RemediationRequestNamespace, Name: r.RemediationRequestName}
}

// listed is one of several results, with the index of its signal in the body.
type listed struct {
	*result

	Index int `json:"index"`
}

// summary counts the signals of a notification by status.
type summary struct {
	Total      int `json:"total"`
	Created    int `json:"created"`
	Duplicates int `json:"duplicates"`
	Overflow   int `json:"overflow"`
	Resolved   int `json:"resolved"`
	Ignored    int `json:"ignored"`
	Rejected   int `json:"rejected"`
	// Undeliverable signals are left out if there are none, which is the rule.
	Undeliverable int `json:"undeliverable,omitempty"`
	// Truncated counts the signals beyond the bounds of a body. They are not in Total.
	Truncated int `json:"truncated"`
}

func summarize(n *signal.Notification, results []result) summary {
	s := summary{Total: len(results) + n.Unlisted, Rejected: n.Unlisted, Truncated: n.Beyond.Signals}
	for i := range results {
		switch results[i].Status {
		case statusCreated:
			s.Created++
		case statusDuplicate:
			s.Duplicates++
		case statusOverflow:
			s.Overflow++
		case statusResolved:
			s.Resolved++
		case statusIgnored:
			s.Ignored++
		case statusRejected:
			s.Rejected++
		case statusUndeliverable:
			s.Undeliverable++
		}
	}
	return s
}

// respond writes the response about a notification that was processed.
func respond(c echo.Context, n *signal.Notification, results []result) error {
	if n.Unlisted == 0 && !n.Beyond.Any() {
		if err := allForbidden(results); err != nil {
			return err
		}
	}
	if len(results) > 1 || n.Unlisted > 0 || n.Beyond.Any() {
		return respondMulti(c, n, results)
	}
	if r := &results[0]; r.code() >= http.StatusBadRequest {
		return problem.New(r.code(), "%s", r.Message)
	}
	return c.JSON(results[0].code(), &results[0])
}

// respondMulti writes results[], in the order of the body, and the summary. It
// writes one result after the other, because there may be ten thousand.
func respondMulti(c echo.Context, n *signal.Notification, results []result) error {
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	c.Response().WriteHeader(http.StatusMultiStatus)
	buffered := bufio.NewWriter(c.Response())
	encoder := json.NewEncoder(buffered)
	// The errors of a bufio.Writer are sticky: Flush returns the first one.
	_, _ = buffered.WriteString(`{"results":[`)
	for i := range results {
		if i > 0 {
			_ = buffered.WriteByte(',')
		}
		if err := encoder.Encode(listed{&results[i], results[i].index}); err != nil {
			return fmt.Errorf("write result %d: %w", i, err)
		}
	}
	_, _ = buffered.WriteString(`],"summary":`)
	if err := encoder.Encode(summarize(n, results)); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	_ = buffered.WriteByte('}')
	return buffered.Flush() //nolint:wrapcheck // the client went away
}
