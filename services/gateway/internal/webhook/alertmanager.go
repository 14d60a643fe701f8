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
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/signal"
)

// alertmanager answers Alertmanager's webhook.
func (i *intake) alertmanager(c echo.Context) error {
	t := i.trail(c, signal.SourceAlertmanager)
	body, err := i.body(c)
	if err != nil {
		return i.refuse(c, t, err)
	}
	n, err := signal.ParseAlertmanager(body, i.Clock.Now())
	if err != nil {
		return i.refuse(c, t, err)
	}
	results, err := i.take(c.Request().Context(), t, n)
	if err != nil {
		return problem.Unavailable(retryFailure, err, "not every signal could be taken now; send the notification again")
	}
	i.metrics.counted(n.Source, results)
	if len(results) > 1 {
		return c.JSON(http.StatusMultiStatus, summarize(results))
	}
	if r := results[0]; r.Status == statusRejected {
		return problem.New(r.code(), "%s", r.Message)
	}
	return c.JSON(results[0].code(), results[0])
}

// body reads a JSON body within the limit. The error is a *problem.Problem:
// for what the client must mend, or 503 where the body did not arrive.
func (i *intake) body(c echo.Context) ([]byte, error) {
	header := c.Request().Header
	kind, _, err := mime.ParseMediaType(header.Get(echo.HeaderContentType))
	if err != nil || kind != echo.MIMEApplicationJSON {
		return nil, problem.New(http.StatusUnsupportedMediaType, "send application/json, not %q", header.Get(echo.HeaderContentType))
	}
	if coding := header.Get(echo.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, problem.New(http.StatusUnsupportedMediaType, "send the body without a content encoding, not %q", coding)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, i.MaxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, problem.New(http.StatusRequestEntityTooLarge,
			"the body is larger than %d bytes: set max_alerts in the webhook's configuration, or --max-body-bytes here", i.MaxBodyBytes)
	case err != nil:
		// The connection was slow or broke: the next delivery may arrive.
		return nil, problem.Unavailable(retryFailure, err, "the body could not be read to its end; send it again")
	}
	return body, nil
}

// refuse answers a body that can never be accepted, once the refusal is on
// the trail: the client will not send it again. What passes is no refusal.
func (i *intake) refuse(c echo.Context, t *auditevents.Trail, cause error) error {
	var refusal *problem.Problem
	var invalid *signal.InvalidError
	switch {
	case errors.As(cause, &refusal):
		if refusal.Status >= http.StatusInternalServerError {
			return refusal
		}
	case errors.As(cause, &invalid):
		refusal = problem.Validation(invalid.Fields, "the notification is not usable, nothing of it was taken; field_errors names what is wrong")
	default:
		return cause
	}
	code := fmt.Sprintf("http-%d", refusal.Status)
	if err := t.Rejected(c.Request().Context(), code, cause.Error(), refusal.FieldErrors); err != nil {
		return problem.Unavailable(retryFailure, err, "the refusal of this notification could not be recorded; send it again")
	}
	i.metrics.signals.WithLabelValues(signal.SourceAlertmanager, string(statusRejected)).Inc()
	return refusal
}
