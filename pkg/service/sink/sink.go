// Package sink connects a service's audit store to DataStorage.
package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/service"
)

// maxToken bounds what is read of a token file, in bytes.
const maxToken = 64 << 10

var errEmpty = errors.New("is empty")

// AddFlags registers --datastorage-url and --datastorage-token-file.
func AddFlags(flags *pflag.FlagSet, url, tokenFile *string) {
	flags.StringVar(url, "datastorage-url", *url, "address of DataStorage, as in http://127.0.0.1:8080 (required)")
	flags.StringVar(tokenFile, "datastorage-token-file", *tokenFile, "file with the bearer token for DataStorage, read again for each write; none is sent where empty")
}

// New makes a sink that writes to DataStorage at url, with the bearer token of
// tokenFile where that is not empty. Unusable values are a service.UsageError
// that names the flag; the file is read, no connection is made.
func New(url, tokenFile, userAgent string) (*audit.HTTPSink, error) {
	if url == "" {
		return nil, service.Usagef("--datastorage-url is required: the address of DataStorage, as in http://127.0.0.1:8080")
	}
	options := []audit.HTTPSinkOption{audit.WithUserAgent(userAgent)}
	if tokenFile != "" {
		if _, err := readToken(tokenFile); err != nil {
			return nil, service.Usagef("--datastorage-token-file: %w", err)
		}
		options = append(options, audit.WithTokenSource(func(context.Context) (string, error) { return readToken(tokenFile) }))
	}
	made, err := audit.NewHTTPSink(url, options...)
	if err != nil {
		return nil, service.Usagef("--datastorage-url: %w", err)
	}
	return made, nil
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
