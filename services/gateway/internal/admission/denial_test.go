package admission_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kubernaut.ai/services/gateway/internal/admission"
)

func status(code int32, reason metav1.StatusReason, message string) error {
	return fmt.Errorf("create: %w", &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message,
		Details: &metav1.StatusDetails{Kind: "remediationrequests", Causes: []metav1.StatusCause{{Message: message}}},
	}})
}

// The texts were answered by kube-apiserver v1.37.
func TestDenialsNameWhoDenied(t *testing.T) {
	t.Parallel()
	const (
		forbidden = `remediationrequests.kubernaut.ai "rr-1" is forbidden: `
		policy    = `ValidatingAdmissionPolicy 'require-cost-center' with binding 'b' denied request: every object needs the label cost-center`
		webhook   = `admission webhook "policy.example.com" denied the request`
	)
	kind := schema.GroupKind{Group: "kubernaut.ai", Kind: "RemediationRequest"}
	schemaError := apierrors.NewInvalid(kind, "rr-1", field.ErrorList{field.TooLong(field.NewPath("spec", "severity"), "", 63)})
	imitation := &apierrors.StatusError{ErrStatus: *schemaError.ErrStatus.DeepCopy()}
	imitation.ErrStatus.Message = webhook + ": spec.severity is too long"
	for name, test := range map[string]struct {
		err       error
		want      admission.Denial
		permanent bool
	}{
		"policy without a reason":     {status(422, metav1.StatusReasonInvalid, forbidden+policy), admission.Denial{Kind: "policy", Name: "require-cost-center"}, false},
		"policy with a reason":        {status(403, metav1.StatusReasonForbidden, forbidden+policy), admission.Denial{Kind: "policy", Name: "require-cost-center"}, false},
		"policy for a large object":   {status(413, metav1.StatusReasonRequestEntityTooLarge, forbidden+policy), admission.Denial{Kind: "policy", Name: "require-cost-center"}, false},
		"webhook":                     {status(400, "", webhook+": label team is required"), admission.Denial{Kind: "webhook", Name: "policy.example.com"}, false},
		"webhook without explanation": {status(403, metav1.StatusReasonForbidden, webhook+" without explanation"), admission.Denial{Kind: "webhook", Name: "policy.example.com"}, false},
		"webhook with a conflict":     {status(409, metav1.StatusReasonConflict, webhook+": no"), admission.Denial{Kind: "webhook", Name: "policy.example.com"}, false},
		"webhook with 422":            {status(422, metav1.StatusReasonInvalid, webhook+": no"), admission.Denial{Kind: "webhook", Name: "policy.example.com"}, false},
		"webhook with 429":            {status(429, metav1.StatusReasonTooManyRequests, webhook+": no"), admission.Denial{Kind: "webhook", Name: "policy.example.com"}, false},
		"webhook with 500":            {status(500, metav1.StatusReasonInternalError, webhook+": no"), admission.Denial{Kind: "webhook", Name: "policy.example.com"}, false},
		"webhook that is away": {
			status(500, metav1.StatusReasonInternalError, `Internal error occurred: failed calling webhook "policy.example.com": failed to call webhook: Post "https://w": context deadline exceeded`),
			admission.Denial{Kind: "webhook", Name: "policy.example.com"},
			false,
		},
		"webhook that imitates the schema": {imitation, admission.Denial{Kind: "webhook", Name: "policy.example.com"}, false},
		"quota": {
			status(403, metav1.StatusReasonForbidden, forbidden+`exceeded quota: few, requested: count/remediationrequests.kubernaut.ai=1, used: 1, limited: 1`),
			admission.Denial{Kind: "quota", Name: "few"},
			false,
		},
		"quota that nobody has computed yet": {
			status(403, metav1.StatusReasonForbidden, forbidden+`status unknown for quota: few, resources: count/remediationrequests.kubernaut.ai`),
			admission.Denial{Kind: "quota", Name: "few"},
			false,
		},
		"too large": {status(413, metav1.StatusReasonRequestEntityTooLarge, "Request entity too large"), admission.Denial{Kind: "apiserver", Name: "unknown"}, false},
		"422 without causes": {
			apierrors.NewInvalid(kind, "rr-1", nil), admission.Denial{Kind: "apiserver", Name: "unknown"}, false,
		},
		"policy in the words of another version": {
			status(422, metav1.StatusReasonInvalid, `policy "p" does not allow this`), admission.Denial{Kind: "apiserver", Name: "unknown"}, false,
		},
		"schema":             {schemaError, admission.Denial{Kind: "apiserver", Name: "unknown"}, true},
		"missing permission": {status(403, metav1.StatusReasonForbidden, forbidden+`User "x" cannot create resource`), admission.Denial{}, false},
		"overload":           {status(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "try again"), admission.Denial{}, false},
		"unreachable":        {errors.New("connection refused"), admission.Denial{}, false},
		"a name that is none": {
			status(400, "", `admission webhook "no name" denied the request: x`), admission.Denial{Kind: "webhook", Name: "unknown"}, false,
		},
		"a message that quotes another": {
			status(403, metav1.StatusReasonForbidden, forbidden+`see `+policy), admission.Denial{}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, denied := admission.Of(test.err)
			if got != test.want || denied != (test.want != admission.Denial{}) {
				t.Errorf("denied by %+v: %v, want %+v", got, denied, test.want)
			}
			if permanent := admission.Permanent(test.err); permanent != test.permanent {
				t.Errorf("permanent: %v", permanent)
			}
		})
	}
}
