package admission

import (
	"errors"
	"net/http"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// The kinds of denials.
const (
	KindPolicy  = "policy"
	KindWebhook = "webhook"
	KindQuota   = "quota"
	// KindAPIServer is a denial that names nobody, for example of an object that is too large.
	KindAPIServer = "apiserver"
)

// unnamed stands for a name that is missing or no name at all.
const unnamed = "unknown"

// Denial names what denied a request. The zero Denial stands for none.
type Denial struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// The texts are those of k8s.io/apiserver v0.37. What follows a name is written
// by the policy or webhook, so each text is matched from the beginning.
var texts = []struct {
	kind    string
	pattern *regexp.Regexp
}{
	{KindWebhook, regexp.MustCompile(`^admission webhook "([^"]+)" denied the request`)},
	{KindWebhook, regexp.MustCompile(`^(?:Internal error occurred: )?failed calling webhook "([^"]+)"`)},
	{KindPolicy, regexp.MustCompile(`^\S+ "[^"]*" is forbidden: (?:Validating|Mutating)AdmissionPolicy '([^']+)'`)},
	{KindPolicy, regexp.MustCompile(`^(?:Validating|Mutating)AdmissionPolicy '([^']+)'`)},
	{KindQuota, regexp.MustCompile(`^\S+ "[^"]*" is forbidden: (?:exceeded|status unknown for) quota: ([^,\s]+),`)},
}

// Of returns who denied a request; false if the error is something else, such
// as a missing permission or an API server that does not answer.
func Of(err error) (Denial, bool) {
	status, ok := statusOf(err)
	if !ok {
		return Denial{}, false
	}
	if d, ok := named(status); ok {
		return d, true
	}
	switch status.Code {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return Denial{KindAPIServer, unnamed}, true
	default:
		return Denial{}, false
	}
}

// Permanent reports whether the object violates the schema of its resource, so
// that the API server will deny it every time. A policy's denial may have the
// same code and reason: the schema's names a kind, and each field with what is
// wrong with it.
func Permanent(err error) bool {
	status, ok := statusOf(err)
	if !ok || status.Reason != metav1.StatusReasonInvalid || status.Details == nil || len(status.Details.Causes) == 0 {
		return false
	}
	if _, ok := named(status); ok {
		return false
	}
	for _, cause := range status.Details.Causes {
		if cause.Type == "" || cause.Field == "" {
			return false
		}
	}
	return status.Details.Kind != ""
}

func statusOf(err error) (metav1.Status, bool) {
	var status apierrors.APIStatus // no error by its type, so not for errors.AsType
	if !errors.As(err, &status) {
		return metav1.Status{}, false
	}
	return status.Status(), true
}

func named(status metav1.Status) (Denial, bool) {
	for _, t := range texts {
		if match := t.pattern.FindStringSubmatch(status.Message); match != nil {
			return Denial{t.kind, name(match[1])}, true
		}
	}
	return Denial{}, false
}

// name returns a name of a cluster's object, which is safe as a metric's label.
func name(text string) string {
	if len(validation.IsDNS1123Subdomain(strings.ToLower(text))) > 0 {
		return unnamed
	}
	return text
}
