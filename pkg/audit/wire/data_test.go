package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"kubernaut.ai/pkg/audit/wire"
)

// nested opens and closes n arrays in an object.
func nested(n int) string {
	return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
}

// members makes n names; same makes one of them come twice.
func members(n int, same bool) string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf(`"name-of-a-member-%d":%d`, i, i))
	}
	if same {
		names = append(names, names[n/2])
	}
	return "{" + strings.Join(names, ",") + "}"
}

// filled is an object of size bytes that repeats a piece of a string.
func filled(size int, piece string) string {
	return `{"a":"` + strings.Repeat(piece, (size-8)/len(piece)) + strings.Repeat("x", (size-8)%len(piece)) + `"}`
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const most = wire.MaxDataBytes
	for _, test := range []struct {
		name, text string
		want       error
	}{
		{"empty object", `{}`, nil},
		{"white space", " \t\r\n{ \"a\" : [ ] , \"b\" : { } } \n", nil},
		{"all kinds", `{"a":[1,-2.5e3,"x",true,false,null,{"b":{}}]}`, nil},
		{"all escapes", `{"a":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00"}`, nil},
		{"unicode", `{"é":"ελληνικά 😀"}`, nil},
		{"an escaped backslash before u0000", `{"a":"\\u0000"}`, nil},
		{"same name in different objects", `{"a":{"a":1},"b":[{"a":1},{"a":1}]}`, nil},
		{"names that differ in case", `{"a":1,"A":1}`, nil},
		{"names that differ in the middle", `{"12345678-a-12345678":1,"12345678-b-12345678":1}`, nil},
		{"names that differ by a NUL's length", `{"":1,"a":1,"aa":1,"aaa":1}`, nil},
		{"many names", members(1000, false), nil},
		{"deepest", nested(62), nil},
		{"largest", filled(most, "x"), nil},
		{"white space does not count", `{}` + strings.Repeat(" ", most-2), nil},
		{"zero with any exponent", `{"a":0e999999999,"b":-0.000e-999999999}`, nil},
		{"largest exponent", `{"a":1e308,"b":9.99e308,"c":1e-325}`, nil},
		{"400 digits", `{"a":0.` + strings.Repeat("1", 324) + `,"b":1` + strings.Repeat("0", 308) + `.` + strings.Repeat("1", 91) + `}`, nil},

		{"nothing", ``, wire.ErrSyntax},
		{"white space alone", ` `, wire.ErrSyntax},
		{"array", `[]`, wire.ErrSyntax},
		{"null", `null`, wire.ErrSyntax},
		{"two", `{}{}`, wire.ErrSyntax},
		{"NUL behind it", "{}\x00", wire.ErrSyntax},
		{"cut off", `{"a":`, wire.ErrSyntax},
		{"cut off in an escape", `{"a":"\`, wire.ErrSyntax},
		{"cut off in a code", `{"a":"\u00`, wire.ErrSyntax},
		{"no colon", `{"a" 1}`, wire.ErrSyntax},
		{"no name", `{1:1}`, wire.ErrSyntax},
		{"comma at the end", `{"a":1,}`, wire.ErrSyntax},
		{"comma at an array's end", `{"a":[1,]}`, wire.ErrSyntax},
		{"leading zero", `{"a":01}`, wire.ErrSyntax},
		{"plus", `{"a":+1}`, wire.ErrSyntax},
		{"point without digits", `{"a":1.}`, wire.ErrSyntax},
		{"exponent without digits", `{"a":1e+}`, wire.ErrSyntax},
		{"minus alone", `{"a":-}`, wire.ErrSyntax},
		{"mistyped literal", `{"a":trux}`, wire.ErrSyntax},
		{"line feed in a string", "{\"a\":\"\n\"}", wire.ErrSyntax},
		{"control character in the ninth place", "{\"a\":\"12345678\x1f\"}", wire.ErrSyntax},
		{"unknown escape", `{"a":"\x41"}`, wire.ErrSyntax},
		{"not UTF-8", "{\"a\":\"\xff\"}", wire.ErrUTF8},
		{"a surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", wire.ErrUTF8},
		{"NUL", `{"a":"\u0000"}`, wire.ErrNUL},
		{"NUL in a name", `{"\u0000":1}`, wire.ErrNUL},
		{"NUL behind a backslash", `{"a":"\\\u0000"}`, wire.ErrNUL},
		{"half a pair", `{"a":"\ud800"}`, wire.ErrSurrogate},
		{"half a pair and more", `{"a":"\ud800\u0041"}`, wire.ErrSurrogate},
		{"pair in the wrong order", `{"a":"\udc00\ud800"}`, wire.ErrSurrogate},
		{"name twice", `{"a":1,"b":1,"a":1}`, wire.ErrTwice},
		{"name twice, escaped", `{"a":1,"\u0061":1}`, wire.ErrTwice},
		{"name twice, deep", `{"a":[{"b":{"long enough for eight":1,"long enough for eight":1}}]}`, wire.ErrTwice},
		{"name twice among some", members(23, true), wire.ErrTwice},
		{"name twice among more", members(24, true), wire.ErrTwice},
		{"name twice among many", members(1000, true), wire.ErrTwice},
		{"too deep", nested(63), wire.ErrDepth},
		{"exponent too large", `{"a":1e309}`, wire.ErrNumber},
		{"exponent far too large", `{"a":1e99999999999999999999}`, wire.ErrNumber},
		{"exponent too small", `{"a":1e-326}`, wire.ErrNumber},
		{"too many digits", `{"a":1` + strings.Repeat("1", 308) + `.` + strings.Repeat("1", 92) + `}`, wire.ErrNumber},
		{"310 digits", `{"a":` + strings.Repeat("1", 310) + `}`, wire.ErrNumber},
		{"too large", filled(most+1, "x"), wire.ErrSize},
		{"too large when spelled out", filled(most, `\n`), wire.ErrCanonical},
		{"numbers too large when spelled out", `{"a":[` + strings.Repeat("1e300,", 4000) + `1]}`, wire.ErrCanonical},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if err := wire.CheckData([]byte(test.text), "a.b"); !errors.Is(err, test.want) {
				t.Errorf("check: %v, want %v", err, test.want)
			}
		})
	}
}

