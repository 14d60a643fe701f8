package selection

import "time"

// DefaultDeadline bounds a policy decision.
const DefaultDeadline = 5 * time.Second

// Mode is what the service may do.
type Mode string

// The modes.
const (
	// ModeObserve proposes, and nobody can approve.
	ModeObserve Mode = "observe"
	// ModeApprove executes what a person has approved.
	ModeApprove Mode = "approve"
	// ModeAuto also executes what a policy has approved.
	ModeAuto Mode = "auto"
)
