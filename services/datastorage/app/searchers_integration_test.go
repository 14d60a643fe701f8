//go:build integration

package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/services/datastorage/app"
)

// exchange returns the body of an answer that has a status.
func exchange(ctx context.Context, method, address, media, body string, wanted int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		request.Header.Set("Content-Type", media)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != wanted {
		err = fmt.Errorf("%s %s: %s: %s", method, address, response.Status, answer)
	}
	return answer, err
}

// searchAll follows a search to its end, and returns how many events it found.
func searchAll(ctx context.Context, base string, query url.Values) (events int, err error) {
	for {
		answer, err := exchange(ctx, http.MethodGet, base+eventsPath+"?"+query.Encode(), "", "", http.StatusOK)
		if err != nil {
			return 0, err
		}
		var page datastorage.EventPage
		if err := json.Unmarshal(answer, &page); err != nil {
			return 0, err
		}
		events += len(page.Data)
		if !page.Pagination.HasMore {
			return events, nil
		}
		query.Set("cursor", *page.Pagination.NextCursor)
	}
}

// manyLines are new events as NDJSON.
func manyLines(events int) string {
	var lines bytes.Buffer
	at := time.Now().UTC().Format(time.RFC3339Nano)
	for range events {
		fmt.Fprintf(&lines, `{"version":"1.0","event_type":"shop.order.paid","event_timestamp":%q,"event_category":"shop","event_action":"pay","event_outcome":"success",`+
			`"correlation_id":%q,"event_data":{}}`+"\n", at, uuid.NewString())
	}
	return lines.String()
}

// errDone ends those who work beside the searches.
var errDone = errors.New("the searches are over")

func TestTwentyClientsThatSearchLeaveIngestAndProbesAlone(t *testing.T) {
	const searchers, batch = 20, 2000
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	storeMany(t, connect(t, database), 4*manyEvents)
	a := serveWith(t, app.Options{DatabaseURL: database, QueryStep: 40 * time.Millisecond})
	group, ctx := errgroup.WithContext(t.Context())
	var stored int
	group.Go(func() error {
		for ctx.Err() == nil {
			if _, err := exchange(ctx, http.MethodPost, a.APIURL()+eventsPath+"/batch", "application/x-ndjson", manyLines(batch), http.StatusCreated); err != nil {
				return err
			}
			stored += batch
		}
		return nil
	})
	group.Go(func() error {
		for ctx.Err() == nil {
			for _, probe := range []string{a.ManagementURL() + "/readyz", a.ManagementURL() + "/healthz"} {
				if _, err := exchange(ctx, http.MethodGet, probe, "", "", http.StatusOK); err != nil {
					return err
				}
			}
		}
		return nil
	})
	until := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)
	group.Go(func() error {
		var searching sync.WaitGroup
		failed := make(chan error, searchers)
		for range searchers {
			searching.Go(func() {
				events, err := searchAll(ctx, a.APIURL(), url.Values{"event_outcome": {"pending"}, "order": {"asc"}, "until": {until}})
				if err == nil && events > 0 {
					err = fmt.Errorf("a search for nothing found %d events", events)
				}
				failed <- err
			})
		}
		searching.Wait()
		close(failed)
		for err := range failed {
			if err != nil {
				return err
			}
		}
		return errDone
	})
	if err := group.Wait(); !errors.Is(err, errDone) {
		t.Fatal(err)
	}
	if stored == 0 {
		t.Error("nothing was stored beside the searches")
	}
}
