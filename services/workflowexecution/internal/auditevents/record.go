package auditevents

import (
	"context"
	"fmt"

	"kubernaut.ai/pkg/audit"
)

// Recorder records events. *audit.Store implements it.
type Recorder interface {
	Record(ctx context.Context, e *audit.Event) error
}

// Record records an event that was made without an error. It takes the results of the functions of
// this package as they are.
func Record(ctx context.Context, to Recorder, e *audit.Event, err error) error {
	if err != nil {
		return fmt.Errorf("make an event: %w", err)
	}
	if err := to.Record(ctx, e); err != nil {
		return fmt.Errorf("record %s: %w", e.Type, err)
	}
	return nil
}
