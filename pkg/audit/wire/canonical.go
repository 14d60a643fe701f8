package wire

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// appendCanonical appends the canonical form of data that were checked.
func appendCanonical(out []byte, d *Data) []byte {
	c := canonicalizers.Get().(*canonicalizer) //nolint:forcetypeassert // the pool holds nothing else
	defer c.release()
	c.text, c.plain, c.out = d.text, !d.escapes, out
	c.value()
	return c.out
}

// canonicalizers are reused for their buffers.
var canonicalizers = sync.Pool{New: func() any { return new(canonicalizer) }}

// release gives c back, without references to texts, unless its buffers have become large.
func (c *canonicalizer) release() {
	const many, large = 1024, 64 << 10
	if cap(c.members) > many || cap(c.scratch) > large || cap(c.unescaped) > large {
		return
	}
	*c = canonicalizer{members: c.members[:0], scratch: c.scratch[:0], unescaped: c.unescaped[:0]}
	canonicalizers.Put(c)
}

// canonicalizer reads text at i and appends to out. The text was checked, so nothing can fail.
type canonicalizer struct {
	text []byte
	i    int
	out  []byte
	// plain: no string has an escape.
	plain bool
	// members of the objects that are open, the innermost one's last.
	members []member
	// scratch is space for a string without its escapes, and for members that are sorted.
	scratch []byte
	// unescaped holds the names that have escapes.
	unescaped []byte
}

// member is a member of an object in out. It has no pointers, so that sorting members does not concern the collector.
type member struct {
	// prefix is the beginning of the name, which tells most names apart.
	prefix uint64
	// The name is a part of the text, or of unescaped.
	escaped       bool
	name, nameEnd int32
	start, end    int32
}

func (c *canonicalizer) nameOf(m *member) []byte {
	if m.escaped {
		return c.unescaped[m.name:m.nameEnd]
	}
	return c.text[m.name:m.nameEnd]
}

// compare orders members by the bytes of their names.
func (c *canonicalizer) compare(a, b *member) int {
	if a.prefix != b.prefix {
		return cmp.Compare(a.prefix, b.prefix)
	}
	return bytes.Compare(c.nameOf(a), c.nameOf(b))
}

// prefixOf are the first eight bytes of a name, in their order; a shorter one is filled with the lowest byte.
func prefixOf(name []byte) uint64 {
	const size = 8
	if len(name) >= size {
		return binary.BigEndian.Uint64(name)
	}
	prefix := uint64(0)
	for i, b := range name {
		prefix |= uint64(b) << (56 - 8*i)
	}
	return prefix
}

// peek passes white space and returns the byte behind it.
func (c *canonicalizer) peek() byte {
	if b := c.text[c.i]; b > ' ' {
		return b
	}
	for {
		switch b := c.text[c.i]; b {
		case ' ', '\t', '\n', '\r':
			c.i++
		default:
			return b
		}
	}
}

func (c *canonicalizer) value() {
	switch c.peek() {
	case '{':
		c.object()
	case '[':
		c.array()
	case '"':
		c.string()
	case 't', 'n':
		c.take(len("true"))
	case 'f':
		c.take(len("false"))
	default:
		c.number()
	}
}

// take copies the next bytes.
func (c *canonicalizer) take(n int) {
	c.out = append(c.out, c.text[c.i:c.i+n]...)
	c.i += n
}

// unquote passes a string and returns its text: a part of the input, or appended to space if it has escapes.
func (c *canonicalizer) unquote(space []byte) (text []byte, escaped bool) {
	rest := c.text[c.i+1:]
	quoted := rest[:bytes.IndexByte(rest, '"')]
	if c.plain || bytes.IndexByte(quoted, '\\') < 0 {
		c.i += len(quoted) + len(`""`)
		return quoted, false
	}
	end := stringEnd(c.text, c.i)
	quoted = c.text[c.i+1 : end-1]
	c.i = end
	return appendUnescaped(space, quoted), true
}

func (c *canonicalizer) quote(text []byte, escaped bool) {
	c.out = append(c.out, '"')
	if escaped {
		c.out = appendEscaped(c.out, text)
	} else {
		c.out = append(c.out, text...)
	}
	c.out = append(c.out, '"')
}

