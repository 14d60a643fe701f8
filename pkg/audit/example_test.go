package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// Record what happened; once Flush returned nil, it is stored.
func Example() {
	ctx := context.Background()
	sink := audittest.NewMemorySink() // in a service: audit.NewHTTPSink(datastorageURL)
	store, err := audit.New(sink)
	if err != nil {
		fmt.Println(err)
		return
	}

	err = store.Record(ctx, &audit.Event{
		Type:          "gateway.signal.received",
		Category:      "gateway",
		Action:        "received",
		Outcome:       audit.OutcomeSuccess,
		CorrelationID: "rr-4bf92f3577b3-1",
		Data:          json.RawMessage(`{"alert":"KubePodCrashLooping"}`),
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	receipt, err := store.Flush(ctx)
	fmt.Println(receipt.Events, err, len(sink.Events()))
	fmt.Println(store.Close(ctx))
	// Output:
	// 1 <nil> 1
	// <nil>
}

// A controller derives the id of a step's event from the step, so that a
// reconcile that is repeated records the same event, not a second one.
func ExampleDerivedID() {
	created := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	for _, phase := range []string{"Completed", "Completed", "Failed"} {
		fmt.Println(audit.DerivedID(created, "8c1d0f6e-uid", "generation-1", phase))
	}
	// Output:
	// 019ca945-0a00-854f-acf3-d45e6d33c7e9
	// 019ca945-0a00-854f-acf3-d45e6d33c7e9
	// 019ca945-0a00-8fc1-8953-dba9a618ad0d
}

// A flush that is no proof says why.
func ExampleFlushError() {
	ctx := context.Background()
	sink := audittest.NewMemorySink()
	sink.Reject(func(e audit.Event) error {
		if e.Severity == "purple" {
			return errors.New("severity: purple is not a severity")
		}
		return nil
	})
	store, err := audit.New(sink)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, severity := range []string{"critical", "purple", "low"} {
		e := audittest.NewEvent("gateway.signal.received", "rr-1")
		e.Severity = severity
		if err := store.Record(ctx, e); err != nil {
			fmt.Println(err)
		}
	}

	_, err = store.Flush(ctx)
	if incomplete, ok := errors.AsType[*audit.FlushError](err); ok {
		fmt.Println(incomplete.Stored, "stored,", incomplete.Pending, "pending")
		for _, r := range incomplete.Rejected {
			fmt.Println(r.Type, r.CorrelationID, r.Reason)
			store.Acknowledge(r.ID) // once somebody has taken care of it
		}
	}
	fmt.Println(store.Close(ctx))
	// Output:
	// 2 stored, 0 pending
	// gateway.signal.received rr-1 severity: purple is not a severity
	// <nil>
}
