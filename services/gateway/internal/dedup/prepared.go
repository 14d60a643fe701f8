package dedup

import (
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/signalregister"
)

// maxPrepared bounds the openings that are remembered, each with its request.
const maxPrepared = 1000

// preparedOpenings are openings of this replica that certainly created nothing:
// the register names the request, and its creation was not tried or was denied.
// The next attempt creates the same request under the same name, so that a
// sender's retries belong to one trail for as long as a policy denies them. Only
// the replica that wrote the register may do so; others open anew.
type preparedOpenings struct{ byFingerprint *lru.Cache }

func newPreparedOpenings() *preparedOpenings { return &preparedOpenings{lru.New(maxPrepared)} }

func (p *preparedOpenings) keep(request *v1alpha1.RemediationRequest) {
	p.byFingerprint.Add(request.Spec.SignalFingerprint, request.DeepCopy())
}

func (p *preparedOpenings) drop(fingerprint string) { p.byFingerprint.Remove(fingerprint) }

func (p *preparedOpenings) has(fingerprint string) bool {
	_, ok := p.byFingerprint.Get(fingerprint)
	return ok
}

// request returns the request of an opening, or nil if this replica has none to create.
func (p *preparedOpenings) request(r signalregister.Record) *v1alpha1.RemediationRequest {
	value, ok := p.byFingerprint.Get(r.Fingerprint())
	if !ok {
		return nil
	}
	request, ok := value.(*v1alpha1.RemediationRequest)
	if !ok || r.State() != signalregister.Open || r.Request() != (types.NamespacedName{Namespace: request.Namespace, Name: request.Name}) {
		return nil
	}
	return request.DeepCopy()
}

// denied reports whether a creation certainly stored nothing: the API server
// turned the request down before it was stored.
func denied(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || apierrors.IsAlreadyExists(err) {
		return false
	}
	s := status.Status()
	if s.Code >= http.StatusBadRequest && s.Code < http.StatusInternalServerError {
		return s.Code != http.StatusRequestTimeout
	}
	// Admission comes before the storage, whatever code it answers.
	return strings.HasPrefix(s.Message, "admission webhook ") || strings.Contains(s.Message, "failed calling webhook ")
}
