package printable_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"kubernaut.ai/internal/printable"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, line, lines string }{
		{"plain", "a b-c", "a b-c", "a b-c"},
		{"other scripts", "größe Ωμέγα ◂ →", "größe Ωμέγα ◂ →", "größe Ωμέγα ◂ →"},
		{"colors", "\x1b[1;31mred\x1b[0m", "red", "red"},
		{"cursor and screen", "a\x1b[2J\x1b[Hb\x1b[?1049h", "ab", "ab"},
		{"title", "a\x1b]0;pwned\x07b", "ab", "ab"},
		{"clipboard", "a\x1b]52;c;cm0=\x1b\\b", "ab", "ab"},
		{"8-bit sequences", "a\u009b31mb\u009d0;x\u009cc", "abc", "abc"},
		{"reset", "a\x1bcb", "ab", "ab"},
		{"unfinished sequence", "a\x1b", `a\x1b`, `a\x1b`},
		{"unfinished title", "a\x1b]0;b", `a\x1b]0;b`, `a\x1b]0;b`},
		{"overwriting", "good\rbad\b\b", `good\rbad\b\b`, `good\rbad\b\b`},
		{"line breaks", "a\n\tb\r\nc", `a\n\tb\r\nc`, "a\n\tb\nc"},
		{"order of writing", "a\u202eb\u2066c", `a\u202eb\u2066c`, `a\u202eb\u2066c`},
		{"invisible", "a\u200bb\u2028c", `a\u200bb\u2028c`, `a\u200bb\u2028c`},
		{"not UTF-8", "a\x9b31m\xff", `a\x9b31m\xff`, `a\x9b31m\xff`},
		{"zero and delete", "\x00\x7f", `\x00\x7f`, `\x00\x7f`},
		{"sequence inside another one", "\x1b\x1b[0m[31mx", `\x1b[31mx`, `\x1b[31mx`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := printable.Line(c.text); got != c.line {
				t.Errorf("Line(%q) = %q, want %q", c.text, got, c.line)
			}
			if got := printable.Text(c.text); got != c.lines {
				t.Errorf("Text(%q) = %q, want %q", c.text, got, c.lines)
			}
		})
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "a\x1b[31mb\r\n", "\x1b\x1b]0;x\x07", "\xc2\x9b\x9b\u202e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, got := range []string{printable.Line(text), strings.NewReplacer("\n", "", "\t", "").Replace(printable.Text(text))} {
			if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsGraphic(r) }) {
				t.Errorf("%q became %q", text, got)
			}
			if again := printable.Line(got); again != got {
				t.Errorf("%q became %q, and then %q", text, got, again)
			}
		}
	})
}
