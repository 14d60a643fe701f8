package ratio_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"kubernaut.ai/bench/ratio"
)

func TestReportPrintsALineForEachBarAndNamesTheMissed(t *testing.T) {
	tests := map[string]struct {
		measure func(*ratio.Report)
		line    string
		missed  bool
	}{
		"below an upper bound":               {func(r *ratio.Report) { r.AtMost("x", 1.5, 2) }, "ratio x 1.50 bar <= 2", false},
		"at an upper bound":                  {func(r *ratio.Report) { r.AtMost("x", 2, 2) }, "ratio x 2.00 bar <= 2", false},
		"hardly above an upper bound":        {func(r *ratio.Report) { r.AtMost("x", 2.0001, 2) }, "ratio x 2.01 bar <= 2", true},
		"above a lower bound":                {func(r *ratio.Report) { r.AtLeast("x", 250000.4, 200000) }, "ratio x 250000.40 bar >= 200000", false},
		"at a lower bound":                   {func(r *ratio.Report) { r.AtLeast("x", 0.5, 0.5) }, "ratio x 0.50 bar >= 0.5", false},
		"hardly below a lower bound":         {func(r *ratio.Report) { r.AtLeast("x", 0.9999, 1) }, "ratio x 0.99 bar >= 1", true},
		"hundredths that have no exact form": {func(r *ratio.Report) { r.AtMost("x", 2.3, 3) }, "ratio x 2.30 bar <= 3", false},
		"no number under an upper bound":     {func(r *ratio.Report) { r.AtMost("x", math.NaN(), 2) }, "ratio x NaN bar <= 2", true},
		"excused, and missed":                {func(r *ratio.Report) { r.Excused("x", 0.789, 1, "so it is") }, "ratio x 0.78 bar >= 1 (missed: so it is)", false},
		"excused, and met":                   {func(r *ratio.Report) { r.Excused("x", 1, 1, "so it is") }, "ratio x 1.00 bar >= 1", false},
		"no number over a lower bound":       {func(r *ratio.Report) { r.AtLeast("x", math.NaN(), 2) }, "ratio x NaN bar >= 2", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			report := ratio.NewReport(&out)
			report.AtMost("met", 0, 1)
			test.measure(report)
			if want := "ratio met 0.00 bar <= 1\n" + test.line + "\n"; out.String() != want {
				t.Errorf("printed %q, want %q", out.String(), want)
			}
			err := report.Err()
			if test.missed && (err == nil || err.Error() != "bars missed: x") || !test.missed && err != nil {
				t.Errorf("error %v, missed %v", err, test.missed)
			}
		})
	}
}

func TestFiguresStandApartFromBars(t *testing.T) {
	var out strings.Builder
	ratio.NewReport(&out).Figuref("%d events/s", 7)
	if out.String() != "  7 events/s\n" {
		t.Errorf("printed %q", out.String())
	}
}

func TestCompareTakesTurnsAndTheMedians(t *testing.T) {
	var order strings.Builder
	trial := func(name string, rates ...float64) ratio.Trial {
		return func() (float64, error) {
			order.WriteString(name)
			rate := rates[0]
			rates = rates[1:]
			return rate, nil
		}
	}
	got, err := ratio.Compare(3, trial("o", 999, 10, 30, 20), trial("p", 1, 10, 10, 10))
	if err != nil {
		t.Fatal(err)
	}
	if want := (ratio.Comparison{Ours: 20, Peer: 10, Ratio: 2, Lowest: 1, Highest: 3}); got != want {
		t.Errorf("compared %+v, want %+v", got, want)
	}
	if order.String() != "oppooppo" {
		t.Errorf("order %s, want oppooppo", order.String())
	}
}

func TestCompareEndsWithTheFirstError(t *testing.T) {
	broken := errors.New("broken")
	fine := func() (float64, error) { return 1, nil }
	if _, err := ratio.Compare(1, fine, func() (float64, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if _, err := ratio.Compare(0, fine, fine); err == nil {
		t.Error("compared no pairs")
	}
}

func TestMedian(t *testing.T) {
	tests := map[string]struct {
		values []float64
		want   float64
	}{
		"none": {nil, 0},
		"one":  {[]float64{4}, 4},
		"odd":  {[]float64{9, 1, 5}, 5},
		"even": {[]float64{9, 1, 5, 7}, 6},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ratio.Median(test.values); got != test.want {
				t.Errorf("median %v, want %v", got, test.want)
			}
		})
	}
}

func TestScale(t *testing.T) {
	for text, want := range map[string]ratio.Scale{"": ratio.Small, "small": ratio.Small, "full": ratio.Full} {
		got, err := ratio.ParseScale(text)
		if err != nil || got != want {
			t.Errorf("scale %q: %v, %v, want %v", text, got, err, want)
		}
	}
	if _, err := ratio.ParseScale("huge"); err == nil {
		t.Error("scale huge was taken")
	}
	if ratio.Small.Pick(1, 2) != 1 || ratio.Full.Pick(1, 2) != 2 {
		t.Error("picked the other size")
	}
}
