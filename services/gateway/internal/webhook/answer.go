package webhook

import (
	"net/http"

	"k8s.io/apimachinery/pkg/types"
)

// status tells what became of a signal.
type status string

const (
	// statusCreated: the signal is the first of a new request.
	statusCreated status = "created"
	// statusDuplicate: the signal folded into a request that was there.
	statusDuplicate status = "duplicate"
	// statusResolved: the end of the problem is recorded on its request.
	statusResolved status = "resolved"
	// statusIgnored: the end of a problem that never had a request.
	statusIgnored status = "ignored"
	// statusRejected: the signal can never become a request.
	statusRejected status = "rejected"
)

// result is the answer about one signal.
type result struct {
	Status                      status `json:"status"`
	Fingerprint                 string `json:"fingerprint,omitempty"`
	Duplicate                   bool   `json:"duplicate"`
	RemediationRequestName      string `json:"remediationRequestName,omitempty"`
	RemediationRequestNamespace string `json:"remediationRequestNamespace,omitempty"`
	Message                     string `json:"message"`
	// FieldErrors says what is wrong with a signal that cannot be understood.
	FieldErrors map[string]string `json:"field_errors,omitempty"`
}

func newResult(s status, fingerprint string, request types.NamespacedName, message string) result {
	return result{
		Status:                      s,
		Fingerprint:                 fingerprint,
		Duplicate:                   s == statusDuplicate,
		RemediationRequestName:      request.Name,
		RemediationRequestNamespace: request.Namespace,
		Message:                     message,
	}
}

// code is the answer's status when there is no other signal.
func (r result) code() int {
	switch r.Status {
	case statusCreated:
		return http.StatusCreated
	case statusDuplicate, statusResolved, statusIgnored:
		return http.StatusOK
	case statusRejected:
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}

// request is the key of the signal's request; zero where it has none.
func (r result) request() types.NamespacedName {
	return types.NamespacedName{Namespace: r.RemediationRequestNamespace, Name: r.RemediationRequestName}
}

// answer is the body about several signals, in the order in which they came.
type answer struct {
	Results []result `json:"results"`
	Summary summary  `json:"summary"`
}

// summary counts the results by status.
type summary struct {
	Total      int `json:"total"`
	Created    int `json:"created"`
	Duplicates int `json:"duplicates"`
	Resolved   int `json:"resolved"`
	Ignored    int `json:"ignored"`
	Rejected   int `json:"rejected"`
}

func summarize(results []result) answer {
	s := summary{Total: len(results)}
	for _, r := range results {
		switch r.Status {
		case statusCreated:
			s.Created++
		case statusDuplicate:
			s.Duplicates++
		case statusResolved:
			s.Resolved++
		case statusIgnored:
			s.Ignored++
		case statusRejected:
			s.Rejected++
		}
	}
	return answer{Results: results, Summary: s}
}
