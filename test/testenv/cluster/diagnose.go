package cluster

import (
	"context"
	"fmt"
	"time"

	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/pkg/audittrail/podflush"
	"kubernaut.ai/test/testenv"
)

// The time that a diagnosis takes for its parts: services may be down.
const (
	flushPatience   = 5 * time.Second
	settlePatience  = 15 * time.Second
	storagePatience = 10 * time.Second
)

// Diagnose describes what is known of the correlation ids that the present
// spec tracked, see testenv.Evidence, and shows what the pods have logged about
// them since the spec began.
func (e *Env) Diagnose(ctx context.Context, began time.Time) string {
	text := e.Evidence.Diagnose(ctx, testenv.Sources{
		Client:  e,
		Debts:   e.Debts,
		Stored:  e.stored,
		Flushed: e.flushed,
	})
	return text + "=== logs\n" + e.Logs(ctx, began, e.Tracked())
}

func (e *Env) stored(ctx context.Context, correlationID string) (testenv.Trail, error) {
	ctx, cancel := context.WithTimeout(ctx, storagePatience)
	defer cancel()
	reader, err := audittrail.NewReader(e.trailOptions(e.DataStorageURL))
	if err != nil {
		return nil, fmt.Errorf("read trails: %w", err)
	}
	return readWith(ctx, reader, correlationID)
}

// flushed is patient with nobody: what it cannot have, the diagnosis says.
func (e *Env) flushed(ctx context.Context, correlationID string) (testenv.Trail, error) {
	ctx, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	flusher, err := podflush.New(podflush.Options{Config: e.Config, Workloads: owing, Timeout: flushPatience})
	if err != nil {
		return nil, fmt.Errorf("read trails: %w", err)
	}
	reader, err := audittrail.NewReader(e.trailOptions(e.DataStorageURL, flusher))
	if err != nil {
		return nil, fmt.Errorf("read trails: %w", err)
	}
	return readWith(ctx, reader, correlationID)
}
