package dedup

import (
	"context"

	"kubernaut.ai/internal/signalregister"
)

// A request is late if it was created after the register had passed it: its
// creator was held up between its two writes, and another replica stopped
// waiting. The creator notices and takes its request back. If it cannot, because
// it died or lost its connection, whoever finds the request does.

// takeBackLate takes back the proposed requests that are late.
func (a *attempt) takeBackLate(ctx context.Context, r signalregister.Record) error {
	for i := range a.proposed {
		request := &a.proposed[i]
		if !open(request) || !r.Passed(request) {
			continue
		}
		if _, err := a.takeBack(ctx, request); err != nil {
			return err
		}
	}
	return nil
}
