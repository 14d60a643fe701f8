package signal

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"kubernaut.ai/pkg/audit/wire"
)

// The bounds of a request's spec, in bytes. The counts of the resource's
// schema are characters, which are never more than bytes. Together they keep
// the spec, escaped as JSON, below the size that an audit event can carry.
const (
	maxName         = 253
	maxSeverity     = 63
	maxPairs        = 128
	maxValue        = 4 << 10
	maxMap          = 32 << 10
	maxProviderData = 16 << 10
	maxPayload      = 64 << 10
)

// Clean makes text storable: valid UTF-8 without NUL, which JSON columns of
// databases refuse, and at most limit bytes long.
func Clean(text string, limit int) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	text = strings.ReplaceAll(text, "\x00", string(utf8.RuneError))
	return wire.Truncate(text, limit)
}

// bounded copies pairs within the bounds. Which pairs stay depends on the
// pairs alone: those whose keys sort first.
func bounded(pairs map[string]string) map[string]string {
	if len(pairs) == 0 {
		return nil
	}
	kept := make(map[string]string, min(len(pairs), maxPairs))
	size := 0
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		k, v := Clean(key, maxName), Clean(pairs[key], maxValue)
		if size+len(k)+len(v) > maxMap {
			continue
		}
		size += len(k) + len(v)
		kept[k] = v
		if len(kept) == maxPairs {
			break
		}
	}
	return kept
}
