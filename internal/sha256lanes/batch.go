package sha256lanes

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Sum is a SHA-256.
type Sum [sha256.Size]byte

// Batch is a number of messages that are hashed together. Append a message to B and call End, for each one; Hash then
// returns their sums. A Batch is for one goroutine. The zero value is empty.
type Batch struct {
	// B is appended to.
	B []byte

	// begin is where the message that is appended begins.
	begin    int
	messages []message
	sums     []Sum
	order    []int
}

// message is a part of B, which padding follows.
type message struct{ begin, end, padded int }

const (
	// lengthBytes hold a message's length at the end of its padding.
	lengthBytes = 8
	bitsPerByte = 8
)

// End ends a message and returns its place among the sums.
func (b *Batch) End() int {
	m := message{begin: b.begin, end: len(b.B)}
	length := m.end - m.begin
	b.B = append(b.B, 0x80)
	zeros := (2*sha256.BlockSize - lengthBytes - 1 - length%sha256.BlockSize) % sha256.BlockSize
	b.B = append(b.B, make([]byte, zeros)...)
	b.B = binary.BigEndian.AppendUint64(b.B, uint64(length)*bitsPerByte) //nolint:gosec // a length
	m.padded = len(b.B)
	b.begin = m.padded
	b.messages = append(b.messages, m)
	return len(b.messages) - 1
}

// Len is how many messages have ended.
func (b *Batch) Len() int { return len(b.messages) }

// Hash returns the sums of the messages, by their place. They are valid until the next call of Hash.
func (b *Batch) Hash() []Sum {
	b.sums = append(b.sums[:0], make([]Sum, len(b.messages))...)
	if supported && len(b.messages) >= fewest {
		b.hashTogether()
		return b.sums
	}
	for i, m := range b.messages {
		b.sums[i] = sha256.Sum256(b.B[m.begin:m.end])
	}
	return b.sums
}

// Reset empties the batch, for other messages. Large buffers are not kept.
func (b *Batch) Reset() {
	const large = 256 << 10
	if cap(b.B) > large {
		b.B = nil
	}
	b.B, b.begin, b.messages = b.B[:0], 0, b.messages[:0]
}

const (
	// width is how many lanes there are.
	width = 8
	// fewest is how many messages are worth the use of lanes.
	fewest = 3
)

// lane is a message that is being hashed.
type lane struct {
	// message is the place of the message, and -1 for none.
	message int
	// at is where its next block begins.
	at int
}

// initial is the state before the first block (FIPS 180-4, section 5.3.3).
var initial = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

// hashTogether gives each lane a message, and another one when it has finished. The longest messages come first,
// so that the lanes finish at about the same time.
func (b *Batch) hashTogether() {
	var state [8][width]uint32
	var lanes [width]lane
	order := b.longestFirst()
	next := 0
	fill := func(i int) {
		lanes[i].message = -1
		if next == len(order) {
			return
		}
		lanes[i] = lane{message: order[next], at: b.messages[order[next]].begin}
		next++
		for word := range state {
			state[word][i] = initial[word]
		}
	}
	for i := range lanes {
		fill(i)
	}
	for {
		blocks, some := 0, 0
		for i, l := range lanes {
			if l.message < 0 {
				continue
			}
			if left := (b.messages[l.message].padded - l.at) / sha256.BlockSize; blocks == 0 || left < blocks {
				blocks, some = left, i
			}
		}
		if blocks == 0 {
			return
		}
		var from [width]*byte
		for i, l := range lanes {
			if l.message < 0 {
				l = lanes[some] // whatever it computes is not looked at
			}
			from[i] = &b.B[l.at]
		}
		blocksTogether(&state, &from, blocks)
		for i := range lanes {
			l := &lanes[i]
			if l.message < 0 {
				continue
			}
			if l.at += blocks * sha256.BlockSize; l.at == b.messages[l.message].padded {
				for word := range state {
					const size = 4
					binary.BigEndian.PutUint32(b.sums[l.message][size*word:], state[word][i])
				}
				fill(i)
			}
		}
	}
}

// longestFirst are the places of the messages, by their size; messages of the same size keep their order.
func (b *Batch) longestFirst() []int {
	b.order = b.order[:0]
	for i := range b.messages {
		b.order = append(b.order, i)
	}
	slices.SortStableFunc(b.order, func(i, j int) int { return b.messages[j].size() - b.messages[i].size() })
	return b.order
}

// size with padding, in bytes.
func (m message) size() int { return m.padded - m.begin }
