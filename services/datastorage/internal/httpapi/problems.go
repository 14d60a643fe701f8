package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/internal/consistency"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/ingest"
	"kubernaut.ai/services/datastorage/internal/query"
)

func statusOfCode(code event.Code) int {
	switch code {
	case event.CodeConflict:
		return http.StatusConflict
	case event.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case event.CodeForbidden:
		return http.StatusForbidden
	case event.CodeInvalid:
		return http.StatusBadRequest
	default:
		return http.StatusBadRequest
	}
}

// DeniedUser answers a caller under whose name nothing can be recorded.
func DeniedUser(err error) error { return auth.Denied(reasonUser, "%v", err) } //nolint:wrapcheck // a problem

// bodyProblem answers a body that could not be taken apart.
func bodyProblem(err error) error {
	var body *event.BodyError
	if !errors.As(err, &body) {
		return err
	}
	if body.TooLarge {
		return problem.New(http.StatusRequestEntityTooLarge, "%s", body.Detail)
	}
	return problem.Validation(nil, "%s", body.Detail)
}

// oneProblem answers a single event that was not stored.
func oneProblem(err error) error {
	var refused *ingest.RefusedError
	if !errors.As(err, &refused) {
		return passing(err)
	}
	r := refused.Refusals[0]
	return shaped(r.Code, r.Fields, "the event is refused: "+r.Detail)
}

// batchProblem answers a batch of which nothing was stored; it names each event to blame.
func batchProblem(err error) error {
	var refused *ingest.RefusedError
	if !errors.As(err, &refused) {
		return passing(err)
	}
	code := refused.Refusals[0].Code
	for _, r := range refused.Refusals {
		if r.Code != code {
			code = event.CodeInvalid
		}
	}
	first := refused.Refusals[0]
	fields := map[string]string{}
	for name, reason := range first.Fields {
		fields[fmt.Sprintf("[%d].%s", first.Index, name)] = reason
	}
	p := shaped(code, fields, fmt.Sprintf("nothing was stored: %d of the batch's events are refused, the first at index %d: %s", len(refused.Refusals), first.Index, first.Detail))
	p.Items = items(refused.Refusals)
	return p
}

func items(refusals []event.Refusal) []wire.ItemProblem {
	all := make([]wire.ItemProblem, len(refusals))
	for i, r := range refusals {
		all[i] = itemProblem(r)
	}
	return all
}

func shaped(code event.Code, fields map[string]string, detail string) *problem.Error {
	if code == event.CodeInvalid {
		return problem.Validation(fields, "%s", detail)
	}
	p := problem.New(statusOfCode(code), "%s", detail)
	p.FieldErrors = fields
	return p
}

func itemProblem(r event.Refusal) wire.ItemProblem {
	item := wire.ItemProblem{Index: r.Index, Code: wire.ItemProblemCode(r.Code), Detail: r.Detail}
	if r.ID != uuid.Nil {
		item.EventID = &r.ID
	}
	if len(r.Fields) > 0 {
		item.FieldErrors = r.Fields
	}
	return item
}

// passing answers what may go well when it is sent again.
func passing(err error) error {
	var ingestDown *ingest.UnavailableError
	var queryDown *query.UnavailableError
	switch {
	case errors.Is(err, ingest.ErrFull):
		return problem.Unavailable(retryAfter, err, "too many events are waiting to be stored: send the request again later")
	case errors.Is(err, ingest.ErrStopped):
		return problem.Unavailable(retryAfter, err, "the service is stopping: send the request again later")
	case errors.Is(err, consistency.ErrBehind):
		return problem.Unavailable(retryAfter, nil, "%v", err)
	case errors.As(err, &ingestDown):
		return fromDatabase(err, "the database did not confirm the events: send the request again, with the same event ids")
	case errors.As(err, &queryDown):
		return queryProblem(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem.Unavailable(retryAfter, err, "the request ended before its commit: send it again, with the same event ids")
	default:
		return err
	}
}

// queryProblem says why a query was not answered.
func queryProblem(err error) error {
	switch {
	case errors.Is(err, database.ErrBusy):
		return problem.Unavailable(retryAfter, nil, "%v: send the query again later", database.ErrBusy)
	case database.Away(err):
		return fromDatabase(err, "the database cannot be reached: send the query again later")
	case errors.As(err, new(*database.SlowConnectError)):
		return problem.Unavailable(retryAfter, err, "no connection to the database was made in time: send the query again later")
	case database.TimedOut(err):
		return problem.Unavailable(retryAfter, err, "the database did not answer the query in time: bound it with since and until, or add a filter")
	default:
		return problem.Unavailable(retryAfter, err, "the database did not answer the query: send it again")
	}
}

// fromDatabase answers an error of the database. That the database is away is in
// the log once, not for each request.
func fromDatabase(err error, detail string) error {
	p := problem.Unavailable(retryAfter, err, "%s", detail)
	p.Logged = database.Away(err)
	return p
}
