package httpsink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/internal/httpbody"
	"kubernaut.ai/pkg/audit/wire"
)

// ErrNoAcknowledgement is wrapped by the error of Acknowledgement when DataStorage has no such record, or has it for
// another recorder.
var ErrNoAcknowledgement = errors.New("DataStorage has no such acknowledgement for this recorder")

// Acknowledgement is DataStorage's record of a person who took note of rejected or lost events.
type Acknowledgement struct {
	ID uuid.UUID `json:"id"`
	// Recorder is whose events they are.
	Recorder string      `json:"recorder"`
	EventIDs []uuid.UUID `json:"event_ids"`
	Reason   string      `json:"reason"`
	// By is the name that the API server vouched for.
	By string    `json:"acknowledged_by"`
	At time.Time `json:"acknowledged_at"`
}

// Acknowledgement reads a record with the sink's own token. DataStorage shows it to the recorder of the events only.
// The error wraps ErrNoAcknowledgement, or is an *audit.SinkError: nothing is known.
func (s *Sink) Acknowledgement(ctx context.Context, id uuid.UUID) (*Acknowledgement, error) {
	address := strings.TrimSuffix(s.url, batchPath) + "api/v1/audit/acknowledgements/" + id.String()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("read acknowledgement: %w", err)
	}
	request.Header.Set("Accept", "application/json, "+wire.ProblemMediaType)
	request.Header.Set("User-Agent", s.userAgent)
	if s.token != nil {
		token, err := s.token(ctx)
		if err != nil {
			return nil, &audit.SinkError{Err: fmt.Errorf("read acknowledgement: get token: %w", err)}
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.client.Do(request) //nolint:bodyclose // httpbody.Read closes it
	if err != nil {
		return nil, &audit.SinkError{Err: fmt.Errorf("read acknowledgement: %w", err)}
	}
	body, err := httpbody.Read(response)
	if err != nil {
		return nil, &audit.SinkError{Status: response.StatusCode, Err: fmt.Errorf("read acknowledgement: %w", err)}
	}
	switch {
	case response.StatusCode == http.StatusOK:
		return parseAcknowledgement(id, body)
	case response.StatusCode == http.StatusNotFound && isProblem(response.Header.Get("Content-Type")):
		return nil, fmt.Errorf("acknowledgement %s: %w", id, ErrNoAcknowledgement)
	}
	return nil, &audit.SinkError{Status: response.StatusCode, Detail: wire.ProblemText(body), Err: errors.New("read acknowledgement")}
}

// parseAcknowledgement requires the record that was asked for: another server's 200 settles nothing.
func parseAcknowledgement(id uuid.UUID, body []byte) (*Acknowledgement, error) {
	var a Acknowledgement
	err := json.Unmarshal(body, &a)
	if err == nil && (a.ID != id || len(a.EventIDs) == 0 || a.By == "" || a.Recorder == "") {
		err = errors.New("it is another record, or fields are missing")
	}
	if err != nil {
		return nil, &audit.SinkError{Status: http.StatusOK, Err: fmt.Errorf("unusable acknowledgement: %w", err)}
	}
	return &a, nil
}
