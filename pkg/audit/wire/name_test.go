package wire_test

import (
	"errors"
	"testing"

	"kubernaut.ai/pkg/audit/wire"
)

// Regression test: a short name that is spelled with escapes the second time used to be taken for another one.
func TestANameIsGivenTwiceHoweverItIsSpelled(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`{"a":1,"\u0061":2}`, `{"\u0061":1,"a":2}`, `{"abc":1,"a\u0062c":{"k":"a longer value behind it"}}`, `{"😀":1,"\ud83d\ude00":2}`} {
		if err := wire.CheckData([]byte(data), ""); !errors.Is(err, wire.ErrTwice) {
			t.Errorf("%s: %v, want %v", data, err, wire.ErrTwice)
		}
	}
}
