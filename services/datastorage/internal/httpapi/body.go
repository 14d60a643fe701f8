package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"kubernaut.ai/internal/httpserver/problem"
)

// The media types of bodies.
const (
	mediaJSON        = "application/json"
	mediaLines       = "application/x-ndjson"
	mediaCloudEvents = "application/cloudevents-batch+json"
)

// The memory that all bodies together may take, in bodies of the largest size,
// and how long a request waits for its share.
const (
	largestBodies = 16
	shareTimeout  = 5 * time.Second
)

// bodies reads and decompresses request bodies within bounds of time and memory.
type bodies struct {
	limit int
	// raw and plain are the shares of bodies as they came and decompressed ones.
	raw, plain *semaphore.Weighted
	zstd       *zstd.Decoder
}

func newBodies(limit int) (*bodies, error) {
	const smallestWindow = 8 << 20 // RFC 9659: what every decoder of the content encoding takes
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(uint64(limit)), zstd.WithDecoderMaxWindow(smallestWindow)) //nolint:gosec // a positive limit
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	all := int64(limit) * largestBodies
	return &bodies{limit: limit, raw: semaphore.NewWeighted(all), plain: semaphore.NewWeighted(all), zstd: decoder}, nil
}

// mediaType returns the body's type when it is one of allowed, else a 415.
func mediaType(c echo.Context, allowed ...string) (string, error) {
	header := c.Request().Header.Get(echo.HeaderContentType)
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

// read returns the decompressed body; release gives its memory free.
func (b *bodies) read(c echo.Context) (body []byte, release func(), err error) {
	r := c.Request()
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get(echo.HeaderContentEncoding)))
	switch encoding {
	case "", "identity", "gzip", "zstd":
	default:
		c.Response().Header().Set(echo.HeaderAcceptEncoding, "gzip, zstd")
		return nil, nil, problem.New(http.StatusUnsupportedMediaType, "content encoding %q is not taken: send gzip, zstd or none", encoding)
	}
	if r.ContentLength > int64(b.limit) {
		return nil, nil, b.tooLarge()
	}
	weight := int64(b.limit)
	if r.ContentLength >= 0 {
		weight = r.ContentLength
	}
	release, err = b.share(r.Context(), b.raw, weight)
	if err != nil {
		return nil, nil, err
	}
	raw, err := b.readRaw(c)
	if err != nil {
		release()
		return nil, nil, err
	}
	if encoding == "" || encoding == "identity" {
		return raw, release, nil
	}
	defer release()
	return b.decompress(r.Context(), raw, encoding)
}

func (b *bodies) share(ctx context.Context, of *semaphore.Weighted, weight int64) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	if err := of.Acquire(ctx, weight); err != nil {
		return nil, problem.Unavailable(retryAfter, err, "too many large requests at once: send the request again later")
	}
	return func() { of.Release(weight) }, nil
}

func (b *bodies) readRaw(c echo.Context) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, int64(b.limit)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, b.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		// Not a 400: clients take that for a verdict on the events.
		return nil, problem.New(http.StatusRequestTimeout, "the body came too slowly: send the request again")
	case err != nil:
		return nil, problem.New(http.StatusBadRequest, "the body ended early: %v", err)
	default:
		return raw, nil
	}
}

func (b *bodies) decompress(ctx context.Context, raw []byte, encoding string) (plain []byte, release func(), err error) {
	release, err = b.share(ctx, b.plain, int64(b.limit))
	if err != nil {
		return nil, nil, err
	}
	if encoding == "gzip" {
		plain, err = b.gunzip(raw)
	} else {
		plain, err = b.zstd.DecodeAll(raw, nil)
	}
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded) || len(plain) > b.limit:
		release()
		return nil, nil, b.tooLarge()
	case err != nil:
		release()
		return nil, nil, problem.New(http.StatusBadRequest, "the body is not usable %s: %v", encoding, err)
	default:
		return plain, release, nil
	}
}

// gunzip stops one byte behind the limit, however much would follow.
func (b *bodies) gunzip(raw []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(reader, int64(b.limit)+1))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return plain, nil
}

func (b *bodies) tooLarge() error {
	return problem.New(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes after decompression: send fewer events in one request", b.limit)
}
