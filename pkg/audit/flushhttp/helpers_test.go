package flushhttp_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
)

func record(t *testing.T, store *audit.Store, e *audit.Event) {
	t.Helper()
	if err := store.Record(t.Context(), e); err != nil {
		t.Errorf("record: %v", err)
	}
}

// acknowledge expects the store to have failures with each of the ids.
func acknowledge(t *testing.T, store *audit.Store, ids ...uuid.UUID) {
	t.Helper()
	if n, err := store.Acknowledge(ids...); err != nil || n != len(ids) {
		t.Errorf("acknowledge: %d, %v, want %d", n, err, len(ids))
	}
}

// quarantined lists the store's quarantine.
func quarantined(t *testing.T, store *audit.Store) []audit.Quarantined {
	t.Helper()
	list, err := store.Quarantine()
	if err != nil {
		t.Fatalf("list quarantine: %v", err)
	}
	return list
}

func asFlushError(t *testing.T, err error) *audit.FlushError {
	t.Helper()
	var e *audit.FlushError
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want a *FlushError", err)
	}
	return e
}

// rejectType makes a sink refuse, by name, the events of a type.
func rejectType(eventType string) func(audit.Event) error {
	return func(e audit.Event) error {
		if e.Type == eventType {
			return errors.New("not wanted")
		}
		return nil
	}
}
