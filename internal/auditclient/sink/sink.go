// Package sink connects a service's audit store to DataStorage.
package sink

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"go.uber.org/zap"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/httpserver/tlsfiles"
	"kubernaut.ai/pkg/audit/httpsink"
)

// maxToken bounds what is read of a token file, in bytes.
const maxToken = 64 << 10

var errEmpty = errors.New("is empty")

// Options of a sink.
type Options struct {
	// URL of DataStorage; required.
	URL string
	// TokenFile holds the bearer token; none is sent if it is empty.
	TokenFile string
	// CAFile holds the authorities that may have signed DataStorage's
	// certificate; empty means the system's.
	CAFile string
	// UserAgent names the service and its version; required.
	UserAgent string
	// Log gets failures to reload the authorities; nil discards them.
	Log *zap.Logger
}

// Declare declares --datastorage-url, --datastorage-token-file and
// --datastorage-ca-file. The files are paths, not secrets.
func Declare(flags *cli.Flags, address, tokenFile, caFile *string) {
	flags.String(address, "datastorage-url", "", "URL of DataStorage, as in http://127.0.0.1:8080 (required)")
	flags.String(tokenFile, "datastorage-token-file", "", "file with the bearer token for DataStorage, read for each write; none: send no token")
	flags.String(caFile, "datastorage-ca-file", "",
		"PEM file with the authority of DataStorage's certificate, read per connection; none: the system's")
}

// New makes a sink that writes to DataStorage. Unusable values are a
// cli.UsageError that names the flag; the files are read, no connection is
// made.
func New(o Options) (*httpsink.Sink, error) {
	if o.URL == "" {
		return nil, cli.Usagef("--datastorage-url is required: the address of DataStorage, as in http://127.0.0.1:8080")
	}
	options := []httpsink.Option{httpsink.WithUserAgent(o.UserAgent)}
	if o.TokenFile != "" {
		if _, err := readToken(o.TokenFile); err != nil {
			return nil, cli.Usagef("--datastorage-token-file: %w", err)
		}
		options = append(options, httpsink.WithTokenSource(func(context.Context) (string, error) { return readToken(o.TokenFile) }))
	}
	if o.CAFile != "" {
		config, err := trust(o.URL, o.CAFile, cmp.Or(o.Log, zap.NewNop()))
		if err != nil {
			return nil, err
		}
		options = append(options, httpsink.WithTLSConfig(config))
	}
	made, err := httpsink.New(o.URL, options...)
	if err != nil {
		return nil, cli.Usagef("--datastorage-url: %w", err)
	}
	return made, nil
}

// trust makes the TLS configuration for a URL.
func trust(address, caFile string, log *zap.Logger) (*tls.Config, error) {
	to, err := url.Parse(address)
	if err != nil {
		return nil, cli.Usagef("--datastorage-url: %w", err)
	}
	if to.Scheme != "https" || to.Hostname() == "" {
		return nil, cli.Usagef("--datastorage-ca-file is given but --datastorage-url %s is not https://host[:port]: there is no certificate to check", to.Redacted())
	}
	config, err := tlsfiles.ClientConfig(caFile, to.Hostname(), log)
	if err != nil {
		return nil, cli.Usagef("--datastorage-ca-file: %w", err)
	}
	return config, nil
}

// readToken reads a token for each use: service account tokens are replaced
// while the service runs.
func readToken(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxToken))
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("token file %s %w", path, errEmpty)
	}
	return token, nil
}
