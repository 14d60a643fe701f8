package mustgather

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"

	"sigs.k8s.io/yaml"
)

// oddTexts are those that YAML takes for something else, unless they are quoted.
var oddTexts = []string{
	"", " ", "a", "no", "Yes", "NULL", "~", "12", "1e3", "0x1f", "1:20", "2026-11-27", "2026-11-27T01:02:03Z", "a: b", "a:", "a #b", "#", "- a", "-", "--flag=x",
	"[redacted]", "{}", "&x", "*x", "!x", "|", ">", "%", "@x", "`x`", "'", `"`, `a\b`, "two\nlines", "ends\n", "\n", "\n\nbegins", "  indented\n lines\n", "tab\there",
	"trailing ", " leading", "key: [a, b]\nother: {c: d}\n", "sha256:abc", "a/b.c-d_e@f", "ünï", "\u2028", "a long text that is longer than eighty characters, so that a writer may want to fold it at some space",
	"  a long text that begins with spaces and is longer than eighty characters, so that a writer may want to fold it: here", "=", "<<", ".inf", "null: x", "a:b:c", "09", "+1", "/x: y",
}

func randomValue(random *rand.Rand, depth int) any {
	kind := random.IntN(9)
	if depth == 0 {
		kind = 2 + random.IntN(7)
	}
	switch kind {
	case 0:
		pairs := map[string]any{}
		for range random.IntN(4) {
			pairs[oddTexts[random.IntN(len(oddTexts))]] = randomValue(random, depth-1)
		}
		return pairs
	case 1:
		items := []any{}
		for range random.IntN(4) {
			items = append(items, randomValue(random, depth-1))
		}
		return items
	case 2:
		return random.IntN(2) == 0
	case 3:
		return random.Int64N(1 << 50)
	case 4:
		return nil
	case 5:
		return random.Float64()
	default:
		return oddTexts[random.IntN(len(oddTexts))]
	}
}

func TestYAMLReadsAsWhatWasWritten(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		value := map[string]any{"items": randomValue(random, 4), "other": randomValue(random, 2)}
		text, err := toYAML(value)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		got, err := yaml.YAMLToJSONStrict(text)
		if err != nil {
			t.Fatalf("%v\n%s\nof %s", err, text, want)
		}
		var read, written any
		if err := json.Unmarshal(got, &read); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(want, &written); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(read, written) {
			t.Fatalf("%s\nis read as %s\nof %s", text, got, want)
		}
	}
}

func TestYAMLIsInBlockStyle(t *testing.T) {
	t.Parallel()
	text, err := toYAML(map[string]any{
		"kind": "List", "items": []any{
			map[string]any{"name": "a b", "list": []any{"x", int64(1), []any{"y"}}, "none": map[string]any{}},
			map[string]any{"file": "one\ntwo: 2\n", "word": "no"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `items:
- list:
  - x
  - 1
  -
    - "y"
  name: a b
  none: {}
- file: |
    one
    two: 2
  word: "no"
kind: List
`
	if string(text) != want {
		t.Errorf("got\n%s", text)
	}
}
