package signal

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/internal/printable"
	"kubernaut.ai/pkg/audit/wire"
)

// The bounds of a request's spec, in bytes. The resource's schema counts
// characters, of which there are never more than bytes. Together they keep the
// spec, escaped as JSON, below the size that an audit event can carry.
const (
	// MaxName bounds names of alerts, sources and clusters, and the keys of labels.
	MaxName = 253
	// MaxSeverity bounds the severity.
	MaxSeverity = 63
	// MaxPairs bounds the number of labels, and of annotations.
	MaxPairs = 128
	// MaxValue bounds the value of one label or annotation.
	MaxValue = 4 << 10
	// MaxMap bounds the keys and values of all labels together, and of all annotations.
	MaxMap = 32 << 10
	// MaxProviderData bounds the fields that only one kind of source sends.
	MaxProviderData = 16 << 10
	// MaxPayload bounds the signal as it arrived.
	MaxPayload = 64 << 10
)

// Shown is printable.Storable for what tables and terminals show: names of signals, severities,
// targets. Whatever is not visible in it is escaped.
func Shown(text string, limit int) string {
	return wire.Truncate(printable.Line(printable.Storable(text, limit)), limit)
}

// Bounded copies labels or annotations within the bounds. Which pairs remain
// depends on the pairs alone: those whose keys sort first.
func Bounded(pairs map[string]string) map[string]string {
	if len(pairs) == 0 {
		return nil
	}
	bounded := make(map[string]string, min(len(pairs), MaxPairs))
	size := 0
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		k, v := printable.Storable(key, MaxName), printable.Storable(pairs[key], MaxValue)
		if size+len(k)+len(v) > MaxMap {
			continue
		}
		size += len(k) + len(v)
		bounded[k] = v
		if len(bounded) == MaxPairs {
			break
		}
	}
	return bounded
}

// Payload returns the JSON text of a signal as it arrived, without insignificant
// space and within the bounds.
func Payload(text []byte) string {
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return printable.Storable(string(text), MaxPayload)
	}
	return printable.Storable(compact.String(), MaxPayload)
}

// MicroTime truncates to the precision of the resource, so that a request is the
// same before and after it was stored.
func MicroTime(t time.Time) metav1.MicroTime {
	return metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
}
