package httpsink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"kubernaut.ai/pkg/audit"
)

// Option configures an Sink. An invalid one makes New fail.
type Option func(*Sink) error

// WithHTTPClient replaces the client, for instance for its TLS configuration.
// Without it, connections are kept alive, redirects are not followed, and
// HTTP_PROXY and its like are heeded.
func WithHTTPClient(client *http.Client) Option {
	return func(s *Sink) error {
		if client == nil {
			return errors.New("HTTP client is nil")
		}
		s.client = client
		return nil
	}
}

// WithTokenSource sends a bearer token with every request. The source is asked
// each time, so that it can renew the token; while it fails, events stay pending.
func WithTokenSource(token func(ctx context.Context) (string, error)) Option {
	return func(s *Sink) error {
		if token == nil {
			return errors.New("token source is nil")
		}
		s.token = token
		return nil
	}
}

// WithUserAgent names the client in User-Agent; "kubernaut-audit" where it is unset.
func WithUserAgent(userAgent string) Option {
	return func(s *Sink) error {
		if userAgent == "" {
			return errors.New("user agent is empty")
		}
		s.userAgent = userAgent
		return nil
	}
}

// WithLimits sets the largest batch, in events and in encoded bytes, for a
// server with other limits than DefaultMaxEvents and DefaultMaxBytes.
func WithLimits(events, bytes int) Option {
	return func(s *Sink) error {
		if events < 1 || bytes < audit.MaxFootprint {
			return fmt.Errorf("limits of %d events and %d bytes: must hold an event of %d bytes", events, bytes, audit.MaxFootprint)
		}
		s.limits = audit.Limits{Events: events, Bytes: bytes}
		return nil
	}
}

// WithTLSConfig sets how the sink's own client speaks TLS, for instance with a
// private authority or a client certificate. It does not go with WithHTTPClient.
func WithTLSConfig(config *tls.Config) Option {
	return func(s *Sink) error {
		if config == nil {
			return errors.New("TLS configuration is nil")
		}
		s.tls = config.Clone()
		return nil
	}
}

// WithCompression sets how bodies are compressed from CompressedFrom bytes;
// CompressionZstd where it is unset.
func WithCompression(c Compression) Option {
	return func(s *Sink) error {
		if c < CompressionNone || c > CompressionZstd {
			return fmt.Errorf("compression %v: must be none, gzip or zstd", c)
		}
		s.compression = c
		return nil
	}
}
