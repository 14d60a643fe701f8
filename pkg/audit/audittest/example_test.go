package audittest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// A network that loses the answer to a request: the batch is stored, the
// caller does not know, and the replay changes nothing.
func ExampleFaultySink() {
	ctx := context.Background()
	storage := audittest.NewMemorySink()
	sink := audittest.NewFaultySink(storage, nil)
	store, err := audit.New(sink)
	if err != nil {
		fmt.Println(err)
		return
	}

	sink.FailNextAfterStoring(errors.New("answer lost"))
	if err := store.Record(ctx, audittest.NewEvent("shop.order.shipped", "order-7")); err != nil {
		fmt.Println(err)
	}
	fmt.Println("close:", store.Close(ctx))
	fmt.Println("writes:", sink.Batches())
	fmt.Println("stored:", len(storage.EventsOf("order-7")))
	// Output:
	// close: <nil>
	// writes: [1 1]
	// stored: 1
}

// Two writers are held at the same place, without sleeping.
func ExampleFaultySink_AwaitWrites() {
	ctx := context.Background()
	sink := audittest.NewMemorySink()
	sink.Hang()
	var writing sync.WaitGroup
	for range 2 {
		writing.Go(func() {
			if _, err := sink.Write(ctx, nil); err != nil {
				fmt.Println(err)
			}
		})
	}
	if err := sink.AwaitWrites(ctx, 2); err != nil {
		fmt.Println(err)
	}
	fmt.Println("at the same time:", sink.MostConcurrent())
	sink.Recover()
	writing.Wait()
	// Output: at the same time: 2
}

// A test asks for a hook point before it does what leads there.
func ExampleHooks_Next() {
	ctx := context.Background()
	hooks := audittest.NewHooks() // pass audit.WithHook(hooks.Reached) to the store
	stored := hooks.Next(audit.HookStored)
	go hooks.Reached(audit.HookStored, 3) // the store does
	fmt.Println(stored(ctx))
	fmt.Println(hooks)
	// Output:
	// <nil>
	// stored 1
}

// The message of a matcher that fails shows the nearest miss and the trail.
func ExampleHaveAudited() {
	shipped := *audittest.NewEvent("shop.order.shipped", "order-7")
	shipped.Timestamp = audittest.Epoch()
	trail := []audit.Event{shipped}

	matcher := audittest.HaveAudited("shop.order.shipped", audittest.WithOutcome(audit.OutcomeFailure))
	if ok, err := matcher.Match(trail); !ok && err == nil {
		fmt.Println(matcher.FailureMessage(trail))
	}
	// Output:
	// no event shop.order.shipped with these fields
	// event 1 comes nearest:
	//     outcome: Expected
	//         <audit.Outcome>: success
	//     to be equivalent to
	//         <audit.Outcome>: failure
	// trail of 1 events of order-7:
	//     1  03:04:05.000000  shop.order.shipped  success  00000000-0000-0000-0000-000000000000
}

// The types have to be there in this order, with anything between them.
func ExampleHaveAuditedInOrder() {
	trail := []audit.Event{
		*audittest.NewEvent("shop.order.placed", "order-7"),
		*audittest.NewEvent("shop.order.paid", "order-7"),
		*audittest.NewEvent("shop.order.shipped", "order-7"),
	}
	fmt.Println(audittest.HaveAuditedInOrder("shop.order.placed", "shop.order.shipped").Match(trail))
	fmt.Println(audittest.HaveAuditedInOrder("shop.order.shipped", "shop.order.paid").Match(trail))
	// Output:
	// true <nil>
	// false <nil>
}
