package dedup

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// Internals that the tests need.

func Name(fingerprint string, lease types.UID, transitions int32) string {
	return name(fingerprint, lease, transitions)
}

func LeaseName(fingerprint string) string { return leaseName(fingerprint) }

func NewLiveReads(reader client.Reader) func(context.Context, types.NamespacedName) (*v1alpha1.RemediationRequest, error) {
	return newLiveReads(reader).get
}

func (o *Opener) TakesSignals(request *v1alpha1.RemediationRequest) bool {
	return o.takesSignals(request)
}
