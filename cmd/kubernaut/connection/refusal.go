package connection

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kubernaut.ai/api/datastorage"
)

// Refused says why a DataStorage that is called directly did not do what it was asked for.
func Refused(what string, answer *http.Response, body []byte) error {
	var problem datastorage.Problem
	if err := json.Unmarshal(body, &problem); err != nil || problem.Detail == "" {
		problem.Detail = strings.TrimSpace(string(body))
	}
	return &statusError{answer.StatusCode, fmt.Sprintf("%s: %s: %s", what, answer.Status, problem.Detail)}
}

// statusError is an answer that is none of success.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

// IsRefusal reports whether an error says that nothing was done, and that a repetition does nothing either.
func IsRefusal(err error) bool {
	status := 0
	if direct, ok := errors.AsType[*statusError](err); ok {
		status = direct.status
	}
	var answered apierrors.APIStatus
	if errors.As(err, &answered) {
		status = int(answered.Status().Code)
	}
	const first, last = 400, 499
	return first <= status && status <= last && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
}
