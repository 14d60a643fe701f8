package event

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// Code says why an event is refused; it is part of the API.
type Code string

// The reasons for refusing an event.
const (
	CodeInvalid  Code = "invalid"
	CodeConflict Code = "conflict"
	CodeTooLarge Code = "too_large"
	// CodeForbidden: the caller may not write events of this type.
	CodeForbidden Code = "forbidden"
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

// Sort puts refusals in the order of their indexes.
func Sort(refusals []Refusal) {
	slices.SortFunc(refusals, func(a, b Refusal) int { return cmp.Compare(a.Index, b.Index) })
}

// Conflict refuses an event whose id was used for something else.
func Conflict(index int, id uuid.UUID) Refusal {
	const detail = "this event_id was used before for another event, or by another caller"
	return Refusal{Index: index, ID: id, Code: CodeConflict, Detail: detail, Fields: map[string]string{"event_id": detail}}
}

// Forbidden refuses an event whose type its caller may not write.
func Forbidden(index int, id uuid.UUID, detail string) Refusal {
	return Refusal{Index: index, ID: id, Code: CodeForbidden, Detail: detail}
}

// maxNamedFields bounds the fields that the detail of a refusal names.
const maxNamedFields = 3

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
