package eventwatch

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	leaseclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"
)

const (
	// positionLease is the name of the Lease that has the positions.
	positionLease = "gateway-event-position"
	// positionAnnotation has them, as JSON.
	positionAnnotation = "kubernaut.ai/event-positions"
	// leaseAnnotation is the UID of the Lease that the positions were written to. In
	// a Lease that was restored from a backup it is another one, and the resource
	// versions may be those of another cluster.
	leaseAnnotation = "kubernaut.ai/event-positions-of"
)

// position is the place in the events of a namespace before which all are delivered.
type position struct {
	// ResourceVersion to watch from; empty if it was never watched.
	ResourceVersion string `json:"resourceVersion"`
	// Time at which the position was reached. It is for a watch that cannot go on
	// from the resource version, which the API server keeps for a few minutes.
	Time time.Time `json:"time"`
}

// positions are the positions of all namespaces. They are safe for concurrent use.
type positions struct {
	leases leaseclient.LeaseInterface
	clock  clock.PassiveClock

	mu       sync.Mutex
	lease    *coordinationv1.Lease // guarded by mu: as last read or written
	reached  map[string]position   // guarded by mu: by namespace
	inFlight map[string][]*mark    // guarded by mu: by namespace, in the order of the watch
	changed  bool                  // guarded by mu: since the last write
}

// mark is an event that was read and is not accepted yet.
type mark struct {
	// resourceVersion is the position once the event and all before it are
	// accepted; empty if that is no place to watch from.
	resourceVersion string
}

// loadPositions reads the positions, and creates the Lease if there is none.
func loadPositions(ctx context.Context, leases leaseclient.LeaseInterface, c clock.PassiveClock) (*positions, error) {
	lease, err := leases.Get(ctx, positionLease, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		lease, err = leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: positionLease}}, metav1.CreateOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("lease %s: %w", positionLease, err)
	}
	p := &positions{leases: leases, clock: c, lease: lease, reached: map[string]position{}, inFlight: map[string][]*mark{}}
	if text := lease.Annotations[positionAnnotation]; text != "" {
		if err := json.Unmarshal([]byte(text), &p.reached); err != nil {
			return nil, fmt.Errorf("lease %s: annotation %s: %w: delete the lease to begin with new events", positionLease, positionAnnotation, err)
		}
	}
	if lease.Annotations[leaseAnnotation] != string(lease.UID) {
		for namespace, at := range p.reached {
			p.reached[namespace] = position{Time: at.Time}
		}
	}
	return p, nil
}

func (p *positions) get(namespace string) position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reached[namespace]
}

// begin notes that an event, or a bookmark, was read. The marks of a namespace
// are in the order of its watch.
func (p *positions) begin(namespace, resourceVersion string) *mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := &mark{resourceVersion: resourceVersion}
	p.inFlight[namespace] = append(p.inFlight[namespace], m)
	return m
}

// finish notes that a mark's event was accepted. The position moves if it was the
// first one. Else it will move past this one together with the one before it, so
// that there are never more marks than events that are not accepted.
func (p *positions) finish(namespace string, m *mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	marks := p.inFlight[namespace]
	at := slices.Index(marks, m)
	if m.resourceVersion != "" {
		if at > 0 {
			marks[at-1].resourceVersion = m.resourceVersion
		} else {
			p.reached[namespace] = position{ResourceVersion: m.resourceVersion, Time: p.clock.Now().UTC()}
			p.changed = true
		}
	}
	p.inFlight[namespace] = slices.Delete(marks, at, at+1)
}

// save writes the positions if they have changed. A Lease that another replica
// has written fails, so that a replica that is no longer elected moves nothing back.
func (p *positions) save(ctx context.Context) error {
	p.mu.Lock()
	if !p.changed {
		p.mu.Unlock()
		return nil
	}
	reached := maps.Clone(p.reached)
	lease := p.lease.DeepCopy()
	p.changed = false
	p.mu.Unlock()
	text, err := json.Marshal(reached)
	if err != nil {
		return fmt.Errorf("encode positions: %w", err)
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[positionAnnotation], lease.Annotations[leaseAnnotation] = string(text), string(lease.UID)
	lease.Spec.RenewTime = &metav1.MicroTime{Time: p.clock.Now()}
	written, err := p.leases.Update(ctx, lease, metav1.UpdateOptions{})
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.changed = true
		return fmt.Errorf("lease %s: %w", positionLease, err)
	}
	p.lease = written
	return nil
}
