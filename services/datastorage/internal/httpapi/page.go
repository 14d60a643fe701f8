package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/labstack/echo/v4"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/memory"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/query"
)

// The memory that a page costs.
const (
	// pageFloor is what each answer costs before its first event.
	pageFloor = 64 << 10
	// chunkBytes is the granularity in which a page is charged.
	chunkBytes = 16 << 10
	// rowFactor is what a byte of event_data costs while it is encoded.
	rowFactor = 4
	// fieldBytes is about what an event's other fields take.
	fieldBytes = 2 << 10
	// gzipBytes is what a compressor costs.
	gzipBytes = 1 << 20
)

// PeakPageBytes is the most memory that one page can cost, in bytes: with so many
// bytes of event_data, or one event with as many as eventBytes.
func PeakPageBytes(pageBytes, eventBytes int) int64 {
	return pageFloor + gzipBytes + chunkBytes + int64(max(pageBytes, eventBytes)) + rowFactor*int64(eventBytes) + query.MaxLimit*fieldBytes
}

// page is the JSON of an answer. It is complete before its first byte is sent, so
// that a slow reader does not hold a connection to the database, and that what
// fails still has its status. It is charged as it grows, and what has been sent
// is returned.
type page struct {
	held   *memory.Account
	story  *story
	chunks [][]byte
	size   int
	row    []byte // that of the last value; its memory is used again
}

// add appends text.
func (p *page) add(ctx context.Context, text []byte) error {
	for p.size += len(text); len(text) > 0; {
		last := len(p.chunks) - 1
		if last < 0 || len(p.chunks[last]) == chunkBytes {
			if err := p.held.Take(ctx, chunkBytes); err != nil {
				return err //nolint:wrapcheck // explained by the caller
			}
			p.chunks = append(p.chunks, make([]byte, 0, chunkBytes))
			continue
		}
		n := min(len(text), chunkBytes-len(p.chunks[last]))
		p.chunks[last] = append(p.chunks[last], text[:n]...)
		text = text[n:]
	}
	return nil
}

// addJSON appends a value that costs so many bytes while it is encoded.
func (p *page) addJSON(ctx context.Context, value any, cost int64) error {
	return p.encoded(ctx, cost, func(row []byte) ([]byte, error) {
		to := bytes.NewBuffer(row)
		err := json.NewEncoder(to).Encode(value)
		return to.Bytes(), err
	})
}

func (p *page) addEvent(ctx context.Context, s *query.Stored) error {
	return p.encoded(ctx, rowFactor*int64(len(s.Data)), func(row []byte) ([]byte, error) { return appendEvent(row, s, p.story.of(s)) })
}

// encoded appends what encode makes, at so high a cost.
func (p *page) encoded(ctx context.Context, cost int64, encode func([]byte) ([]byte, error)) error {
	if err := p.held.Take(ctx, cost); err != nil {
		return err //nolint:wrapcheck // explained by the caller
	}
	defer p.held.Return(cost)
	const kept = 64 << 10
	if cap(p.row) > kept {
		p.row = nil
	}
	var err error
	if p.row, err = encode(p.row[:0]); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return p.add(ctx, p.row)
}

// list appends the events of a query and its pagination, and returns how many events there are.
func (p *page) list(ctx context.Context, finder *query.Finder, params query.Params) (events int, err error) {
	if err := p.add(ctx, []byte(`{"data":[`)); err != nil {
		return 0, err
	}
	first := true
	found, err := finder.Find(ctx, params, func(s *query.Stored) error {
		if !first {
			if err := p.add(ctx, []byte{','}); err != nil {
				return err
			}
		}
		first = false
		return p.addEvent(ctx, s)
	})
	if err != nil {
		return 0, err //nolint:wrapcheck // explained by the caller
	}
	if err := p.add(ctx, []byte(`],"pagination":`)); err != nil {
		return 0, err
	}
	if err := p.addJSON(ctx, pagination(found), 0); err != nil {
		return 0, err
	}
	return found.Events, p.add(ctx, []byte{'}'})
}

func pagination(p *query.Page) api.Pagination {
	w := api.Pagination{Limit: p.Limit, Offset: p.Offset, Total: p.Total, TotalIsLowerBound: p.TotalIsLowerBound, HasMore: p.HasMore, ScannedUntil: p.ScannedUntil}
	if p.NextCursor != "" {
		w.NextCursor = &p.NextCursor
	}
	return w
}

