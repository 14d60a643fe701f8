package spool_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
)

// complete makes an event of which every field has its own value, also
// those that are added one day.
func complete(t *testing.T) audit.Event {
	t.Helper()
	var event audit.Event
	fill(t, reflect.ValueOf(&event).Elem(), "event")
	return event
}

func fill(t *testing.T, v reflect.Value, name string) {
	t.Helper()
	duration := 90 * time.Millisecond
	switch v.Interface().(type) {
	case uuid.UUID:
		v.Set(reflect.ValueOf(uuid.NewSHA1(uuid.NameSpaceURL, []byte(name))))
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)))
	case json.RawMessage:
		v.Set(reflect.ValueOf(json.RawMessage(`{"a":[1,2.50,"<ü>"]}`)))
	case *time.Duration:
		v.Set(reflect.ValueOf(&duration))
	default:
		switch v.Kind() { //nolint:exhaustive // the default fails the test
		case reflect.String:
			v.SetString(name)
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int32, reflect.Int64:
			v.SetInt(int64(len(name)))
		case reflect.Uint64:
			v.SetUint(1<<63 + uint64(len(name)))
		case reflect.Struct:
			for i := range v.NumField() {
				fill(t, v.Field(i), fmt.Sprintf("%s.%s", name, v.Type().Field(i).Name))
			}
		default:
			t.Fatalf("%s: kind %v", name, v.Kind())
		}
	}
}
