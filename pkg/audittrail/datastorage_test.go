package audittrail_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/pkg/audit/audittest"
)

// serveStored serves the query of DataStorage's API over a memory sink, by
// correlation id and oldest first, in pages of limit events.
func serveStored(sink *audittest.MemorySink) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		events := sink.EventsOf(query.Get("correlation_id"))
		from, _ := strconv.Atoi(query.Get("cursor"))
		limit, err := strconv.Atoi(query.Get("limit"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		end := min(from+limit, len(events))
		page := datastorage.EventPage{Data: []datastorage.StoredEvent{}}
		for i := range events[from:end] {
			e := &events[from+i]
			page.Data = append(page.Data, datastorage.StoredEvent{
				EventId: e.ID, EventType: e.Type, EventTimestamp: e.Timestamp, EventCategory: e.Category, EventAction: e.Action,
				EventOutcome: datastorage.EventOutcome(e.Outcome), CorrelationId: e.CorrelationID, EventData: e.Data, Version: e.Version,
			})
		}
		if page.Pagination.HasMore = end < len(events); page.Pagination.HasMore {
			page.Pagination.NextCursor = new(strconv.Itoa(end))
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(page) // the client reports what it did not get
	}))
}
