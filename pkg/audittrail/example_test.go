package audittrail_test

import (
	"context"
	"fmt"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audittrail"
)

// A program reads the trail of what it recorded itself: its own store is
// flushed, then DataStorage is queried once.
func ExampleReader_Read() {
	ctx := context.Background()
	sink := audittest.NewMemorySink() // in a program: the HTTP sink
	storage := serveStored(sink)      // in a program: DataStorage
	defer storage.Close()
	store, err := audit.New(sink)
	if err != nil {
		fmt.Println(err)
		return
	}

	reader, err := audittrail.NewReader(audittrail.Options{
		DataStorageURL: storage.URL,
		Flushers:       []audittrail.Flusher{audittrail.InProcess(store)},
		// For services whose management port is reachable:
		// ManagementURLs: []string{"http://127.0.0.1:9090"},
		// For the pods of a cluster, a flusher of package podflush.
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := store.Record(ctx, audittest.NewEvent("shop.order.shipped", "order-7")); err != nil {
		fmt.Println(err)
	}
	trail, err := reader.Read(ctx, "order-7")
	if err != nil {
		fmt.Println(err)
	}
	for i := range trail {
		fmt.Println(trail[i].EventType, trail[i].EventOutcome)
	}
	fmt.Println(store.Close(ctx))
	// Output:
	// shop.order.shipped success
	// <nil>
}

// All events that match a query, page by page.
func ExampleReader_Query() {
	ctx := context.Background()
	sink := audittest.NewMemorySink()
	storage := serveStored(sink)
	defer storage.Close()
	store, err := audit.New(sink)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, step := range []string{"placed", "paid", "shipped"} {
		if err := store.Record(ctx, audittest.NewEvent("shop.order."+step, "order-7")); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(store.Close(ctx))

	reader, err := audittrail.NewReader(audittrail.Options{DataStorageURL: storage.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	correlationID, pageSize := "order-7", 2
	query := datastorage.ListEventsParams{CorrelationId: &correlationID, Limit: &pageSize}
	for event, err := range reader.Query(ctx, query) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.EventType)
	}
	// Output:
	// <nil>
	// shop.order.placed
	// shop.order.paid
	// shop.order.shipped
}
