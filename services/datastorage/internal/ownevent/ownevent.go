// Package ownevent makes the events that DataStorage records itself. No client can
// write events of their types, or under their recorder's name.
package ownevent

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/event"
)

// RecordedBy is the caller of these events. No authenticated caller has this name.
const RecordedBy = "kubernaut:datastorage"

// Category of events about who did what with the trail.
const Category = "security"

// Event is what differs between these events.
type Event struct {
	ID            uuid.UUID
	Type, Action  string
	At            time.Time
	Outcome       audit.Outcome
	CorrelationID string
	// ActorType and ActorID say who asked for it.
	ActorType, ActorID string
	// ResourceType and ResourceID, optional, say what it was done to.
	ResourceType, ResourceID string
	// Data is encoded as event_data.
	Data any
	// Producer is the audit store that the event comes from, if it comes from one.
	Producer audit.Producer
}

// User is who asked for something, as far as DataStorage knows it.
type User struct {
	// Name of the caller; missing where callers are not authenticated.
	Name string `json:"name,omitempty"`
	// UID of the caller, if the API server names one.
	UID string `json:"uid,omitempty"`
	// Groups of the caller, the first 32 of them.
	Groups []string `json:"groups,omitempty"`
}

// The bounds of a User: the number of groups, and the bytes of the UID and of each group.
const (
	maxGroups    = 32
	maxUserBytes = 255
)

// UserOf is a caller, whose name is not bounded.
func UserOf(c *auth.Caller) User {
	u := User{Name: c.Name, UID: printable.Storable(c.UID, maxUserBytes)}
	for _, group := range c.Groups[:min(len(c.Groups), maxGroups)] {
		u.Groups = append(u.Groups, printable.Storable(group, maxUserBytes))
	}
	return u
}

// Actor is the user as the actor of an event; nil and "" if nobody is authenticated.
func (u *User) Actor() (user *User, actorType string) {
	if u.Name == "" {
		return nil, ""
	}
	return u, "user"
}

// Make makes an event that can be stored.
func Make(d *event.Decoder, e *Event) (*event.Event, error) {
	batch, err := Batch(d, e)
	if err != nil {
		return nil, err
	}
	return batch.Events[0], nil
}

// Batch makes an event as a batch, which an ingest.Writer takes.
func Batch(d *event.Decoder, e *Event) (event.Batch, error) {
	fields := map[string]any{
		"event_id": e.ID, "version": "1.0", "event_type": e.Type, "event_timestamp": e.At.UTC(), "event_category": Category,
		"event_action": e.Action, "event_outcome": e.Outcome, "correlation_id": e.CorrelationID, "event_data": e.Data,
	}
	for name, text := range map[string]string{
		"actor_type": e.ActorType, "actor_id": e.ActorID, "resource_type": e.ResourceType, "resource_id": e.ResourceID,
	} {
		if text != "" {
			fields[name] = text
		}
	}
	if p := e.Producer; p.ID != "" {
		fields["producer_id"], fields["producer_epoch"], fields["producer_seq"] = p.ID, p.Epoch, p.Sequence
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return event.Batch{}, fmt.Errorf("encode event %s: %w", e.Type, err)
	}
	batch, err := d.One(text, RecordedBy)
	if err == nil && len(batch.Refusals) > 0 {
		err = errors.New(batch.Refusals[0].Detail)
	}
	if err != nil {
		return event.Batch{}, fmt.Errorf("make event %s: %w", e.Type, err)
	}
	return batch, nil
}

// CheckText checks a required text that such an event will carry; what is wrong with it is added to bad, by its field.
func CheckText(bad map[string]string, field, text string, most int) {
	switch {
	case strings.TrimSpace(text) == "":
		bad[field] = "is required"
	case !utf8.ValidString(text), strings.ContainsRune(text, 0):
		bad[field] = "must be UTF-8 without NUL characters"
	case utf8.RuneCountInString(text) > most:
		bad[field] = fmt.Sprintf("must be at most %d characters", most)
	}
}
