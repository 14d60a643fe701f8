package webhook

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/gateway/internal/alertmanager"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/signal"
)

// headerCorrelationID names the trail of those signals that have no request.
const headerCorrelationID = "X-Correlation-ID"

// handleAlertmanager handles Alertmanager's webhook.
func (a *API) handleAlertmanager(c echo.Context) error {
	t := a.trail(c, alertmanager.Source)
	body, err := a.body(c)
	if err != nil {
		return a.reject(c, t, err)
	}
	n, err := alertmanager.Parse(body, a.Clock.Now())
	if err != nil {
		return a.reject(c, t, err)
	}
	n.Digest = signal.Digest(body)
	d := t.Delivery(n.Digest, a.Clock.Now())
	c.Response().Header().Set(headerCorrelationID, d.ID())
	results, err := a.process(c.Request().Context(), d, n)
	if err != nil {
		return problem.Unavailable(retryFailure, err, "not every signal could be processed; send the notification again")
	}
	a.metrics.counted(n.Source, results)
	if err := allForbidden(results); err != nil {
		return err
	}
	if len(results) > 1 {
		return c.JSON(http.StatusMultiStatus, summarize(results))
	}
	if r := results[0]; r.code() >= http.StatusBadRequest {
		return problem.New(r.code(), "%s", r.Message)
	}
	return c.JSON(results[0].code(), results[0])
}

// body reads a JSON body within the limit. The error is a *problem.Error: a
// 4xx for a body that is never acceptable, 503 for one that did not arrive.
func (a *API) body(c echo.Context) ([]byte, error) {
	header := c.Request().Header
	kind, _, err := mime.ParseMediaType(header.Get(echo.HeaderContentType))
	if err != nil || kind != echo.MIMEApplicationJSON {
		return nil, problem.New(http.StatusUnsupportedMediaType, "content type must be application/json, got %q", header.Get(echo.HeaderContentType))
	}
	if coding := header.Get(echo.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, problem.New(http.StatusUnsupportedMediaType, "content encoding is not supported, got %q", coding)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, a.MaxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, problem.New(http.StatusRequestEntityTooLarge,
			"the body is larger than %d bytes: set max_alerts in the webhook's configuration, or --max-body-bytes here", a.MaxBodyBytes)
	case err != nil:
		// The connection was slow or broken: the next delivery may succeed.
		return nil, problem.Unavailable(retryFailure, err, "the body did not arrive completely; send it again")
	}
	return body, nil
}

// reject responds to a body that can never be accepted. The rejection is
// recorded first, because the client will not send the body again. A 5xx is
// not a rejection and passes through.
func (a *API) reject(c echo.Context, t *auditevents.Trail, cause error) error {
	var rejection *problem.Error
	var invalid *signal.InvalidError
	switch {
	case errors.As(cause, &rejection):
		if rejection.Status >= http.StatusInternalServerError {
			return rejection
		}
	case errors.As(cause, &invalid):
		rejection = problem.Validation(invalid.Fields, "the notification is invalid and none of its signals were accepted; see field_errors")
	default:
		return cause
	}
	code := fmt.Sprintf("http-%d", rejection.Status)
	if err := t.Rejected(c.Request().Context(), code, cause.Error(), rejection.FieldErrors); err != nil {
		return problem.Unavailable(retryFailure, err, "the rejection of this notification could not be recorded; send it again")
	}
	a.metrics.signals.WithLabelValues(alertmanager.Source, string(statusRejected)).Inc()
	return rejection
}
