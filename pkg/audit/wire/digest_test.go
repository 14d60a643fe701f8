package wire_test

import (
	"encoding/hex"
	"testing"

	"kubernaut.ai/pkg/audit/wire"
)

func TestDigest(t *testing.T) {
	t.Parallel()
	sum := func(d wire.Digest) string {
		s := d.Sum()
		return hex.EncodeToString(s[:])
	}
	number := wire.NewDigest("ab")
	number.Number(1)
	more := wire.NewDigest("ab")
	more.Text("c")
	for name, c := range map[string]struct{ got, want string }{
		// printf '' | sha256sum
		"no parts": {sum(wire.NewDigest()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		// printf '\0\0\0\0\0\0\0\x02ab\0\0\0\0\0\0\0\x01c' | sha256sum
		"two texts":           {sum(wire.NewDigest("ab", "c")), "601d5476e2ccfe2c87a2bba7a322659734a05749d5b5aa781f513e4912db0d5f"},
		"a text that follows": {sum(more), "601d5476e2ccfe2c87a2bba7a322659734a05749d5b5aa781f513e4912db0d5f"},
		// printf '\0\0\0\0\0\0\0\x02ab\0\0\0\0\0\0\0\x01' | sha256sum
		"a number": {sum(number), "33107fe653ba112209c54c65ff234b63fbbed044200504d0a094df7edbbfea5b"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", name, c.got, c.want)
		}
	}
	if sum(wire.NewDigest("ab", "c")) == sum(wire.NewDigest("a", "bc")) {
		t.Error("texts that are split differently have the same digest")
	}
}