func TestCheckCountsTheCanonicalForm(t *testing.T) {
	t.Parallel()
	for value, size := range map[string]int{
		`"\n"`: 8, `"\/"`: 3, `"\""`: 4, `"\u0041"`: 3, `"\u0001"`: 8, `"\u0022"`: 4, `"\u00e9"`: 4, `"\u6f22"`: 5, `"\ud83d\ude00"`: 6,
		"\t1": 1, `10`: 2, `1.50`: 3, `-0`: 1, `-0.0e5`: 1, `1e3`: 4, `1.20e3`: 4, `-2.5e-2`: 6, `120e-1`: 2, `12.5e0`: 4,
	} {
		// The line feeds take 6 bytes each, so that the text as it stands is never too large.
		const rest = len(`{"a":[,""]}`) + 60
		fill := strings.Repeat(`\n`, 10) + strings.Repeat("x", wire.MaxDataBytes-rest-size)
		if err := wire.CheckData(fmt.Appendf(nil, `{"a":[%s,"%s"]}`, value, fill), ""); err != nil {
			t.Errorf("%q: %v, want it to take %d bytes", value, err, size)
		}
		if err := wire.CheckData(fmt.Appendf(nil, `{"a":[%s,"%sx"]}`, value, fill), ""); err == nil {
			t.Errorf("%q takes less than %d bytes", value, size)
		}
	}
}

func TestCheckComparesTheInnerType(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		want bool
	}{
		{`{"event_type":"x.y"}`, true},
		{`{"b":{"event_type":"other"}, "event_type" : "x.y" , "c":1}`, true},
		{`{"event_t\u0079pe":"x\u002ey"}`, true},
		{`{"event_type":"x.z"}`, false},
		{`{"event_type":"\\x.y"}`, false},
		{`{"event_type":{"x.y":1}}`, false},
		{`{"event_type":null}`, false},
		{`{"b":{"event_type":"x.z"}}`, true},
		{`{}`, true},
	} {
		err := wire.CheckData([]byte(test.text), "x.y")
		if (err == nil) != test.want || err != nil && !errors.Is(err, wire.ErrInnerType) {
			t.Errorf("%s: %v, want x.y: %t", test.text, err, test.want)
		}
	}
}

func TestCheckMakesNoGarbage(t *testing.T) {
	data := sample(t, "1KiB")
	check := func() {
		if err := wire.CheckData(data, "a.b"); err != nil {
			t.Error(err)
		}
	}
	// The collector may empty the pool of scanners; the average is cut to a whole number.
	if n := testing.AllocsPerRun(1000, check); n > 0 && !raceEnabled {
		t.Errorf("%v allocations, want none", n)
	}
}

