package kubernetesevent_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/kubernetesevent"
	"kubernaut.ai/services/gateway/internal/signal"
	"kubernaut.ai/services/gateway/internal/signaltest"
)

func file(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func read(text string) (*signal.Notification, error) {
	return signaltest.Read(kubernetesevent.Parse, strings.NewReader(text), signaltest.Limits())
}

func parse(t *testing.T, text string) signal.Observation {
	t.Helper()
	n, err := read(text)
	if err != nil {
		t.Fatal(err)
	}
	if n.Source != "kubernetes-event" || n.Observations.Len() != 1 {
		t.Fatalf("%+v", n)
	}
	signaltest.CheckBounds(t, n)
	return n.Observations.At(0)
}

func TestRealEventsAreUnderstood(t *testing.T) {
	t.Parallel()
	type want struct {
		name, source, severity, message string
		target                          v1alpha1.TargetResource
		start                           time.Time
	}
	for name, test := range map[string]want{
		"core-v1.json": {
			"BackOff", "kubelet", "warning", "Back-off restarting failed container",
			v1alpha1.TargetResource{APIVersion: "v1", Kind: "Pod", Namespace: "prod-payments", Name: "checkout-7d9c6b5c4-x2x9z"},
			time.Date(2026, 11, 23, 9, 20, 0, 0, time.UTC),
		},
		"events-v1.json": {
			"ProvisioningFailed", "persistentvolume-controller", "warning", "storageclass",
			v1alpha1.TargetResource{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "shop", Name: "data-db-0"},
			time.Date(2026, 11, 23, 9, 30, 0, 123_456_000, time.UTC),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := parse(t, file(t, name))
			message := o.Spec.Annotations["message"]
			got := want{o.Spec.SignalName, o.Spec.SignalSource, o.Spec.Severity, test.message, *o.Target, o.StartsAt}
			if got != test || !strings.Contains(message, test.message) || o.StartsAtNote != "" || o.Resolved {
				t.Errorf("%+v with message %q and note %q, want %+v", got, message, o.StartsAtNote, test)
			}
			if o.Spec.SignalType != v1alpha1.SignalTypeKubernetesEvent || o.Spec.TargetResource != (v1alpha1.TargetResource{}) {
				t.Errorf("spec %+v", o.Spec)
			}
			if o.Labels["name"] != test.target.Name || o.Labels["reason"] != test.name || len(o.Labels) != 6 {
				t.Errorf("labels %v", o.Labels)
			}
		})
	}
}

func TestARepeatedEventIsTheSameInstance(t *testing.T) {
	t.Parallel()
	text := file(t, "core-v1.json")
	first := parse(t, text)
	again := parse(t, strings.Replace(strings.Replace(text, `"count": 71`, `"count": 72`, 1), "09:35:44Z", "09:40:44Z", 1))
	if !maps.Equal(first.Labels, again.Labels) || !first.StartsAt.Equal(again.StartsAt) {
		t.Errorf("labels %v and %v", first.Labels, again.Labels)
	}
}

func TestAnEventNeedsNoTypeMetaAndNoTime(t *testing.T) {
	t.Parallel()
	o := parse(t, `{"involvedObject":{"kind":"Node","name":"n1"},"reason":"NodeNotReady","firstTimestamp":null}`)
	if *o.Target != (v1alpha1.TargetResource{Kind: "Node", Name: "n1"}) || o.StartsAtNote != "firstTimestamp is missing" {
		t.Errorf("%+v", o)
	}
	if !o.Spec.FiringTime.Time.Equal(signaltest.ReceivedAt().Truncate(time.Microsecond)) || !o.StartsAt.IsZero() {
		t.Errorf("firing time %v", o.Spec.FiringTime)
	}
}

func TestUnusableBodiesNameTheirFields(t *testing.T) {
	t.Parallel()
	for text, fields := range map[string][]string{
		``:                           {"body"},
		`event!`:                     {"body"},
		`{} {}`:                      {"body"},
		`[]`:                         {"body"},
		`{}`:                         {"involvedObject", "reason"},
		`{"kind":"Pod"}`:             {"involvedObject", "kind", "reason"},
		`{"reason":1}`:               {"reason"},
		`{"kind":"List","items":[]}`: {"involvedObject", "kind", "reason"},
		`{"reason":" ","regarding":{"kind":"Pod"}}`:                                                {"reason", "regarding.name"},
		`{"reason":"A","involvedObject":{"kind":"` + strings.Repeat("K", 64) + `","name":"n"}}`:    {"involvedObject.kind"},
		`{"reason":"` + strings.Repeat("R", 254) + `","involvedObject":{"kind":"Pod","name":"n"}}`: {"reason"},
		`{"reason":"A","involvedObject":{"kind":"Pod","name":"` + strings.Repeat("n", 254) + `"}}`: {"involvedObject.name"},
	} {
		_, err := read(text)
		var invalid *signal.InvalidError
		if !errors.As(err, &invalid) || !slices.Equal(slices.Sorted(maps.Keys(invalid.Fields)), fields) {
			t.Errorf("%.60s: error %v, want fields %v", text, err, fields)
		}
		if strings.Contains(text, "List") && !strings.Contains(err.Error(), "one by one") {
			t.Errorf("%s: error %v has no hint", text, err)
		}
	}
}
