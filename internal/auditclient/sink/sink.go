// Package sink connects a service's audit store to DataStorage.
package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"

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
	// TokenFile has the bearer token; none is sent where it is empty.
	TokenFile string
	// CAFile has the authorities that DataStorage's certificate must come from;
	// the system's where it is empty.
	CAFile string
	// UserAgent names the service; required.
	UserAgent string
}

// AddFlags registers --datastorage-url, --datastorage-token-file and --datastorage-ca-file.
func AddFlags(flags *pflag.FlagSet, address, tokenFile, caFile *string) {
	flags.StringVar(address, "datastorage-url", *address, "address of DataStorage, as in http://127.0.0.1:8080 (required)")
	flags.StringVar(tokenFile, "datastorage-token-file", *tokenFile, "file with the bearer token for DataStorage, read again for each write; none is sent where empty")
	flags.StringVar(caFile, "datastorage-ca-file", *caFile, "PEM file with the authority of DataStorage's certificate, read again for each connection; empty: the system's authorities")
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
		config, err := trust(o.URL, o.CAFile)
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
func trust(address, caFile string) (*tls.Config, error) {
	to, err := url.Parse(address)
	if err != nil {
		return nil, cli.Usagef("--datastorage-url: %w", err)
	}
	if to.Scheme != "https" || to.Hostname() == "" {
		return nil, cli.Usagef("--datastorage-ca-file is given but --datastorage-url %s is not https://host[:port]: nobody would show a certificate", to.Redacted())
	}
	config, err := tlsfiles.ClientConfig(caFile, to.Hostname())
	if err != nil {
		return nil, cli.Usagef("--datastorage-ca-file: %w", err)
	}
	return config, nil
}

// readToken reads a token anew each time: tokens of service accounts are
// replaced while the service runs.
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
