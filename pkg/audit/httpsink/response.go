package httpsink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/internal/httpbody"
	"kubernaut.ai/pkg/audit/wire"
)

// maxRetryAfter bounds the pause that a response can ask for, in whole seconds.
const maxRetryAfter = 5 * time.Minute

// resultOf turns the response to a batch into the result of Write.
func (s *Sink) resultOf(batch []audit.Event, response *http.Response) (audit.Ack, error) {
	body, readErr := httpbody.Read(response)
	if readErr != nil && (response.StatusCode == http.StatusCreated || !errors.Is(readErr, httpbody.ErrTooLarge)) {
		// A truncated response is neither an acknowledgement nor a refusal.
		return audit.Ack{}, &audit.SinkError{
			Status: response.StatusCode, RetryAfter: retryAfter(response.Header), Err: s.named(s.explain(response.StatusCode, readErr)),
		}
	}
	contentType := response.Header.Get("Content-Type")
	switch response.StatusCode {
	case http.StatusCreated:
		ack, err := acknowledged(batch, body)
		if err != nil {
			return audit.Ack{}, &audit.SinkError{Status: response.StatusCode, Err: s.named(err)}
		}
		return ack, nil
	case http.StatusForbidden:
		if isProblem(contentType) {
			if named := itemsOf(batch, body); named != nil {
				return audit.Ack{}, &audit.ForbiddenError{Items: named}
			}
		}
	case http.StatusRequestEntityTooLarge:
		if isProblem(contentType) {
			if named := itemsOf(batch, body); named != nil {
				return audit.Ack{}, &audit.RefusedError{Items: named}
			}
		} else {
			readErr = notDataStorage(contentType)
		}
		return audit.Ack{}, &audit.SinkError{
			Status: response.StatusCode, RetryAfter: retryAfter(response.Header), Detail: wire.ProblemText(body), Err: s.named(tooLargeError{readErr}),
		}
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity:
		if isProblem(contentType) {
			return audit.Ack{}, refusal(response.StatusCode, batch, body)
		}
		readErr = notDataStorage(contentType)
		if speaksTLS(body) {
			readErr = errIsItHTTPS
		}
	}
	return audit.Ack{}, &audit.SinkError{
		Status: response.StatusCode, RetryAfter: retryAfter(response.Header), Detail: wire.ProblemText(body), Err: s.named(readErr),
	}
}

// acknowledged trusts an acknowledgement only if it names exactly the events that were sent: anything else may come
// from a server that is not DataStorage.
func acknowledged(batch []audit.Event, body []byte) (audit.Ack, error) {
	var created wire.BatchCreated
	if err := json.Unmarshal(body, &created); err != nil {
		return audit.Ack{}, fmt.Errorf("unreadable acknowledgement: %w", err)
	}
	if len(created.EventIds) != len(batch) {
		return audit.Ack{}, fmt.Errorf("acknowledgement names %d of %d events", len(created.EventIds), len(batch))
	}
	for i := range batch {
		if created.EventIds[i] != batch[i].ID {
			return audit.Ack{}, fmt.Errorf("acknowledgement names event %s instead of %s", created.EventIds[i], batch[i].ID)
		}
	}
	return audit.Ack{ConsistencyToken: created.ConsistencyToken, Created: created.Created, Duplicates: created.Duplicates}, nil
}

// requestError says which request an error belongs to.
type requestError struct {
	request string
	err     error // nil if the status says it all
}

func (e *requestError) Error() string {
	if e.err == nil {
		return e.request
	}
	return e.request + ": " + e.err.Error()
}

func (e *requestError) Unwrap() error { return e.err }

// named adds the method and the URL, which has no credentials, to an error: the status alone does not tell a wrong
// port or path.
func (s *Sink) named(err error) error {
	return &requestError{request: http.MethodPost + " " + s.url, err: err}
}

var errIsItHTTPS = errors.New("the server expects TLS: is it https?")

// speaksTLS recognizes the words with which servers reject plain HTTP on a TLS port: those of Go, nginx and Apache.
func speaksTLS(body []byte) bool {
	for _, words := range []string{
		"sent an HTTP request to an HTTPS server", "plain HTTP request was sent to HTTPS port", "speaking plain HTTP to an SSL-enabled server port",
	} {
		if bytes.Contains(body, []byte(words)) {
			return true
		}
	}
	return false
}

// explain asks whether plain HTTP met a TLS port, if a response, with a status if there was one, broke off as it does
// then: with a TLS alert, or with a reset behind a 400, because the server did not read the request.
func (s *Sink) explain(status int, err error) error {
	if !strings.HasPrefix(s.url, "http://") {
		return err
	}
	if status == http.StatusBadRequest && errors.Is(err, syscall.ECONNRESET) || strings.Contains(err.Error(), "malformed HTTP response") {
		return fmt.Errorf("%w: %w", errIsItHTTPS, err)
	}
	return err
}

func notDataStorage(contentType string) error {
	return fmt.Errorf("not a response of DataStorage: content type %.100q, want %s", contentType, wire.ProblemMediaType)
}

// tooLargeError adds audit.ErrTooLarge to the chain of an error, which may be nil.
type tooLargeError struct{ err error }

func (e tooLargeError) Error() string {
	if e.err == nil {
		return audit.ErrTooLarge.Error()
	}
	return e.err.Error()
}

func (e tooLargeError) Unwrap() []error { return []error{audit.ErrTooLarge, e.err} }

func isProblem(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == wire.ProblemMediaType
}

// refusal names the offending events if the response does and all of them are in the batch.
func refusal(status int, batch []audit.Event, body []byte) error {
	if named := itemsOf(batch, body); named != nil {
		return &audit.RefusedError{Items: named}
	}
	return unnamedRefusal(status, body)
}

// itemsOf returns the events that a problem document names; nil if it names none, or one that is not in the batch.
func itemsOf(batch []audit.Event, body []byte) []audit.Refusal {
	var problem wire.Problem
	if err := json.Unmarshal(body, &problem); err != nil {
		return nil
	}
	var named []audit.Refusal
	for i := range problem.Items {
		item := &problem.Items[i]
		if item.Index < 0 || item.Index >= len(batch) || item.EventID != nil && *item.EventID != batch[item.Index].ID {
			return nil
		}
		named = append(named, audit.Refusal{Index: item.Index, Code: string(item.Code), Reason: itemReason(item)})
	}
	return named
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
