// Package trail reads audit events as the person who runs a command: through the API
// server, which vouches for them, or directly from a DataStorage.
package trail

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audittrail"
)

const (
	eventsPath = "/apis/audit.kubernaut.ai/v1/events"
	// pageSize bounds what is in memory at a time.
	pageSize = 500
)

// Flags say where the events are.
type Flags struct{ connection.Direct }

// Source answers queries.
type Source interface {
	// Query iterates over the events that match, page by page. An error ends the iteration.
	Query(ctx context.Context, params datastorage.ListEventsParams) iter.Seq2[datastorage.StoredEvent, error]
}

// Open makes the source that the flags select. A search that takes long says on
// notes how far it came, if that is a terminal.
func (o *Flags) Open(at *connection.Flags, notes io.Writer) (Source, error) {
	if err := o.Check(); err != nil {
		return nil, err //nolint:wrapcheck // names the flags
	}
	progress := progressOn(notes)
	if o.URL != "" {
		client, authorize, err := o.Client()
		if err != nil {
			return nil, err //nolint:wrapcheck // names the flag
		}
		reader, err := audittrail.NewReader(audittrail.Options{DataStorageURL: o.URL, HTTP: client, Authorize: authorize, Progress: progress})
		if err != nil {
			return nil, cli.Usagef("--datastorage-url: %w", err)
		}
		return reader, nil
	}
	config, _, err := at.Config()
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, cli.Usagef("--kubeconfig: %w", err)
	}
	return aggregated{clients.CoreV1().RESTClient(), progress}, nil
}

// aggregated is DataStorage behind the API server.
type aggregated struct {
	client   rest.Interface
	progress func(scannedUntil time.Time)
}

// eventList is a page of events as the API server's clients see it.
type eventList struct {
	Metadata struct {
		Continue     string     `json:"continue"`
		ScannedUntil *time.Time `json:"scannedUntil"`
	} `json:"metadata"`
	Items []struct {
		Event datastorage.StoredEvent `json:"event"`
	} `json:"items"`
}

func (a aggregated) Query(ctx context.Context, params datastorage.ListEventsParams) iter.Seq2[datastorage.StoredEvent, error] {
	return func(yield func(datastorage.StoredEvent, error) bool) {
		params := params // every iteration starts at the first page
		if params.Limit == nil {
			limit := pageSize
			params.Limit = &limit
		}
		for {
			page, err := a.page(ctx, &params)
			if err != nil {
				yield(datastorage.StoredEvent{}, err)
				return
			}
			for i := range page.Items {
				if !yield(page.Items[i].Event, nil) {
					return
				}
			}
			if page.Metadata.Continue == "" {
				return
			}
			if until := page.Metadata.ScannedUntil; until != nil {
				a.progress(*until)
			}
			params.Cursor = &page.Metadata.Continue
		}
	}
}

func (a aggregated) page(ctx context.Context, params *datastorage.ListEventsParams) (*eventList, error) {
	query, err := datastorage.NewListEventsRequest("http://datastorage", params)
	if err != nil {
		return nil, fmt.Errorf("query audit events: %w", err)
	}
	call := a.client.Get().AbsPath(eventsPath).SetHeader("Accept", "application/json").RequestURI(eventsPath + "?" + query.URL.RawQuery)
	page := &eventList{}
	if err := connection.Read(call.Do(ctx), "query audit events", "list on events", page); err != nil {
		return nil, err //nolint:wrapcheck // says what
	}
	return page, nil
}
