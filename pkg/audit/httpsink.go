package audit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
)

// The limits of a batch that DataStorage accepts.
const (
	DefaultSinkEvents = 10_000
	DefaultSinkBytes  = 16 << 20
)

const (
	batchPath = "api/v1/audit/events/batch"
	// linesType is the media type of a batch with an event a line (NDJSON).
	linesType = "application/x-ndjson"
)

// HTTPSink writes to DataStorage over HTTP. It is safe for concurrent use.
type HTTPSink struct {
	url       string
	client    *http.Client
	token     func(context.Context) (string, error)
	userAgent string
	limits    Limits
	tls       *tls.Config

	compression Compression
	compress    compressor // nil for none
	// plainOnly is set when the server took a batch plain that it had not taken compressed.
	plainOnly atomic.Bool
}

// NewHTTPSink makes a sink that writes to DataStorage at baseURL, an absolute
// http or https URL, possibly with a path. It connects on the first Write only.
func NewHTTPSink(baseURL string, options ...HTTPSinkOption) (*HTTPSink, error) {
	base, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("audit sink: %w", err)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("audit sink: URL %q: must be http(s)://host[:port][/path], without credentials or query", base.Redacted())
	}
	s := &HTTPSink{
		url:         base.JoinPath(batchPath).String(),
		userAgent:   "kubernaut-audit",
		limits:      Limits{Events: DefaultSinkEvents, Bytes: DefaultSinkBytes},
		compression: CompressionZstd,
	}
	for _, option := range options {
		if err := option(s); err != nil {
			return nil, fmt.Errorf("audit sink: %w", err)
		}
	}
	if s.client != nil && s.tls != nil {
		return nil, errors.New("audit sink: TLS configuration and HTTP client: the client has its own")
	}
	if s.client == nil {
		s.client = newHTTPClient(s.tls)
	}
	if s.compress, err = newCompressor(s.compression); err != nil {
		return nil, fmt.Errorf("audit sink: %w", err)
	}
	return s, nil
}

// Limits are the server's.
func (s *HTTPSink) Limits() Limits { return s.limits }

// CloseIdleConnections closes the connections that no request uses. Call it
// after the store was closed.
func (s *HTTPSink) CloseIdleConnections() { s.client.CloseIdleConnections() }

// Write sends the batch in one request. Its errors are those of the Sink
// contract: *RefusedError or ErrRefused for a 400, 409, 413 or 422 with problem
// details (application/problem+json, RFC 9457), as DataStorage sends them, and
// for a batch that it cannot send; *SinkError for everything else, such as a
// plain 400 of a TLS port or a 413 of a proxy.
//
// Where a compressed batch is refused without a word about an event, or answered
// by a bare 400, 415 or 422, the server may not know the compression: the batch
// is sent once more as it is, and that answer counts. If that stores it, the
// sink compresses no more.
func (s *HTTPSink) Write(ctx context.Context, batch []Event) (Ack, error) {
	if len(batch) == 0 {
		return Ack{}, nil
	}
	plain := newBody()
	defer plain.release()
	var err error
	if plain.bytes, err = appendBatch(plain.bytes, batch); err != nil {
		return Ack{}, err
	}
	if len(plain.bytes) > s.limits.Bytes || len(batch) > s.limits.Events {
		return Ack{}, fmt.Errorf("%w: batch of %d events and %d bytes is over the limit of %d and %d",
			ErrRefused, len(batch), len(plain.bytes), s.limits.Events, s.limits.Bytes)
	}
	if s.compress == nil || len(plain.bytes) < CompressedFrom || s.plainOnly.Load() {
		return s.send(ctx, batch, plain, CompressionNone)
	}
	ack, err := s.sendCompressed(ctx, batch, plain)
	if err == nil || !complainsOfBody(err) {
		return ack, err
	}
	ack, err = s.send(ctx, batch, plain, CompressionNone)
	if err == nil {
		s.plainOnly.Store(true)
	}
	return ack, err
}

func (s *HTTPSink) sendCompressed(ctx context.Context, batch []Event, plain *body) (Ack, error) {
	small := newBody()
	defer small.release()
	var err error
	if small.bytes, err = s.compress(small.bytes, plain.bytes); err != nil {
		return Ack{}, &SinkError{Err: fmt.Errorf("compress batch: %w", err)}
	}
	return s.send(ctx, batch, small, s.compression)
}

// send makes one request of an encoded batch.
func (s *HTTPSink) send(ctx context.Context, batch []Event, encoded *body, compression Compression) (Ack, error) {
	request, err := s.request(ctx, compression)
	if err != nil {
		return Ack{}, &SinkError{Err: err}
	}
	encoded.attach(request)
	response, err := s.client.Do(request) //nolint:bodyclose // answerOf closes it
	if err != nil {
		// A server that is gone without a word leaves other connections that lead
		// nowhere, too; each of them would cost another timeout.
		s.client.CloseIdleConnections()
		return Ack{}, &SinkError{Err: err}
	}
	return answerOf(batch, response)
}

// request makes a request without its body.
func (s *HTTPSink) request(ctx context.Context, compression Compression) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", linesType)
	if compression != CompressionNone {
		request.Header.Set("Content-Encoding", compression.String())
	}
	request.Header.Set("Accept", "application/json, "+problemType)
	request.Header.Set("User-Agent", s.userAgent)
	if s.token != nil {
		token, err := s.token(ctx)
		if err != nil {
			return nil, fmt.Errorf("get token: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request, nil
}
