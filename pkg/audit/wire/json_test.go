package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"kubernaut.ai/pkg/audit/wire"
)

func nothing([]byte, []byte) error { return nil }

func TestSyntaxErrorsSayWhere(t *testing.T) {
	t.Parallel()
	members := func(text string) error { return wire.Members([]byte(text), nothing) }
	elements := func(text string) error { return wire.Elements([]byte(text), func([]byte) bool { return true }) }
	deep := strings.Repeat("[", 64)
	for name, test := range map[string]struct {
		read         func(string) error
		text         string
		line, column int
		reason       string
	}{
		"empty":                     {members, "", 1, 1, "empty"},
		"only space":                {members, " \n", 2, 1, "empty"},
		"trailing comma":            {members, "{\n \"a\":1,}", 2, 8, "invalid character '}'"},
		"ends early":                {members, `{"a":`, 1, 5, "unexpected end"},
		"two values":                {members, `{} {}`, 1, 4, "after top-level value"},
		"raw control":               {members, "{\"a\":\"a\tb\"}", 1, 8, "invalid character"},
		"invalid UTF-8":             {members, "{\"a\":\"\xff\"}", 1, 7, "invalid UTF-8"},
		"too deep":                  {members, `{"a":` + deep + `}`, 1, 69, "more than 64 deep"},
		"not an object, not JSON":   {members, `[1`, 1, 2, "unexpected end"},
		"no name":                   {members, `{1:1}`, 1, 2, "invalid character"},
		"no colon":                  {members, `{"a" 1}`, 1, 6, "invalid character"},
		"no comma":                  {members, `{"a":1 "b":2}`, 1, 8, "invalid character"},
		"array: trailing comma":     {elements, "[\n 1,]", 2, 4, "invalid character ']'"},
		"array: ends early":         {elements, `[1`, 1, 2, "unexpected end"},
		"array: comma first":        {elements, `[,1]`, 1, 2, "invalid character ','"},
		"array: two values":         {elements, `[] 1`, 1, 4, "after top-level value"},
		"array: invalid UTF-8":      {elements, "[\"\xff\"]", 1, 3, "invalid UTF-8"},
		"array: deep as the stack":  {elements, strings.Repeat("[", 20_000), 1, 10_001, "more than 10000 deep"},
		"array: other, not JSON":    {elements, `{`, 1, 1, "unexpected end"},
		"array: an element's comma": {elements, `[1 2]`, 1, 4, "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var syntax *wire.SyntaxError
			if err := test.read(test.text); !errors.As(err, &syntax) {
				t.Fatalf("got %v, want a SyntaxError", err)
			}
			if syntax.Line != test.line || syntax.Column != test.column || !strings.Contains(syntax.Reason, test.reason) {
				t.Errorf("got %v, want line %d, column %d, %q", syntax, test.line, test.column, test.reason)
			}
		})
	}
	for _, text := range []string{`{"a":"]]]]["}`, `{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, `{"a\"[[[[":{}}`, " {} "} {
		if err := members(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	var got []string
	err := wire.Members([]byte(` { "a" : [1, {"x": 1, "x": 2}] , "\u0062c":"\u0000", "d":null} `), func(name, value []byte) error {
		got = append(got, string(name)+"="+string(value))
		return nil
	})
	if want := `a=[1, {"x": 1, "x": 2}] bc="\u0000" d=null`; err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %q, %v, want %s", got, err, want)
	}
	errStop := errors.New("stop")
	if err := wire.Members([]byte(`{"a":1}`), func([]byte, []byte) error { return errStop }); !errors.Is(err, errStop) {
		t.Errorf("got %v, want the error of yield", err)
	}
	for text, want := range map[string]error{
		`{"a":1,"b":2,"\u0061":3}`: wire.ErrTwice,
		members(1000, true):        wire.ErrTwice,
		`{"\u0000":1}`:             wire.ErrNUL,
		`{"\ud800":1}`:             wire.ErrSurrogate,
		`[]`:                       wire.ErrSyntax,
		"\t7":                      wire.ErrSyntax,
	} {
		var rule *wire.RuleError
		if err := wire.Members([]byte(text), nothing); !errors.As(err, &rule) || !errors.Is(err, want) {
			t.Errorf("%.60s: %v, want %v", text, err, want)
		}
	}
}

func TestElements(t *testing.T) {
	t.Parallel()
	var got []string
	take := func(most int) func([]byte) bool {
		got = nil
		return func(value []byte) bool {
			got = append(got, string(value))
			return len(got) < most
		}
	}
	if err := wire.Elements([]byte(` [ 1 , {"a": [2]},"x" ] `), take(9)); err != nil || strings.Join(got, "|") != `1|{"a": [2]}|"x"` {
		t.Errorf("got %q, %v", got, err)
	}
	if err := wire.Elements([]byte(`[1,2,3,`), take(2)); err != nil || len(got) != 2 {
		t.Errorf("got %q, %v, want that it stops", got, err)
	}
	if err := wire.Elements([]byte(` []`), take(1)); err != nil || len(got) != 0 {
		t.Errorf("got %q, %v", got, err)
	}
	if err := wire.Elements([]byte(`{}`), take(1)); !errors.Is(err, wire.ErrNotArray) {
		t.Errorf("got %v, want ErrNotArray", err)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"plain é"`: "plain é", `"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t", `"\u00e9\uD83D\uDE00\u0001"`: "é😀\x01", `""`: "",
	} {
		if got, err := wire.Text([]byte(value)); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", value, got, err, want)
		}
	}
	for value, want := range map[string]error{
		`1`: wire.ErrNotString, `null`: wire.ErrNotString, `"\u0000"`: wire.ErrNUL, `"\udc00"`: wire.ErrSurrogate, `"\ud800\u0041"`: wire.ErrSurrogate,
	} {
		if _, err := wire.Text([]byte(value)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", value, err, want)
		}
	}
}

// FuzzJSON compares the readers of objects and arrays with encoding/json.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{`{}`, `[]`, ` {"a":[1,-2.5e3,"x\n\u00e9"],"b":{}} `, `[1,{"a":[]},"x",null] `, `{"a":1,"a":2}`, `[1,]`, `{"a"}`, "[\"\xff\"]"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var elements []json.RawMessage
		i := 0
		err := wire.Elements(text, func(value []byte) bool {
			elements = append(elements, bytes.Clone(value))
			return true
		})
		var want []json.RawMessage
		if isArray := json.Unmarshal(text, &want) == nil && want != nil; (err == nil) && !isArray {
			t.Fatalf("%q is taken for an array", text)
		} else if err == nil && len(elements) != len(want) {
			t.Fatalf("%q has %d elements, got %d", text, len(want), len(elements))
		}
		for ; err == nil && i < len(want); i++ {
			if !bytes.Equal(bytes.TrimSpace(want[i]), elements[i]) {
				t.Errorf("%q: element %d is %q, want %q", text, i, elements[i], want[i])
			}
		}
		members := map[string]json.RawMessage{}
		err = wire.Members(text, func(name, value []byte) error {
			members[string(name)] = bytes.Clone(value)
			return nil
		})
		var object map[string]json.RawMessage
		isObject := json.Unmarshal(text, &object) == nil && object != nil
		var syntax *wire.SyntaxError
		switch {
		case err == nil && !isObject:
			t.Fatalf("%q is taken for an object", text)
		case err == nil && len(members) != len(object):
			t.Fatalf("%q has %d members, got %d", text, len(object), len(members))
		case errors.As(err, &syntax) && isObject && !strings.Contains(syntax.Reason, "deep") && !strings.Contains(syntax.Reason, "UTF-8"):
			t.Fatalf("%q is an object: %v", text, err)
		}
		for name, value := range members {
			if err == nil && !bytes.Equal(bytes.TrimSpace(object[name]), value) {
				t.Errorf("%q: member %q is %q, want %q", text, name, value, object[name])
			}
		}
	})
}
