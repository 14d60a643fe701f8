package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/labstack/echo/v4"

	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/internal/memory"
)

// The media types of bodies.
const (
	mediaJSON        = "application/json"
	mediaLines       = "application/x-ndjson"
	mediaCloudEvents = "application/cloudevents-batch+json"
)

// The memory that a body costs.
const (
	// bodyFloor is what each body costs before its first byte: a connection's
	// buffers, and those of a decompressor without its window.
	bodyFloor = 64 << 10
	// eventBytes is what an event costs besides its text, or why it is refused.
	eventBytes = 3 << 10
	// eventFields is how many commas the text of an event has at least.
	eventFields = 7
)

// bodyCost is the most memory that a body of so many bytes can cost while its
// events are stored.
func bodyCost(bytes, events int) int64 {
	const decoded = 2 // the text, and its events' data in canonical form
	return bodyFloor + int64(bytes)*decoded + eventBytes*int64(events)
}

// PeakBodyBytes is the most memory that one request can cost, in bytes.
func PeakBodyBytes(bytes, events int) int64 {
	// While it is read: the buffer and one twice as large, or the compressed body and the other one.
	const reading = 2
	return max(bodyCost(bytes, events), bodyFloor+reading*int64(bytes+1))
}

// bodies reads and decompresses request bodies within bounds of time and memory.
type bodies struct {
	limit  int
	events int // that are taken from one body
	memory *memory.Budget
	zstd   *zstd.Decoder
}

func newBodies(limit, events int, budget *memory.Budget) (*bodies, error) {
	decoder, err := newZstd(limit)
	if err != nil {
		return nil, err
	}
	return &bodies{limit: limit, events: events, memory: budget, zstd: decoder}, nil
}

// mediaType returns the body's type when it is one of allowed, else a 415.
func mediaType(c echo.Context, allowed ...string) (string, error) {
	header := c.Request().Header.Get(echo.HeaderContentType)
	if slices.Contains(allowed, header) { // as most clients send it: there is nothing to parse
		return header, nil
	}
	media, parameters, err := mime.ParseMediaType(header)
	charset := strings.ToLower(parameters["charset"])
	if err == nil && (charset == "" || charset == "utf-8" || charset == "us-ascii") {
		if slices.Contains(allowed, media) {
			return media, nil
		}
	}
	c.Response().Header().Set("Accept-Post", strings.Join(allowed, ", "))
	return "", problem.New(http.StatusUnsupportedMediaType, "content type %q is not taken here: send %s in UTF-8", header, strings.Join(allowed, ", "))
}

// read returns the decompressed body, and its memory, which the caller closes
// once neither the body nor its events are needed.
func (b *bodies) read(c echo.Context) (body []byte, held *memory.Account, err error) {
	r := c.Request()
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get(echo.HeaderContentEncoding)))
	switch encoding {
	case "", encodingIdentity, encodingGzip, encodingZstd:
	default:
		c.Response().Header().Set(echo.HeaderAcceptEncoding, "gzip, zstd")
		return nil, nil, problem.New(http.StatusUnsupportedMediaType, "content encoding %q is not taken: send gzip, zstd or none", encoding)
	}
	if r.ContentLength > int64(b.limit) {
		return nil, nil, b.tooLarge()
	}
	held = b.memory.Open(caller(c), httpserver.TransferFrom(r.Context()).StopReading)
	if body, err = b.readHeld(r, encoding, held); err == nil {
		err = held.Keep()
	}
	if err != nil {
		preempted := held.Preempted()
		held.Close()
		if preempted != nil {
			err = preempted
		}
		return nil, nil, b.refuse(c, encoding, err)
	}
	return body, held, nil
}

// readHeld reads the body, and takes the memory for its events.
func (b *bodies) readHeld(r *http.Request, encoding string, held *memory.Account) ([]byte, error) {
	ctx := r.Context()
	if err := held.Take(ctx, bodyFloor); err != nil {
		return nil, err //nolint:wrapcheck // explained by the caller
	}
	raw := &bounded{from: r.Body, left: int64(b.limit)}
	body, err := b.decompressed(ctx, raw, encoding, r.ContentLength, held)
	if err != nil {
		return nil, err
	}
	cost := bodyCost(len(body), b.eventsIn(body)) - bodyFloor - int64(cap(body))
	if err := held.Take(ctx, max(0, cost)); err != nil {
		return nil, err //nolint:wrapcheck // explained by the caller
	}
	return body, nil
}

// eventsIn is about how many events a body can hold at most.
func (b *bodies) eventsIn(body []byte) int {
	return min(b.events, 1+max(bytes.Count(body, []byte{'{'}), bytes.Count(body, []byte{'\n'}), bytes.Count(body, []byte{','})/eventFields))
}

// collect reads all of a body. The buffer is charged as it grows.
func (b *bodies) collect(ctx context.Context, from io.Reader, length int64, held *memory.Account) ([]byte, error) {
	const least = 16 << 10
	var body []byte
	for {
		if len(body) == cap(body) {
			grown := max(least, 2*cap(body))
			if expected := int(length) + 1; length > 0 && grown >= expected && cap(body) < expected { // one more to read the end
				grown = expected
			}
			grown = min(grown, b.limit+1)
			if err := held.Take(ctx, int64(grown)); err != nil {
				return nil, err //nolint:wrapcheck // explained by the caller
			}
			old := cap(body)
			body = append(make([]byte, 0, grown), body...)
			held.Return(int64(old))
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > b.limit:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, fmt.Errorf("read body: %w", err)
		}
	}
}

var errTooLarge = errors.New("the body is larger than the limit")

// bounded reads so many bytes and fails at the next one.
type bounded struct {
	from io.Reader
	left int64
}

// Read implements io.Reader.
func (r *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > r.left+1 {
		p = p[:r.left+1]
	}
	n, err := r.from.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return 0, errTooLarge
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = &connectionError{err}
	}
	return n, err
}

// connectionError means that the body did not arrive completely.
type connectionError struct{ cause error }

func (e *connectionError) Error() string { return e.cause.Error() }

func (e *connectionError) Unwrap() error { return e.cause }

// refuse explains why a body was not read.
func (b *bodies) refuse(c echo.Context, encoding string, err error) error {
	var broken *connectionError
	switch {
	case errors.Is(err, memory.ErrBusy):
		return busy(err)
	case errors.Is(err, errTooLarge), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return b.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		// Not a 400: clients take that for a verdict on the events.
		c.Response().Header().Set(echo.HeaderConnection, "close")
		return problem.New(http.StatusRequestTimeout,
			"the body stalled, or came more slowly than %d KiB a second: send the request again", httpserver.MinRate>>10)
	case errors.As(err, &broken):
		return problem.New(http.StatusBadRequest, "the body ended early: %v", broken)
	case encoding != "" && encoding != encodingIdentity && c.Request().Context().Err() == nil:
		return problem.New(http.StatusBadRequest, "the body is not usable %s: %v", encoding, err)
	default:
		return passing(err)
	}
}

// busy answers a request that got no memory. The budget tells the log.
func busy(err error) error {
	p := problem.Unavailable(retryAfter, err, "too many large requests at once: send the request again later")
	p.Logged = true
	return p
}

func (b *bodies) tooLarge() error {
	return problem.New(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes after decompression: send fewer events in one request", b.limit)
}
