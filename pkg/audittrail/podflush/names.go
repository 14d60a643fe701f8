package podflush

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/control"
	"kubernaut.ai/pkg/audittrail/podforward"
)

// namesTimeout bounds how long a failed flush asks for names: it has failed already.
const namesTimeout = 10 * time.Second

// withNames adds the names of events, and the reasons of rejections, to what a
// pod's flush reports: the management port counts them only. They are read from
// the pod's control listener by port-forward. Where that is not possible the
// error says so.
func (f *Flusher) withNames(ctx context.Context, namespace, pod, correlationID string, err error) error {
	failure, ok := errors.AsType[*audit.FlushError](err)
	if !ok {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, namesTimeout)
	defer cancel()
	if nameErr := f.addNames(ctx, failure, namespace, pod, correlationID); nameErr != nil {
		return &unnamedError{error: err, why: nameErr}
	}
	return err
}

// unnamedError is a flush's error, and why the events are not named in it.
type unnamedError struct {
	error

	why error
}

func (e *unnamedError) Error() string {
	return fmt.Sprintf("%v (the events cannot be named: %v)", e.error, e.why)
}

func (e *unnamedError) Unwrap() error { return e.error }

func (f *Flusher) addNames(ctx context.Context, failure *audit.FlushError, namespace, pod, correlationID string) error {
	forward, err := podforward.Open(ctx, f.config, namespace, pod, f.controlPort)
	if err != nil {
		return err //nolint:wrapcheck // names the pod
	}
	defer forward.Close()
	return (&control.Client{URL: forward.URL}).Name(ctx, failure, correlationID) //nolint:wrapcheck // names the request
}