// FuzzCheck holds the syntax against encoding/json.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{
		`{}`, ` {"a":[1,-2.5e3,"x\n\u00e9\ud83d\ude00",true,false,null,{"b":{}}]}`, `{"a":1,"\u0061":1}`, `{"a":"\u0000"}`,
		`{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":0e1}`, nested(64), members(30, true), string(sample(f, "1KiB")),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := wire.CheckData(data, "a.b")
		object := json.Valid(data) && bytes.TrimLeft(data, " \t\r\n")[0] == '{'
		switch {
		case err == nil && (!object || !utf8.Valid(data)):
			t.Errorf("%q is taken", data)
		case errors.Is(err, wire.ErrSyntax) && object:
			t.Errorf("%q is an object", data)
		case errors.Is(err, wire.ErrUTF8) && utf8.Valid(data):
			t.Errorf("%q is UTF-8", data)
		case errors.Is(err, wire.ErrNUL) && !bytes.Contains(data, []byte(`\u0000`)):
			t.Errorf("%q has no NUL", data)
		}
	})
}

// agree expects that data are the same within an event, where they are checked beside its other members, as alone.
func agree(t *testing.T, data []byte) {
	t.Helper()
	const limit = 1 << 10
	event := append(append([]byte(`{"a": "\u0061\n", "event_data" :`), data...), `, "z":{"b":1,"b":2}} `...)
	members := func(pass func(yield func(name, value []byte) error) error) (seen string, err error) {
		err = pass(func(name, value []byte) error {
			seen += string(name) + "=" + string(value) + ";"
			return nil
		})
		return seen, err
	}
	var d wire.Data
	seen, err := members(func(yield func(name, value []byte) error) error {
		return wire.MembersWithData(event, "event_data", &d, yield)
	})
	wantSeen, want := members(func(yield func(name, value []byte) error) error { return wire.Members(event, yield) })
	if seen != wantSeen || fmt.Sprint(err) != fmt.Sprint(want) {
		t.Fatalf("%q has the members %s, %v; without a look at the data %s, %v", event, seen, err, wantSeen, want)
	}
	if err != nil {
		return
	}
	wantCanonical, want := wire.CanonicalData(bytes.TrimSpace(data), "a.b", limit)
	if err = d.Check("a.b", limit); fmt.Sprint(err) != fmt.Sprint(want) {
		t.Fatalf("%q: %v; alone %v", data, err, want)
	}
	if err != nil {
		return
	}
	if canonical := d.AppendCanonical(nil); string(canonical) != string(wantCanonical) || len(canonical) != d.CanonicalSize() {
		t.Fatalf("%q: %q, %d bytes were counted; alone %q", data, canonical, d.CanonicalSize(), wantCanonical)
	}
}

func TestDataAreCheckedBesideTheOtherMembersAsTheyAreAlone(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		`{}`, `{"b":1,"a":[1.50,-2e3,"x\n\u00e9"]}`, ` {"b" : {"d":1, "c":2} } `, `{"a":"ä"}`, `{"a":"\ud83d\ude00\/"}`,
		`null`, `"text"`, `[{"a":1}]`, `12`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, members(30, true), members(30, false),
		`{"a":"\u0000"}`, `{"a":"\ud800"}`, `{"a":1e999}`, `{"a":` + nested(61) + `}`, `{"a":` + nested(62) + `}`, `{"a":` + nested(63) + `}`,
		`{"event_type":"a.b"}`, `{"event_type":"a.\u0062"}`, `{"event_type":"a.c"}`, `{"event_type":1}`, `{"x":{"event_type":"a.c"}}`,
		`{"a":"` + strings.Repeat("\\n", 200) + `"}`, `{"a":}`, `{"a":1`, `{"a":1,}`, "{\"a\":\"\xff\"}", `{"a":"\x"}`,
	} {
		agree(t, []byte(data))
	}
}

func FuzzDataBesideOtherMembers(f *testing.F) {
	for _, seed := range []string{`{}`, `{"b":1,"a":[1.50,-2e3,"x\n\u00e9"]}`, `{"a":1,"a":2}`, `{"event_type":"a.c"}`, `{"a":"\ud800"}`, `[1]`, `{"a":}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}
