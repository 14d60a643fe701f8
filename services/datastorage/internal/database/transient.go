package database

import (
	"errors"
	"io"
	"net"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// PostgreSQL's codes (appendix A of its manual) for a server that starts,
// stops, or has no connection left at the moment.
var transientCodes = []string{"57P01", "57P02", "57P03", "53300"}

// Transient reports whether another attempt to connect may succeed although
// nobody changes the configuration. A wrong password, or a database that does
// not exist, is not transient.
func Transient(err error) bool {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return slices.Contains(transientCodes, refused.Code)
	}
	if _, ok := errors.AsType[net.Error](err); ok { // a name that does not resolve yet, too
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
