package eventschema_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/services/datastorage/internal/eventschema"
)

const order = `{"type":"object","required":["order"],"properties":{"order":{"type":"string"},"items":{"type":"integer","minimum":1}}}`

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestARegisteredSchemaIsEnforcedForItsTypeOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "shop.order.placed.json", order)
	write(t, dir, "README.md", "not a schema")
	set, err := eventschema.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for data, fits := range map[string]bool{
		`{"order":"7"}`:             true,
		`{"order":"7","items":2}`:   true,
		`{"order":"7","more":true}`: true,
		`{"order":7}`:               false,
		`{"items":2}`:               false,
		`{"order":"7","items":0}`:   false,
	} {
		if err := set.Check("shop.order.placed", []byte(data)); (err == nil) != fits {
			t.Errorf("%s: %v", data, err)
		}
		if err := set.Check("shop.order.canceled", []byte(data)); err != nil {
			t.Errorf("another type with %s: %v", data, err)
		}
	}
	if err := set.Check("shop.order.placed", []byte(`{"items":2}`)); err == nil || !strings.Contains(err.Error(), `"order"`) {
		t.Errorf("the error does not name the missing field: %v", err)
	}
}

func TestThePlatformsSchemasArePublishedAndNotEnforced(t *testing.T) {
	set, err := eventschema.Load("")
	if err != nil {
		t.Fatal(err)
	}
	received := set.Find("gateway.signal.received")
	if received == nil || received.Enforced || len(received.Text) == 0 {
		t.Fatalf("found %+v", received)
	}
	if err := set.Check("gateway.signal.received", []byte(`{}`)); err != nil {
		t.Error(err)
	}
}

func TestAFolderThatCannotBeUsedIsRefused(t *testing.T) {
	for name, tried := range map[string]struct{ file, text, want string }{
		"no JSON":              {"shop.order.placed.json", `{"type":`, "is no JSON Schema"},
		"no object":            {"shop.order.placed.json", `true`, "must be a JSON object"},
		"no event type":        {"order.json", order, "named after the event type"},
		"a type of ours":       {"gateway.signal.received.json", order, "the platform records this type"},
		"a remote reference":   {"shop.order.placed.json", `{"$ref":"https://example.com/schema.json"}`, "without references to other documents"},
		"a broken expression":  {"shop.order.placed.json", `{"properties":{"a":{"type":"string","pattern":"("}}}`, "is no usable JSON Schema"},
		"larger than is taken": {"shop.order.placed.json", `{"description":"` + strings.Repeat("x", 256<<10) + `"}`, "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, tried.file, tried.text)
			if _, err := eventschema.Load(dir); err == nil || !strings.Contains(err.Error(), tried.want) || !strings.Contains(err.Error(), tried.file) {
				t.Errorf("%v, want one that names the file and says %q", err, tried.want)
			}
		})
	}
	if _, err := eventschema.Load(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that does not exist is taken")
	}
}

func TestTheLastUsableSchemasStayInForce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "shop.order.placed.json", order)
	clock := clocktesting.NewFakeClock(time.Now())
	core, logs := observer.New(zap.InfoLevel)
	source, err := eventschema.NewSource(dir, clock, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- source.Run(ctx) }()
	look := func(lines int) {
		t.Helper()
		for logs.Len() < lines {
			if !clock.HasWaiters() {
				continue
			}
			clock.Step(5 * time.Second)
		}
	}
	write(t, dir, "shop.order.placed.json", "{")
	look(1)
	if source.Current().Check("shop.order.placed", []byte(`{}`)) == nil {
		t.Error("the last usable schema is not in force")
	}
	if n := testutil.ToFloat64(only{source, "datastorage_event_schemas_up"}); n != 0 {
		t.Errorf("up is %v", n)
	}
	write(t, dir, "shop.order.placed.json", `{"type":"object"}`)
	look(2)
	if err := source.Current().Check("shop.order.placed", []byte(`{}`)); err != nil {
		t.Errorf("the corrected schema is not in force: %v", err)
	}
	if n := testutil.ToFloat64(only{source, "datastorage_event_schemas_up"}); n != 1 {
		t.Errorf("up is %v", n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The kubelet mounts a ConfigMap as links to a hidden link to a hidden folder, which it replaces.
func TestAMountedConfigMapIsReadAndFollowed(t *testing.T) {
	dir := t.TempDir()
	mount := func(version, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version), "shop.order.placed.json", text)
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	mount("..2026_11_27_1", order)
	if err := os.Symlink("..data/shop.order.placed.json", filepath.Join(dir, "shop.order.placed.json")); err != nil {
		t.Fatal(err)
	}
	source, err := eventschema.NewSource(dir, clocktesting.NewFakeClock(time.Now()), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	empty := []byte(`{}`)
	if source.Current().Check("shop.order.placed", empty) == nil {
		t.Error("the mounted schema is not in force")
	}
	mount("..2026_11_27_2", `{"type":"object"}`)
	if n := testutil.ToFloat64(only{source, "datastorage_event_schemas"}); n != 1 { // looks at the folder, too
		t.Errorf("%v schemas, want 1", n)
	}
	if err := source.Current().Check("shop.order.placed", empty); err != nil {
		t.Errorf("the changed ConfigMap is not in force: %v", err)
	}
}

// only is one metric of a collector.
type only struct {
	prometheus.Collector

	name string
}

func (o only) Collect(to chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric, 2)
	o.Collector.Collect(all)
	close(all)
	for m := range all {
		if strings.Contains(m.Desc().String(), `"`+o.name+`"`) {
			to <- m
		}
	}
}
