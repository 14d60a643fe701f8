package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/signal"
)

// receive handles the notifications of an adapter's senders.
func (a *api) receive(adapter Adapter) echo.HandlerFunc {
	return func(c echo.Context) error {
		t := a.trail(c, adapter.Source)
		if err := checkMediaType(c.Request().Header); err != nil {
			return a.reject(c, t, adapter, err)
		}
		digest := sha256.New()
		ctx := c.Request().Context()
		held := a.BodyMemory.Open(auth.CallerFrom(ctx).Name, httpserver.TransferFrom(ctx).StopReading)
		defer held.Close()
		b := body.NewReader(io.TeeReader(c.Request().Body, digest), func(n int64) error { return held.Take(ctx, n) }, a.Limits)
		n, err := adapter.Parse(b, a.Clock.Now())
		if kept := held.Keep(); kept != nil {
			err = &body.MemoryError{Cause: kept}
		}
		if err != nil {
			held.Close()
			b.Drain()
			return a.reject(c, t, adapter, err)
		}
		n.Digest = hex.EncodeToString(digest.Sum(nil))
		d := t.Delivery(n.Digest, a.Clock.Now())
		c.Response().Header().Set(headerCorrelationID, d.ID())
		results, err := a.deliver(c.Request().Context(), d, n)
		if err != nil {
			return err
		}
		return respond(c, n, results)
	}
}

// checkMediaType accepts JSON as it is. The error is a *problem.Error.
func checkMediaType(header http.Header) error {
	kind, _, err := mime.ParseMediaType(header.Get(echo.HeaderContentType))
	if err != nil || kind != echo.MIMEApplicationJSON {
		return problem.New(http.StatusUnsupportedMediaType, "content type must be application/json, got %q", header.Get(echo.HeaderContentType))
	}
	if coding := header.Get(echo.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		return problem.New(http.StatusUnsupportedMediaType, "content encoding is not supported, got %q", coding)
	}
	return nil
}

// reject responds to a body none of whose signals is taken. A permanent
// rejection is recorded first, because the client will not send the body again.
func (a *api) reject(c echo.Context, t *auditevents.Trail, adapter Adapter, cause error) error {
	var rejection *problem.Error
	var invalid *signal.InvalidError
	var broken *body.ConnectionError
	var denied *body.MemoryError
	switch {
	case errors.As(cause, &rejection):
	case errors.As(cause, &invalid):
		rejection = explainInvalid(invalid, a.Limits)
	case errors.Is(cause, body.ErrTooLarge):
		rejection = problem.New(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes: send fewer signals at once, or raise --max-body-bytes here", a.Limits.Bytes)
	case errors.As(cause, &denied):
		// The budget tells the log.
		busy := problem.Unavailable(retryOverload, cause, "other notifications take the memory of --max-body-memory; send it again")
		busy.Logged = true
		return busy
	case errors.Is(cause, os.ErrDeadlineExceeded):
		// Not a 408: Alertmanager repeats after 5xx only.
		return problem.Unavailable(retryFailure, cause, "the body stalled, or came more slowly than %d KiB a second; send it again", httpserver.MinRate>>10)
	case errors.As(cause, &broken):
		// The connection was broken: the next delivery may succeed.
		return problem.Unavailable(retryFailure, cause, "the body did not arrive completely; send it again")
	default:
		return cause
	}
	code := fmt.Sprintf("http-%d", rejection.Status)
	if err := t.Rejected(c.Request().Context(), code, cause.Error(), rejection.FieldErrors); err != nil {
		return problem.Unavailable(retryFailure, err, "the rejection of this notification could not be recorded; send it again")
	}
	a.metrics.signals.WithLabelValues(adapter.Source, string(statusRejected)).Inc()
	return rejection
}

// explainInvalid makes the response to an unusable body.
func explainInvalid(invalid *signal.InvalidError, limits body.Limits) *problem.Error {
	detail := "the notification is invalid and none of its signals were accepted; see field_errors"
	if invalid.TooLarge {
		detail = fmt.Sprintf("the first %d bytes of the notification have no usable signal, so the rest was not read; see field_errors", limits.Blank)
	}
	if invalid.Hint != "" {
		detail += "; " + invalid.Hint
	}
	p := problem.Validation(invalid.Fields, "%s", detail)
	if invalid.TooLarge {
		tooLarge := problem.New(http.StatusRequestEntityTooLarge, "%s", detail)
		tooLarge.FieldErrors = p.FieldErrors
		return tooLarge
	}
	return p
}

// deliver processes a notification. The error is a *problem.Error: 503, the
// delivery is to be repeated.
func (a *api) deliver(ctx context.Context, d *auditevents.Delivery, n *signal.Notification) ([]result, error) {
	place := a.places.Open(auth.CallerFrom(ctx).Name, nil)
	defer place.Close()
	place.Hurry(0)
	if err := place.Take(ctx, 1); err != nil {
		return nil, problem.Unavailable(retryOverload, nil, "too many requests in flight; try again")
	}
	a.metrics.inFlight.Inc()
	defer a.metrics.inFlight.Dec()
	ctx, cancel := context.WithTimeout(ctx, a.timeout(n))
	defer cancel()
	results, err := a.process(ctx, d, n)
	if err == nil {
		err = a.recordBeyond(ctx, d, n)
	}
	if err != nil {
		return nil, problem.Unavailable(retryFailure, err, "not every signal could be processed; send the notification again")
	}
	a.metrics.counted(n, results)
	return results, nil
}

// timeout bounds the processing of a notification: Timeout for each started
// signalsPerTimeout signals.
func (a *api) timeout(n *signal.Notification) time.Duration {
	const signalsPerTimeout = 500
	return a.Timeout * time.Duration(1+n.Observations.Len()/signalsPerTimeout)
}

// recordBeyond records what was left out of a body, and the unusable signals
// that got no event of their own.
func (a *api) recordBeyond(ctx context.Context, d *auditevents.Delivery, n *signal.Notification) error {
	if n.Beyond.Any() {
		if err := d.Beyond(ctx, n); err != nil {
			return fmt.Errorf("signals beyond the bounds: %w", err)
		}
		a.Log.Warn("left signals out that lie beyond the bounds of a notification", zap.String("source", n.Source),
			zap.Int("signals", n.Beyond.Signals), zap.Bool("cut", n.Beyond.Cut))
	}
	if n.Unlisted > 0 {
		reason := fmt.Sprintf("%d more signals of the notification are invalid", n.Unlisted)
		if err := d.Rejected(ctx, codeInvalid, reason, nil); err != nil {
			return fmt.Errorf("reject %d signals: %w", n.Unlisted, err)
		}
	}
	return nil
}
