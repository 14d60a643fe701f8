// Package sink connects a service's audit store to DataStorage.
package sink

import (
	"errors"

	"go.opentelemetry.io/otel/propagation"
	"go.uber.org/zap"

	"kubernaut.ai/internal/auditclient"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit/httpsink"
)

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
	flags.String(address, "datastorage-url", "", "URL of DataStorage, as in http://127.0.0.1:8080 (required)",
		cli.Required("the address of DataStorage, as in http://127.0.0.1:8080"))
	flags.String(tokenFile, "datastorage-token-file", "", "file with the bearer token for DataStorage, read for each write; none: send no token")
	flags.String(caFile, "datastorage-ca-file", "",
		"PEM file with the authority of DataStorage's certificate, read per connection; none: the system's")
}

// New makes a sink that writes to DataStorage. Unusable values are a cli.UsageError that names the flag; the files are
// read, no connection is made.
func New(o Options) (*httpsink.Sink, error) {
	options := []httpsink.Option{httpsink.WithUserAgent(o.UserAgent), httpsink.WithPropagator(propagation.TraceContext{})}
	if o.Log != nil {
		options = append(options, httpsink.WithLogger(auditclient.Logger(o.Log)))
	}
	if o.TokenFile != "" {
		options = append(options, httpsink.WithTokenFile(o.TokenFile))
	}
	if o.CAFile != "" {
		options = append(options, httpsink.WithCAFile(o.CAFile))
	}
	made, err := httpsink.New(o.URL, options...)
	if err != nil {
		return nil, usageError(err)
	}
	return made, nil
}

// usageError names the flag that an error of httpsink.New is about.
func usageError(err error) error {
	flags := map[string]string{"WithTokenFile": "--datastorage-token-file", "WithCAFile": "--datastorage-ca-file"}
	if option, ok := errors.AsType[*httpsink.OptionError](err); ok && flags[option.Option] != "" {
		return cli.Usagef("%s: %w", flags[option.Option], option.Err)
	}
	return cli.Usagef("--datastorage-url: %w", err)
}
