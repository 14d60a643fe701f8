package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/pkg/audit/spool"
)

// storeOptions describe where audit events go.
type storeOptions struct {
	dataStorageURL string
	tokenFile      string // bearer token; none is sent if it is empty
	caFile         string // authority of DataStorage's certificate; the system's if it is empty
	spoolDir       string // directory for this process alone
	producerID     string // names the store in the trail; stable over restarts
}

// newSink makes the sink. The files are read again when they change, so that
// rotated tokens and certificates are used.
func newSink(o *storeOptions) (*httpsink.Sink, error) {
	options := []httpsink.Option{httpsink.WithUserAgent("configtrail")}
	if o.tokenFile != "" {
		options = append(options, httpsink.WithTokenFile(o.tokenFile))
	}
	if o.caFile != "" {
		options = append(options, httpsink.WithCAFile(o.caFile))
	}
	sink, err := httpsink.New(o.dataStorageURL, options...)
	if err != nil {
		return nil, fmt.Errorf("audit sink: %w", err)
	}
	return sink, nil
}

// newStore opens the spool and a store over it, which first sends what an
// earlier process left in the spool.
func newStore(sink audit.Sink, o *storeOptions, registerer prometheus.Registerer, logger *slog.Logger) (*audit.Store, error) {
	events, err := spool.Open(o.spoolDir)
	if err != nil {
		return nil, fmt.Errorf("audit spool: %w", err)
	}
	store, err := audit.New(sink,
		audit.WithSpool(events),
		audit.WithDurability(audit.Spooled),
		audit.WithProducerID(o.producerID),
		audit.WithRegisterer(registerer),
		audit.WithLogger(logger),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("audit store: %w", err), events.Close())
	}
	return store, nil
}

// closeStore flushes and closes the store. Pending and rejected events are not a
// failure if all of them are in the spool, where the next process finds them.
// Lost events are.
func closeStore(store *audit.Store, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err := store.Close(ctx)
	if incomplete, ok := errors.AsType[*audit.FlushError](err); ok && incomplete.Persisted() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("close audit store: %w", err)
	}
	return nil
}
