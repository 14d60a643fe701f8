package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"kubernaut.ai/pkg/audit/internal/wire"
)

const (
	// problemType is the media type of RFC 9457; a refusal without it is not DataStorage's.
	problemType = "application/problem+json"
	// maxAnswerBytes bounds what is read of an answer: 10,000 ids, or as many complaints, fit.
	maxAnswerBytes = 8 << 20
)

var errAnswerTooLarge = fmt.Errorf("answer is larger than %d bytes", maxAnswerBytes)

// answerOf turns the answer to a batch into the result of Write.
func answerOf(batch []Event, response *http.Response) (Ack, error) {
	answer, readErr := readAnswer(response)
	if readErr != nil && (response.StatusCode == http.StatusCreated || !errors.Is(readErr, errAnswerTooLarge)) {
		// What broke off is neither an acknowledgement nor a refusal.
		return Ack{}, &SinkError{Status: response.StatusCode, RetryAfter: retryAfter(response.Header), Err: readErr}
	}
	switch response.StatusCode {
	case http.StatusCreated:
		return acknowledged(batch, answer)
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		contentType := response.Header.Get("Content-Type")
		if isProblem(contentType) {
			return Ack{}, refusal(response.StatusCode, batch, answer)
		}
		readErr = fmt.Errorf("not an answer of DataStorage: content type %.100q, want %s", contentType, problemType)
	}
	return Ack{}, &SinkError{
		Status: response.StatusCode, RetryAfter: retryAfter(response.Header), Detail: problemText(answer), Err: readErr,
	}
}

// readAnswer reads the whole body, so that the connection can be used again, up to the bound.
func readAnswer(response *http.Response) ([]byte, error) {
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	closeErr := response.Body.Close()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read answer: %w", err)
	case len(answer) > maxAnswerBytes:
		return nil, errAnswerTooLarge
	case closeErr != nil:
		return nil, fmt.Errorf("read answer: %w", closeErr)
	default:
		return answer, nil
	}
}

// acknowledged believes an acknowledgement only if it names the events that
// were sent: anything else may come from something that is not DataStorage.
func acknowledged(batch []Event, answer []byte) (Ack, error) {
	var created wire.BatchCreated
	if err := json.Unmarshal(answer, &created); err != nil {
		return Ack{}, &SinkError{Status: http.StatusCreated, Err: fmt.Errorf("unreadable acknowledgement: %w", err)}
	}
	if len(created.EventIds) != len(batch) {
		return Ack{}, &SinkError{
			Status: http.StatusCreated,
			Err:    fmt.Errorf("acknowledgement names %d of %d events", len(created.EventIds), len(batch)),
		}
	}
	for i := range batch {
		if created.EventIds[i] != batch[i].ID {
			return Ack{}, &SinkError{
				Status: http.StatusCreated,
				Err:    fmt.Errorf("acknowledgement names event %s in the place of %s", created.EventIds[i], batch[i].ID),
			}
		}
	}
	return Ack{ConsistencyToken: created.ConsistencyToken, Created: created.Created, Duplicates: created.Duplicates}, nil
}

func isProblem(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == problemType
}

// refusal names the offenders if the answer does, and if they are in the batch.
func refusal(status int, batch []Event, answer []byte) error {
	var problem wire.Problem
	if err := json.Unmarshal(answer, &problem); err == nil && problem.Items != nil && len(*problem.Items) > 0 {
		refused := &RefusedError{}
		for _, item := range *problem.Items {
			if item.Index < 0 || item.Index >= len(batch) || item.EventId != nil && *item.EventId != batch[item.Index].ID {
				return unnamedRefusal(status, answer)
			}
			refused.Items = append(refused.Items, Refusal{Index: item.Index, Code: string(item.Code), Reason: itemReason(item)})
		}
		return refused
	}
	return unnamedRefusal(status, answer)
}

func unnamedRefusal(status int, answer []byte) error {
	text := fmt.Sprintf("sink answered %d %s", status, http.StatusText(status))
	if detail := problemText(answer); detail != "" {
		text += ": " + detail
	}
	return fmt.Errorf("%w: %s", ErrRefused, text)
}

// itemReason joins the detail and the fields of a complaint.
func itemReason(item wire.ItemProblem) string {
	if item.FieldErrors == nil || len(*item.FieldErrors) == 0 {
		return item.Detail
	}
	fields := (&ValidationError{Fields: *item.FieldErrors}).fieldText()
	if item.Detail == "" {
		return fields
	}
	return item.Detail + ": " + fields
}

// problemText is what a problem document says for people, empty if it is none.
func problemText(answer []byte) string {
	var problem wire.Problem
	if err := json.Unmarshal(answer, &problem); err != nil {
		return ""
	}
	if problem.Detail != nil && *problem.Detail != "" {
		return *problem.Detail
	}
	return problem.Title
}

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds, or a date,
// which is taken against the answer's own, because clocks differ.
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
