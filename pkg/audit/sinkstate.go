package audit

import (
	"errors"
	"fmt"
	"net/http"
)

// SinkState says why events are pending, given the newest error of the sink. It does not repeat the words of a peer,
// which may quote the request: the store's log has those.
func SinkState(err error) string {
	if err == nil {
		return "the sink has not responded yet"
	}
	var sink *SinkError
	if errors.As(err, &sink) && sink.Status != 0 {
		return fmt.Sprintf("the sink responds with %d %s", sink.Status, http.StatusText(sink.Status))
	}
	return "the sink is unreachable"
}
