package trailtest_test

import (
	"fmt"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audittrail/trailtest"
)

// The message of a matcher that fails shows the nearest miss and the trail.
func ExampleHaveAudited() {
	shipped := *audittest.NewEvent("shop.order.shipped", "order-7")
	shipped.Timestamp = audittest.Epoch()
	trail := []audit.Event{shipped}

	matcher := trailtest.HaveAudited("shop.order.shipped", trailtest.WithOutcome(audit.OutcomeFailure))
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
	// trail of 1 event of order-7:
	//     1  03:04:05.000000  shop.order.shipped  success  00000000-0000-0000-0000-000000000000  {"test":true}
}

// Events of one type are told apart by their fields; others may stand between them.
func ExampleHaveAuditedInOrder() {
	moved := func(to string) audit.Event {
		e := *audittest.NewEvent("shop.order.moved", "order-7")
		e.Data = []byte(`{"to":"` + to + `"}`)
		return e
	}
	trail := []audit.Event{moved("packed"), *audittest.NewEvent("shop.order.paid", "order-7"), moved("shipped")}

	packed := trailtest.BeEvent("shop.order.moved", trailtest.WithData("to", "packed"))
	shipped := trailtest.BeEvent("shop.order.moved", trailtest.WithData("to", "shipped"))
	fmt.Println(trailtest.HaveAuditedInOrder(packed, shipped).Match(trail))
	fmt.Println(trailtest.HaveAuditedInOrder(shipped, packed).Match(trail))
	fmt.Println(trailtest.HaveAuditedInOrder(packed, "shop.order.paid").Match(trail))
	// Output:
	// true <nil>
	// false <nil>
	// true <nil>
}
