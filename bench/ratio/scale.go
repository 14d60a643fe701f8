package ratio

import "fmt"

// Scale is how much a benchmark measures.
type Scale int

// The scales of a benchmark.
const (
	// Small takes a minute or two. The default.
	Small Scale = iota
	// Full has the sizes that the bars name.
	Full
)

// ParseScale reads the variable SCALE: small, full, or nothing for small.
func ParseScale(text string) (Scale, error) {
	switch text {
	case "", "small":
		return Small, nil
	case "full":
		return Full, nil
	default:
		return Small, fmt.Errorf("scale %q: must be small or full", text)
	}
}

// String is the scale's name as ParseScale reads it.
func (s Scale) String() string {
	if s == Full {
		return "full"
	}
	return "small"
}

// Pick gives one of two sizes.
func (s Scale) Pick(small, full int) int {
	if s == Full {
		return full
	}
	return small
}
