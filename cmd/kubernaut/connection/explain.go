package connection

import (
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
)

// Group is the API group that DataStorage serves behind the API server.
const Group = "audit.kubernaut.ai"

// Explain says what to do about an answer of the API server to a call of DataStorage.
// what is the call and permission what it needs, as in "list on events".
func Explain(err error, what, permission string) error {
	var status apierrors.APIStatus
	answered := errors.As(err, &status)
	switch {
	case apierrors.IsNotFound(err) && answered && (status.Status().Details == nil || status.Status().Details.Group != Group):
		return fmt.Errorf("%s: the cluster does not serve %s: add the component people to the deployment, or give --datastorage-url", what, Group)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w; whoever administers the cluster can grant %s.%s", what, err, permission, Group)
	case apierrors.IsServiceUnavailable(err):
		return fmt.Errorf("%s: %w; see kubectl get apiservice v1.%s", what, err, Group)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Answer returns the body of an answer of the API server. An error has the text that the
// server gave as its reason, which that of rest.Result.Raw lacks.
func Answer(result rest.Result) ([]byte, error) {
	if err := result.Error(); err != nil {
		return nil, err //nolint:wrapcheck // the caller says what was asked
	}
	return result.Raw() //nolint:wrapcheck // likewise
}

// Read reads an answer of the API server to a call of DataStorage into a variable; what is the call and permission
// what it needs, as [Explain] has them.
func Read(result rest.Result, what, permission string, into any) error {
	text, err := Answer(result)
	if err != nil {
		return Explain(err, what, permission)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: unusable answer: %w", what, err)
	}
	return nil
}
