package app //nolint:testpackage // the controllers are an inner part

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// informer is one that has synced, or has stopped.
type informer struct {
	cache.Informer

	synced, stopped bool
}

func (i informer) HasSynced() bool { return i.synced }
func (i informer) IsStopped() bool { return i.stopped }

func TestTheServiceIsReadyWhileItsCachesAreSynced(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		informers []cache.Informer
		ready     bool
	}{
		"before the start": {nil, false},
		"one is missing":   {[]cache.Informer{informer{synced: true}, informer{}}, false},
		"both are synced":  {[]cache.Informer{informer{synced: true}, informer{synced: true}}, true},
		"one has stopped":  {[]cache.Informer{informer{synced: true}, informer{synced: true, stopped: true}}, false},
	} {
		c := newControllers(nil, nil)
		if test.informers != nil {
			c.informers.Store(&test.informers)
		}
		if err := c.synced(t.Context()); (err == nil) != test.ready {
			t.Errorf("%s: error %v, want ready %t", name, err, test.ready)
		}
	}
}
