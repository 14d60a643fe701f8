package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// Digest is a SHA-256 over parts. Each text is preceded by its length, so that ("ab", "c") and ("a", "bc") differ.
// Fingerprints, derived names and ids depend on its form, which therefore never changes.
type Digest struct{ hash hash.Hash }

// NewDigest makes a digest of texts; more parts can be added.
func NewDigest(texts ...string) Digest {
	d := Digest{sha256.New()}
	for _, text := range texts {
		d.Text(text)
	}
	return d
}

// Text adds a text: its length in bytes as a number, then the text.
func (d Digest) Text(text string) {
	d.Number(uint64(len(text)))
	_, _ = d.hash.Write([]byte(text)) // a hash never fails
}

// Number adds a number: 8 bytes, big endian.
func (d Digest) Number(n uint64) {
	var eight [8]byte
	binary.BigEndian.PutUint64(eight[:], n)
	_, _ = d.hash.Write(eight[:])
}

// Sum returns the SHA-256 of the parts added so far.
func (d Digest) Sum() [sha256.Size]byte {
	var sum [sha256.Size]byte
	d.hash.Sum(sum[:0])
	return sum
}
