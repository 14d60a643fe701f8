package alertmanager_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"kubernaut.ai/services/gateway/internal/signal"
	"kubernaut.ai/services/gateway/internal/signaltest"
)

func TestAFiringAlertIsNeverLostBecauseOfItsStart(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		moment, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	for said, test := range map[string]struct {
		start string // empty: the time of receipt is used
		note  string
	}{
		`"2026-09-01T08:00:00Z"`:              {start: "2026-09-01T08:00:00Z"},
		`"2026-09-01T10:00:00.1+02:00"`:       {start: "2026-09-01T08:00:00.1Z"},
		`"2026-09-01t08:00:00z"`:              {start: "2026-09-01T08:00:00Z"},
		`"2026-09-01T08:00:00.123456789012Z"`: {start: "2026-09-01T08:00:00.123456789Z"},
		`"2016-12-31T23:59:60Z"`:              {start: "2017-01-01T00:00:00Z"},
		`"2016-12-31T23:59:60.5Z"`:            {start: "2017-01-01T00:00:00.5Z"},
		`""`:                                  {note: "startsAt is missing"},
		`null`:                                {note: "startsAt is missing"},
		`"0001-01-01T00:00:00Z"`:              {note: "startsAt is not set: 0001-01-01T00:00:00Z"},
		`"2026-12-31T23:59:60Z"`:              {note: "startsAt is in the future: 2026-12-31T23:59:60Z"},
		`"9999-12-31T23:59:59.999999999Z"`:    {note: "startsAt is in the future: 9999-12-31T23:59:59.999999999Z"},
		`"2026-09-01T08:00:00"`:               {note: "startsAt is not an RFC 3339 time: 2026-09-01T08:00:00"},
		`"2026-09-01 08:00:00 +0000 UTC"`:     {note: "startsAt is not an RFC 3339 time: 2026-09-01 08:00:00 +0000 UTC"},
		`1788249600`:                          {note: "startsAt is not an RFC 3339 time: 1788249600"},
		`"` + strings.Repeat("é", 40) + `"`:   {note: "startsAt is not an RFC 3339 time: " + strings.Repeat("é", 31)},
		`{"seconds":1}`:                       {note: `startsAt is not an RFC 3339 time: {"seconds":1}`},
	} {
		t.Run(said, func(t *testing.T) {
			t.Parallel()
			o := parse(t, []byte(strings.Replace(valid, `"2026-11-23T09:35:44Z"`, said, 1))).Observations.At(0)
			if o.Invalid != nil || o.Resolved {
				t.Fatalf("the alert is lost: %+v", o)
			}
			want, firing := time.Time{}, received()
			if test.start != "" {
				want = at(test.start)
				firing = want
			}
			if !o.StartsAt.Equal(want) || !o.Spec.FiringTime.Time.Equal(firing.Truncate(time.Microsecond)) {
				t.Errorf("starts at %v, firing time %v, want %v and %v", o.StartsAt, o.Spec.FiringTime, want, firing)
			}
			if o.StartsAtNote != test.note {
				t.Errorf("note %q, want %q", o.StartsAtNote, test.note)
			}
		})
	}
}

func TestAResolvedAlertIsNotLostBecauseOfItsEnd(t *testing.T) {
	t.Parallel()
	text := `{"version":"4","alerts":[{"status":"resolved","labels":{"alertname":"A"},"endsAt":"soon"}]}`
	if o := parse(t, []byte(text)).Observations.At(0); o.Invalid != nil || !o.Resolved || !o.ResolvedAt.IsZero() {
		t.Errorf("%+v", o)
	}
}

func TestEverySenderOfTheFieldIsUnderstood(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		names    []string
		resolved bool
		source   string
	}{
		"grafana-contact-point-test.json": {names: []string{"TestAlert"}, source: "https://grafana.example/"},
		"v2-api-array.json":               {names: []string{"FromVmalert"}, resolved: true, source: "alertmanager"},
		"null-missing-unknown.json":       {names: []string{"KubePodNotReady"}, source: "http://alertmanager.example:9093"},
		"unicode-and-escapes.json":        {names: []string{"告警-磁盘"}, source: "http://alertmanager.example:9093"}, //nolint:gosmopolitan // as it was sent
		"startsAt-forms.json": {names: []string{
			"Clock0", "Clock1", "Clock2", "Clock3", "Clock4", "Clock5", "Clock6", "Clock7", "Clock8", "Clock9",
		}, source: "http://alertmanager.example:9093"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := parse(t, file(t, "field/"+name))
			names := make([]string, 0, len(test.names))
			for _, o := range all(n) {
				names = append(names, o.Spec.SignalName)
				if o.Invalid != nil || o.Resolved != test.resolved || o.Spec.SignalSource != test.source {
					t.Errorf("%+v", o)
				}
			}
			if !slices.Equal(names, test.names) {
				t.Errorf("alerts %q, want %q", names, test.names)
			}
			signaltest.CheckBounds(t, n)
		})
	}
}

func TestAnAlertOfAnAlertmanagersAPIFiresUntilItEnds(t *testing.T) {
	t.Parallel()
	for end, resolved := range map[string]bool{
		`"2026-11-23T09:40:00Z"`:           false,
		`"2026-11-23T09:36:00.123456789Z"`: true,
		`"2026-11-23T09:35:59Z"`:           true,
		`"0001-01-01T00:00:00Z"`:           false,
		`"never"`:                          false,
		`null`:                             false,
	} {
		text := `[{"labels":{"alertname":"A"},"status":{"state":"active"},"startsAt":"2026-11-23T09:35:44Z","endsAt":` + end + `}]`
		o := parse(t, []byte(text)).Observations.At(0)
		if o.Invalid != nil || o.Resolved != resolved || o.ResolvedAt.IsZero() == resolved {
			t.Errorf("ends at %s: %+v", end, o)
		}
	}
}

func TestBodiesOfOtherSendersNameWhatToChange(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"title":"[Alerting] CPU","ruleId":1,"ruleName":"CPU","state":"alerting","evalMatches":[{"value":1}]}`: "Grafana",
		`{"kind":"Event","apiVersion":"v1","involvedObject":{"kind":"Pod"},"reason":"BackOff"}`:                 "/api/v1/signals/kubernetes-event",
		`{"status":"success","data":{"alerts":[]}}`:                                                             "-notifier.url",
	} {
		_, err := read(strings.NewReader(text), limits())
		var invalid *signal.InvalidError
		if !errors.As(err, &invalid) || !strings.Contains(invalid.Hint, want) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want a hint at %s", text, err, want)
		}
	}
}

func TestLabelsAreReceivedCompletely(t *testing.T) {
	t.Parallel()
	var labels strings.Builder
	for i := range 200 {
		fmt.Fprintf(&labels, `,"l%d":"v"`, i)
	}
	o := parse(t, []byte(strings.Replace(valid, `"A"`, `"A"`+labels.String(), 1))).Observations.At(0)
	if len(o.Labels) != 201 || len(o.Spec.Labels) != signal.MaxPairs {
		t.Errorf("%d labels, of which the spec has %d", len(o.Labels), len(o.Spec.Labels))
	}
	keys := slices.Sorted(maps.Keys(o.Spec.Labels))
	if keys[0] != "alertname" {
		t.Errorf("first label %q", keys[0])
	}
}
