package otellog_test

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/otellog"
)

// A store writes to a sink that exports what it has stored. The program sets the
// provider up as its other logs need it, with a batch processor.
func Example() {
	storage := audittest.NewMemorySink() // in a service: httpsink.New(datastorageURL)
	sink, err := otellog.New(storage, otel.GetLoggerProvider())
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := audit.New(sink)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	fmt.Println(store.Record(ctx, audittest.NewEvent("gateway.signal.received", "rr-1")))
	fmt.Println(store.Close(ctx), len(storage.Events()))
	// Output:
	// <nil>
	// <nil> 1
}
