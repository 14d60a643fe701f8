package cluster

import (
	"context"
	"fmt"
	"time"

	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/pkg/audittrail/podflush"
	"kubernaut.ai/test/testenv"
)

// Timeouts of the parts of a diagnosis: services may be down.
const (
	podTimeout     = 5 * time.Second
	flushTimeout   = 15 * time.Second
	storageTimeout = 10 * time.Second
)

// Diagnose describes what is known of the correlation ids that the current
// spec tracked, see testenv.Evidence, and shows what the pods have logged about
// them since the spec began.
func (e *Env) Diagnose(ctx context.Context, began time.Time) string {
	text := e.Evidence.Diagnose(ctx, testenv.Sources{
		Client:      e,
		StoreStates: e.StoreStates,
		Stored:      e.stored,
		Flushed:     e.flushed,
	})
	return text + "=== logs\n" + e.Logs(ctx, began, e.Tracked())
}

func (e *Env) stored(ctx context.Context, correlationID string) (testenv.Trail, error) {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	reader, err := audittrail.NewReader(e.trailOptions(e.DataStorageURL))
	if err != nil {
		return nil, fmt.Errorf("read trails: %w", err)
	}
	return readWith(ctx, reader, correlationID)
}

// flushed uses short timeouts: the diagnosis shows its error.
func (e *Env) flushed(ctx context.Context, correlationID string) (testenv.Trail, error) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	flusher, err := podflush.New(podflush.Options{Config: e.Config, Workloads: recording, Timeout: podTimeout})
	if err != nil {
		return nil, fmt.Errorf("read trails: %w", err)
	}
	reader, err := audittrail.NewReader(e.trailOptions(e.DataStorageURL, flusher))
	if err != nil {
		return nil, fmt.Errorf("read trails: %w", err)
	}
	return readWith(ctx, reader, correlationID)
}
