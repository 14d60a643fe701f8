package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// recorderFunc is a Recorder.
type recorderFunc func(context.Context, *audit.Event) error

func (f recorderFunc) Record(ctx context.Context, e *audit.Event) error { return f(ctx, e) }

// filled is an event of which no field is zero, but for those that identify it.
func filled(text string) audit.Event {
	return audit.Event{
		Version: text, Type: text, Category: text, Action: text, Outcome: audit.Outcome(text), CorrelationID: text,
		Data: json.RawMessage(`{"from":"` + text + `"}`), ActorType: text, ActorID: text, ActorIP: text,
		ResourceType: text, ResourceID: text, Namespace: text, ClusterID: text, Severity: text,
		ErrorCode: text, ErrorMessage: text, RetentionDays: int32(len(text)), Sensitive: true,
	}
}

func TestDefaultsCompleteAnEvent(t *testing.T) {
	var recorded audit.Event
	failure := errors.New("store is closed")
	recorder := recorderFunc(func(_ context.Context, e *audit.Event) error {
		recorded = *e
		return failure
	})
	common := filled("common")
	defaults, err := audit.NewDefaults(recorder, common)
	if err != nil {
		t.Fatal(err)
	}
	common.Data[2] = 'X' // the defaults have their own copy

	var given audit.Event
	if err := defaults.Record(t.Context(), &given); !errors.Is(err, failure) {
		t.Errorf("record: %v, want %v", err, failure)
	}
	if want := filled("common"); !reflect.DeepEqual(recorded, want) || !reflect.DeepEqual(given, audit.Event{}) {
		t.Errorf("recorded %+v of %+v, want %+v of an empty one", recorded, given, want)
	}
	identified := map[string]bool{"ID": true, "Timestamp": true, "ParentID": true, "Duration": true, "Producer": true}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[audit.Event]()) {
		if value := reflect.ValueOf(recorded).FieldByIndex(field.Index); value.IsZero() != identified[field.Name] {
			t.Errorf("%s is %v: fields of Event and defaults differ", field.Name, value)
		}
	}

	given = filled("event")
	took := time.Second
	given.ID, given.Timestamp, given.Duration = uuid.UUID{1}, audittest.Epoch(), &took
	_ = defaults.Record(t.Context(), &given)
	if !reflect.DeepEqual(recorded, given) {
		t.Errorf("recorded %+v, want the event itself %+v", recorded, given)
	}
}

func TestDefaultsMarshalAPayload(t *testing.T) {
	store, sink, _ := audittest.NewStore(t)
	defaults, err := audit.NewDefaults(store, *audittest.NewEvent("shop.order.shipped", "order-7"))
	if err != nil {
		t.Fatal(err)
	}
	type shipment struct {
		Carrier string `json:"carrier"`
	}
	event := audit.Event{ActorID: "clerk"}
	if err := defaults.RecordData(t.Context(), &event, shipment{Carrier: "post"}); err != nil {
		t.Fatal(err)
	}
	if err := defaults.RecordData(t.Context(), &event, func() {}); err == nil || !strings.Contains(err.Error(), "marshal data") {
		t.Errorf("record a function: %v, want an error", err)
	}
	if err := defaults.RecordData(t.Context(), &event, []int{1}); err == nil {
		t.Error("a payload that is no object was recorded")
	}
	if _, err := store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	events := sink.EventsOf("order-7")
	if len(events) != 1 || string(events[0].Data) != `{"carrier":"post"}` || events[0].ActorID != "clerk" || event.Data != nil {
		t.Errorf("stored %+v of %+v", events, event)
	}
}

func TestDefaultsThatCannotBe(t *testing.T) {
	store, _, _ := audittest.NewStore(t)
	took := time.Second
	for name, common := range map[string]audit.Event{
		"id":        {ID: uuid.UUID{1}},
		"timestamp": {Timestamp: audittest.Epoch()},
		"parent id": {ParentID: uuid.UUID{1}},
		"duration":  {Duration: &took},
		"producer":  {Producer: audit.Producer{ID: "p"}},
	} {
		if _, err := audit.NewDefaults(store, common); err == nil {
			t.Errorf("%s is a default", name)
		}
	}
	if _, err := audit.NewDefaults(nil, audit.Event{}); err == nil {
		t.Error("a nil recorder was taken")
	}
}

// What all events of a component have in common is said once.
func ExampleDefaults() {
	ctx := context.Background()
	sink := audittest.NewMemorySink()
	store, err := audit.New(sink)
	if err != nil {
		fmt.Println(err)
		return
	}
	events, err := audit.NewDefaults(store, audit.Event{
		Category: "shop", Outcome: audit.OutcomeSuccess, ActorType: "service", ActorID: "shop-7",
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	err = events.RecordData(ctx, &audit.Event{Type: "shop.order.shipped", Action: "shipped", CorrelationID: "order-7"},
		struct {
			Carrier string `json:"carrier"`
		}{"post"})
	fmt.Println(err, store.Close(ctx))
	for _, e := range sink.EventsOf("order-7") {
		fmt.Println(e.Type, e.Category, e.Outcome, e.ActorID, string(e.Data))
	}
	// Output:
	// <nil> <nil>
	// shop.order.shipped shop success shop-7 {"carrier":"post"}
}
