package tlsfiles

import (
	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/cli"
)

// Flags are the TLS flags of a server: PEM files, reloaded when they change.
type Flags struct {
	// Cert and Key are the server's; both empty: plain HTTP.
	Cert, Key string
	// ClientCA, optional: clients must show a certificate that it signed.
	ClientCA string
}

// Declare declares --tls-cert, --tls-key and --client-ca. They are paths, not secrets.
func (f *Flags) Declare(flags *cli.Flags) {
	flags.String(&f.Cert, "tls-cert", "", "PEM file with the API's certificate, reloaded when it changes; none: plain HTTP")
	flags.String(&f.Key, "tls-key", "", "PEM file with the private key of --tls-cert")
	flags.String(&f.ClientCA, "client-ca", "", "PEM file with the authority that must have signed clients' certificates")
}

// NewServer reads the files for a server; it is nil for plain HTTP. The name
// is for the log and the metric. Unusable flags are a cli.UsageError.
func (f *Flags) NewServer(name string, c clock.PassiveClock, log *zap.Logger) (*Server, error) {
	switch {
	case (f.Cert == "") != (f.Key == ""):
		return nil, cli.Usagef("--tls-cert and --tls-key go together: give both or none")
	case f.ClientCA != "" && f.Cert == "":
		return nil, cli.Usagef("--client-ca needs --tls-cert and --tls-key: certificates of clients are a part of TLS")
	case f.Cert == "":
		return nil, nil //nolint:nilnil // what a server takes for plain HTTP
	}
	made, err := newServer(name, *f, c, log)
	if err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	return made, nil
}
