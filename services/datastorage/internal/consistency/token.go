// Package consistency lets a client that was told "stored" demand an answer
// that knows of it, from whichever database server answers.
package consistency

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrMalformed means that a text is no token.
var ErrMalformed = errors.New("malformed consistency token")

// Token is a position in a PostgreSQL write-ahead log. Clients see an opaque text.
type Token struct {
	// Timeline changes with each failover; positions of different timelines do not compare.
	Timeline uint32
	// LSN is the position in the log, in bytes.
	LSN uint64
}

// prefix is the version of the textual form.
const prefix = "p1-"

// String returns the form that clients see.
func (t Token) String() string {
	return prefix + strconv.FormatUint(uint64(t.Timeline), 16) + "-" + strconv.FormatUint(t.LSN, 16)
}

// Parse reads the form that clients see, or returns an error that wraps ErrMalformed.
func Parse(text string) (Token, error) {
	rest, ok := strings.CutPrefix(text, prefix)
	timelineText, lsnText, cut := strings.Cut(rest, "-")
	const hex = 16
	timeline, timelineErr := strconv.ParseUint(timelineText, hex, 32)
	lsn, lsnErr := strconv.ParseUint(lsnText, hex, 64)
	token := Token{Timeline: uint32(timeline), LSN: lsn}
	// One form a token: nothing else that happens to parse.
	if !ok || !cut || timelineErr != nil || lsnErr != nil || token.String() != text {
		return Token{}, fmt.Errorf("%w: pass consistency_token as it came in an answer", ErrMalformed)
	}
	return token, nil
}
