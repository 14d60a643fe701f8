package wire_test

import (
	"strings"
	"testing"

	"kubernaut.ai/pkg/audit/wire"
)

func TestTruncate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		bytes int
		want  string
	}{
		{"", 0, ""},
		{"abc", 3, "abc"},
		{"abc", 2, "ab"},
		{"aé", 3, "aé"},
		{"aé", 2, "a"},
		{"😀", 3, ""},
		{"\x80\x80", 1, ""},
		{"a\xff\xff", 2, "a\xff"},
	} {
		if got := wire.Truncate(c.text, c.bytes); got != c.want {
			t.Errorf("%q to %d bytes: %q, want %q", c.text, c.bytes, got, c.want)
		}
	}
}

func TestTruncateCharacters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text       string
		characters int
		want       string
	}{
		{"", 0, ""},
		{"a", 0, ""},
		{"aé😀", 3, "aé😀"},
		{"aé😀", 2, "aé"},
		{"\xff\xffa", 2, "\xff\xff"},
	} {
		if got := wire.TruncateCharacters(c.text, c.characters); got != c.want {
			t.Errorf("%q to %d characters: %q, want %q", c.text, c.characters, got, c.want)
		}
	}
}

func TestQuotable(t *testing.T) {
	t.Parallel()
	if short := strings.Repeat("x", 64); wire.Quotable(short) != short {
		t.Error("64 bytes are shortened")
	}
	if got, want := wire.Quotable(strings.Repeat("é", 33)), strings.Repeat("é", 32)+"..."; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
