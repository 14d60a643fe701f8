package httpsink

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"kubernaut.ai/pkg/audit"
)

// CompressedFrom is the size of the smallest body that is compressed, in
// bytes: about twenty events. With a smaller one, compressing takes longer than
// sending it as it is (docs/decisions/0005-wire-form.md).
const CompressedFrom = 32 << 10

// Compression of request bodies.
type Compression int

// The compressions that DataStorage takes.
const (
	// CompressionNone sends bodies as they are.
	CompressionNone Compression = iota
	// CompressionGzip is for servers and proxies that know nothing else.
	CompressionGzip
	// CompressionZstd (RFC 8878) is the quickest one for both sides.
	CompressionZstd
)

// String is the compression's name in Content-Encoding, "none" where there is none.
func (c Compression) String() string {
	switch c {
	case CompressionNone:
		return "none"
	case CompressionGzip:
		return "gzip"
	case CompressionZstd:
		return "zstd"
	default:
		return fmt.Sprintf("Compression(%d)", int(c))
	}
}

// compressor appends the compressed form of plain to b. It is safe for concurrent use.
type compressor func(b, plain []byte) ([]byte, error)

// newCompressor returns nil for CompressionNone, which has nothing to do.
func newCompressor(c Compression) (compressor, error) {
	switch c {
	case CompressionGzip:
		return newGzip(), nil
	case CompressionZstd:
		// The window of this level, 4 MiB, is within what RFC 9659 lets a server refuse.
		encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, fmt.Errorf("make zstd encoder: %w", err)
		}
		return func(b, plain []byte) ([]byte, error) { return encoder.EncodeAll(plain, b), nil }, nil
	case CompressionNone:
	}
	return nil, nil //nolint:nilnil // as documented
}

func newGzip() compressor {
	writers := sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for unknown levels only
		return w
	}}
	return func(b, plain []byte) ([]byte, error) {
		w := writers.Get().(*gzip.Writer) //nolint:forcetypeassert // the pool holds nothing else
		defer writers.Put(w)
		out := bytes.NewBuffer(b)
		w.Reset(out)
		_, err := w.Write(plain)
		if err = errors.Join(err, w.Close()); err != nil {
			return b, fmt.Errorf("gzip: %w", err)
		}
		return out.Bytes(), nil
	}
}

// mayBeAboutEncoding reports whether an answer may mean that the server cannot
// read the body's encoding: it says so (415), or complains about the body as a
// whole. Whoever names an event has read it.
func mayBeAboutEncoding(err error) bool {
	var named *audit.RefusedError
	var failed *audit.SinkError
	switch {
	case errors.As(err, &named):
		return false
	case errors.As(err, &failed):
		switch failed.Status {
		case http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
			return true
		default:
			return false
		}
	default:
		return errors.Is(err, audit.ErrRefused)
	}
}
