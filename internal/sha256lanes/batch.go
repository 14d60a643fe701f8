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

// initial is the state before the first block (FIPS 180-4, section 5.3.3).
var initial = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

// lane is a message that is being hashed.
type lane struct {
	// message is its place, and -1 for none.
	message int
	// at is where its next block begins, and end where its last one ends.
	at, end int
}

// lanes are messages that are hashed side by side.
type lanes struct {
	batch *Batch
	lanes [width]lane
	// state has a word of each lane in a row.
	state [8][width]uint32
	// waiting are the places of the messages that have no lane yet.
	waiting []int
}

// hashTogether gives each lane a message, and another one when it has finished. The longest messages come first,
// so that the lanes finish at about the same time.
func (b *Batch) hashTogether() {
	l := lanes{batch: b, waiting: b.longestFirst()}
	for i := range l.lanes {
		l.fill(i)
	}
	for {
		blocks, shortest := l.shortest()
		if blocks == 0 {
			return
		}
		l.hash(blocks, shortest)
	}
}

// fill gives a lane the next message, or none.
func (l *lanes) fill(i int) {
	l.lanes[i].message = -1
	if len(l.waiting) == 0 {
		return
	}
	m := l.waiting[0]
	l.waiting = l.waiting[1:]
	l.lanes[i] = lane{message: m, at: l.batch.messages[m].begin, end: l.batch.messages[m].padded}
	for word := range l.state {
		l.state[word][i] = initial[word]
	}
}

// shortest returns how many blocks are left in the lane that finishes first; 0 if no lane has a message.
func (l *lanes) shortest() (blocks, at int) {
	for i, one := range l.lanes {
		if one.message < 0 {
			continue
		}
		if left := (one.end - one.at) / sha256.BlockSize; blocks == 0 || left < blocks {
			blocks, at = left, i
		}
	}
	return blocks, at
}

// hash hashes the next blocks of each lane. Those without a message compute what some lane does, for nobody.
func (l *lanes) hash(blocks, some int) {
	var from [width]*byte
	for i, one := range l.lanes {
		if one.message < 0 {
			one = l.lanes[some]
		}
		from[i] = &l.batch.B[one.at]
	}
	blocksTogether(&l.state, &from, blocks)
	for i := range l.lanes {
		one := &l.lanes[i]
		if one.message < 0 {
			continue
		}
		if one.at += blocks * sha256.BlockSize; one.at == one.end {
			l.finish(i)
		}
	}
}

// finish writes the sum of a lane's message, and goes on with another one.
func (l *lanes) finish(i int) {
	sum := l.batch.sums[l.lanes[i].message][:0]
	for word := range l.state {
		sum = binary.BigEndian.AppendUint32(sum, l.state[word][i])
	}
	l.fill(i)
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
