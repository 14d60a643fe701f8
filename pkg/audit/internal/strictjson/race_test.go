//go:build race

package strictjson_test

// The race detector empties pools on purpose.
const raceEnabled = true
