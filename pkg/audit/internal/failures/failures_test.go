package failures_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/internal/barriers"
	"kubernaut.ai/pkg/audit/internal/failures"
)

type (
	failure = failures.Failure[int]
	set     = failures.Set[int]
)

func id(n int) uuid.UUID {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[8:], uint64(n))
	return u
}

// add adds failures with the sequence numbers from first to last.
func add(s *set, correlationID string, first, last int) {
	for n := first; n <= last; n++ {
		s.Add(failure{Seq: uint64(n), ID: id(n), CorrelationID: correlationID, Payload: n})
	}
}

// concerning returns how many failures concern a flush, by name and without.
func concerning(s *set, correlationID string, seq uint64) string {
	named, unnamed := s.Concerning(&barriers.Barrier{CorrelationID: correlationID, Seq: seq})
	return fmt.Sprint(len(named), "+", unnamed)
}

func TestAFlushHearsOfWhatItCovers(t *testing.T) {
	t.Parallel()
	var s set
	add(&s, "a", 1, 2)
	add(&s, "b", 3, 3)
	s.Add(failure{ID: id(9), Anyones: true})
	for _, test := range []struct {
		correlationID string
		seq           uint64
		want          string
	}{
		{barriers.Everything, 3, "4+0"},
		{barriers.Everything, 1, "2+0"},
		{"a", 3, "3+0"},
		{"b", 3, "2+0"},
		{"b", 2, "1+0"},
		{"c", 3, "1+0"},
	} {
		if got := concerning(&s, test.correlationID, test.seq); got != test.want {
			t.Errorf("a flush for %q at %d hears of %s, want %s", test.correlationID, test.seq, got, test.want)
		}
	}
}

func TestAFailureIsNamedOnce(t *testing.T) {
	t.Parallel()
	var s set
	if !s.Add(failure{Seq: 1, ID: id(1), CorrelationID: "a"}) || s.Add(failure{Seq: 2, ID: id(1), CorrelationID: "a"}) {
		t.Error("a replay is another failure")
	}
	if !s.Add(failure{Seq: 3, ID: id(1), CorrelationID: "b"}) {
		t.Error("an event of another correlation id is the same failure")
	}
	if s.Count() != 2 || !s.Has(id(1), "a") || s.Has(id(1), "c") {
		t.Errorf("%d failures, want 2", s.Count())
	}
}

func TestWhatIsAboveTheBoundIsCounted(t *testing.T) {
	t.Parallel()
	var s set
	add(&s, "a", 1, failures.MaxNamed)
	add(&s, "a", failures.MaxNamed+1, failures.MaxNamed+2)
	add(&s, "b", failures.MaxNamed+3, failures.MaxNamed+3)
	const seq = failures.MaxNamed + 10
	for correlationID, want := range map[string]string{
		barriers.Everything: fmt.Sprint(failures.MaxNamed, "+", 3),
		"a":                 fmt.Sprint(failures.MaxNamed, "+", 2),
		"b":                 "0+1",
		"c":                 "0+0",
	} {
		if got := concerning(&s, correlationID, seq); got != want {
			t.Errorf("a flush for %q hears of %s, want %s", correlationID, got, want)
		}
	}
	if got := concerning(&s, "b", 5); got != "0+0" {
		t.Errorf("a flush before all of them hears of %s", got)
	}
	s.RemoveUnnamed("a")
	s.RemoveUnnamed("c") // there is none
	if got := concerning(&s, "a", seq); got != fmt.Sprint(failures.MaxNamed, "+", 1) || s.Unnamed() != 2 {
		t.Errorf("a flush for a hears of %s after one was stored", got)
	}
	if n := s.AcknowledgeUnnamed(); n != 2 || s.Unnamed() != 0 || s.Count() != failures.MaxNamed {
		t.Errorf("acknowledged %d", n)
	}
}

func TestTooManyCorrelationIDsConcernEverybody(t *testing.T) {
	t.Parallel()
	var s set
	add(&s, "a", 1, failures.MaxNamed)
	for n := range failures.MaxNamed + 5 {
		s.Add(failure{Seq: 2000, ID: id(2000 + n), CorrelationID: fmt.Sprint("id-", n)})
	}
	if got := concerning(&s, "c", 3000); got != "0+5" {
		t.Errorf("a flush for another id hears of %s, want the 5 that could not be told apart", got)
	}
	s.RemoveUnnamed("c")
	if got := concerning(&s, "c", 3000); got != "0+4" {
		t.Errorf("a flush for another id hears of %s, want 4", got)
	}
}

func TestAFailureWithoutANameConcernsEverybody(t *testing.T) {
	t.Parallel()
	var s set
	s.AddAnyones(7)
	for seq, want := range map[uint64]string{6: "0+0", 7: "0+1"} {
		if got := concerning(&s, "a", seq); got != want {
			t.Errorf("a flush at %d hears of %s, want %s", seq, got, want)
		}
	}
}

func TestAcknowledge(t *testing.T) {
	t.Parallel()
	var s set
	add(&s, "a", 1, 3)
	s.Add(failure{ID: id(4), Bytes: failures.MaxBytes})
	if s.FitsBytes(1) {
		t.Error("contents above the bound fit")
	}
	if n := s.Acknowledge(map[uuid.UUID]bool{id(2): true, id(4): true, id(5): true}); n != 2 {
		t.Errorf("acknowledged %d, want 2", n)
	}
	if !s.FitsBytes(failures.MaxBytes) {
		t.Error("acknowledged contents still take room")
	}
	if ids := s.IDs(); len(ids) != 2 || !ids[id(1)] || !ids[id(3)] {
		t.Errorf("ids %v are left, want 1 and 3", ids)
	}
	if payloads := s.Payloads(); len(payloads) != 2 || payloads[0] != 1 || payloads[1] != 3 {
		t.Errorf("payloads %v are left, want 1 and 3", payloads)
	}
	if s.Has(id(2), "a") || !s.Add(failure{ID: id(2), CorrelationID: "a"}) {
		t.Error("an acknowledged failure that happens again is no news")
	}
}

func TestAFailureMayStandForSeveralEvents(t *testing.T) {
	t.Parallel()
	var s set
	s.Add(failure{ID: id(1), Anyones: true, Events: 5})
	if got := concerning(&s, "a", 1); got != "1+4" || s.Count() != 5 {
		t.Errorf("a flush hears of %s of %d events, want 1+4 of 5", got, s.Count())
	}
	if s.AcknowledgeUnnamed(); s.Count() != 5 {
		t.Error("its events were acknowledged without it")
	}
	if s.Acknowledge(map[uuid.UUID]bool{id(1): true}); s.Count() != 0 {
		t.Errorf("%d events are left", s.Count())
	}
}
