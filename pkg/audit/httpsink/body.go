package httpsink

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"kubernaut.ai/pkg/audit"
)

// maxKeptBody bounds the buffers that are used again: a full batch of usual events fits.
const maxKeptBody = audit.DefaultBatchBytes

// body is an encoded batch that can be sent any number of times. Its bytes are
// used for another one when its maker and all its readers have let go of it: a
// transport may still read while the answer is there already.
type body struct {
	bytes []byte
	users atomic.Int32
}

var bodies = sync.Pool{New: func() any { return new(body) }}

// newBody returns an empty body that the caller releases.
func newBody() *body {
	b := bodies.Get().(*body) //nolint:forcetypeassert // the pool holds nothing else
	b.bytes = b.bytes[:0]
	b.users.Store(1)
	return b
}

func (b *body) release() {
	if b.users.Add(-1) == 0 && cap(b.bytes) <= maxKeptBody {
		bodies.Put(b)
	}
}

// attach makes b the request's body. The transport may send it again when a
// connection turns out to be closed: an event that comes twice is recognised
// by its id, which makes the request idempotent.
func (b *body) attach(request *http.Request) {
	request.Body = b.reader()
	request.GetBody = func() (io.ReadCloser, error) { return b.reader(), nil }
	request.ContentLength = int64(len(b.bytes))
	// Empty, it is for the transport alone (see http.Transport), and not sent.
	request.Header["Idempotency-Key"] = nil
}

func (b *body) reader() io.ReadCloser {
	b.users.Add(1)
	return &bodyReader{body: b}
}

// bodyReader reads a body. HTTP/2 may close it while it is being read.
type bodyReader struct {
	mu   sync.Mutex // guards what follows
	body *body      // nil after Close
	at   int
}

// Read copies the next bytes; after Close it fails.
func (r *bodyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	if r.at == len(r.body.bytes) {
		return 0, io.EOF
	}
	n := copy(p, r.body.bytes[r.at:])
	r.at += n
	return n, nil
}

// Close lets go of the body, the first time.
func (r *bodyReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body != nil {
		r.body.release()
		r.body = nil
	}
	return nil
}
