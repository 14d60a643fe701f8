package audittrail

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	"kubernaut.ai/api/datastorage"
)

// pageSize is how many events a request asks for, unless a query says otherwise.
const pageSize = 1000

// Options of a Reader.
type Options struct {
	// DataStorageURL is the base URL of the DataStorage API; required.
	DataStorageURL string
	// ManagementURLs are those of every service that may have pending events
	// and that can be reached.
	ManagementURLs []string
	// ControlURLs, optional, are those of the same services' control listeners, in
	// the same order; empty for one that cannot be reached. The error of a flush
	// then names events.
	ControlURLs []string
	// Flushers flush the other stores: a cluster's pods (package podflush), or
	// those of this process (InProcess).
	Flushers []Flusher
	// HTTP makes the requests; http.DefaultClient if it is nil.
	HTTP *http.Client
	// Authorize adds credentials to the queries; none if it is nil.
	Authorize func(ctx context.Context, req *http.Request) error
	// Progress, optional, is told how far a search came that goes on: every event
	// before this time in its order was looked at.
	Progress func(scannedUntil time.Time)
}

// Reader reads trails. It is safe for concurrent use.
type Reader struct {
	flushers []Flusher
	client   *datastorage.ClientWithResponses
	progress func(scannedUntil time.Time)
}

// NewReader makes a reader, or returns an error for unusable options.
func NewReader(o Options) (*Reader, error) {
	if o.DataStorageURL == "" {
		return nil, errors.New("trail reader: the URL of DataStorage is missing")
	}
	if len(o.ControlURLs) > len(o.ManagementURLs) {
		return nil, fmt.Errorf("trail reader: %d control listeners for %d management ports", len(o.ControlURLs), len(o.ManagementURLs))
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
	flushers := append([]Flusher{byURL{o.HTTP, o.ManagementURLs, o.ControlURLs}}, o.Flushers...)
	if o.Progress == nil {
		o.Progress = func(time.Time) {}
	}
	return &Reader{flushers: flushers, client: client, progress: o.Progress}, nil
}

// Read flushes every store for a correlation id and then queries its events
// once, oldest first. The trail is as complete as the flushes proved. If a
// flush fails, Read returns its error and makes no query.
func (r *Reader) Read(ctx context.Context, correlationID string) ([]datastorage.StoredEvent, error) {
	receipts, err := flushAll(ctx, r.flushers, correlationID)
	if err != nil {
		return nil, fmt.Errorf("trail of %s: %w", correlationID, err)
	}
	order := datastorage.Asc
	params := datastorage.ListEventsParams{CorrelationId: &correlationID, Order: &order}
	if tokens := Tokens(receipts); len(tokens) > 0 {
		params.AtLeast = &tokens
	}
	var events []datastorage.StoredEvent
	for event, err := range r.Query(ctx, params) {
		if err != nil {
			return nil, fmt.Errorf("trail of %s: %w", correlationID, err)
		}
		events = append(events, event)
	}
	return events, nil
}

// Query iterates over the stored events that match a query, in its order
// (newest first by default), and requests a page when the one before is
// exhausted. It does not flush. Limit is the size of a page, 1,000 if it is
// nil; Offset must be nil. An error ends the iteration: the event beside it is
// empty, and the events before it are valid.
func (r *Reader) Query(ctx context.Context, params datastorage.ListEventsParams) iter.Seq2[datastorage.StoredEvent, error] {
	return func(yield func(datastorage.StoredEvent, error) bool) {
		if params.Offset != nil {
			yield(datastorage.StoredEvent{}, errors.New("query DataStorage: offset cannot be used, pages are read with a cursor"))
			return
		}
		params := params // every iteration starts at the first page
		if params.Limit == nil {
			limit := pageSize
			params.Limit = &limit
		}
		for {
			page, err := r.page(ctx, &params)
			if err != nil {
				yield(datastorage.StoredEvent{}, err)
				return
			}
			for i := range page.Data {
				if !yield(page.Data[i], nil) {
					return
				}
			}
			if !page.Pagination.HasMore {
				return
			}
			if until := page.Pagination.ScannedUntil; until != nil {
				r.progress(*until)
			}
			params.Cursor = page.Pagination.NextCursor
		}
	}
}

// page requests one page. A page that is not the last has a cursor.
func (r *Reader) page(ctx context.Context, params *datastorage.ListEventsParams) (*datastorage.EventPage, error) {
	resp, err := r.client.ListEventsWithResponse(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("query DataStorage: %w", err)
	}
	if resp.JSON200 == nil {
		return nil, fmt.Errorf("query DataStorage: %s: %s", resp.Status(), strings.TrimSpace(string(resp.Body)))
	}
	if p := resp.JSON200.Pagination; p.HasMore && p.NextCursor == nil {
		return nil, errors.New("query DataStorage: the response has more events but no next_cursor")
	}
	return resp.JSON200, nil
}
