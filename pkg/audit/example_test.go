package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
)

// Record what happened; once Flush returned nil, it is stored.
func Example() {
	ctx := context.Background()
	sink := audittest.NewMemorySink() // in a service: httpsink.New(datastorageURL)
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

// With a spool an event that Record accepted survives the process: the next
// store that opens the directory sends it.
func Example_spool() {
	ctx := context.Background()
	directory, err := os.MkdirTemp("", "spool-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(directory) }()
	sink := audittest.NewMemorySink()
	sink.Fail(errors.New("connection refused"))

	open := func() *audit.Store {
		kept, err := spool.Open(directory)
		if err != nil {
			panic(err)
		}
		store, err := audit.New(sink, audit.WithSpool(kept), audit.WithDurability(audit.Spooled))
		if err != nil {
			panic(err)
		}
		return store
	}

	store := open()
	event := audittest.NewEvent("gateway.signal.received", "rr-4bf92f3577b3-1")
	fmt.Println(store.Record(ctx, event)) // on disk when it returns
	over, cancel := context.WithCancel(ctx)
	cancel()
	var unproven *audit.FlushError
	if err := store.Close(over); errors.As(err, &unproven) {
		fmt.Println(unproven.Pending, "pending,", unproven.Spooled, "in the spool,", len(unproven.Lost), "lost")
	}

	sink.Recover()
	store = open()
	_, err = store.Flush(ctx)
	fmt.Println(err, len(sink.Events()))
	fmt.Println(store.Close(ctx))
	// Output:
	// <nil>
	// 1 pending, 1 in the spool, 0 lost
	// <nil> 1
	// <nil>
}

// What must not happen unrecorded is recorded in Stored durability: Record
// returns when the sink has the event.
func ExampleWithDurability() {
	ctx := context.Background()
	sink := audittest.NewMemorySink()
	store, err := audit.New(sink, audit.WithDurability(audit.Stored, "remediation.action.started"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := store.Record(ctx, audittest.NewEvent("remediation.action.started", "rr-4bf92f3577b3-1")); err != nil {
		fmt.Println("the action must not begin:", err)
		return
	}
	fmt.Println(len(sink.Events()), "event stored before the action begins")
	fmt.Println(store.Close(ctx))
	// Output:
	// 1 event stored before the action begins
	// <nil>
}

// Events that the sink refused wait in quarantine until they are sent again or acknowledged.
func ExampleStore_Retry() {
	ctx := context.Background()
	sink := audittest.NewMemorySink()
	sink.Reject(func(audit.Event) error { return errors.New("schema not known yet") })
	store, err := audit.New(sink)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := store.Record(ctx, audittest.NewEvent("gateway.signal.received", "rr-4bf92f3577b3-1")); err != nil {
		fmt.Println(err)
		return
	}
	_, err = store.Flush(ctx)
	var unproven *audit.FlushError
	if errors.As(err, &unproven) {
		fmt.Println(len(unproven.Rejected), "rejected:", unproven.Rejected[0].Reason)
	}

	sink.Reject(nil) // the sink was repaired
	fmt.Println(store.Retry(ctx))
	_, err = store.Flush(ctx)
	fmt.Println(err, len(sink.Events()))
	fmt.Println(store.Close(ctx))
	// Output:
	// 1 rejected: schema not known yet
	// 1 <nil>
	// <nil> 1
	// <nil>
}

// A controller derives the id of a step's event from the step, so that a
// reconcile that is repeated records the same event, not a second one.
func ExampleDerivedID() {
	// When the object entered the phase that the step leaves: the step is derived from it, however often it is repeated.
	entered := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	for _, phase := range []string{"Completed", "Completed", "Failed"} {
		fmt.Println(audit.DerivedID(entered, "8c1d0f6e-uid", "generation-1", phase))
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
	var incomplete *audit.FlushError
	if errors.As(err, &incomplete) {
		fmt.Println(incomplete.Stored, "stored,", incomplete.Pending, "pending")
		for _, r := range incomplete.Rejected {
			fmt.Println(r.Type, r.CorrelationID, r.Reason)
			// Once somebody has taken care of it.
			if _, err := store.Acknowledge(r.ID); err != nil {
				fmt.Println(err)
			}
		}
	}
	fmt.Println(store.Close(ctx))
	// Output:
	// 2 stored, 0 pending
	// gateway.signal.received rr-1 severity: purple is not a severity
	// <nil>
}
