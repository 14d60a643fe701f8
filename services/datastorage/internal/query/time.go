package query

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

var errTime = errors.New("must be an RFC 3339 time, a date as in 2026-01-02, a duration back from now as in 24h, or a number of days as in 7d")

// maxDays keeps a number of days within a time.Duration.
const maxDays = 100_000

// parseTime reads the forms in which a client may give a time.
func parseTime(text string, now time.Time) (time.Time, error) {
	// A + that is not escaped arrives as a space.
	unescaped := strings.Replace(text, " ", "+", 1)
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, unescaped); err == nil {
			return t.UTC(), nil
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > maxDays {
			return time.Time{}, errTime
		}
		return now.UTC().AddDate(0, 0, -int(n)), nil
	}
	back, err := time.ParseDuration(text)
	if err != nil || back < 0 {
		return time.Time{}, errTime
	}
	return now.UTC().Add(-back), nil
}

// isRelative reports whether a text is a time that depends on when it is read.
func isRelative(text string) bool {
	one, err := parseTime(text, time.Time{})
	if err != nil {
		return false
	}
	other, err := parseTime(text, time.Unix(0, 0))
	return err == nil && !one.Equal(other)
}
