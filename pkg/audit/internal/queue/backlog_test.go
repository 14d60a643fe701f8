package queue_test

import (
	"testing"

	"kubernaut.ai/pkg/audit/internal/queue"
)

func TestBacklog(t *testing.T) {
	t.Parallel()
	var b queue.Backlog
	b.Add(7, 100, 1)
	b.Add(8, 50, 2)
	if want := (queue.Backlog{Events: 2, Bytes: 150, Next: 7, Last: 8, Since: 1}); b != want {
		t.Errorf("after two events %+v, want %+v", b, want)
	}
	b.Remove(1, 100, 8)
	if want := (queue.Backlog{Events: 1, Bytes: 50, Next: 8, Last: 8, Since: 1}); b != want {
		t.Errorf("after one was read %+v, want %+v", b, want)
	}
	b.Remove(1, 10, 9) // the size on disk was an estimate
	if b.Events != 0 || b.Bytes != 0 {
		t.Errorf("an empty backlog has %d events of %d bytes", b.Events, b.Bytes)
	}
	b.Add(20, 30, 9)
	if b.Next != 20 || b.Since != 9 {
		t.Errorf("it begins at %d since %d, want 20 and 9", b.Next, b.Since)
	}
}
