package waitlist_test

import (
	"testing"

	"kubernaut.ai/pkg/audit/internal/waitlist"
)

func woken(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestWakeReachesEveryoneWhoJoinedBefore(t *testing.T) {
	t.Parallel()
	var list waitlist.List
	list.Wake() // nobody waits

	first, second := list.Join(), list.Join()
	if woken(first) || woken(second) {
		t.Fatal("woken before Wake")
	}
	list.Wake()
	if !woken(first) || !woken(second) {
		t.Error("not everyone was woken")
	}
	if woken(list.Join()) {
		t.Error("joined after Wake and was woken by it")
	}
}
