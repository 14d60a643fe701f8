package tlsfiles

import (
	"crypto/tls"

	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/cli"
)

// Flags are the TLS flags of a server: PEM files, read again when they change.
type Flags struct {
	// Cert and Key are the server's; both empty: plain HTTP.
	Cert, Key string
	// ClientCA, optional: clients must show a certificate that it signed.
	ClientCA string
}

// AddTo registers --tls-cert, --tls-key and --client-ca.
func (f *Flags) AddTo(flags *pflag.FlagSet) {
	flags.StringVar(&f.Cert, "tls-cert", "", "PEM file with the API's certificate, read again when it changes; empty: plain HTTP")
	flags.StringVar(&f.Key, "tls-key", "", "PEM file with the key of --tls-cert")
	flags.StringVar(&f.ClientCA, "client-ca", "", "PEM file with the authority that clients' certificates must come from")
}

// Config reads the files; it is nil for plain HTTP. Unusable flags are a
// cli.UsageError.
func (f *Flags) Config(c clock.PassiveClock) (*tls.Config, error) {
	switch {
	case (f.Cert == "") != (f.Key == ""):
		return nil, cli.Usagef("--tls-cert and --tls-key go together: give both or none")
	case f.ClientCA != "" && f.Cert == "":
		return nil, cli.Usagef("--client-ca needs --tls-cert and --tls-key: certificates of clients are a part of TLS")
	case f.Cert == "":
		return nil, nil //nolint:nilnil // what a server takes for plain HTTP
	}
	config, err := ServerConfig(f.Cert, f.Key, f.ClientCA, c)
	if err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	return config, nil
}