func (c *canonicalizer) string() {
	text, escaped := c.unquote(c.scratch[:0])
	c.quote(text, escaped)
	if escaped {
		c.scratch = text
	}
}

func (c *canonicalizer) object() {
	begin, first := len(c.out), len(c.members)
	c.out = append(c.out, '{')
	c.i++
	sorted := true
	for c.peek() != '}' {
		if len(c.members) > first {
			c.i++ // the comma
			c.out = append(c.out, ',')
			c.peek()
		}
		m := c.memberName()
		if n := len(c.members); n > first {
			sorted = sorted && c.compare(&c.members[n-1], &m) < 0
		}
		c.peek()
		c.i++ // the colon
		c.out = append(c.out, ':')
		c.value()
		m.end = int32(len(c.out)) //nolint:gosec // like the text
		c.members = append(c.members, m)
	}
	c.i++
	if !sorted {
		c.sort(begin, c.members[first:])
	}
	c.members = c.members[:first]
	c.out = append(c.out, '}')
}

// memberName passes and writes the name of a member.
func (c *canonicalizer) memberName() member {
	m := member{start: int32(len(c.out)), name: int32(c.i + 1)} //nolint:gosec // data are bounded far below
	at := len(c.unescaped)
	name, escaped := c.unquote(c.unescaped)
	if escaped {
		c.unescaped, name = name, name[at:]
		m.escaped, m.name = true, int32(at) //nolint:gosec // like the text
	}
	m.nameEnd, m.prefix = m.name+int32(len(name)), prefixOf(name) //nolint:gosec // like the text
	c.quote(name, escaped)
	return m
}

// sort writes the members of the object that begins at begin again, in the order of their names.
func (c *canonicalizer) sort(begin int, members []member) {
	slices.SortFunc(members, func(a, b member) int { return c.compare(&a, &b) })
	c.scratch = append(c.scratch[:0], c.out[begin:]...)
	c.out = append(c.out[:begin], '{')
	for n, m := range members {
		if n > 0 {
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, c.scratch[int(m.start)-begin:int(m.end)-begin]...)
	}
}

func (c *canonicalizer) array() {
	c.out = append(c.out, '[')
	c.i++
	for n := 0; c.peek() != ']'; n++ {
		if n > 0 {
			c.i++ // the comma
			c.out = append(c.out, ',')
		}
		c.value()
	}
	c.i++
	c.out = append(c.out, ']')
}

func (c *canonicalizer) number() {
	begin, plain := c.i, true
	for ; c.i < len(c.text); c.i++ {
		switch b := c.text[c.i]; {
		case isDigit(b), b == '-' && c.i == begin:
			continue
		case b == '.', b == 'e', b == 'E', b == '+', b == '-':
			plain = false
			continue
		}
		break
	}
	literal := c.text[begin:c.i]
	if plain && string(literal) != "-0" {
		c.out = append(c.out, literal...)
		return
	}
	n, _ := parseNumber(literal)
	c.out = n.append(c.out)
}

// appendEscaped appends a text with as few escapes as JSON allows.
func appendEscaped(out, text []byte) []byte {
	const hex = "0123456789abcdef"
	for _, b := range text {
		switch {
		case b == '"' || b == '\\':
			out = append(out, '\\', b)
		case b >= ' ':
			out = append(out, b)
		default:
			out = append(out, '\\', 'u', '0', '0', hex[b>>4], hex[b&0xf])
		}
	}
	return out
}

// appendUnescaped appends the text of a string that was checked, given what stands between its quotes.
func appendUnescaped(out, quoted []byte) []byte {
	for {
		i := bytes.IndexByte(quoted, '\\')
		if i < 0 {
			return append(out, quoted...)
		}
		out = append(out, quoted[:i]...)
		const short, single, pair = 2, 6, 12
		size := short
		switch c := quoted[i+1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			size = single
			r := hex4(quoted, i)
			if utf16.IsSurrogate(r) {
				size = pair
				r = utf16.DecodeRune(r, hex4(quoted, i+single))
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
		quoted = quoted[i+size:]
	}
}
