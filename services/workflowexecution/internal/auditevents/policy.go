package auditevents

import (
	"encoding/json"
	"fmt"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/wire"
)

// The types of the events about policies.
const (
	TypePolicyLoaded   = "workflowexecution.policy.loaded"
	TypePolicyRejected = "workflowexecution.policy.rejected"
)

const (
	// codePolicyRejected is the error code of policies that are not put in force.
	codePolicyRejected = "policy_rejected"
	// maxPolicyError bounds the reason, in characters.
	maxPolicyError = 1024
	// trailDigest is how much of a bundle's digest names its trail.
	trailDigest = 16
)

// PolicyChange is a bundle of policies that the service has found.
type PolicyChange struct {
	// SHA256 and Origin identify the bundle; without a digest, it could not be read.
	SHA256, Origin string
	// InForceSHA256 identifies the one that decided until now; empty at the start.
	InForceSHA256 string
	// Err says why it is rejected; nil if it is put in force.
	Err error
}

// policyChange is the data of TypePolicyLoaded and TypePolicyRejected.
type policyChange struct {
	SHA256        string `json:"policy_sha256,omitempty"`
	Origin        string `json:"policy_origin"`
	InForceSHA256 string `json:"in_force_sha256,omitempty"`
}

// Policy records that policies are about to decide, or that they are rejected. Each
// process records what it finds itself, so the event has an id of its own. All events
// about one bundle are on one trail, which PolicyTrail names.
func Policy(c PolicyChange) (*audit.Event, error) {
	data, err := json.Marshal(policyChange{SHA256: c.SHA256, Origin: c.Origin, InForceSHA256: c.InForceSHA256})
	if err != nil {
		return nil, fmt.Errorf("encode data of %s: %w", TypePolicyLoaded, err)
	}
	e := &audit.Event{
		Type: TypePolicyLoaded, Category: categoryOf(TypePolicyLoaded), Action: "load_policy", Outcome: audit.OutcomeSuccess,
		CorrelationID: PolicyTrail(c.SHA256), Data: data, ActorType: actorType, ActorID: actorID,
		ResourceType: "PolicyBundle", ResourceID: c.Origin,
	}
	if c.Err != nil {
		e.Type, e.Outcome, e.ErrorCode = TypePolicyRejected, audit.OutcomeFailure, codePolicyRejected
		e.ErrorMessage = wire.TruncateCharacters(c.Err.Error(), maxPolicyError)
	}
	return e, nil
}

// PolicyTrail is the correlation id of the events about a bundle with this digest.
func PolicyTrail(sha256 string) string {
	if len(sha256) < trailDigest {
		return "policy-unreadable"
	}
	return "policy-" + sha256[:trailDigest]
}
