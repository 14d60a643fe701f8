package httpapi //nolint:testpackage // the message has no other way out

import "testing"

func TestTheMessageCountsNewAndRepeatedEventsApart(t *testing.T) {
	t.Parallel()
	for want, counts := range map[string]tally{
		"1 event stored": {created: 1}, "1000 events stored": {created: 1000}, "0 events stored, 2 stored before": {duplicates: 2},
		"998 events stored, 1 stored before": {created: 998, duplicates: 1},
	} {
		if got := counts.message(); got != want {
			t.Errorf("%+v: got %q, want %q", counts, got, want)
		}
	}
}
