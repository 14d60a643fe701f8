//go:build race

package wire_test

// The race detector empties pools on purpose.
const raceEnabled = true
