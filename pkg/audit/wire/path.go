package wire

import (
	"fmt"
	"strings"
)

// maxPath bounds a path in bytes.
const maxPath = 256

// place is where a walk stands in an open object or array.
type place struct {
	array bool
	// index of the element in an array.
	index int
	// name of the member in an object, quoted as in the text; empty before the first.
	name []byte
	// value: the name was passed and its value follows.
	value bool
}

// pathAt returns the path of the value at an offset, in a text that is correct up to there.
func pathAt(text []byte, offset int) string {
	var open []place
	for i := 0; i < offset && i < len(text); i++ {
		switch c := text[i]; c {
		case '{', '[':
			open = append(open, place{array: c == '['})
		case '}', ']':
			open = open[:max(len(open)-1, 0)]
		case ',':
			if at := last(open); at != nil {
				at.index++
				at.name, at.value = nil, false
			}
		case ':':
			if at := last(open); at != nil {
				at.value = true
			}
		case '"':
			end := stringEnd(text, i)
			if at := last(open); at != nil && !at.array && !at.value && end <= offset {
				at.name = text[i+1 : end-1]
			}
			i = end - 1
		}
	}
	var path strings.Builder
	path.WriteByte('$')
	for _, at := range open {
		switch {
		case at.array:
			fmt.Fprintf(&path, "[%d]", at.index)
		case at.name != nil:
			path.WriteString("." + Quotable(string(appendUnescaped(nil, at.name))))
		}
	}
	return Truncate(path.String(), maxPath)
}

func last(open []place) *place {
	if len(open) == 0 {
		return nil
	}
	return &open[len(open)-1]
}

// stringEnd returns the position behind the string that begins at i, or the text's end.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return min(i+1, len(text))
}
