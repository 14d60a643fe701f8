package wire

import "unicode/utf8"

// Truncate returns the beginning of a text, at most so many bytes, without cutting a character in two.
func Truncate(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	for bytes > 0 && !utf8.RuneStart(text[bytes]) {
		bytes--
	}
	return text[:bytes]
}

// TruncateCharacters returns the first characters of a text, at most so many. A byte that is not UTF-8 counts as one.
func TruncateCharacters(text string, characters int) string {
	if len(text) <= characters {
		return text
	}
	for i := range text {
		if characters == 0 {
			return text[:i]
		}
		characters--
	}
	return text
}

// Quotable shortens a client's text for a message.
func Quotable(text string) string {
	const most = 64
	if len(text) <= most {
		return text
	}
	return Truncate(text, most) + "..."
}
