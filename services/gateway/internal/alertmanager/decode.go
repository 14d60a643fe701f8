package alertmanager

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"

	"kubernaut.ai/services/gateway/internal/signal"
)

// maxFieldErrors bounds the response to a body in which everything is wrong.
const maxFieldErrors = 32

// fieldErrors collects what is wrong with a body.
type fieldErrors struct {
	fields map[string]string
	more   int
}

func (c *fieldErrors) addf(path, format string, args ...any) {
	if c.fields == nil {
		c.fields = map[string]string{}
	}
	if len(c.fields) >= maxFieldErrors {
		c.more++
		return
	}
	c.fields[path] = fmt.Sprintf(format, args...)
}

// add takes over what is wrong with one alert.
func (c *fieldErrors) add(e *signal.InvalidError) {
	for _, path := range slices.Sorted(maps.Keys(e.Fields)) {
		c.addf(path, "%s", e.Fields[path])
	}
}

// invalid returns nil if nothing is wrong.
func (c *fieldErrors) invalid() *signal.InvalidError {
	if c.fields == nil {
		return nil
	}
	if c.more > 0 {
		c.fields["..."] = fmt.Sprintf("and %d more", c.more)
	}
	return &signal.InvalidError{Fields: c.fields}
}

// decode reads exactly one JSON value, and reports whether it succeeded.
func decode(wrong *fieldErrors, path string, text []byte, into any) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	err := d.Decode(into)
	if err == nil {
		if _, rest := d.Token(); !errors.Is(rest, io.EOF) {
			wrong.addf(at(path, ""), "unexpected data after the JSON document")
			return false
		}
		return true
	}
	var mismatch *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &mismatch):
		wrong.addf(at(path, mismatch.Field), "want %s, got %s", jsonKind(mismatch), mismatch.Value)
	case errors.As(err, &syntax):
		wrong.addf(at(path, ""), "not a JSON document: %v at byte %d", syntax, syntax.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		wrong.addf(at(path, ""), "not a JSON document: unexpected end")
	default:
		wrong.addf(at(path, ""), "invalid: %s", signal.Clean(err.Error(), signal.MaxName))
	}
	return false
}

// at joins the parts of a path; the whole document is called body.
func at(path, field string) string {
	switch {
	case path == "" && field == "":
		return "body"
	case path == "":
		return field
	case field == "":
		return path
	default:
		return path + "." + field
	}
}

// jsonKind names the JSON type that a field must have.
func jsonKind(e *json.UnmarshalTypeError) string {
	kinds := map[reflect.Kind]string{reflect.String: "a string", reflect.Slice: "an array", reflect.Uint64: "a count"}
	if kind, ok := kinds[e.Type.Kind()]; ok {
		return kind
	}
	return "an object"
}
