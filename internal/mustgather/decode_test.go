package mustgather

import (
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/util/json"
)

func TestDecodeReadsAsTheLibraryOfKubernetes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`null`, `true`, `false`, `""`, `"a\u00fc\n\ud83d\ude00"`, `0`, `-7`, `9223372036854775807`, `9223372036854775808`, `1.5`, `1e3`, `-0.0`,
		`[]`, `{}`, `[1,[2,{"a":[]}],null]`, `{"a":{"b":[true,{"c":"d"}]},"e":1,"":null}`, ` { "a" : 1 , "b" : [ ] } `,
	} {
		var want any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		got, err := decode([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %#v (%v), want %#v", text, got, err, want)
		}
	}
	for _, text := range []string{``, `{`, `[`, `[1`, `{"a"`, `{"a":`, `{"a":1`, `nul`, `"a`, `{1:2}`, `[1,]`, `{"a":1,}`} {
		if got, err := decode([]byte(text)); err == nil {
			t.Errorf("%s is read as %#v", text, got)
		}
	}
	if _, err := decodeObject([]byte(`[]`)); err == nil {
		t.Error("a list was read as an object")
	}
}
