package dedup

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// What the tests of this package look at from outside.

func Name(fingerprint string, register types.UID, transitions int32) string {
	return name(fingerprint, register, transitions)
}

func RegisterName(fingerprint string) string { return registerName(fingerprint) }

func NewLiveReads(reader client.Reader) func(context.Context, types.NamespacedName) (*v1alpha1.RemediationRequest, error) {
	return newLiveReads(reader).get
}

func (o *Opener) Takes(request *v1alpha1.RemediationRequest) bool { return o.takes(request) }
