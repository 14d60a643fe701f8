package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"kubernaut.ai/internal/memory"
)

// The content encodings of bodies.
const (
	encodingIdentity = "identity"
	encodingGzip     = "gzip"
	encodingZstd     = "zstd"
)

func newZstd(limit int) (*zstd.Decoder, error) {
	const window = 8 << 20 // RFC 9659: what every decoder of the content encoding takes
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(uint64(limit)), zstd.WithDecoderMaxWindow(window)) //nolint:gosec // a positive limit
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return decoder, nil
}

// decompressed reads a body in its decompressed form.
func (b *bodies) decompressed(ctx context.Context, raw io.Reader, encoding string, length int64, held *memory.Account) ([]byte, error) {
	switch encoding {
	case encodingGzip:
		reader, err := gzip.NewReader(raw)
		if err != nil {
			return nil, fmt.Errorf("read header: %w", err)
		}
		return b.collect(ctx, reader, 0, held)
	case encodingZstd:
		compressed, err := b.collect(ctx, raw, length, held)
		if err != nil {
			return nil, err
		}
		defer held.Return(int64(cap(compressed)))
		return b.unzstd(ctx, compressed, held)
	default:
		return b.collect(ctx, raw, length, held)
	}
}

// unzstd decompresses into a buffer that was charged before: one of the size
// that the frame states, else larger ones until one suffices.
func (b *bodies) unzstd(ctx context.Context, compressed []byte, held *memory.Account) ([]byte, error) {
	const usual, growth = 4, 4
	size := usual * len(compressed)
	var header zstd.Header
	if header.Decode(compressed) == nil && header.HasFCS && header.FrameContentSize > 0 {
		size = int(min(header.FrameContentSize, uint64(b.limit))) //nolint:gosec // at most the limit
	}
	for {
		size = min(size, b.limit)
		if err := held.Take(ctx, int64(size)); err != nil {
			return nil, err //nolint:wrapcheck // explained by the caller
		}
		plain, err := b.zstd.DecodeAll(compressed, make([]byte, 0, size))
		switch {
		case err == nil:
			return plain, nil
		case !errors.Is(err, zstd.ErrDecoderSizeExceeded):
			return nil, fmt.Errorf("decompress: %w", err)
		case size == b.limit:
			return nil, errTooLarge
		}
		held.Return(int64(size))
		size *= growth
	}
}
