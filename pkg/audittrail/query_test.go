package audittrail_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/pkg/audittrail"
)

// pages serves n pages of one event each, and counts the requests.
func pages(t *testing.T, n int, requests *[]string) *audittrail.Reader {
	t.Helper()
	reader, err := audittrail.NewReader(audittrail.Options{DataStorageURL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		*requests = append(*requests, r.URL.RawQuery)
		cursor := r.URL.Query().Get("cursor")
		page := 1
		if cursor != "" {
			_, _ = fmt.Sscanf(cursor, "page-%d", &page)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"data": [{"event_type": "test.page.%d"}], "pagination": {"has_more": %t, "next_cursor": "page-%d"}}`, page, page < n, page+1)
	})})
	if err != nil {
		t.Fatal(err)
	}
	return reader
}

func TestQueryRequestsPagesAsTheyAreNeeded(t *testing.T) {
	var requests []string
	reader := pages(t, 3, &requests)
	eventType := "test.*"
	all := reader.Query(t.Context(), datastorage.ListEventsParams{EventType: &eventType})
	for range 2 { // an iterator can be used again
		requests = nil
		var types []string
		for event, err := range all {
			if err != nil {
				t.Fatal(err)
			}
			types = append(types, event.EventType)
		}
		if !slices.Equal(types, []string{"test.page.1", "test.page.2", "test.page.3"}) {
			t.Errorf("events %v, want those of three pages", types)
		}
		want := []string{"event_type=test.%2A&limit=1000", "event_type=test.%2A&limit=1000&cursor=page-2", "event_type=test.%2A&limit=1000&cursor=page-3"}
		if !slices.Equal(requests, want) {
			t.Errorf("requests %v, want %v", requests, want)
		}
	}

	requests = nil
	for _, err := range all {
		if err != nil {
			t.Error(err)
		}
		break
	}
	if len(requests) != 1 {
		t.Errorf("%d requests for one event, want 1", len(requests))
	}
}

func TestQueryStartsAtACursor(t *testing.T) {
	var requests []string
	reader := pages(t, 3, &requests)
	cursor, limit := "page-3", 7
	for event, err := range reader.Query(t.Context(), datastorage.ListEventsParams{Cursor: &cursor, Limit: &limit}) {
		if err != nil || event.EventType != "test.page.3" {
			t.Errorf("event %+v, error %v", event, err)
		}
	}
	if !slices.Equal(requests, []string{"limit=7&cursor=page-3"}) {
		t.Errorf("requests %v", requests)
	}
}

func TestQueryEndsWithItsFirstError(t *testing.T) {
	offset := 10
	var requests []string
	for name, test := range map[string]struct {
		end    bool // the context has ended before the query
		params datastorage.ListEventsParams
		events int
		want   string
	}{
		"offset":  {false, datastorage.ListEventsParams{Offset: &offset}, 0, "offset cannot be used"},
		"context": {true, datastorage.ListEventsParams{}, 0, "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			var errs []error
			events := 0
			ctx := t.Context()
			if test.end {
				ctx = canceled(t)
			}
			for _, err := range pages(t, 2, &requests).Query(ctx, test.params) {
				if err != nil {
					errs = append(errs, err)
					continue
				}
				events++
			}
			if len(errs) != 1 || !strings.Contains(errs[0].Error(), test.want) || events != test.events {
				t.Errorf("%d events, errors %v, want %d and one that says %q", events, errs, test.events, test.want)
			}
		})
	}
	if _, err := pages(t, 1, &requests).Read(canceled(t), "rr-1"); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v, want one that wraps the context's", err)
	}
}
