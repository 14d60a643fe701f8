package spool_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"kubernaut.ai/pkg/audit/spool"
)

// childDirectory makes the test binary a process that fills a spool until it is killed.
const childDirectory = "SPOOL_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDirectory); dir != "" {
		if err := fillForever(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// fillForever prints the number of each event once it is kept.
func fillForever(dir string) error {
	s, err := spool.Open(dir, spool.WithSegmentBytes(64<<10))
	if err != nil {
		return err
	}
	number := int(s.State().Last)
	for {
		if _, err := s.Append(batchOf(number+1, 3), 0); err != nil {
			return err
		}
		number += 3
		if _, err := fmt.Fprintln(os.Stdout, number); err != nil {
			return err
		}
	}
}

// TestKilledProcessIsAdopted kills a process with SIGKILL, several times over.
func TestKilledProcessIsAdopted(t *testing.T) {
	dir := t.TempDir() + "/spool"
	kept := 0
	for process := range 5 {
		kept = killedAfter(t, dir, kept+20+7*process)
		s, err := spool.Open(dir, spool.WithSegmentBytes(64<<10))
		if err != nil {
			t.Fatal(err)
		}
		b := &bundle{Spool: s}
		numbers := b.numbers(t)
		if len(numbers) < kept {
			t.Fatalf("%d events of %d are there", len(numbers), kept)
		}
		b.wantNumbers(t, 1, len(numbers))
		if damage := s.State().Damage; damage.Events != 0 {
			t.Fatalf("damage: %+v", damage)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killedAfter runs a child until it has kept so many events, kills it, and says
// how many it had confirmed. While it lives its directory is in use.
func killedAfter(t *testing.T, dir string, events int) (confirmed int) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childDirectory+"="+dir)
	child.Stderr = os.Stderr
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if confirmed, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if confirmed < events || killed {
			continue
		}
		if s, err := spool.Open(dir); err == nil {
			_ = s.Close()
			t.Error("the directory of a living process was given away")
		}
		killed = true
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := child.Wait(); !killed {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return confirmed
}
