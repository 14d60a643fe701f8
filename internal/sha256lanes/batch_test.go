package sha256lanes

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestSumsAreThoseOfTheStandardLibrary has messages of every length around the borders of blocks, together with ones
// that are much longer.
func TestSumsAreThoseOfTheStandardLibrary(t *testing.T) {
	random := rand.New(rand.NewChaCha8([32]byte{}))
	var b Batch
	for count := range 40 {
		b.Reset()
		var want []Sum
		for n := range count {
			length := random.IntN(5 * sha256.BlockSize)
			if n%7 == 3 {
				length = random.IntN(100 * sha256.BlockSize)
			}
			add(&b, &want, random, length)
		}
		check(t, &b, want)
	}
	b.Reset()
	var want []Sum
	for length := range 4 * sha256.BlockSize {
		add(&b, &want, random, length)
	}
	check(t, &b, want)
}

func FuzzSums(f *testing.F) {
	f.Add([]byte("abc"), uint8(9), uint16(55))
	f.Add([]byte{}, uint8(0), uint16(0))
	f.Fuzz(func(t *testing.T, seed []byte, count uint8, step uint16) {
		var b Batch
		var want []Sum
		random := rand.New(rand.NewChaCha8(sha256.Sum256(seed)))
		for n := range int(count) {
			add(&b, &want, random, n*int(step)%2000)
		}
		check(t, &b, want)
	})
}

func add(b *Batch, want *[]Sum, random *rand.Rand, length int) {
	message := make([]byte, length)
	for i := range message {
		message[i] = byte(random.Uint32())
	}
	b.B = append(b.B, message...)
	if place := b.End(); place != len(*want) {
		panic(fmt.Sprintf("place %d, want %d", place, len(*want)))
	}
	*want = append(*want, sha256.Sum256(message))
}

func check(t *testing.T, b *Batch, want []Sum) {
	t.Helper()
	got := b.Hash()
	if len(got) != len(want) {
		t.Fatalf("%d sums of %d messages", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("message %d of %d: %x, want %x", i, len(want), got[i], want[i])
		}
	}
}

func BenchmarkHash(b *testing.B) {
	for _, events := range []int{1, 4, 16, 32} {
		b.Run(fmt.Sprintf("%dx4", events), func(b *testing.B) {
			var batch Batch
			for range events {
				for _, length := range []int{900, 350, 230, 547} { // an event's digest, envelope, subject and data
					batch.B = append(batch.B, make([]byte, length)...)
					batch.End()
				}
			}
			for _, together := range []bool{supported, false} {
				b.Run(fmt.Sprintf("together=%t", together), func(b *testing.B) {
					b.SetBytes(int64(len(batch.B)))
					for b.Loop() {
						if together {
							batch.Hash()
							continue
						}
						for _, m := range batch.messages {
							_ = sha256.Sum256(batch.B[m.begin:m.end])
						}
					}
				})
			}
		})
	}
}
