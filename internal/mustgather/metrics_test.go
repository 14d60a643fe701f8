package mustgather

import "testing"

func TestControlListenersAreAskedWhenThereIsSomethingToTell(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"audit_accepted_total 7\naudit_sink_up 1\naudit_pending_events 0\n":             false,
		"datastorage_database_up 0\n":                                                   false,
		"audit_sink_up 0\n":                                                             true,
		"audit_sink_up 1\naudit_pending_events 1\n":                                     true,
		"audit_sink_up 1\naudit_rejected_total{code=\"a\"} 0\naudit_lost_total 2\n":     true,
		"audit_sink_up 1\naudit_unacknowledged_events 1\n":                              true,
		"audit_sink_up 1\naudit_spilled_events 3\naudit_rejected_total{code=\"a\"} 0\n": true,
	} {
		families, err := parseMetrics(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := holds(families); got != want {
			t.Errorf("%q: got %t, want %t", text, got, want)
		}
	}
}
