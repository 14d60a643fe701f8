package policyaudit

import (
	"encoding/json"
	"fmt"

	"kubernaut.ai/internal/policy"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/wire"
)

const (
	// codeRejected is the error code of policies that are not put in force.
	codeRejected = "policy_rejected"
	// maxError bounds the reason, in characters.
	maxError = 1024
	// trailDigest is how much of a bundle's digest names its trail.
	trailDigest = 16
)

// data is the data of both types.
type data struct {
	SHA256        string `json:"policy_sha256,omitempty"`
	Origin        string `json:"policy_origin"`
	InForceSHA256 string `json:"in_force_sha256,omitempty"`
}

// event tells that policies are about to decide, or that they are rejected. Each process
// records what it finds itself, so the event has its own id. All events about one
// bundle are on one trail.
func (o *Options) event(change policy.Change) (*audit.Event, error) {
	sha256, origin := change.Policy.SHA256, change.Policy.Origin
	encoded, err := json.Marshal(data{SHA256: sha256, Origin: origin, InForceSHA256: change.InForce.SHA256})
	if err != nil {
		return nil, fmt.Errorf("encode data of %s: %w", o.Loaded, err)
	}
	e := &audit.Event{
		Type: o.Loaded, Category: o.Service, Action: "load_policy", Outcome: audit.OutcomeSuccess,
		CorrelationID: trail(sha256), Data: encoded, ActorType: "service", ActorID: o.Service,
		ResourceType: "PolicyBundle", ResourceID: origin,
	}
	if change.Err != nil {
		e.Type, e.Outcome, e.ErrorCode = o.Rejected, audit.OutcomeFailure, codeRejected
		e.ErrorMessage = wire.TruncateCharacters(change.Err.Error(), maxError)
	}
	return e, nil
}

// trail is the correlation id of the events about a bundle with this digest.
func trail(sha256 string) string {
	if len(sha256) < trailDigest {
		return "policy-unreadable"
	}
	return "policy-" + sha256[:trailDigest]
}
