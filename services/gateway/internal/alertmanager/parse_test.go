package alertmanager_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/alertmanager"
	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/signal"
	"kubernaut.ai/services/gateway/internal/signaltest"
)

func received() time.Time { return signaltest.ReceivedAt() }

func limits() body.Limits { return signaltest.Limits() }

func read(text io.Reader, l body.Limits) (*signal.Notification, error) {
	return signaltest.Read(alertmanager.Parse, text, l)
}

func all(n *signal.Notification) []signal.Observation { return signaltest.All(n) }

func file(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func parse(t *testing.T, text []byte) *signal.Notification {
	t.Helper()
	n, err := read(bytes.NewReader(text), limits())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRealBodiesAreUnderstood(t *testing.T) {
	t.Parallel()
	type want struct {
		name, severity string
		cluster        string
		resolved       bool
	}
	tests := map[string]struct {
		truncated uint64
		want      []want
	}{
		"one-firing.json": {want: []want{
			{
				"KubePodCrashLooping", "critical",
				"prod-eu-1", false,
			},
		}},
		"group-of-three.json": {want: []want{
			{
				"KubeDeploymentReplicasMismatch", "Sev2",
				"", false,
			},
			{
				"KubeDeploymentReplicasMismatch", "warning",
				"", false,
			},
			{
				"KubeDeploymentReplicasMismatch", "warning",
				"", false,
			},
		}},
		"resolved-and-firing.json": {want: []want{
			{
				"KubePodCrashLooping", "critical",
				"prod-eu-1", true,
			},
			{
				"KubePodCrashLooping", "critical",
				"", false,
			},
		}},
		"truncated.json": {truncated: 1, want: []want{
			{"KubeNodeUnreachable", "critical", "", false},
			{"KubeNodeUnreachable", "critical", "", false},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := parse(t, file(t, name))
			if n.Truncated != test.truncated {
				t.Errorf("truncated %d, want %d", n.Truncated, test.truncated)
			}
			observations := all(n)
			if len(observations) != len(test.want) {
				t.Fatalf("%d observations, want %d", len(observations), len(test.want))
			}
			for i, w := range test.want {
				o := observations[i]
				got := want{o.Spec.SignalName, o.Spec.Severity, o.Cluster, o.Resolved}
				if o.Target != nil || o.Spec.TargetResource != (v1alpha1.TargetResource{}) {
					t.Errorf("observation %d has a target, which the cluster's state decides", i)
				}
				if got != w {
					t.Errorf("observation %d: got %+v, want %+v", i, got, w)
				}
				if o.Resolved == o.ResolvedAt.IsZero() {
					t.Errorf("observation %d: resolved %v but ends at %v", i, o.Resolved, o.ResolvedAt)
				}
			}
		})
	}
}

func TestTheSpecKeepsWhatTheAlertSaid(t *testing.T) {
	t.Parallel()
	spec := parse(t, file(t, "one-firing.json")).Observations.At(0).Spec
	if got, want := spec.SignalSource, "http://alertmanager.example:9093"; got != want {
		t.Errorf("source %q, want %q", got, want)
	}
	if got, want := spec.FiringTime.UTC(), time.Date(2026, 11, 23, 9, 35, 44, 394_726_000, time.UTC); !got.Equal(want) {
		t.Errorf("firing time %v, want %v in microseconds", got, want)
	}
	if got, want := spec.ReceivedTime.UTC(), received().Truncate(time.Microsecond); !got.Equal(want) {
		t.Errorf("received time %v, want %v", got, want)
	}
	if got, want := spec.Labels["container"], "checkout"; got != want {
		t.Errorf("label container %q, want %q", got, want)
	}
	if spec.Annotations["runbook_url"] == "" {
		t.Error("the runbook annotation is lost")
	}
	if !json.Valid([]byte(spec.OriginalPayload)) || !strings.Contains(spec.OriginalPayload, "31148f516686f4f6") {
		t.Errorf("original payload %q", spec.OriginalPayload)
	}
	var provided map[string]any
	if err := json.Unmarshal([]byte(spec.ProviderData), &provided); err != nil || provided["receiver"] != "one" {
		t.Errorf("provider data %q: %v", spec.ProviderData, err)
	}
}

const valid = `{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"A"},"startsAt":"2026-11-23T09:35:44Z"}]}`

func TestUnusableBodiesNameTheirFields(t *testing.T) {
	t.Parallel()
	only := func(alert string) string { return `{"version":"4","alerts":[` + alert + `]}` }
	tests := map[string]struct {
		body   string
		fields []string
	}{
		"empty":                     {``, []string{"body"}},
		"not json":                  {`alert!`, []string{"body"}},
		"cut off":                   {valid[:40], []string{"body"}},
		"not an object":             {`"x"`, []string{"body"}},
		"an empty array":            {`[]`, []string{"alerts"}},
		"null":                      {`null`, []string{"body"}},
		"more after the document":   {valid + `{}`, []string{"body"}},
		"older format":              {strings.Replace(valid, `"4"`, `"3"`, 1), []string{"version"}},
		"version of a wrong type":   {strings.Replace(valid, `"4"`, `4`, 1), []string{"version"}},
		"no alerts":                 {`{"version":"4","alerts":[]}`, []string{"alerts"}},
		"alerts of a wrong type":    {`{"version":"4","alerts":"x"}`, []string{"alerts"}},
		"negative truncated":        {strings.Replace(valid, `{`, `{"truncatedAlerts":-1,`, 1), []string{"truncatedAlerts"}},
		"null alert":                {only(`null`), []string{"alerts[0].labels.alertname", "alerts[0].status"}},
		"no labels":                 {only(`{"status":"firing","startsAt":"2026-11-23T09:35:44Z"}`), []string{"alerts[0].labels.alertname"}},
		"blank alertname":           {strings.Replace(valid, `"A"`, `" "`, 1), []string{"alerts[0].labels.alertname"}},
		"long alertname":            {strings.Replace(valid, `"A"`, `"`+strings.Repeat("A", 254)+`"`, 1), []string{"alerts[0].labels.alertname"}},
		"alertname of a wrong type": {strings.Replace(valid, `"A"`, `1`, 1), []string{"alerts[0].labels.alertname"}},
		"unknown status":            {strings.Replace(valid, `firing`, `pending`, 1), []string{"alerts[0].status"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, err := read(strings.NewReader(test.body), limits())
			var invalid *signal.InvalidError
			if !errors.As(err, &invalid) || n != nil {
				t.Fatalf("got %v, %v; want an InvalidError and nothing else", n, err)
			}
			for _, field := range test.fields {
				if invalid.Fields[field] == "" {
					t.Errorf("field %s is not named in %v", field, invalid.Fields)
				}
			}
			if len(invalid.Fields) != len(test.fields) {
				t.Errorf("fields %v, want %v", invalid.Fields, test.fields)
			}
		})
	}
}

func TestOneUnusableAlertDoesNotTakeTheOthersWithIt(t *testing.T) {
	t.Parallel()
	for bad, field := range map[string]string{`{"status":"firing"}`: "alerts[1].labels.alertname", `"alert"`: "alerts[1]"} {
		n := all(parse(t, []byte(strings.Replace(valid, `"}]}`, `"},`+bad+`]}`, 1))))
		if len(n) != 2 || n[0].Invalid != nil || n[0].Spec.SignalName != "A" {
			t.Fatalf("observations %+v", n)
		}
		if invalid := n[1].Invalid; invalid == nil || invalid.Fields[field] == "" {
			t.Errorf("%s: %v does not name %s", bad, invalid, field)
		}
	}
}

func TestABodyThatIsWrongEverywhereGetsABoundedAnswer(t *testing.T) {
	t.Parallel()
	text := `{"version":"4","alerts":[{}` + strings.Repeat(`,{}`, 10_000) + `]}`
	_, err := read(strings.NewReader(text), limits())
	var invalid *signal.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	if len(invalid.Fields) > 33 || invalid.Fields["..."] == "" {
		t.Errorf("%d fields, the rest as %q", len(invalid.Fields), invalid.Fields["..."])
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	t.Parallel()
	text := strings.Replace(valid, `{"version"`, `{"invented":{"later":[1]},"version"`, 1)
	text = strings.Replace(text, `"status"`, `"alsoInvented":true,"status"`, 1)
	if n := parse(t, []byte(text)); n.Observations.Len() != 1 {
		t.Errorf("%d observations, want 1", n.Observations.Len())
	}
}

func TestWhatSourcesSendIsBounded(t *testing.T) {
	t.Parallel()
	labels := map[string]string{"alertname": "A", "zero": "a\x00b", "severity": strings.Repeat("é", 63)}
	for i := range 150 {
		labels["label_"+strings.Repeat("x", 2*i)] = strings.Repeat("ü", 20*i)
	}
	text, err := json.Marshal(map[string]any{
		"version": "4", "groupKey": strings.Repeat("k", 40_000), "groupLabels": labels,
		"alerts": []any{map[string]any{
			"status": "firing", "labels": labels, "annotations": labels, "startsAt": "2026-11-23T09:35:44Z",
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	signaltest.CheckBounds(t, parse(t, text))
}
