package body

import (
	"errors"
	"io"
)

// The memory that a body costs.
const (
	// floor is what each request costs before its first byte.
	floor = 16 << 10
	// factor is what a byte costs while it is decoded. A decoder's buffer doubles,
	// which takes three times the largest value while it is copied; a fourth is
	// for the value's decoded form.
	factor = 4
	// perSignal is what each signal costs until the response is written: its
	// entry, its identity, its result and that result's text.
	perSignal = 2 << 10
)

// beyond is how many times the limit is read, to count what lies beyond it.
const beyond = 4

// ErrTooLarge means that a body goes on far beyond its limit, or that one of its
// values does not fit in it.
var ErrTooLarge = errors.New("the body is larger than the limit")

// Limits of a body.
type Limits struct {
	// Bytes bounds the part of a body from which signals are taken.
	Bytes int64
	// Signals bounds how many signals are taken.
	Signals int
	// Blank bounds the part at a body's beginning that may be without a usable signal.
	Blank int64
}

// Cost is the most memory that one body can cost, in bytes.
func (l Limits) Cost() int64 {
	return floor + (factor+1)*l.Bytes + perSignal*int64(l.Signals)
}

// Reader reads a body. It takes memory for all bytes that it has read, until
// Settle says what was kept of them. It is for one goroutine.
type Reader struct {
	Limits

	from io.Reader
	take func(bytes int64) error

	failed  error // of the last Read
	charged int64 // memory taken
	read    int64 // bytes read
	settled int64 // bytes that were settled
	peak    int64 // most bytes that were read and not settled
	kept    int64 // memory kept of settled bytes
}

// NewReader reads a body. It calls take for the memory that it needs, which the
// caller returns after the response. take may wait.
func NewReader(from io.Reader, take func(bytes int64) error, limits Limits) *Reader {
	return &Reader{Limits: limits, from: from, take: take}
}

// ConnectionError means that a body did not arrive completely.
type ConnectionError struct{ Cause error }

// Error implements error.
func (e *ConnectionError) Error() string { return "read body: " + e.Cause.Error() }

// Unwrap returns the connection's error.
func (e *ConnectionError) Unwrap() error { return e.Cause }

// MemoryError means that there is no memory for a body.
type MemoryError struct{ Cause error }

// Error implements error.
func (e *MemoryError) Error() string { return e.Cause.Error() }

// Unwrap returns why.
func (e *MemoryError) Unwrap() error { return e.Cause }

// Read implements io.Reader. Its errors are io.EOF, a *ConnectionError,
// a *MemoryError and ErrTooLarge; a further call returns the same.
func (r *Reader) Read(p []byte) (int, error) {
	if r.failed != nil {
		return 0, r.failed
	}
	n, err := r.more(p)
	r.failed = err
	return n, err
}

// Settle says that everything before an offset is decoded. Of that, a signal of
// so many bytes is kept until the response.
func (r *Reader) Settle(offset int64, keep int) error {
	r.settled = offset
	if keep > 0 {
		r.kept += int64(keep) + perSignal
	}
	return r.charge()
}

// Drain reads the rest of the body up to the limit, so that a client that sends
// before it reads gets the response.
func (r *Reader) Drain() {
	buffer := make([]byte, 16<<10)
	for r.read < r.Bytes {
		n, err := r.from.Read(buffer)
		r.read += int64(n)
		if err != nil {
			return
		}
	}
}

func (r *Reader) more(p []byte) (int, error) {
	if err := r.charge(); err != nil {
		return 0, err
	}
	if r.read-r.settled > r.Bytes || r.read > beyond*r.Bytes {
		return 0, ErrTooLarge
	}
	n, err := r.from.Read(p)
	r.read += int64(n)
	r.peak = max(r.peak, r.read-r.settled)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, &ConnectionError{Cause: err}
	}
	if charged := r.charge(); charged != nil {
		return n, charged
	}
	return n, err //nolint:wrapcheck // io.EOF is part of the contract of Read
}

func (r *Reader) charge() error {
	owed := floor + factor*r.peak + r.kept - r.charged
	if owed <= 0 {
		return nil
	}
	if err := r.take(owed); err != nil {
		return &MemoryError{Cause: err}
	}
	r.charged += owed
	return nil
}
