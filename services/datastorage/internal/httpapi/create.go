package httpapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/ingest"
	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// CreateEvent implements routes.ServerInterface.
func (a *API) CreateEvent(c echo.Context, _ api.CreateEventParams) error {
	return a.ingest(c, []string{mediaJSON}, a.createEvent)
}

// CreateEventsBatch implements routes.ServerInterface.
func (a *API) CreateEventsBatch(c echo.Context, params api.CreateEventsBatchParams) error {
	return a.ingest(c, []string{mediaJSON, mediaLines, mediaCloudEvents}, func(c echo.Context, media string, body []byte) (*tally, error) {
		return a.createBatch(c, media, body, params.Prefer != nil && lenient(*params.Prefer))
	})
}

// tally counts what became of a request's events.
type tally struct {
	created, duplicates int
	refused             map[event.Code]int
	// Of those that were created: with a time far ahead of their receipt, and with
	// an id of a month that has no partition in advance.
	skewed, strays int
}

// ingest reads the body, hands it on, and observes the answer.
func (a *API) ingest(c echo.Context, media []string, handle func(c echo.Context, media string, body []byte) (*tally, error)) error {
	counts, err := func() (*tally, error) {
		chosen, err := mediaType(c, media...)
		if err != nil {
			return nil, err
		}
		body, held, err := a.bodies.read(c)
		if err != nil {
			return nil, err
		}
		counts, err := handle(c, chosen, body)
		if abandoned, ok := errors.AsType[*ingest.AbandonedError](err); ok {
			// The client went away, but the events stay until they are stored.
			go func() {
				<-abandoned.Settled
				held.Close()
			}()
			return counts, err
		}
		held.Close()
		return counts, err
	}()
	status := statusOf(c, err)
	if counts == nil {
		counts = &tally{}
	}
	a.config.Observer.Ingested(status, counts.created, counts.duplicates, counts.refused)
	if counts.skewed > 0 || counts.strays > 0 {
		a.config.Observer.Misdated(caller(c), counts.skewed, counts.strays)
	}
	return err
}

func statusOf(c echo.Context, err error) int {
	var p *problem.Error
	var unread *unreadError
	switch {
	case err == nil:
		return c.Response().Status
	case errors.As(err, &p):
		return p.Status
	case errors.As(err, &unread):
		return statusUnread
	default:
		return http.StatusInternalServerError
	}
}

func (a *API) createEvent(c echo.Context, _ string, body []byte) (*tally, error) {
	batch, err := a.config.Decoder.One(body, caller(c))
	if err != nil {
		return nil, bodyProblem(err)
	}
	switch refused, first, err := a.permit(c.Request().Context(), &batch); {
	case err != nil:
		return nil, err
	case len(refused) > 0:
		return &tally{refused: refusedCounts(refused)}, forbidden(refused, first, true)
	}
	setAside(&batch, a.unconforming(&batch))
	result, err := a.config.Writer.Store(c.Request().Context(), ingest.Request{Batch: batch})
	if err != nil {
		return refusedTally(err), oneProblem(err)
	}
	counts := count(batch, result)
	e := batch.Events[0]
	message := "stored"
	if counts.duplicates > 0 {
		message = "stored before"
	}
	text, err := encodeCreated(&api.EventCreated{
		EventId: e.ID, StoredAs: secondID(result, 0), EventTimestamp: e.Timestamp, Message: message, ConsistencyToken: result.Token,
	})
	if err != nil {
		return counts, err
	}
	return counts, answerText(c, http.StatusCreated, text)
}

func (a *API) createBatch(c echo.Context, media string, body []byte, lenient bool) (*tally, error) {
	decode := a.config.Decoder.Array
	switch media {
	case mediaLines:
		decode = a.config.Decoder.Lines
	case mediaCloudEvents:
		decode = a.config.Decoder.CloudEvents
	}
	batch, err := decode(body, caller(c))
	if err != nil {
		return nil, bodyProblem(err)
	}
	switch refused, first, err := a.permit(c.Request().Context(), &batch); {
	case err != nil:
		return nil, err
	case len(refused) > 0 && !lenient:
		return &tally{refused: refusedCounts(refused)}, forbidden(refused, first, false)
	case len(refused) > 0:
		a.config.Auth.Observe(c, first) // the answer is no 403
		setAside(&batch, refused)
	}
	setAside(&batch, a.unconforming(&batch))
	result, err := a.config.Writer.Store(c.Request().Context(), ingest.Request{Batch: batch, Lenient: lenient})
	if err != nil {
		return refusedTally(err), batchProblem(err)
	}
	counts := count(batch, result)
	if lenient {
		return counts, answer(c, http.StatusMultiStatus, itemResults(batch, result, counts))
	}
	ids := make([]uuid.UUID, len(batch.Events))
	for i, e := range batch.Events {
		ids[i] = e.ID
	}
	text, err := encodeBatchCreated(&api.BatchCreated{
		EventIds: ids, StoredAs: storedAs(result), Created: counts.created, Duplicates: counts.duplicates, ConsistencyToken: result.Token,
		Message: counts.message(),
	})
	if err != nil {
		return counts, err
	}
	return counts, answerText(c, http.StatusCreated, text)
}

