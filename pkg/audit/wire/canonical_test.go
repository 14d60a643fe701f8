package wire_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"kubernaut.ai/pkg/audit/wire"
)

func TestCanonicalDoesNotDependOnSpelling(t *testing.T) {
	t.Parallel()
	for want, spellings := range map[string][]string{
		`{}`:                       {`{}`, " { } "},
		`{"a":1,"b":[true,null]}`:  {`{"b":[true , null],"a":1}`, "{\"a\" : 1.0,\n\"\\u0062\":[true,null]}"},
		`{"":{"x":1,"y":2},"a":0}`: {`{"a":-0.0,"":{"y":2,"x":1}}`, `{"":{"y":2e0,"x":10E-1},"a":0e9}`, `{"a":-0,"":{"x":1,"y":2}}`},
		`{"a":["\u000aé😀\"\\/"]}`:  {`{"a":["\né😀\"\\\/"]}`, `{"a":["\u000A\u00e9\ud83d\ude00\u0022\u005c\u002f"]}`},
		`{"a\"b":{"\u0001":false}}`: {
			`{"a\"b":{"\u0001":false}}`, `{"a\u0022b":{"\u0001":false}}`,
		},
		`{"a":[12345678901234567890.5]}`: {`{"a":[12345678901234567890.50]}`, `{"a":[1234567890123456789050e-2]}`},
		`{"a":-0.00012}`:                 {`{"a":-0.00012}`, `{"a":-1.2e-4}`, `{"a":-12E-5}`, `{"a":-0.012e-2}`},
		`{"a":1000}`:                     {`{"a":1e3}`, `{"a":1000.000}`, `{"a":10.00e+2}`, `{"a":1000}`, `{"a":0.001e6}`},
		`{"a":100.5}`:                    {`{"a":100.5}`, `{"a":1.005e2}`, `{"a":1005e-1}`, `{"a":100.50}`},
		`{"a":10}`:                       {`{"a":10}`, `{"a":1e1}`},
		`{"producer":0,"producer_":1,"producer_\u0001":2,"producer_id":{"producer_b":3,"producer_c":4}}`: {
			`{"producer_id":{"producer_c":4,"producer_\u0062":3},"producer_":1,"producer_\u0001":2,"producer":0}`,
			`{"producer_\u0001":2,"producer_id":{"producer_b":3,"producer_c":4},"\u0070roducer":0,"producer\u005f":1}`,
		},
		`{"B":1,"a":{"x":"A\u000b"},"é":2}`: {
			`{"é":2,"a":{"x":"\u0041\u000b"},"B":1}`, `{"\u00e9":2,"a":{"x":"A\u000b"},"B":1}`,
		},
	} {
		for _, text := range spellings {
			got, err := wire.CanonicalData([]byte(text), "a.b", 1000)
			if err != nil || string(got) != want {
				t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
			}
			if cap(got) != len(got) {
				t.Errorf("%s: %d bytes, expected %d", text, len(got), cap(got))
			}
		}
	}
}

func TestRuleErrorsSayWhere(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"a":{"b":[1,"x\u0000"]}}`:                    `must not contain a NUL character (at $.a.b[1])`,
		`{"a":"\ud800"}`:                               `must not contain an unpaired surrogate escape (\ud800 to \udfff) (at $.a)`,
		`{"a":"\udc00\ud800"}`:                         `(at $.a)`,
		`{"\u0000":1}`:                                 `must not contain a NUL character (at $)`,
		`{"a":1,"\u0061":2}`:                           `must not give a name twice in one object (at $.a)`,
		`{"b":{"z":1,"a":2,"z":3}}`:                    `must not give a name twice in one object (at $.b.z)`,
		`{"b":` + members(100, true) + `}`:             `must not give a name twice in one object (at $.b`,
		`{"a":[0,{"x":[]},1e400]}`:                     `out of the range of a double (at $.a[2])`,
		`{"a":[1e-99999999999999999999]}`:              `out of the range of a double (at $.a[0])`,
		`{"a":1` + strings.Repeat("1", 400) + `}`:      `more than 400 digits`,
		"{\"a\":[[0],\"\xff\"]}":                       `must be valid UTF-8 (at $.a[1])`,
		nested(63):                                     `must not nest objects and arrays more than 63 deep (at $.a[0]`,
		`{"event_type":"x.y"}`:                         `must not contain an event_type that contradicts the event's own (at $.event_type)`,
		`{"a":"` + strings.Repeat("x", 200) + `"}`:     `must not be larger than 100 bytes in canonical form`,
		`{"a":[1e90,1e90]}`:                            `must not be larger than 100 bytes in canonical form`,
		`{"` + strings.Repeat("é", 90) + `":"\u0000"}`: `(at $.` + strings.Repeat("é", 32) + `...)`,
	} {
		_, err := wire.CanonicalData([]byte(text), "a.b", 100)
		var rule *wire.RuleError
		if !errors.As(err, &rule) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %s", text, err, want)
		}
		if len(rule.Path) > 256 {
			t.Errorf("%.60s: path of %d bytes", text, len(rule.Path))
		}
	}
	err := wire.CheckData([]byte(filled(wire.MaxDataBytes+1, "x")), "a.b")
	if want := "must not be larger than 1048576 bytes"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// FuzzCanonical compares the canonical form with encoding/json: it is valid, means the same, has the size that was
// counted, and is its own canonical form.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{
		`{"b":1,"a":[1.50,-2e3,"x\n\u00e9"]}`, `{"a":[{}, [], null, true, 0.1e-5]}`, `{"a":"\ud83d\ude00"}`, `{"a":{"a":{}}}`,
		`{"a":0.000e5,"b":-0,"c":10.010e-3,"d":123456e-3,"e":1e20}`, `{"\u0062":1,"\u0061\"":2,"a":"\u0061\/\\"}`,
	} {
		f.Add([]byte(seed))
	}
	const limit = 1 << 16
	f.Fuzz(func(t *testing.T, text []byte) {
		canonical, err := wire.CanonicalData(text, "a.b", limit)
		if err != nil {
			return
		}
		if len(canonical) != cap(canonical) {
			t.Fatalf("%q: %d bytes were counted, its canonical form %q has %d", text, cap(canonical), canonical, len(canonical))
		}
		again, err := wire.CanonicalData(canonical, "a.b", limit)
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
