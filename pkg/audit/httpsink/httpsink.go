// Package httpsink is the audit.Sink that writes to DataStorage over HTTP: events as lines of JSON, compressed when
// there are enough of them, with a bearer token and TLS files that are read again as they change.
package httpsink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/propagation"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/wire"
)

// The largest batch that DataStorage accepts by default, in events and in bytes before compression.
const (
	DefaultMaxEvents = 10_000
	DefaultMaxBytes  = 16 << 20
)

const (
	batchPath = "api/v1/audit/events/batch"
	// linesType is the media type of a batch with one event per line (NDJSON).
	linesType = "application/x-ndjson"
)

// Sink writes to DataStorage over HTTP. It is safe for concurrent use.
type Sink struct {
	url        string
	client     *http.Client
	propagator propagation.TextMapPropagator // nil for none
	token      func(context.Context) (string, error)
	userAgent  string
	limits     audit.Limits
	tls        *tls.Config
	caFile     string
	log        *slog.Logger

	compression Compression
	compress    compressor // nil for none
	// plainOnly is set once the server has accepted a plain batch that it had refused compressed.
	plainOnly atomic.Bool
}

var _ audit.LimitedSink = (*Sink)(nil)

// New makes a sink that writes to DataStorage at baseURL, an absolute http or https URL that may have a path. The
// first Write connects.
func New(baseURL string, options ...Option) (*Sink, error) {
	base, err := parseURL(baseURL)
	if err != nil {
		return nil, fmt.Errorf("audit sink: %w", err)
	}
	s := &Sink{
		url:         base.JoinPath(batchPath).String(),
		userAgent:   "kubernaut-audit",
		limits:      audit.Limits{Events: DefaultMaxEvents, Bytes: DefaultMaxBytes},
		compression: CompressionZstd,
		log:         slog.New(slog.DiscardHandler),
	}
	for _, option := range options {
		if err := option(s); err != nil {
			return nil, fmt.Errorf("audit sink: %w", err)
		}
	}
	if err := s.connect(base); err != nil {
		return nil, fmt.Errorf("audit sink: %w", err)
	}
	if s.compress, err = newCompressor(s.compression); err != nil {
		return nil, fmt.Errorf("audit sink: %w", err)
	}
	return s, nil
}

// parseURL accepts http(s)://host[:port][/path]. Its error never contains credentials.
func parseURL(text string) (*url.URL, error) {
	const want = "must be http(s)://host[:port][/path], without credentials or query"
	base, err := url.Parse(text)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // the text may contain credentials
		}
		if strings.Contains(text, "@") {
			text = "..."
		}
		return nil, fmt.Errorf("URL %q: %s: %w", text, want, err)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Hostname() == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("URL %q: %s", base.Redacted(), want)
	}
	return base, nil
}

// Limits returns the largest batch that the server accepts.
func (s *Sink) Limits() audit.Limits { return s.limits }

// CloseIdleConnections closes the connections that no request is using. Call it after the store was closed.
func (s *Sink) CloseIdleConnections() { s.client.CloseIdleConnections() }

// Write sends the batch in one request. Its errors are those of the Sink contract: *audit.RefusedError or
// audit.ErrRefused for a batch that cannot be encoded, and for a 400, 409, 413 or 422 with problem details
// (application/problem+json, RFC 9457), as DataStorage sends them; *audit.ForbiddenError for a 403 with problem details
// that names events; *audit.SinkError for everything else, for instance a plain 400 from a TLS port. The one for a 413
// that names no event, whoever sends it, wraps audit.ErrTooLarge.
//
// If a compressed batch is refused without naming an event, or answered with a bare 400, 415 or 422, the server may
// not support the compression: the batch is sent again uncompressed, and that response counts. If the batch is stored
// that way, the sink stops compressing.
func (s *Sink) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	if len(batch) == 0 {
		return audit.Ack{}, nil
	}
	plain := newBody()
	defer plain.release()
	var err error
	if plain.bytes, err = appendBatch(plain.bytes, batch); err != nil {
		return audit.Ack{}, err
	}
	if len(plain.bytes) > s.limits.Bytes || len(batch) > s.limits.Events {
		return audit.Ack{}, fmt.Errorf("%w: batch of %d events and %d bytes is over the limit of %d and %d",
			audit.ErrRefused, len(batch), len(plain.bytes), s.limits.Events, s.limits.Bytes)
	}
	if s.compress == nil || len(plain.bytes) < CompressedFrom || s.plainOnly.Load() {
		return s.send(ctx, batch, plain, CompressionNone)
	}
	ack, err := s.sendCompressed(ctx, batch, plain)
	if err == nil || !mayBeAboutEncoding(err) {
		return ack, err
	}
	ack, err = s.send(ctx, batch, plain, CompressionNone)
	if err == nil {
		s.plainOnly.Store(true)
	}
	return ack, err
}

// connect makes the client, unless one was given.
func (s *Sink) connect(base *url.URL) error {
	switch {
	case s.client != nil && (s.tls != nil || s.caFile != ""):
		return errors.New("WithTLSConfig and WithCAFile cannot be combined with WithHTTPClient: configure the client's transport instead")
	case s.tls != nil && s.caFile != "":
		return errors.New("WithCAFile cannot be combined with WithTLSConfig: set its RootCAs instead")
	case s.client != nil:
		return nil
	case s.caFile != "" && base.Scheme != "https":
		return &OptionError{Option: optionCAFile, Err: fmt.Errorf("URL %s is not https: the server would present no certificate", base.Redacted())}
	case s.caFile != "":
		config, err := trustFile(s.caFile, base.Hostname(), s.log)
		if err != nil {
			return &OptionError{Option: optionCAFile, Err: err}
		}
		s.tls = config
	}
	s.client = newHTTPClient(s.tls)
	return nil
}

func (s *Sink) sendCompressed(ctx context.Context, batch []audit.Event, plain *body) (audit.Ack, error) {
	compressed := newBody()
	defer compressed.release()
	var err error
	if compressed.bytes, err = s.compress(compressed.bytes, plain.bytes); err != nil {
		return audit.Ack{}, &audit.SinkError{Err: fmt.Errorf("compress batch: %w", err)}
	}
	return s.send(ctx, batch, compressed, s.compression)
}

// send makes one request with an encoded batch.
func (s *Sink) send(ctx context.Context, batch []audit.Event, encoded *body, compression Compression) (audit.Ack, error) {
	request, err := s.request(ctx, compression)
	if err != nil {
		return audit.Ack{}, &audit.SinkError{Err: err}
	}
	encoded.attach(request)
	response, err := s.client.Do(request) //nolint:bodyclose // resultOf closes it
	if err != nil {
		// A server that vanished leaves other dead connections behind; each of them would cost another timeout.
		s.client.CloseIdleConnections()
		return audit.Ack{}, &audit.SinkError{Err: s.explain(0, err)}
	}
	return s.resultOf(batch, response)
}

// request makes a request without its body.
func (s *Sink) request(ctx context.Context, compression Compression) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", linesType)
	if compression != CompressionNone {
		request.Header.Set("Content-Encoding", compression.String())
	}
	request.Header.Set("Accept", "application/json, "+wire.ProblemMediaType)
	request.Header.Set("User-Agent", s.userAgent)
	if s.propagator != nil {
		s.propagator.Inject(ctx, propagation.HeaderCarrier(request.Header))
	}
	if s.token != nil {
		token, err := s.token(ctx)
		if err != nil {
			return nil, fmt.Errorf("get token: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request, nil
}
