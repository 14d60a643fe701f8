package httpsink

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/internal/httpbody"
	"kubernaut.ai/pkg/audit/wire"
)

// maxRetryAfter bounds the pause that a response can ask for, in whole seconds.
const maxRetryAfter = 5 * time.Minute

// resultOf turns the response to a batch into the result of Write.
func resultOf(batch []audit.Event, response *http.Response) (audit.Ack, error) {
	body, readErr := httpbody.Read(response)
	if readErr != nil && (response.StatusCode == http.StatusCreated || !errors.Is(readErr, httpbody.ErrTooLarge)) {
		// A truncated response is neither an acknowledgement nor a refusal.
		return audit.Ack{}, &audit.SinkError{Status: response.StatusCode, RetryAfter: retryAfter(response.Header), Err: readErr}
	}
	switch response.StatusCode {
	case http.StatusCreated:
		return acknowledged(batch, body)
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		contentType := response.Header.Get("Content-Type")
		if isProblem(contentType) {
			return audit.Ack{}, refusal(response.StatusCode, batch, body)
		}
		readErr = fmt.Errorf("not a response of DataStorage: content type %.100q, want %s", contentType, wire.ProblemMediaType)
	}
	return audit.Ack{}, &audit.SinkError{
		Status: response.StatusCode, RetryAfter: retryAfter(response.Header), Detail: wire.ProblemText(body), Err: readErr,
	}
}

// acknowledged trusts an acknowledgement only if it names exactly the events that were sent: anything else may come
// from a server that is not DataStorage.
func acknowledged(batch []audit.Event, body []byte) (audit.Ack, error) {
	unusable := func(format string, args ...any) (audit.Ack, error) {
		return audit.Ack{}, &audit.SinkError{Status: http.StatusCreated, Err: fmt.Errorf(format, args...)}
	}
	var created wire.BatchCreated
	if err := json.Unmarshal(body, &created); err != nil {
		return unusable("unreadable acknowledgement: %w", err)
	}
	if len(created.EventIds) != len(batch) {
		return unusable("acknowledgement names %d of %d events", len(created.EventIds), len(batch))
	}
	for i := range batch {
		if created.EventIds[i] != batch[i].ID {
			return unusable("acknowledgement names event %s instead of %s", created.EventIds[i], batch[i].ID)
		}
	}
	return audit.Ack{ConsistencyToken: created.ConsistencyToken, Created: created.Created, Duplicates: created.Duplicates}, nil
}

func isProblem(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == wire.ProblemMediaType
}

// refusal names the offending events if the response does and all of them are in the batch.
func refusal(status int, batch []audit.Event, body []byte) error {
	var problem wire.Problem
	if err := json.Unmarshal(body, &problem); err != nil || len(problem.Items) == 0 {
		return unnamedRefusal(status, body)
	}
	refused := &audit.RefusedError{}
	for i := range problem.Items {
		item := &problem.Items[i]
		if item.Index < 0 || item.Index >= len(batch) || item.EventID != nil && *item.EventID != batch[item.Index].ID {
			return unnamedRefusal(status, body)
		}
		refused.Items = append(refused.Items, audit.Refusal{Index: item.Index, Code: string(item.Code), Reason: itemReason(item)})
	}
	return refused
}

func unnamedRefusal(status int, body []byte) error {
	text := fmt.Sprintf("sink answered %d %s", status, http.StatusText(status))
	if detail := wire.ProblemText(body); detail != "" {
		text += ": " + detail
	}
	return fmt.Errorf("%w: %s", audit.ErrRefused, text)
}

// itemReason joins the detail and the field errors of one event, unless the detail repeats them.
func itemReason(item *wire.ItemProblem) string {
	fields := wire.FieldText(item.FieldErrors, 0)
	switch {
	case item.Detail == "":
		return fields
	case repeats(item.Detail, item.FieldErrors):
		return item.Detail
	default:
		return item.Detail + ": " + fields
	}
}

// repeats reports whether a detail has the errors of all fields.
func repeats(detail string, fields map[string]string) bool {
	for _, reason := range fields {
		if !strings.Contains(detail, reason) {
			return false
		}
	}
	return true
}

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds, or a date, which is compared to the response's
// own Date, because clocks differ.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), int(maxRetryAfter/time.Second))) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0
	}
	return max(until.Sub(date), 0)
}
