package trial_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"testing"

	"kubernaut.ai/services/gateway/internal/target/rules"
	"kubernaut.ai/services/gateway/internal/target/trial"
)

// The bar: at least this many right, none wrong, and in each class at least minPercent right.
const (
	minRight   = 205
	minPercent = 90
)

// score counts the verdicts of a class of alerts.
type score map[trial.Verdict]int

func (s score) String() string {
	return fmt.Sprintf("%d right %d abstained %d wrong %d", s.total(), s[trial.Right], s[trial.Abstained], s[trial.Wrong])
}

func (s score) total() int { return s[trial.Right] + s[trial.Abstained] + s[trial.Wrong] }

// fieldAlerts reads the alerts that widespread alerting rules send.
func fieldAlerts(t *testing.T) []trial.Alert {
	t.Helper()
	file, err := os.Open("testdata/alerts.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := trial.Read(content)
	if err != nil {
		t.Fatal(err)
	}
	return alerts
}

// make test-unit prints the lines that begin with "field alerts".
func TestFieldAlertsResolveToTheirTargets(t *testing.T) {
	t.Parallel()
	set, err := rules.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	results, err := trial.Run(t.Context(), set, fieldAlerts(t))
	if err != nil {
		t.Fatal(err)
	}
	all, classes := score{}, map[string]score{}
	for _, r := range results {
		if classes[r.Difficulty] == nil {
			classes[r.Difficulty] = score{}
		}
		all[r.Verdict]++
		classes[r.Difficulty][r.Verdict]++
		if r.Verdict != trial.Right {
			t.Logf("%s %s: %s, rule %s, got %+v, want %+v", r.ID, r.Name, r.Verdict, r.Rule, r.Resolution.Target, *r.Alert.Target)
		}
		for _, f := range r.Failures {
			t.Errorf("%s %s: rule %s: %v", r.ID, r.Name, f.Rule, f.Err)
		}
	}
	fmt.Fprintf(os.Stdout, "field alerts %v\n", all)
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		fmt.Fprintf(os.Stdout, "field alerts %s %v\n", class, classes[class])
		if s := classes[class]; s[trial.Right]*100 < s.total()*minPercent {
			t.Errorf("%s: %v, want %d %% right", class, s, minPercent)
		}
	}
	if all[trial.Right] < minRight || all[trial.Wrong] > 0 || all.total() != len(results) {
		t.Errorf("%d alerts: %v, want at least %d right and none wrong", len(results), all, minRight)
	}
}
