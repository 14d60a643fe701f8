package strictjson_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"kubernaut.ai/services/datastorage/internal/strictjson"
)

func TestCheckSaysWhere(t *testing.T) {
	t.Parallel()
	const depth = 3
	for name, tc := range map[string]struct {
		text         string
		line, column int
		reason       string
	}{
		"empty":          {"", 1, 1, "empty"},
		"only space":     {" \n", 2, 1, "empty"},
		"trailing comma": {"[\n 1,]", 2, 4, "invalid character ']'"},
		"ends early":     {`{"a":`, 1, 5, "unexpected end"},
		"two values":     {`{} {}`, 1, 4, "after top-level value"},
		"raw control":    {"\"a\tb\"", 1, 3, "invalid character"},
		"invalid UTF-8":  {"[\"\xff\"]", 1, 3, "invalid UTF-8"},
		"too deep":       {`[[[["x"]]]]`, 1, 4, "more than 3 deep"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var syntax *strictjson.SyntaxError
			if err := strictjson.Check([]byte(tc.text), depth); !errors.As(err, &syntax) {
				t.Fatalf("got %v, want a SyntaxError", err)
			}
			if syntax.Line != tc.line || syntax.Column != tc.column || !strings.Contains(syntax.Reason, tc.reason) {
				t.Errorf("got %v, want line %d, column %d, %q", syntax, tc.line, tc.column, tc.reason)
			}
		})
	}
	for _, text := range []string{`"]]]]["`, `[[[]]]`, `{"a\"[[[[":{}}`, ` null `} {
		if err := strictjson.Check([]byte(text), depth); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestCanonicalDoesNotDependOnSpelling(t *testing.T) {
	t.Parallel()
	for want, spellings := range map[string][]string{
		`{}`:                       {`{}`, " { } "},
		`{"a":1,"b":[true,null]}`:  {`{"b":[true , null],"a":1}`, "{\"a\" : 1.0,\n\"\\u0062\":[true,null]}"},
		`{"":{"x":1,"y":2},"a":0}`: {`{"a":-0.0,"":{"y":2,"x":1}}`, `{"":{"y":2e0,"x":10E-1},"a":0e9}`},
		`["\u000aé😀\"\\/"]`:        {`["\né😀\"\\\/"]`, `["\u000A\u00e9\ud83d\ude00\u0022\u005c\u002f"]`},
		`[12345678901234567890.5]`: {`[12345678901234567890.50]`, `[1234567890123456789050e-2]`},
		`[-0.00012]`:               {`[-0.00012]`, `[-1.2e-4]`, `[-12E-5]`},
		`[1000]`:                   {`[1e3]`, `[1000.000]`, `[10.00e+2]`},
	} {
		for _, text := range spellings {
			got, err := strictjson.Canonical([]byte(text), 1000)
			if err != nil || string(got) != want {
				t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
			}
		}
	}
}

func TestCanonicalRefusesWithPath(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"a":{"b":[1,"x\u0000"]}}`:            `$.a.b[1]: holds a NUL`,
		`{"a":"\ud800"}`:                       `$.a: holds an unpaired surrogate`,
		`{"a":"\udc00\ud800"}`:                 `$.a: holds an unpaired surrogate`,
		`{"\u0000":1}`:                         `$: holds a NUL`,
		`{"a":1,"\u0061":2}`:                   `$: name "a" is given twice`,
		`{"b":{"z":1,"a":2,"z":3}}`:            `$.b: name "z" is given twice`,
		`[1e400]`:                              `$[0]: number 1e400: out of the range`,
		`[1e-99999999999999999999]`:            `$[0]: number 1e-99999999999999999999: out of the range`,
		`[1` + strings.Repeat("1", 400) + `]`:  `more than 400 digits`,
		`["` + strings.Repeat("x", 200) + `"]`: `too large: more than 100 bytes`,
		`[1e90,1e90]`:                          `too large`,
	} {
		_, err := strictjson.Canonical([]byte(text), 100)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %s", text, err, want)
		}
	}
}

func TestMembersRefusesRepeatedNames(t *testing.T) {
	t.Parallel()
	err := strictjson.Members([]byte(`{"a":1,"b":2,"\u0061":3}`), func(string, []byte) error { return nil })
	if err == nil || !strings.Contains(err.Error(), `"a" is given twice`) {
		t.Errorf("got %v", err)
	}
}

// FuzzCanonical holds the canonical form against encoding/json: it is valid,
// means the same, and is its own canonical form.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{`{"b":1,"a":[1.50,-2e3,"x\n\u00e9"]}`, `[{}, [], null, true, 0.1e-5]`, `"\ud83d\ude00"`, `{"a":{"a":{}}}`} {
		f.Add([]byte(seed))
	}
	const depth, limit = 20, 1 << 16
	f.Fuzz(func(t *testing.T, text []byte) {
		if strictjson.Check(text, depth) != nil {
			return
		}
		canonical, err := strictjson.Canonical(text, limit)
		if err != nil {
			return
		}
		again, err := strictjson.Canonical(canonical, limit)
		if err != nil || string(again) != string(canonical) {
			t.Fatalf("%q: canonical %q, again %q, %v", text, canonical, again, err)
		}
		if before, after := decode(t, text), decode(t, canonical); before != after {
			t.Fatalf("%q means %s, its canonical form %q means %s", text, before, canonical, after)
		}
	})
}

// decode returns what a text means, with exact numbers.
func decode(t *testing.T, text []byte) string {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	out, err := json.Marshal(exact(value))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return string(out)
}

func exact(value any) any {
	switch v := value.(type) {
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok {
			return "number " + r.RatString()
		}
		return v
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
		return v
	case map[string]any:
		for name := range v {
			v[name] = exact(v[name])
		}
		return v
	default:
		return value
	}
}