// send writes the page. Memory is returned as it is sent.
func (p *page) send(c echo.Context, compressed bool) error {
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	header.Add(echo.HeaderVary, echo.HeaderAcceptEncoding)
	var to io.Writer = c.Response()
	var packer *gzip.Writer
	if compressed {
		header.Set(echo.HeaderContentEncoding, encodingGzip)
		packer = newPacker(to)
		defer packers.Put(packer)
		to = packer
	} else {
		header.Set(echo.HeaderContentLength, strconv.Itoa(p.size))
	}
	c.Response().WriteHeader(http.StatusOK)
	for i, chunk := range p.chunks {
		if _, err := to.Write(chunk); err != nil {
			return &unreadError{err}
		}
		p.chunks[i] = nil
		p.held.Return(chunkBytes)
	}
	if packer != nil {
		if err := packer.Close(); err != nil {
			return &unreadError{err}
		}
	}
	return nil
}

// packers are compressors to be used again: one takes longer to make than most
// pages take to compress.
var packers = sync.Pool{New: func() any {
	packer, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // fails for unknown levels only
	return packer
}}

func newPacker(to io.Writer) *gzip.Writer {
	packer, _ := packers.Get().(*gzip.Writer) // there is nothing else in it
	packer.Reset(to)
	return packer
}

// statusUnread is how metrics count an answer that was not read to its end: the
// client went away, or was too slow.
const statusUnread = 499

// unreadError means that the client did not read the answer.
type unreadError struct{ cause error }

func (e *unreadError) Error() string { return "write the answer: " + e.cause.Error() }

func (e *unreadError) Unwrap() error { return e.cause }

// errPreempted is the cause of a query's end.
var errPreempted = errors.New("the memory of this answer is needed by others")

// search answers as page does, when it is the query's turn.
func (a *API) search(c echo.Context, params query.Params, build func(ctx context.Context, p *page) error) error {
	ctx, end, err := a.config.Finder.Turn(c.Request().Context(), params)
	if err != nil {
		return a.pageProblem(err)
	}
	// Others do not wait until the answer is read.
	end = sync.OnceFunc(end)
	defer end()
	c.SetRequest(c.Request().WithContext(ctx))
	return a.page(c, func(ctx context.Context, p *page) error {
		defer end()
		return build(ctx, p)
	})
}

// page answers with what build adds to a page.
func (a *API) page(c echo.Context, build func(ctx context.Context, p *page) error) error {
	ctx, cancel := context.WithCancelCause(c.Request().Context())
	defer cancel(nil)
	held := a.config.PageMemory.Open(caller(c), func() { cancel(errPreempted) })
	defer held.Close()
	p := &page{held: held, story: a.newStory(ctx)}
	cost := int64(pageFloor)
	compressed := acceptsGzip(c.Request().Header)
	if compressed {
		cost += gzipBytes
	}
	err := held.Take(ctx, cost)
	if err == nil {
		err = a.queued(ctx, caller(c), func() error {
			held.Hurry(hurry)
			return build(ctx, p)
		})
	}
	if err == nil {
		err = held.OnAbort(httpserver.TransferFrom(ctx).StopWriting)
	}
	if preempted := held.Preempted(); preempted != nil {
		err = preempted
	}
	if err != nil {
		return a.pageProblem(err)
	}
	return p.send(c, compressed)
}

// hurry is how long a query waits for memory while it holds a connection to the
// database: long enough for others to return theirs.
const hurry = 250 * time.Millisecond

// queued runs a query when its caller may have a connection to the database.
func (a *API) queued(ctx context.Context, caller string, run func() error) error {
	place := a.config.Queries.Open(caller, nil)
	defer place.Close()
	place.Hurry(a.config.QueryWait)
	err := place.Take(ctx, 1)
	switch {
	case err == nil:
		return run()
	case errors.Is(err, memory.ErrBusy):
		a.config.QueryRefused()
		return &query.UnavailableError{Err: database.ErrBusy}
	default:
		return err //nolint:wrapcheck // explained by the caller
	}
}

func (a *API) pageProblem(err error) error {
	var bad *query.ParamError
	switch {
	case errors.Is(err, memory.ErrBusy):
		return busy(err)
	case errors.As(err, &bad):
		return badParameters(bad.Fields)
	default:
		return passing(err)
	}
}
