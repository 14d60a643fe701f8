package signal

import (
	"strings"
	"time"

	"kubernaut.ai/internal/printable"
)

const (
	firstYear = 1970
	// maxAhead is how far a sender's clock may be ahead of ours.
	maxAhead = 5 * time.Minute
)

// Start returns when a signal began to fire, from what a field of the source
// says. A note says why that is unknown: then the time of receipt is used, so
// that a signal is never lost because of its time.
func Start(field, said string, receivedAt time.Time) (start time.Time, note string) {
	if said == "" {
		return time.Time{}, field + " is missing"
	}
	shown := printable.Storable(said, MaxSeverity)
	switch start, err := ParseTime(said); {
	case err != nil:
		return time.Time{}, field + " is not an RFC 3339 time: " + shown
	case start.IsZero():
		return time.Time{}, field + " is not set: " + shown
	case start.After(receivedAt.Add(maxAhead)):
		return time.Time{}, field + " is in the future: " + shown
	default:
		return start, ""
	}
}

// ParseTime reads a time in any form that RFC 3339 permits: time.Parse rejects
// lower case and leap seconds. A leap second is the second after it. The result
// is zero for a time before 1970, which stands for an unset one.
func ParseTime(text string) (time.Time, error) {
	text = strings.ToUpper(text)
	const seconds = len("2006-01-02T15:04:")
	leap := time.Duration(0)
	if len(text) > seconds+2 && text[seconds:seconds+2] == "60" {
		text = text[:seconds] + "59" + text[seconds+2:]
		leap = time.Second
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, err //nolint:wrapcheck // only tells that the text has no such form
	}
	if t = t.Add(leap).UTC(); t.Year() < firstYear {
		return time.Time{}, nil
	}
	return t, nil
}
