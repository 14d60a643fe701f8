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
