package mustgather

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestTimelinesOfNamedFailedAndStuckRequests(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ago := func(d time.Duration) string { return now.Add(-d).UTC().Format(time.RFC3339) }
	var requests []request
	object := func(id, phase, created, completed string) {
		requests = append(requests, request{id: id, kind: "remediationrequest", name: "shop/" + id, phase: phase, created: created, completed: completed})
	}
	for i := range 30 {
		age := time.Duration(i+2) * time.Minute
		object(fmt.Sprintf("failed-%d", i), "ManualReview", ago(2*time.Hour), ago(age))
		object(fmt.Sprintf("pending-%d", i), []string{"", "Pending", "Processing"}[i%3], ago(age), "")
	}
	object("failed-before", "ManualReview", ago(3*time.Hour), ago(2*time.Hour))
	object("new", "", ago(30*time.Second), "")
	object("fine", "Classified", ago(10*time.Minute), "")
	want := []string{"named", "failed-3"}
	for i := range recentFailures {
		if i != 3 {
			want = append(want, fmt.Sprintf("failed-%d", i))
		}
	}
	want = append(want, "pending-29", "pending-28", "pending-27", "pending-26", "pending-25")
	if got := chooseIDs([]string{"named", "failed-3", "named"}, requests, now, time.Hour); !slices.Equal(got, want) {
		t.Errorf("timelines of %q, want %q", got, want)
	}
}

func TestMentions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"rr-1": true, "about rr-1.": true, "rr-1, rr-2": true, `{"id":"rr-1"}`: true, "rr-10 and rr-1": true, "shop/rr-1": true,
		"rr-10": false, "a-rr-1": false, "rr-1-x": false, "rr-1.example": false, "": false, "xrr-1 rr-1y": false,
	} {
		if got := mentions(text, "rr-1"); got != want {
			t.Errorf("%q mentions rr-1: %v, want %v", text, got, want)
		}
	}
}

func TestRowsAreInOrderWhateverTheFormOfTheirTimes(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"2026-01-02T03:04:05.000006Z":    "2026-01-02T03:04:05.000006Z",
		"2026-01-02T03:04:05.000000006Z": "2026-01-02T03:04:05.000000Z",
		"2026-01-02T01:04:05.5-02:00":    "2026-01-02T03:04:05.500000Z",
		"2026-01-02T03:04:05.123+0000":   "2026-01-02T03:04:05.123000Z",
		"2026-01-01T23:30:00+00:30":      "2026-01-01T23:00:00Z",
		"yesterday":                      "",
		"2026-13-02T03:04:05Z":           "",
		"2026-01-02":                     "",
	} {
		row, ok := newRow(given, "log", "text", false)
		if ok != (want != "") || row.shown != want {
			t.Errorf("%s is %q, %v, want %q", given, row.shown, ok, want)
		}
	}
	late, _ := newRow("2026-01-02T03:04:05Z", "a", "b", false)
	early, _ := newRow("2026-01-02T03:04:05Z", "a", "created", true)
	exact, _ := newRow("2026-01-02T03:04:05.5Z", "a", "b", false)
	if !early.at.Before(exact.at) || !exact.at.Before(late.at) {
		t.Errorf("a beginning %s, half a second %s, a whole second %s", early.at, exact.at, late.at)
	}
}
