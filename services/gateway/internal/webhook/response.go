package webhook

import (
	"net/http"

	"k8s.io/apimachinery/pkg/types"
)

// status is the outcome of a signal.
type status string

const (
	// statusCreated: the signal created a request.
	statusCreated status = "created"
	// statusDuplicate: the signal was added to an existing request.
	statusDuplicate status = "duplicate"
	// statusOverflow: as many requests are open as may be, and the signal was added
	// to the overflow request of its namespace.
	statusOverflow status = "overflow"
	// statusResolved: the end of the problem was recorded on its request.
	statusResolved status = "resolved"
	// statusIgnored: the problem that ended has no request.
	statusIgnored status = "ignored"
	// statusRejected: the signal can never become a request.
	statusRejected status = "rejected"
	// statusUndeliverable: the cluster has denied the signal's request for too long.
	statusUndeliverable status = "undeliverable"
)

// result is the response about one signal.
type result struct {
	Status                      status `json:"status"`
	Fingerprint                 string `json:"fingerprint,omitempty"`
	Duplicate                   bool   `json:"duplicate"`
	RemediationRequestName      string `json:"remediationRequestName,omitempty"`
	RemediationRequestNamespace string `json:"remediationRequestNamespace,omitempty"`
	Message                     string `json:"message"`
	// FieldErrors names the invalid fields of an unusable signal.
	FieldErrors map[string]string `json:"field_errors,omitempty"`

	// forbidden marks a rejected signal that its sender may not report.
	forbidden bool
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

// code is the HTTP status of the response if there is no other signal.
func (r result) code() int {
	switch r.Status {
	case statusCreated:
		return http.StatusCreated
	case statusDuplicate, statusOverflow, statusResolved, statusIgnored:
		return http.StatusOK
	case statusRejected, statusUndeliverable:
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}

// request is the key of the signal's request; zero if it has none.
func (r result) request() types.NamespacedName {
	return types.NamespacedName{Namespace: r.RemediationRequestNamespace, Name: r.RemediationRequestName}
}

// response is the response about several signals, in the order of the body.
type response struct {
	Results []result `json:"results"`
	Summary summary  `json:"summary"`
}

// summary counts the results by status.
type summary struct {
	Total      int `json:"total"`
	Created    int `json:"created"`
	Duplicates int `json:"duplicates"`
	Overflow   int `json:"overflow"`
	Resolved   int `json:"resolved"`
	Ignored    int `json:"ignored"`
	Rejected   int `json:"rejected"`
	// Undeliverable signals are left out if there are none, which is the rule.
	Undeliverable int `json:"undeliverable,omitempty"`
}

func summarize(results []result) response {
	s := summary{Total: len(results)}
	for _, r := range results {
		switch r.Status {
		case statusCreated:
			s.Created++
		case statusDuplicate:
			s.Duplicates++
		case statusOverflow:
			s.Overflow++
		case statusResolved:
			s.Resolved++
		case statusIgnored:
			s.Ignored++
		case statusRejected:
			s.Rejected++
		case statusUndeliverable:
			s.Undeliverable++
		}
	}
	return response{Results: results, Summary: s}
}
