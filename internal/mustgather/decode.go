package mustgather

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// decode reads JSON in one pass, with numbers as objects of the API server have them: int64, or float64 where they have
// a fraction. Most of what is collected passes through it.
func decode(text []byte) (any, error) {
	options := []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
	d := decoder{Decoder: jsontext.NewDecoder(bytes.NewBuffer(text), options...), known: map[string]string{}}
	return d.value()
}

// decodeObject is decode for an object.
func decodeObject(text []byte) (map[string]any, error) {
	value, err := decode(text)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("read JSON: want an object, got %T", value)
	}
	return object, nil
}

type decoder struct {
	*jsontext.Decoder

	// known are short texts that were read: the objects of a list share their names and most of their values.
	known map[string]string
}

func (d *decoder) value() (any, error) {
	switch d.PeekKind() { //nolint:exhaustive // the others are one token
	case '{':
		return d.pairs()
	case '[':
		return d.items()
	case '"':
		return d.text()
	}
	token, err := d.ReadToken()
	if err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	switch kind := token.Kind(); kind { //nolint:exhaustive // those of the others were read above
	case '0':
		return decodeNumber(token.String())
	case 't', 'f':
		return kind == 't', nil
	}
	return nil, nil //nolint:nilnil // null
}

func (d *decoder) pairs() (map[string]any, error) {
	_, err := d.ReadToken()
	pairs := map[string]any{}
	for err == nil && d.PeekKind() != '}' {
		var name string
		if name, err = d.text(); err == nil {
			pairs[name], err = d.value()
		}
	}
	if err == nil {
		_, err = d.ReadToken()
	}
	return pairs, err //nolint:wrapcheck // says what it is about
}

func (d *decoder) items() ([]any, error) {
	_, err := d.ReadToken()
	items := []any{}
	for err == nil && d.PeekKind() != ']' {
		var item any
		item, err = d.value()
		items = append(items, item)
	}
	if err == nil {
		_, err = d.ReadToken()
	}
	return items, err //nolint:wrapcheck // says what it is about
}

func (d *decoder) text() (string, error) {
	const short, many = 64, 10_000
	quoted, err := d.ReadValue()
	if err != nil {
		return "", fmt.Errorf("read JSON: %w", err)
	}
	if len(quoted) > short {
		text, err := jsontext.AppendUnquote(nil, quoted)
		return string(text), err
	}
	if text, ok := d.known[string(quoted)]; ok {
		return text, nil
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return "", fmt.Errorf("read JSON: %w", err)
	}
	if len(d.known) < many {
		d.known[string(quoted)] = string(text)
	}
	return string(text), nil
}

func decodeNumber(text string) (any, error) {
	if !strings.ContainsAny(text, ".eE") {
		if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
			return whole, nil
		}
	}
	fraction, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	return fraction, nil
}
