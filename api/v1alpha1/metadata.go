package v1alpha1

// Metadata of the requests that the Gateway creates. None of it is proof: whoever
// may create requests can write the same. A request takes signals only if the
// register of its fingerprint names it.
const (
	// LabelManagedBy and ManagedByGateway mark what the Gateway created.
	LabelManagedBy   = "app.kubernetes.io/managed-by"
	ManagedByGateway = "kubernaut-gateway"

	// AnnotationSender is the authenticated name of who sent the first signal. It
	// is absent where authentication is off.
	AnnotationSender = "kubernaut.ai/sender"

	// AnnotationSpecDigest is the digest of the spec, as the register has it.
	AnnotationSpecDigest = "kubernaut.ai/spec-digest"

	// AnnotationOpening identifies the opening that created the request: the UID
	// of the register's Lease, a slash, and the request's name.
	AnnotationOpening = "kubernaut.ai/opening"

	// AnnotationTraceparent is the span in which a request was created, in the form of
	// the header traceparent of W3C Trace Context. It is absent without traces.
	AnnotationTraceparent = "kubernaut.ai/traceparent"

	// FinalizerRegister keeps a request until the register has moved on, so that
	// a request that is gone is never mistaken for one that is about to be created.
	FinalizerRegister = "kubernaut.ai/register"
)
