package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/wire"
)

// maxAnswerBytes is more than any answer has: a page of names with their reasons, or an event of 1 MiB.
const maxAnswerBytes = 16 << 20

// Client calls a control listener.
type Client struct {
	// URL of the listener, as in http://127.0.0.1:9093.
	URL string
	// HTTP makes the requests; http.DefaultClient if it is nil.
	HTTP *http.Client
}

// StatusError is a response of the listener other than 200.
type StatusError struct {
	Status int
	Detail string
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("response %d %s", e.Status, http.StatusText(e.Status))
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// State reads what the store holds.
func (c *Client) State(ctx context.Context) (State, error) {
	return call[State](ctx, c, http.MethodGet, StatePath, nil, nil)
}

// Rejections reads the rejected and lost events, those of one correlation id if it is not empty.
func (c *Client) Rejections(ctx context.Context, correlationID string) (Rejections, error) {
	query := url.Values{}
	if correlationID != "" {
		query.Set(ParameterCorrelationID, correlationID)
	}
	return call[Rejections](ctx, c, http.MethodGet, RejectionsPath, query, nil)
}

// Name puts the names of events, and the reasons of rejections, where the error of a flush through the management port
// has counts only.
func (c *Client) Name(ctx context.Context, failure *audit.FlushError, correlationID string) error {
	known, err := c.Rejections(ctx, correlationID)
	if err != nil {
		return err
	}
	// The counts are those of the flush: what was acknowledged or rejected since is not part of them.
	named := min(len(known.Rejected), failure.RejectedUnnamed)
	failure.Rejected, failure.RejectedUnnamed = known.Rejected[:named], failure.RejectedUnnamed-named
	named = min(len(known.Lost), failure.LostUnnamed)
	failure.Lost, failure.LostUnnamed = known.Lost[:named], failure.LostUnnamed-named
	named = min(len(known.Stalled), failure.StalledUnnamed)
	failure.Stalled, failure.StalledUnnamed = known.Stalled[:named], failure.StalledUnnamed-named
	failure.PendingEvents = known.Pending[:min(len(known.Pending), failure.Pending)]
	return nil
}

// Quarantine reads all pages of the rejected events that are kept.
func (c *Client) Quarantine(ctx context.Context) (Quarantine, error) {
	query := url.Values{}
	var all Quarantine
	for {
		page, err := call[Quarantine](ctx, c, http.MethodGet, QuarantinePath, query, nil)
		if err != nil {
			return all, err
		}
		page.Events = append(all.Events, page.Events...)
		page.Unreadable = page.Unreadable || all.Unreadable
		if all = page; page.After == nil {
			return all, nil
		}
		query.Set(ParameterAfter, page.After.String())
	}
}

// Quarantined reads a rejected event with its contents; the data of a sensitive event only if asked for.
func (c *Client) Quarantined(ctx context.Context, id uuid.UUID, sensitive bool) (QuarantinedEvent, error) {
	query := url.Values{}
	if sensitive {
		query.Set(ParameterSensitive, "true")
	}
	return call[QuarantinedEvent](ctx, c, http.MethodGet, QuarantinePath+"/"+id.String(), query, nil)
}

// Retry makes the store accept rejected events again: those with the ids, or all.
func (c *Client) Retry(ctx context.Context, ids ...uuid.UUID) (Retried, error) {
	return call[Retried](ctx, c, http.MethodPost, RetryPath, nil, RetryRequest{EventIDs: ids})
}

// Acknowledge settles the events of DataStorage's record.
func (c *Client) Acknowledge(ctx context.Context, id uuid.UUID) (Acknowledged, error) {
	return call[Acknowledged](ctx, c, http.MethodPost, AcknowledgementsPath, nil, AcknowledgementRequest{ID: id})
}

func call[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any) (T, error) {
	var answer T
	request, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return answer, fmt.Errorf("%s %s: %w", method, path, err)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return answer, fmt.Errorf("control listener: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // what matters has been read
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
	case len(content) > maxAnswerBytes:
		err = fmt.Errorf("the answer has more than %d bytes", maxAnswerBytes)
	case response.StatusCode != http.StatusOK:
		err = &StatusError{Status: response.StatusCode, Detail: wire.ProblemText(content)}
	default:
		err = json.Unmarshal(content, &answer)
	}
	if err != nil {
		return answer, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return answer, nil
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values, body any) (*http.Request, error) {
	var content io.Reader = http.NoBody
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err //nolint:wrapcheck // the caller names the request
		}
		content = bytes.NewReader(encoded)
	}
	target := strings.TrimSuffix(c.URL, "/") + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the request
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
}
