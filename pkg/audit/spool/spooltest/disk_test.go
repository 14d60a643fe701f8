package spooltest_test

import (
	"testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// TestTheDeadTouchNothing: whatever a spool does after a crash has no effect, also
// when the next process has the directory already.
func TestTheDeadTouchNothing(t *testing.T) {
	disk := spooltest.NewDisk()
	dead, err := spool.Open("/spool", spool.WithFiles(disk))
	if err != nil {
		t.Fatal(err)
	}
	event := *audittest.NewEvent("test.spool.event", "a")
	if _, err := dead.Append([]audit.Event{event}, 0); err != nil {
		t.Fatal(err)
	}
	disk.Crash()
	living, err := spool.Open("/spool", spool.WithFiles(disk))
	if err != nil {
		t.Fatal(err)
	}
	before := disk.String()
	if _, err := dead.Append([]audit.Event{event}, 0); err == nil {
		t.Error("the dead append")
	}
	if err := dead.Quarantine([]audit.Quarantined{{Event: &event}}); err == nil {
		t.Error("the dead quarantine")
	}
	_ = dead.Release(1)
	_ = dead.Close()
	if after := disk.String(); after != before {
		t.Errorf("the dead process made\n%sof\n%s", after, before)
	}
	if _, err := spool.Open("/spool", spool.WithFiles(disk)); err == nil {
		t.Error("the dead gave back the lock of the living")
	}
	if err := living.Close(); err != nil {
		t.Error(err)
	}
	if n := disk.OpenFiles(); n != 0 {
		t.Errorf("%d files are open", n)
	}
}
