package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"

	"kubernaut.ai/pkg/audit"
)

// peer is OpenTelemetry's log batch processor, tuned as its documentation
// says: a queue that holds all that is emitted between two flushes, so that it
// drops nothing, and without the search for duplicate keys, of which we have none.
type peer struct {
	provider *sdklog.LoggerProvider
	logger   log.Logger
	exporter countingExporter
	emitted  atomic.Int64
}

func newPeer(queueSize, batchSize int) *peer {
	var p peer
	p.provider = sdklog.NewLoggerProvider(
		sdklog.WithProcessor(sdklog.NewBatchProcessor(&p.exporter,
			sdklog.WithMaxQueueSize(queueSize), sdklog.WithExportMaxBatchSize(batchSize))),
		sdklog.WithAllowKeyDuplication(),
	)
	p.logger = p.provider.Logger("kubernaut.ai/bench")
	return &p
}

// emit writes an event's texts and payload as a log record: as many bytes, in
// as many attributes as a record holds without its own slice.
func (p *peer) emit(ctx context.Context, e *audit.Event) error {
	var r log.Record
	r.SetEventName(e.Type)
	r.SetSeverity(log.SeverityInfo)
	r.SetBody(attribute.ByteSliceValue(e.Data))
	r.AddAttributes(
		attribute.String("category", e.Category),
		attribute.String("action", e.Action),
		attribute.String("outcome", string(e.Outcome)),
		attribute.String("correlation_id", e.CorrelationID),
		attribute.String("resource_id", e.ResourceID),
	)
	p.logger.Emit(ctx, r)
	p.emitted.Add(1)
	return nil
}

// flush exports what is queued, and fails when a record was dropped.
func (p *peer) flush(ctx context.Context) error {
	if err := p.provider.ForceFlush(ctx); err != nil {
		return fmt.Errorf("flush OpenTelemetry's processor: %w", err)
	}
	if emitted, exported := p.emitted.Load(), p.exporter.records.Load(); exported != emitted {
		return fmt.Errorf("OpenTelemetry's processor exported %d of %d records", exported, emitted)
	}
	return nil
}

func (p *peer) close(ctx context.Context) error {
	if err := p.provider.Shutdown(ctx); err != nil {
		return errors.Join(errors.New("shut OpenTelemetry's provider down"), err)
	}
	return nil
}

// countingExporter does for the peer what discard does for us.
type countingExporter struct {
	exports, records atomic.Int64
}

// Export implements the SDK's Exporter.
func (c *countingExporter) Export(_ context.Context, records []sdklog.Record) error {
	c.exports.Add(1)
	c.records.Add(int64(len(records)))
	return nil
}

// Shutdown implements the SDK's Exporter.
func (c *countingExporter) Shutdown(context.Context) error { return nil }

// ForceFlush implements the SDK's Exporter.
func (c *countingExporter) ForceFlush(context.Context) error { return nil }
