package alertmanager_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"kubernaut.ai/services/gateway/internal/alertmanager"
	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/signal"
	"kubernaut.ai/services/gateway/internal/signaltest"
)

const usable = `{"status":"firing","labels":{"alertname":"A"}}`

// repeated is a body of alerts, followed by the fields that real senders send last.
func repeated(alert string, count int) string {
	return `{"alerts":[` + alert + strings.Repeat(`,`+alert, count-1) + `],"externalURL":"http://am","version":"4"}`
}

func TestEveryUsableAlertWithinTheBoundsIsTaken(t *testing.T) {
	t.Parallel()
	l := body.Limits{Bytes: 1 << 20, Signals: 100, Blank: 64 << 10}
	big := strings.Replace(usable, `"A"`, `"A","x":"`+strings.Repeat("x", 100<<10)+`"`, 1)
	for name, test := range map[string]struct {
		text     string
		taken    int
		unlisted int
		beyond   signal.Beyond
	}{
		"exactly as many":            {repeated(usable, 100), 100, 0, signal.Beyond{}},
		"more":                       {repeated(usable, 103), 100, 0, signal.Beyond{Signals: 3}},
		"more bytes":                 {repeated(big, 12), 10, 0, signal.Beyond{Signals: 2}},
		"far more bytes":             {repeated(big, 60), 10, 0, signal.Beyond{Signals: 30, Cut: true}},
		"unusable ones do not count": {strings.Replace(repeated(usable, 100), `[`, `[{},`, 1), 101, 0, signal.Beyond{}},
		"complaints end":             {strings.Replace(repeated(usable, 10), `[`, `[`+strings.Repeat(`{},`, 50), 1), 26, 34, signal.Beyond{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, err := read(strings.NewReader(test.text), l)
			if err != nil {
				t.Fatal(err)
			}
			if n.Beyond.Cut { // how far the decoder reads ahead is not promised
				n.Beyond.Signals = min(n.Beyond.Signals, test.beyond.Signals)
			}
			if n.Observations.Len() != test.taken || n.Beyond != test.beyond || n.Unlisted != test.unlisted {
				t.Errorf("took %d and left %+v, %d unlisted; want %d, %+v and %d",
					n.Observations.Len(), n.Beyond, n.Unlisted, test.taken, test.beyond, test.unlisted)
			}
			if last := n.Observations.At(n.Observations.Len() - 1); !n.Beyond.Cut && last.Spec.SignalSource != "http://am" {
				t.Errorf("source %q, want the one behind the alerts", last.Spec.SignalSource)
			}
		})
	}
}

func TestALargeBodyNeedsAUsableAlertInItsFirstMebibyte(t *testing.T) {
	t.Parallel()
	blank := strings.Repeat(`{},`, 400_000)
	for name, test := range map[string]struct {
		text     string
		tooLarge bool
		usable   bool
	}{
		"small, without one":     {repeated(`{}`, 1000), false, false},
		"large, without one":     {repeated(`{}`, 1_400_000), true, false},
		"large, with a late one": {strings.Replace(repeated(usable, 1), `[`, `[`+blank, 1), true, false},
		"large, with one":        {strings.Replace(repeated(usable, 1), `[`, `[`+usable+`,`+blank, 1), false, true},
		"a large first alert":    {repeated(strings.Replace(usable, `"A"`, `"A","x":"`+strings.Repeat("x", 2<<20)+`"`, 1), 1), false, true},
		"a large other field":    {`{"x":"` + strings.Repeat("x", 2<<20) + `",` + repeated(usable, 1)[1:], true, false},
		"an endless text":        {`{"x":"` + strings.Repeat("x", 17<<20) + `",` + repeated(usable, 1)[1:], true, false},
		"endless space":          {strings.Repeat(" ", 17<<20), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, err := read(strings.NewReader(test.text), limits())
			if test.usable {
				if err != nil || n.Observations.Len() == 0 {
					t.Errorf("not usable: %v", err)
				}
				return
			}
			var invalid *signal.InvalidError
			if !errors.As(err, &invalid) || invalid.TooLarge != test.tooLarge || len(invalid.Fields) == 0 || len(invalid.Fields) > signal.MaxComplaints+1 {
				t.Errorf("error %v, want too large %v and at most %d fields", err, test.tooLarge, signal.MaxComplaints+1)
			}
		})
	}
}

func TestAMillionEmptyAlertsCostLittle(t *testing.T) {
	text := `{"alerts":[{}` + strings.Repeat(`,{}`, 1_400_000-1) + `]}`
	allocated := signaltest.AllocatedBytes(func() {
		if _, err := read(strings.NewReader(text), limits()); err == nil {
			t.Error("accepted a body without a usable alert")
		}
	})
	// One that is usable, and the others after it.
	text = `{"version":"4","alerts":[` + usable + strings.Repeat(`,{}`, 1_400_000-1) + `]}`
	allocated += signaltest.AllocatedBytes(func() {
		n, err := read(strings.NewReader(text), limits())
		if err != nil || n.Unlisted != 1_400_000-1-16 {
			t.Errorf("%d unlisted, error %v", n.Unlisted, err)
		}
	})
	if allocated > 1<<20 {
		t.Errorf("allocated %d bytes", allocated)
	}
}

func TestErrorsOfReadingAreNotTheSendersMistake(t *testing.T) {
	t.Parallel()
	text := repeated(usable, 2000)
	away := errors.New("connection reset")
	b := body.NewReader(io.MultiReader(strings.NewReader(text[:1000]), iotest.ErrReader(away)), func(int64) error { return nil }, limits())
	var broken *body.ConnectionError
	if _, err := alertmanager.Parse(b, received()); !errors.As(err, &broken) || !errors.Is(err, away) {
		t.Errorf("error %v, want that of the connection", err)
	}
	full := errors.New("no memory left")
	taken := int64(0)
	b = body.NewReader(bytes.NewReader([]byte(text)), func(n int64) error {
		if taken += n; taken > 64<<10 {
			return full
		}
		return nil
	}, limits())
	var denied *body.MemoryError
	if _, err := alertmanager.Parse(b, received()); !errors.As(err, &denied) || !errors.Is(err, full) {
		t.Errorf("error %v, want that there is no memory left", err)
	}
}
