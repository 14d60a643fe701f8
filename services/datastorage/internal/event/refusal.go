package event

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Code says why an event is refused; it is part of the API.
type Code string

// The reasons for refusing an event.
const (
	CodeInvalid  Code = "invalid"
	CodeConflict Code = "conflict"
	CodeTooLarge Code = "too_large"
)

// Refusal names an event that is not taken, and why.
type Refusal struct {
	// Index in the batch, from 0.
	Index int
	// ID of the event, uuid.Nil where it has no usable one.
	ID     uuid.UUID
	Code   Code
	Detail string
	// Fields maps the name of each wrong field to what is wrong with it.
	Fields map[string]string
}

// Conflict refuses an event whose id was used for something else.
func Conflict(index int, id uuid.UUID) Refusal {
	const detail = "this event_id was used before for another event, or by another caller"
	return Refusal{Index: index, ID: id, Code: CodeConflict, Detail: detail, Fields: map[string]string{"event_id": detail}}
}

// BodyError refuses a whole body, before any event of it was looked at.
type BodyError struct {
	// TooLarge: more bytes or events than are taken in one request.
	TooLarge bool
	Detail   string
}

func (e *BodyError) Error() string { return e.Detail }

func bodyErrorf(format string, args ...any) error {
	return &BodyError{Detail: fmt.Sprintf(format, args...)}
}

// summary tells in one sentence what is wrong with the fields.
func summary(fields map[string]string) string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	const most = 3
	shown := names[:min(len(names), most)]
	parts := make([]string, 0, most+1)
	for _, name := range shown {
		parts = append(parts, name+" "+fields[name])
	}
	if more := len(names) - len(shown); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}
