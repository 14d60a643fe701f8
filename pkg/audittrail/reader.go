package audittrail

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"kubernaut.ai/api/datastorage"
)

const pageSize = 1000

// Options of a Reader.
type Options struct {
	// DataStorageURL is the base URL of the DataStorage API.
	DataStorageURL string
	// ManagementURLs are those of every service that may owe events and that
	// can be reached.
	ManagementURLs []string
	// Flushers reach the others, as package podflush reaches a cluster's pods.
	Flushers []Flusher
	// HTTP makes the requests; http.DefaultClient where it is nil.
	HTTP *http.Client
	// Authorize adds credentials to the queries; none where it is nil.
	Authorize func(ctx context.Context, req *http.Request) error
}

// Reader reads trails. It is safe for concurrent use.
type Reader struct {
	flushers []Flusher
	client   *datastorage.ClientWithResponses
}

// NewReader makes a reader, or returns an error for unusable options.
func NewReader(o Options) (*Reader, error) {
	if o.DataStorageURL == "" {
		return nil, errors.New("trail reader: the URL of DataStorage is missing")
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	options := []datastorage.ClientOption{datastorage.WithHTTPClient(o.HTTP)}
	if o.Authorize != nil {
		options = append(options, datastorage.WithRequestEditorFn(o.Authorize))
	}
	client, err := datastorage.NewClientWithResponses(o.DataStorageURL, options...)
	if err != nil {
		return nil, fmt.Errorf("trail reader: %w", err)
	}
	flushers := append([]Flusher{byURL{o.HTTP, o.ManagementURLs}}, o.Flushers...)
	return &Reader{flushers: flushers, client: client}, nil
}

// Read flushes every service for a correlation id and then queries its events
// once, oldest first. The trail is as complete as the flushes proved.
func (r *Reader) Read(ctx context.Context, correlationID string) ([]datastorage.StoredEvent, error) {
	receipts, err := flushAll(ctx, r.flushers, correlationID)
	if err != nil {
		return nil, fmt.Errorf("trail of %s: %w", correlationID, err)
	}
	events, err := r.query(ctx, correlationID, Tokens(receipts))
	if err != nil {
		return nil, fmt.Errorf("trail of %s: %w", correlationID, err)
	}
	return events, nil
}

// query reads all pages of the one query.
func (r *Reader) query(ctx context.Context, correlationID string, tokens []string) ([]datastorage.StoredEvent, error) {
	limit, order := pageSize, datastorage.Asc
	params := &datastorage.ListEventsParams{CorrelationId: &correlationID, Limit: &limit, Order: &order}
	if len(tokens) > 0 {
		params.AtLeast = &tokens
	}
	var events []datastorage.StoredEvent
	for {
		resp, err := r.client.ListEventsWithResponse(ctx, params)
		if err != nil {
			return nil, fmt.Errorf("query DataStorage: %w", err)
		}
		if resp.JSON200 == nil {
			return nil, fmt.Errorf("query DataStorage: %s: %s", resp.Status(), strings.TrimSpace(string(resp.Body)))
		}
		events = append(events, resp.JSON200.Data...)
		if !resp.JSON200.Pagination.HasMore {
			return events, nil
		}
		if params.Cursor = resp.JSON200.Pagination.NextCursor; params.Cursor == nil {
			return nil, errors.New("query DataStorage: the answer has more but no next_cursor")
		}
	}
}