// message tells people what became of a batch.
func (t tally) message() string {
	text := plural(t.created, "event") + " stored"
	if t.duplicates > 0 {
		text += fmt.Sprintf(", %d stored before", t.duplicates)
	}
	return text
}

func plural(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// secondID is the second id of the event at an index, nil if it has none.
func secondID(r ingest.Result, index int) *uuid.UUID {
	if id, has := r.SecondIDs[index]; has {
		return &id
	}
	return nil
}

// storedAs lists the events that have a second id, nil for none.
func storedAs(r ingest.Result) *[]api.StoredAs {
	if len(r.SecondIDs) == 0 {
		return nil
	}
	all := make([]api.StoredAs, 0, len(r.SecondIDs))
	for _, i := range slices.Sorted(maps.Keys(r.SecondIDs)) {
		all = append(all, api.StoredAs{Index: i, EventId: r.SecondIDs[i]})
	}
	return &all
}

func caller(c echo.Context) string { return auth.CallerFrom(c.Request().Context()).Name }

// User is who a request is from.
func User(ctx context.Context) ownevent.User {
	caller := auth.CallerFrom(ctx)
	return ownevent.UserOf(&caller)
}

// lenient reports whether a Prefer header (RFC 7240) asks for results by item.
func lenient(prefer string) bool {
	for preference := range strings.SplitSeq(prefer, ",") {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, _ := strings.Cut(preference, "=")
		if strings.EqualFold(strings.TrimSpace(name), "handling") && strings.EqualFold(strings.Trim(strings.TrimSpace(value), `"`), "lenient") {
			return true
		}
	}
	return false
}

func count(batch event.Batch, r ingest.Result) *tally {
	t := &tally{refused: refusedCounts(r.Refusals)}
	for i, s := range r.Statuses {
		switch s {
		case ingest.Created:
			t.created++
			e := batch.Events[i]
			if e.ClockSkew() > 0 {
				t.skewed++
			}
			if at, timed := event.IDTime(e.ID); timed && schema.IsStray(at, e.ReceivedAt) {
				t.strays++
			}
		case ingest.Duplicate:
			t.duplicates++
		case ingest.Refused:
		}
	}
	return t
}

func refusedTally(err error) *tally {
	if refused, ok := errors.AsType[*ingest.RefusedError](err); ok {
		return &tally{refused: refusedCounts(refused.Refusals)}
	}
	return nil
}

func refusedCounts(refusals []event.Refusal) map[event.Code]int {
	if len(refusals) == 0 {
		return nil
	}
	counts := map[event.Code]int{}
	for _, r := range refusals {
		counts[r.Code]++
	}
	return counts
}

func itemResults(batch event.Batch, result ingest.Result, counts *tally) wire.BatchResults {
	answer := wire.BatchResults{
		Results: make([]wire.BatchItemResult, len(batch.Events)),
		Created: counts.created, Duplicates: counts.duplicates, Rejected: len(result.Refusals),
	}
	for i, e := range batch.Events {
		item := wire.BatchItemResult{Index: i, Status: http.StatusCreated}
		if e != nil {
			item.EventID, item.StoredAs = &e.ID, secondID(result, i)
		}
		if result.Statuses[i] == ingest.Duplicate {
			item.Status = http.StatusOK
		}
		answer.Results[i] = item
	}
	for _, r := range result.Refusals {
		item := itemProblem(r)
		answer.Results[r.Index].Status = statusOfCode(r.Code)
		answer.Results[r.Index].EventID = item.EventID
		answer.Results[r.Index].Problem = &item
	}
	answer.Message = fmt.Sprintf("%s, %d refused", counts.message(), len(result.Refusals))
	if result.Token != "" {
		answer.ConsistencyToken = &result.Token
	}
	return answer
}
