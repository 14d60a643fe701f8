package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// SyntaxError says where a text stops being JSON, counted from 1.
type SyntaxError struct {
	Line, Column int
	Reason       string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// Check returns a *SyntaxError unless text is one JSON value in UTF-8 that
// nests objects and arrays at most maxDepth deep.
func Check(text []byte, maxDepth int) error {
	if !json.Valid(text) {
		return syntaxError(text)
	}
	if at := invalidUTF8(text); at >= 0 {
		return locate(text, at, "invalid UTF-8")
	}
	if at := tooDeep(text, maxDepth); at >= 0 {
		return locate(text, at, fmt.Sprintf("nested more than %d deep", maxDepth))
	}
	return nil
}

func syntaxError(text []byte) error {
	var value json.RawMessage
	err := json.Unmarshal(text, &value)
	var syntax *json.SyntaxError
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return locate(text, len(text), "empty, want JSON")
	case errors.As(err, &syntax):
		reason := strings.TrimPrefix(syntax.Error(), "json: ")
		return locate(text, max(int(syntax.Offset)-1, 0), reason)
	case err != nil:
		return locate(text, 0, err.Error())
	default:
		return locate(text, 0, io.ErrUnexpectedEOF.Error())
	}
}

func locate(text []byte, offset int, reason string) *SyntaxError {
	before := text[:min(offset, len(text))]
	lineStart := bytes.LastIndexByte(before, '\n') + 1
	return &SyntaxError{
		Line:   bytes.Count(before, []byte{'\n'}) + 1,
		Column: utf8.RuneCount(before[lineStart:]) + 1,
		Reason: reason,
	}
}

func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// IsDeeper reports whether a value nests objects and arrays more than maxDepth deep.
func IsDeeper(value []byte, maxDepth int) bool { return tooDeep(value, maxDepth) >= 0 }

// tooDeep returns the position of the first bracket beyond maxDepth, or -1.
func tooDeep(text []byte, maxDepth int) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i) - 1
		case '{', '[':
			if depth++; depth > maxDepth {
				return i
			}
		case '}', ']':
			depth--
		}
	}
	return -1
}

// stringEnd returns the position behind the string that starts at i.
func stringEnd(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}
