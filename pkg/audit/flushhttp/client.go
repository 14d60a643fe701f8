package flushhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/internal/httpbody"
	"kubernaut.ai/pkg/audit/wire"
)

// Request asks the Handler at an address, for instance http://127.0.0.1:9090/audit/flush, to flush everything, or the
// events of one correlation id if it is not empty. The errors are those of ParseResponse and of the client.
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
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), http.NoBody)
	if err != nil {
		return audit.Receipt{}, fmt.Errorf("flush at %s: %w", address, err)
	}
	response, err := client.Do(request) //nolint:bodyclose // httpbody.Read closes it
	if err != nil {
		return audit.Receipt{}, fmt.Errorf("flush at %s: %w", address, err)
	}
	body, err := httpbody.Read(response)
	if err != nil {
		return audit.Receipt{}, fmt.Errorf("flush at %s: %w", address, err)
	}
	receipt, err := ParseResponse(response.StatusCode, body)
	if err != nil {
		return receipt, fmt.Errorf("flush at %s: %w", address, err)
	}
	return receipt, nil
}

// ParseResponse parses what a Handler responded with, whichever way the response took. The error is an
// *audit.FlushError if the flush did not prove that everything is stored. Any other response is an error as well:
// only a receipt is a proof.
func ParseResponse(status int, body []byte) (audit.Receipt, error) {
	switch status {
	case http.StatusOK:
		return parseReceipt(body)
	case http.StatusGatewayTimeout, http.StatusConflict:
		var p flushProblem
		if err := json.Unmarshal(body, &p); err == nil && p.Pending+len(p.Rejected)+p.RejectedUnnamed+len(p.Lost)+p.LostUnnamed > 0 {
			return audit.Receipt{Barrier: p.Barrier, Events: p.Events}, p.flushError()
		}
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

// flushError is the error that the problem was made from, without the reasons, which stay in the process.
func (p *flushProblem) flushError() *audit.FlushError {
	e := &audit.FlushError{
		Events: p.Events, Stored: p.Stored, Pending: p.Pending, Spooled: p.Spooled, PendingEvents: p.PendingEvents,
		RejectedUnnamed: p.RejectedUnnamed, Lost: p.Lost, LostUnnamed: p.LostUnnamed,
	}
	for _, r := range p.Rejected {
		e.Rejected = append(e.Rejected, audit.Rejection{Reference: r.Reference, Code: r.Code, Reason: r.Code})
	}
	if p.Sink != "" {
		e.SinkError = errors.New(p.Sink)
	}
	return e
}
