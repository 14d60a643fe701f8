package webhook

import (
	"fmt"
	"testing"
)

func TestRememberedResultsAreBounded(t *testing.T) {
	t.Parallel()
	results := func(count int) settled {
		s := settled{}
		for i := range count {
			s[i] = result{Status: statusCreated}
		}
		return s
	}
	d := newDeliveries()
	d.fail("big", results(maxSettled))
	d.fail("one more", results(1))
	if len(d.get("big")) != maxSettled || d.get("one more") != nil {
		t.Error("more results than the bound, or fewer")
	}
	d.answer("big")
	if d.total != 0 || d.get("big") != nil {
		t.Errorf("%d results are left after the answer", d.total)
	}
	for i := range maxDeliveries + 5 {
		d.fail(fmt.Sprint("d", i), results(2))
		d.fail(fmt.Sprint("d", i), results(1))
	}
	if d.total != maxDeliveries || d.get("d0") != nil {
		t.Errorf("%d results of %d bodies", d.total, maxDeliveries)
	}
}
