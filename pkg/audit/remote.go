package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// RequestFlush asks the FlushHandler at an address, like
// http://127.0.0.1:9090/audit/flush, to flush everything, or the events of one
// correlation id where it is not empty. The errors are those of ReadFlushAnswer
// and of the client.
func RequestFlush(ctx context.Context, client *http.Client, address, correlationID string) (Receipt, error) {
	target, err := url.Parse(address)
	if err != nil {
		return Receipt{}, fmt.Errorf("flush at %q: %w", address, err)
	}
	if correlationID != "" {
		query := target.Query()
		query.Set("correlation_id", correlationID)
		target.RawQuery = query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), http.NoBody)
	if err != nil {
		return Receipt{}, fmt.Errorf("flush at %s: %w", address, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return Receipt{}, fmt.Errorf("flush at %s: %w", address, err)
	}
	body, err := readAnswer(response)
	if err != nil {
		return Receipt{}, fmt.Errorf("flush at %s: %w", address, err)
	}
	receipt, err := ReadFlushAnswer(response.StatusCode, body)
	if err != nil {
		return receipt, fmt.Errorf("flush at %s: %w", address, err)
	}
	return receipt, nil
}

// ReadFlushAnswer reads what a FlushHandler answered, on whatever way it came.
// The error is a *FlushError when the flush is no proof. Any other answer is an
// error as well: only a receipt is a receipt.
func ReadFlushAnswer(status int, body []byte) (Receipt, error) {
	switch status {
	case http.StatusOK:
		return readReceipt(body)
	case http.StatusGatewayTimeout, http.StatusConflict:
		var p flushProblem
		if err := json.Unmarshal(body, &p); err == nil && p.Pending+len(p.Rejected)+p.RejectedUnnamed+len(p.Lost)+p.LostUnnamed > 0 {
			return Receipt{Barrier: p.Barrier, Events: p.Events}, p.flushError()
		}
	}
	return Receipt{}, fmt.Errorf("no flush: answered %d %s%s", status, http.StatusText(status), withColon(problemText(body)))
}

// readReceipt wants all of a receipt's fields: another server's 200 proves nothing.
func readReceipt(body []byte) (Receipt, error) {
	var r struct {
		Barrier          *uint64 `json:"barrier"`
		Events           *int    `json:"events"`
		ConsistencyToken *string `json:"consistency_token"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return Receipt{}, fmt.Errorf("read receipt: %w", err)
	}
	if r.Barrier == nil || r.Events == nil || r.ConsistencyToken == nil {
		return Receipt{}, errors.New("read receipt: fields are missing")
	}
	return Receipt{Barrier: *r.Barrier, Events: *r.Events, ConsistencyToken: *r.ConsistencyToken}, nil
}

// flushError is the error that the problem was made of, less what a stranger must not see.
func (p *flushProblem) flushError() *FlushError {
	e := &FlushError{
		Events: p.Events, Stored: p.Stored, Pending: p.Pending, Spooled: p.Spooled, PendingEvents: p.PendingEvents,
		RejectedUnnamed: p.RejectedUnnamed, Lost: p.Lost, LostUnnamed: p.LostUnnamed,
	}
	for _, r := range p.Rejected {
		e.Rejected = append(e.Rejected, Rejection{Reference: r.Reference, Code: r.Code, Reason: r.Code})
	}
	if p.Sink != "" {
		e.SinkError = errors.New(p.Sink)
	}
	return e
}

func withColon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
