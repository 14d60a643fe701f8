package httpsink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel/propagation"

	"kubernaut.ai/pkg/audit"
)

// Option configures a Sink. An invalid one makes New fail.
type Option func(*Sink) error

// OptionError is wrapped by the errors of New that are about one option.
type OptionError struct {
	// Option is the name of the option, for instance WithCAFile.
	Option string
	Err    error
}

// Error names the option.
func (e *OptionError) Error() string { return e.Option + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *OptionError) Unwrap() error { return e.Err }

// WithHTTPClient replaces the client, for instance for its TLS configuration. Without it, connections are kept alive,
// redirects are not followed, and HTTP_PROXY and similar variables are respected.
func WithHTTPClient(client *http.Client) Option {
	return func(s *Sink) error {
		if client == nil {
			return errors.New("HTTP client is nil")
		}
		s.client = client
		return nil
	}
}

// WithPropagator lets the server join the span of a write, by the headers that the propagator sets. The default is none.
func WithPropagator(propagator propagation.TextMapPropagator) Option {
	return func(s *Sink) error {
		if propagator == nil {
			return errors.New("propagator is nil")
		}
		s.propagator = propagator
		return nil
	}
}

// WithTokenSource sends a bearer token with every request. The source is called each time, so that it can renew the
// token; while it fails, events stay pending.
func WithTokenSource(token func(ctx context.Context) (string, error)) Option {
	return func(s *Sink) error {
		if token == nil {
			return errors.New("token source is nil")
		}
		s.token = token
		return nil
	}
}

// WithTokenFile sends the bearer token in a file with every request. The file is read each time, because tokens of
// service accounts are replaced while a program runs. It must be readable when New is called; if it becomes
// unreadable or empty later, events stay pending.
func WithTokenFile(path string) Option {
	return func(s *Sink) error {
		if _, err := readToken(path); err != nil {
			return &OptionError{Option: "WithTokenFile", Err: err}
		}
		s.token = func(context.Context) (string, error) { return readToken(path) }
		return nil
	}
}

// optionCAFile names WithCAFile in errors.
const optionCAFile = "WithCAFile"

// WithCAFile trusts the certificate authorities in a PEM file, instead of the system's. The file is read again for each
// connection; if it becomes unusable later, the last usable authorities stay in place. The base URL must be https. It
// cannot be combined with WithHTTPClient or WithTLSConfig.
func WithCAFile(path string) Option {
	return func(s *Sink) error {
		if path == "" {
			return &OptionError{Option: optionCAFile, Err: errors.New("path is empty")}
		}
		s.caFile = path
		return nil
	}
}

// WithLogger logs failures to reload the file of WithCAFile, once each; nothing is logged by default.
func WithLogger(log *slog.Logger) Option {
	return func(s *Sink) error {
		if log == nil {
			return errors.New("logger is nil")
		}
		s.log = log
		return nil
	}
}

// WithUserAgent sets the User-Agent header; "kubernaut-audit" by default.
func WithUserAgent(userAgent string) Option {
	return func(s *Sink) error {
		if userAgent == "" {
			return errors.New("user agent is empty")
		}
		s.userAgent = userAgent
		return nil
	}
}

// WithLimits sets the largest batch, in events and in encoded bytes, for a server whose limits differ from
// DefaultMaxEvents and DefaultMaxBytes.
func WithLimits(events, bytes int) Option {
	return func(s *Sink) error {
		if events < 1 || bytes < audit.MaxFootprint {
			return fmt.Errorf("limits of %d events and %d bytes: must hold an event of %d bytes", events, bytes, audit.MaxFootprint)
		}
		s.limits = audit.Limits{Events: events, Bytes: bytes}
		return nil
	}
}

// WithTLSConfig sets the TLS configuration of the sink's own client, for instance with a private authority or a client
// certificate. It cannot be combined with WithHTTPClient.
func WithTLSConfig(config *tls.Config) Option {
	return func(s *Sink) error {
		if config == nil {
			return errors.New("TLS configuration is nil")
		}
		s.tls = config.Clone()
		return nil
	}
}

// WithCompression sets how bodies of at least CompressedFrom bytes are compressed; CompressionZstd by default.
func WithCompression(c Compression) Option {
	return func(s *Sink) error {
		if c < CompressionNone || c > CompressionZstd {
			return fmt.Errorf("compression %v: must be none, gzip or zstd", c)
		}
		s.compression = c
		return nil
	}
}
