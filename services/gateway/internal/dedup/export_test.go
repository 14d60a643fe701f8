package dedup

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// Internals that the tests need.

func NewLiveReads(reader client.Reader, c clock.Clock) func(context.Context, types.NamespacedName) (*v1alpha1.RemediationRequest, error) {
	return newLiveReads(reader, c, readInterval).get
}

func (o *Opener) TakesSignals(request *v1alpha1.RemediationRequest, firing time.Time) bool {
	return o.takesSignals(request, firing)
}

// LookOnce makes attempts look once for the request of another creator, and
// reads begin at once: fewer steps for the model.
func (o *Opener) LookOnce() {
	o.patience = o.patience[:1]
	o.live.interval = 0
}

// Denied reports whether an error of a creation means that nothing was stored.
func Denied(err error) bool { return denied(err) }

const CreatorTimeout = creatorTimeout

func CreatorPatience() time.Duration {
	var sum time.Duration
	for _, d := range creatorPatience() {
		sum += d
	}
	return sum
}
