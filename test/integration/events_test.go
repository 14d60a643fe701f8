//go:build integration

package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/test/platformevents"
)

// examplesVariable names the folder that one event of each type is written to: make event-examples.
const examplesVariable = "EVENT_EXAMPLES"

// checkEvents compares all events of the platform that the suite has stored with the catalog of events.
func checkEvents(ctx context.Context, url string) error {
	catalog, err := platformevents.Catalog()
	Expect(err).NotTo(HaveOccurred())
	checker, err := eventcatalog.NewChecker(catalog, eventcatalog.NewComments("../.."))
	Expect(err).NotTo(HaveOccurred())
	client, err := datastorage.NewClientWithResponses(url)
	Expect(err).NotTo(HaveOccurred())
	var faults []error
	for i := range catalog {
		example, err := checkType(ctx, client, checker, catalog[i].Type)
		faults = append(faults, err)
		if dir := os.Getenv(examplesVariable); dir != "" && example != nil {
			faults = append(faults, writeExample(dir, example))
		}
	}
	return errors.Join(faults...)
}

// checkType returns the shortest event of a type that is as the catalog says; nil if none is
// stored. It stops at the first that is not.
func checkType(ctx context.Context, client *datastorage.ClientWithResponses, checker *eventcatalog.Checker, eventType string) (*datastorage.StoredEvent, error) {
	limit := 1000
	params := &datastorage.ListEventsParams{EventType: &eventType, Limit: &limit}
	var shortest *datastorage.StoredEvent
	for {
		page, err := client.ListEventsWithResponse(ctx, params)
		if err != nil {
			return nil, fmt.Errorf("list events of type %s: %w", eventType, err)
		}
		if page.StatusCode() != http.StatusOK {
			return nil, fmt.Errorf("list events of type %s: %s: %s", eventType, page.Status(), page.Body)
		}
		for i := range page.JSON200.Data {
			e := &page.JSON200.Data[i]
			if err := checker.Check(eventType, audit.Outcome(e.EventOutcome), e.EventData); err != nil {
				return nil, fmt.Errorf("event %s on the trail of %s: %w", e.EventId, e.CorrelationId, err)
			}
			if shortest == nil || len(e.EventData) < len(shortest.EventData) {
				shortest = e
			}
		}
		if !page.JSON200.Pagination.HasMore {
			return shortest, nil
		}
		params.Cursor = page.JSON200.Pagination.NextCursor
	}
}

func writeExample(dir string, e *datastorage.StoredEvent) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode example: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, e.EventType+".json"), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write example: %w", err)
	}
	return nil
}
