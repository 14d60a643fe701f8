package podflush

import (
	"fmt"
	"strings"
)

// Error says why a flush of pods is no proof. Each failure is a *WaitError, a
// *PodError, a *ChangedError, a *VolumeError, or says which workload could not be read.
type Error struct {
	Failures []error
}

// Error gives every failure.
func (e *Error) Error() string {
	texts := make([]string, 0, len(e.Failures))
	for _, failure := range e.Failures {
		texts = append(texts, failure.Error())
	}
	return "flush pods: " + strings.Join(texts, "; ")
}

// Unwrap gives the failures, so that errors.As finds the first of each kind.
func (e *Error) Unwrap() []error { return e.Failures }

// WaitError says that the context ended before a workload was stable.
type WaitError struct {
	Workload Workload
	// Waiting says what was missing when it was last seen.
	Waiting []string
	// Cause is the context's error.
	Cause error
}

// Error names the workload and what was missing.
func (e *WaitError) Error() string {
	return fmt.Sprintf("%s: %s: %v", e.Workload, strings.Join(e.Waiting, ", "), e.Cause)
}

// Unwrap gives the context's error.
func (e *WaitError) Unwrap() error { return e.Cause }

// PodError says why a pod's flush is no proof.
type PodError struct {
	Workload Workload
	Pod      string
	// Err is, or wraps, an *audit.FlushError when the pod has pending events or
	// rejected ones, and the API server's when that would not pass the request on.
	Err error
}

// Error names the pod.
func (e *PodError) Error() string {
	return fmt.Sprintf("%s: pod %s: %v", e.Workload, e.Pod, e.Err)
}

// Unwrap gives the reason.
func (e *PodError) Unwrap() error { return e.Err }

// ChangedError says that other pods exist than those that were asked.
type ChangedError struct {
	Workload Workload
	// Changes are sentences about single pods, or the workload.
	Changes []string
}

// Error names the changes.
func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s changed during the flush: %s", e.Workload, strings.Join(e.Changes, ", "))
}
