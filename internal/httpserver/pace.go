package httpserver

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// The pace of a client: the server waits slack for it, and a second more for each
// MinRate bytes that it has sent or read, but never longer than slack at once.
// The time in which the server itself is busy does not count.
const (
	slack   = 5 * time.Second
	MinRate = 64 << 10
	// pieceBytes is how much is written under one deadline.
	pieceBytes = 64 << 10
)

// Paced cuts clients off that send their bodies, or read their responses, too
// slowly: the body's Read, and the response's Write, then return an error that
// wraps os.ErrDeadlineExceeded. Servers of this package are paced.
func Paced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := newTransfer(w, r)
		// The deadline of the connection's previous response.
		_ = t.out.set(time.Time{}) // a connection that is gone is noticed later
		r = r.WithContext(context.WithValue(r.Context(), transferKey{}, t))
		r.Body = &pacedBody{ReadCloser: r.Body, transfer: t}
		next.ServeHTTP(&pacedWriter{ResponseWriter: w, transfer: t}, r)
		_ = t.out.set(time.Now().Add(slack)) // for what net/http still has to write
	})
}

// Transfer is the way of a request's body and of its response. Its methods are
// safe for concurrent use.
type Transfer struct{ in, out deadline }

type transferKey struct{}

// TransferFrom returns the transfer of a request's context. If there is none, its
// methods do nothing.
func TransferFrom(ctx context.Context) *Transfer {
	if t, ok := ctx.Value(transferKey{}).(*Transfer); ok {
		return t
	}
	return &Transfer{}
}

// StopReading makes the body's Read fail.
func (t *Transfer) StopReading() { t.in.stop() }

// StopWriting makes the response's Write fail.
func (t *Transfer) StopWriting() { t.out.stop() }

func newTransfer(w http.ResponseWriter, _ *http.Request) *Transfer {
	control := http.NewResponseController(w)
	return &Transfer{
		in:  deadline{change: control.SetReadDeadline, left: slack},
		out: deadline{change: control.SetWriteDeadline, left: slack},
	}
}

// deadline is that of one direction of a connection. Deadlines are times of the
// operating system, so they do not come from an injected clock.
type deadline struct {
	left time.Duration // that the client may take; of the handler's goroutine

	mu      sync.Mutex
	change  func(time.Time) error // guarded by mu
	stopped bool                  // guarded by mu
}

// paced runs one operation under the deadline.
func (d *deadline) paced(operate func() (int, error)) (int, error) {
	began := time.Now()
	if err := d.set(began.Add(d.left)); err != nil {
		return 0, err
	}
	n, err := operate()
	d.left = min(slack, d.left-time.Since(began)+time.Duration(n)*time.Second/MinRate)
	return n, err
}

func (d *deadline) set(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return nil // the deadline is over
	}
	return d.changed(t)
}

func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	_ = d.changed(time.Unix(1, 0)) // a connection that is gone needs no end
}

func (d *deadline) changed(t time.Time) error {
	if d.change == nil {
		return nil
	}
	err := d.change(t)
	if errors.Is(err, http.ErrNotSupported) { // the response of a test
		return nil
	}
	return err
}

// pacedBody is a request's body.
type pacedBody struct {
	io.ReadCloser

	transfer *Transfer
}

// Read implements io.Reader.
func (p *pacedBody) Read(buffer []byte) (int, error) {
	n, err := p.transfer.in.paced(func() (int, error) { return p.ReadCloser.Read(buffer) })
	if errors.Is(err, io.EOF) {
		// net/http reads on while the request is processed, to notice a client
		// that goes away: that has no deadline.
		_ = p.transfer.in.set(time.Time{}) // a connection that is gone is noticed all the same
	}
	return n, err
}

// pacedWriter is a response.
type pacedWriter struct {
	http.ResponseWriter

	transfer *Transfer
}

// Unwrap is for http.ResponseController.
func (p *pacedWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Write implements io.Writer.
func (p *pacedWriter) Write(data []byte) (written int, err error) {
	for first := true; first || len(data) > 0; first = false {
		piece := data[:min(len(data), pieceBytes)]
		n, err := p.transfer.out.paced(func() (int, error) { return p.ResponseWriter.Write(piece) })
		written += n
		if err != nil {
			return written, err
		}
		data = data[len(piece):]
	}
	return written, nil
}
