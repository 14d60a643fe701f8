// Package printable makes text from others safe to show and to store: alert annotations,
// logs and error messages can carry sequences that control a terminal, or bytes that a
// database refuses.
package printable

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"kubernaut.ai/pkg/audit/wire"
)

// sequence matches the escape sequences of ECMA-48: control sequences (colors,
// cursor), strings for the terminal (titles, links, clipboard), and short ones.
var sequence = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]" +
	"|(?:\x1b[\\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\x07\x1b\u009c\n]*(?:\x07|\x1b\\\\|\u009c)" +
	"|\x1b[ -/]*[0-Z\\\\^-~]")

// Line returns a text that takes one line and controls nothing: terminal
// sequences are removed; line breaks, tabs, every other character that is not
// visible, and bytes that are not UTF-8 are written as Go escapes.
func Line(text string) string { return clean(text, false) }

// Text is Line for a text of several lines: it keeps line breaks and tabs. A
// carriage return before a line break is removed.
func Text(text string) string { return clean(text, true) }

// Storable makes text storable: valid UTF-8 without NUL, which JSON columns of
// databases refuse, and at most limit bytes long.
func Storable(text string, limit int) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	text = strings.ReplaceAll(text, "\x00", string(utf8.RuneError))
	return wire.Truncate(text, limit)
}

func clean(text string, lines bool) string {
	if plain(text, lines) {
		return text
	}
	text = sequence.ReplaceAllLiteralString(text, "")
	if lines {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	var out strings.Builder
	out.Grow(len(text))
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			const hex = "0123456789abcdef"
			out.WriteString(`\x`)
			out.WriteByte(hex[text[at]>>4])   //nolint:mnd // the two digits
			out.WriteByte(hex[text[at]&0x0f]) //nolint:mnd // of a byte
		case visible(r, lines):
			out.WriteString(text[at : at+size])
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		}
		at += size
	}
	return out.String()
}

// plain reports whether a text consists of visible ASCII only.
func plain(text string, lines bool) bool {
	for i := range len(text) {
		if c := text[i]; (c < ' ' || c > '~') && (!lines || c != '\n' && c != '\t') {
			return false
		}
	}
	return true
}

func visible(r rune, lines bool) bool {
	return unicode.IsGraphic(r) || lines && (r == '\n' || r == '\t')
}
