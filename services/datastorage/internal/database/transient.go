package database

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// PostgreSQL's codes (appendix A of its manual).
const (
	codeReadOnly = "25006"
	codeCanceled = "57014"
	codeLocked   = "55P03"
)

// transientCodes are those of a server that starts, stops, or has no connection
// left at the moment.
var transientCodes = []string{"57P01", "57P02", "57P03", "53300"}

// staleCodes show that a connection, and probably all others, lead to a server
// that is no longer the primary or is about to go.
var staleCodes = []string{codeReadOnly, "57P01", "57P02", "57P03"}

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
	return errors.Is(err, errPooler) || errors.Is(err, pgconn.ErrReadOnlyConnection) || errors.Is(err, errNoPrimary) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Away reports whether an error of a statement or of an attempt to connect says
// that the database is unreachable or takes no writes. A statement or an attempt to
// connect that took too long says nothing of that kind.
func Away(err error) bool {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.Code == codeReadOnly || slices.Contains(transientCodes, refused.Code)
	}
	if slow, ok := errors.AsType[*SlowConnectError](err); ok {
		return slow.Down
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return !errors.Is(err, context.Canceled)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	return Transient(err)
}

// TimedOut reports whether the server or the caller's limit stopped a statement.
func TimedOut(err error) bool {
	if stopped, ok := errors.AsType[*pgconn.PgError](err); ok {
		return stopped.Code == codeCanceled
	}
	return errors.Is(err, context.DeadlineExceeded)
}
