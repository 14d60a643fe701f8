package decode

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubernaut.ai/internal/printable"
	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/signal"
)

// Options accept what other decoders accept: of duplicate names the last one
// counts, and invalid UTF-8 is replaced.
func Options() jsontext.Options {
	return json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// ErrSyntax means that the rest of a text cannot be read. What is wrong with it is
// among the complaints.
var ErrSyntax = errors.New("not JSON")

// Text adds what is wrong with a JSON text and returns ErrSyntax, or the
// error of the body's Read.
func Text(wrong *signal.Complaints, err error) error {
	var broken *body.ConnectionError
	var denied *body.MemoryError
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &broken), errors.As(err, &denied), errors.Is(err, body.ErrTooLarge):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		wrong.Addf("body", "not a JSON document: unexpected end")
	case errors.As(err, &syntax):
		wrong.Addf("body", "not a JSON document: %v at byte %d", syntax.Err, syntax.ByteOffset)
	default:
		wrong.Addf("body", "not a JSON document: %s", printable.Storable(err.Error(), signal.MaxName))
	}
	return ErrSyntax
}

// Value adds what is wrong with a JSON value that was decoded.
func Value(wrong *signal.Complaints, path string, err error) {
	var mismatch *json.SemanticError
	if !errors.As(err, &mismatch) {
		wrong.Addf(path, "invalid: %s", printable.Storable(err.Error(), signal.MaxName))
		return
	}
	var parts []string
	if path != "" {
		parts = append(parts, path)
	}
	parts = slices.AppendSeq(parts, mismatch.JSONPointer.Tokens())
	path = printable.Storable(strings.Join(parts, "."), signal.MaxName)
	if path == "" {
		path = "body"
	}
	if errors.Is(err, errTooManyPairs) {
		wrong.Addf(path, "%v", errTooManyPairs)
		return
	}
	wrong.Addf(path, "want %s, got %v", jsonType(mismatch.GoType), Kind(mismatch.JSONKind))
}

// Kind names the type of a JSON value.
func Kind(k jsontext.Kind) string {
	switch k { //nolint:exhaustive // the others begin no value
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	default:
		return "something else"
	}
}

// jsonType names the JSON type that a Go type is decoded from.
func jsonType(t reflect.Type) string {
	if t == nil {
		return "another type"
	}
	switch t.Kind() { //nolint:exhaustive // the others are objects
	case reflect.String:
		return "a string"
	case reflect.Uint64:
		return "a count"
	default:
		return "an object"
	}
}

// Pairs are labels or annotations. An object with more than maxPairs of them is
// unusable: as a map it would take many times the memory of its text.
type Pairs map[string]string

const maxPairs = 1024

var errTooManyPairs = fmt.Errorf("has more than %d labels or annotations", maxPairs)

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (p *Pairs) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	token, err := d.ReadToken()
	switch {
	case err != nil:
		return err //nolint:wrapcheck // explained by the caller
	case token.Kind() == 'n':
		return nil
	case token.Kind() != '{':
		return &json.SemanticError{JSONKind: token.Kind(), GoType: reflect.TypeFor[Pairs]()}
	}
	*p = Pairs{}
	for d.PeekKind() != '}' {
		if len(*p) == maxPairs {
			return errTooManyPairs
		}
		name, err := d.ReadToken()
		if err != nil {
			return err //nolint:wrapcheck // explained by the caller
		}
		key := name.String()
		value, err := d.ReadToken()
		switch {
		case err != nil:
			return err //nolint:wrapcheck // explained by the caller
		case value.Kind() == '"':
			(*p)[key] = value.String()
		case value.Kind() == 'n':
			(*p)[key] = ""
		default:
			return &json.SemanticError{JSONKind: value.Kind(), GoType: reflect.TypeFor[string](), JSONPointer: d.StackPointer()}
		}
	}
	_, err = d.ReadToken()
	return err //nolint:wrapcheck // explained by the caller
}

// Lenient is a text. A value of another type is its JSON text, so that it does
// not make the signal unusable.
type Lenient string

// UnmarshalJSON implements json.Unmarshaler.
func (l *Lenient) UnmarshalJSON(value []byte) error {
	var text string
	if err := json.Unmarshal(value, &text, Options()); err != nil { // null is a text: the empty one
		text = string(value)
	}
	*l = Lenient(text)
	return nil
}
