// Package trail reads audit events as the person who runs a command: through the API
// server, which vouches for them, or from a DataStorage without authentication.
package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
type Flags struct{ DataStorageURL string }

// Declare declares the flags.
func (o *Flags) Declare(f *cli.Flags) {
	f.String(&o.DataStorageURL, "datastorage-url", "",
		"URL of a DataStorage that needs no token, as kubernaut up prints it; none: through the API server, under your name")
}

// Source answers queries.
type Source interface {
	// Query iterates over the events that match, page by page. An error ends the iteration.
	Query(ctx context.Context, params datastorage.ListEventsParams) iter.Seq2[datastorage.StoredEvent, error]
}

// Open makes the source that the flags select.
func (o *Flags) Open(at *connection.Flags) (Source, error) {
	if o.DataStorageURL != "" {
		reader, err := audittrail.NewReader(audittrail.Options{DataStorageURL: o.DataStorageURL})
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
	return aggregated{clients.CoreV1().RESTClient()}, nil
}

// aggregated is DataStorage behind the API server.
type aggregated struct{ client rest.Interface }

// eventList is a page of events as the API server's clients see it.
type eventList struct {
	Metadata metav1.ListMeta `json:"metadata"`
	Items    []struct {
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
			params.Cursor = &page.Metadata.Continue
		}
	}
}

func (a aggregated) page(ctx context.Context, params *datastorage.ListEventsParams) (*eventList, error) {
	query, err := datastorage.NewListEventsRequest("http://datastorage", params)
	if err != nil {
		return nil, fmt.Errorf("query audit events: %w", err)
	}
	answer, err := a.client.Get().AbsPath(eventsPath).SetHeader("Accept", "application/json").
		RequestURI(eventsPath + "?" + query.URL.RawQuery).Do(ctx).Raw()
	if err != nil {
		return nil, explain(err)
	}
	page := &eventList{}
	if err := json.Unmarshal(answer, page); err != nil {
		return nil, fmt.Errorf("query audit events: unusable answer: %w", err)
	}
	return page, nil
}

// explain says what to do about an answer of the API server.
func explain(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return errors.New("query audit events: the cluster does not serve audit.kubernaut.ai: " +
			"add the component people to the deployment, or give --datastorage-url")
	case apierrors.IsForbidden(err):
		return fmt.Errorf("query audit events: %w; whoever administers the cluster can grant list on events.audit.kubernaut.ai", err)
	case apierrors.IsServiceUnavailable(err):
		return fmt.Errorf("query audit events: %w; see kubectl get apiservice v1.audit.kubernaut.ai", err)
	}
	return fmt.Errorf("query audit events: %w", err)
}
