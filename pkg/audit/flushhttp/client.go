package flushhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/internal/httpbody"
	"kubernaut.ai/pkg/audit/wire"
)

// ErrBusy is wrapped by the error of ParseResponse for a handler that serves as many flushes of this caller already as
// it may have.
var ErrBusy = errors.New("too many flushes are waiting")

// busyPause is how long a busy handler is left alone, as its Retry-After says.
const busyPause = time.Second

// AwaitTurn calls flush until its error does not wrap ErrBusy, with a pause after each call, or ctx ends.
func AwaitTurn(ctx context.Context, flush func() (audit.Receipt, error)) (audit.Receipt, error) {
	for {
		receipt, err := flush()
		if !errors.Is(err, ErrBusy) {
			return receipt, err
		}
		pause := time.NewTimer(busyPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return audit.Receipt{}, fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}

// Request asks the Handler at an address, for instance http://127.0.0.1:9090/audit/flush, to flush everything, or the
// events of one correlation id if it is not empty. It waits for its turn while the handler is busy. The errors are
// those of ParseResponse and of the client.
func Request(ctx context.Context, client *http.Client, address, correlationID string) (audit.Receipt, error) {
	target, err := url.Parse(address)
	if err != nil {
		return audit.Receipt{}, fmt.Errorf("flush at %q: %w", address, err)
	}
	if correlationID != "" {
		query := target.Query()
		query.Set(ParameterCorrelationID, correlationID)
		target.RawQuery = query.Encode()
	}
	receipt, err := AwaitTurn(ctx, func() (audit.Receipt, error) { return request(ctx, client, target.String()) })
	if err != nil {
		return receipt, fmt.Errorf("flush at %s: %w", address, err)
	}
	return receipt, nil
}

func request(ctx context.Context, client *http.Client, target string) (audit.Receipt, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, http.NoBody)
	if err != nil {
		return audit.Receipt{}, err //nolint:wrapcheck // the caller names the address
	}
	response, err := client.Do(request) //nolint:bodyclose // httpbody.Read closes it
	if err != nil {
		return audit.Receipt{}, err //nolint:wrapcheck // the caller names the address
	}
	body, err := httpbody.Read(response)
	if err != nil {
		return audit.Receipt{}, err //nolint:wrapcheck // the caller names the address
	}
	return ParseResponse(response.StatusCode, body)
}

// ParseResponse parses what a Handler responded with, whichever way the response took. The error is an
// *audit.FlushError with counts if the flush did not prove that everything is stored, and wraps ErrBusy if the
// handler did not begin. Any other response is an error as well: only a receipt is a proof.
func ParseResponse(status int, body []byte) (audit.Receipt, error) {
	switch status {
	case http.StatusOK:
		return parseReceipt(body)
	case http.StatusGatewayTimeout, http.StatusConflict:
		var p flushProblem
		if err := json.Unmarshal(body, &p); err == nil && p.Pending+p.Rejected+p.Lost > 0 {
			return audit.Receipt{Barrier: p.Barrier, Events: p.Events, ConsistencyToken: p.ConsistencyToken}, p.flushError()
		}
	case http.StatusTooManyRequests:
		return audit.Receipt{}, fmt.Errorf("not flushed: %w: response %d", ErrBusy, status)
	}
	text := fmt.Sprintf("not flushed: response %d %s", status, http.StatusText(status))
	if detail := wire.ProblemText(body); detail != "" {
		text += ": " + detail
	}
	return audit.Receipt{}, errors.New(text)
}

// parseReceipt requires all fields of a receipt: another server's 200 proves nothing.
func parseReceipt(body []byte) (audit.Receipt, error) {
	var r struct {
		Barrier          *uint64 `json:"barrier"`
		Events           *int    `json:"events"`
		ConsistencyToken *string `json:"consistency_token"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return audit.Receipt{}, fmt.Errorf("parse receipt: %w", err)
	}
	if r.Barrier == nil || r.Events == nil || r.ConsistencyToken == nil {
		return audit.Receipt{}, errors.New("parse receipt: fields are missing")
	}
	return audit.Receipt{Barrier: *r.Barrier, Events: *r.Events, ConsistencyToken: *r.ConsistencyToken}, nil
}

// flushError is the error that the problem was made from, with counts instead of names.
func (p *flushProblem) flushError() *audit.FlushError {
	e := &audit.FlushError{
		Events: p.Events, Stored: p.Stored, Pending: p.Pending, Spooled: p.Spooled, RejectedUnnamed: p.Rejected, LostUnnamed: p.Lost,
	}
	if p.Sink != "" {
		e.SinkError = errors.New(p.Sink)
	}
	if p.Spool != "" {
		e.SpoolError = errors.New(p.Spool)
	}
	for _, n := range p.Stalled {
		e.StalledUnnamed += n
	}
	return e
}
