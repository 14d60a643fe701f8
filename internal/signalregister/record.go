package signalregister

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit/wire"
)

// Annotations of a fingerprint's Lease. Its holder is the name of the request.
const (
	annotationFingerprint = "kubernaut.ai/signal-fingerprint"
	annotationNamespace   = "kubernaut.ai/request-namespace"
	annotationState       = "kubernaut.ai/register-state"
)

const (
	fingerprintInName  = 12
	fingerprintInLease = 40
)

// State says what a record's request may be relied on for.
type State string

// The states of a record.
const (
	// Open: the request takes signals, or its creator is about to create it.
	Open State = "open"
	// Suspect: somebody did not find the request and waits no longer. Until the
	// record is reinstated, nobody relies on a request that appears late.
	Suspect State = "suspect"
	// Closed: the request is finished or being removed.
	Closed State = "closed"
)

// Record is the entry of one fingerprint as it was read. The zero Record stands for none.
type Record struct{ lease *coordinationv1.Lease }

// NewRecord returns the record of a Lease that was read.
func NewRecord(lease *coordinationv1.Lease) Record { return Record{lease} }

// Fingerprint is what the record is about.
func (r Record) Fingerprint() string { return r.lease.Annotations[annotationFingerprint] }

// State is the state of the record.
func (r Record) State() State { return State(r.lease.Annotations[annotationState]) }

// Request is the key of the record's request, which may not exist yet or any more.
func (r Record) Request() types.NamespacedName {
	return types.NamespacedName{Namespace: r.lease.Annotations[annotationNamespace], Name: *r.lease.Spec.HolderIdentity}
}

// SpecDigest is the digest of the request's spec.
func (r Record) SpecDigest() string { return r.lease.Annotations[v1alpha1.AnnotationSpecDigest] }

// Opening is the value of the request's annotation of that name.
func (r Record) Opening() string { return opening(r.lease.UID, *r.lease.Spec.HolderIdentity) }

// Transitions counts the requests that the record has named before.
func (r Record) Transitions() int32 { return *r.lease.Spec.LeaseTransitions }

// OpenedAt is when the request was opened, by the clock of its creator.
func (r Record) OpenedAt() time.Time { return r.lease.Spec.AcquireTime.Time }

// ChangedAt is when the record was changed last, by the clock of who did it.
func (r Record) ChangedAt() time.Time { return r.lease.Spec.RenewTime.Time }

// Valid reports whether the record has everything that the other methods read.
func (r Record) Valid() bool {
	spec := r.lease.Spec
	switch r.State() {
	case Open, Suspect, Closed:
	default:
		return false
	}
	return len(r.Fingerprint()) > fingerprintInLease && r.lease.Annotations[annotationNamespace] != "" && r.SpecDigest() != "" &&
		spec.HolderIdentity != nil && spec.LeaseTransitions != nil && spec.AcquireTime != nil && spec.RenewTime != nil
}

// Names reports whether a request is the record's: its name, its namespace and
// its spec are those of the opening. Requests are read from the API server for
// this; caches may lack parts of the spec.
func (r Record) Names(request *v1alpha1.RemediationRequest) bool {
	digest, err := SpecDigest(&request.Spec)
	return err == nil && r.holds(request) && digest == r.SpecDigest()
}

// Passed reports whether a request was created in an opening that the record
// has left behind. It relies on the request's metadata, and on the request
// having existed before the record was read: every opening writes the record
// before it creates its request.
func (r Record) Passed(request *v1alpha1.RemediationRequest) bool {
	return request.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedByGateway &&
		request.Annotations[v1alpha1.AnnotationOpening] == opening(r.lease.UID, request.Name) && !r.holds(request)
}

func (r Record) holds(request *v1alpha1.RemediationRequest) bool {
	return r.Request() == types.NamespacedName{Namespace: request.Namespace, Name: request.Name}
}

func opening(lease types.UID, request string) string { return string(lease) + "/" + request }

// SpecDigest is the hex SHA-256 of a spec's JSON form. It is the same before
// and after the API server has stored the spec.
func SpecDigest(spec *v1alpha1.RemediationRequestSpec) (string, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("encode spec: %w", err)
	}
	sum := wire.NewDigest(string(text)).Sum()
	return hex.EncodeToString(sum[:]), nil
}

// LeaseName is the name of a fingerprint's Lease.
func LeaseName(fingerprint string) string { return "signal-" + fingerprint[:fingerprintInLease] }
