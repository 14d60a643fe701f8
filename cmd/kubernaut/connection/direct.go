package connection

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"

	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/cli"
)

// Direct selects a DataStorage that is called without the API server, with a token.
type Direct struct{ URL, TokenFile, CAFile string }

// Declare declares the flags. They have the names that the services use.
func (o *Direct) Declare(f *cli.Flags) {
	f.String(&o.URL, "datastorage-url", "",
		"URL of a DataStorage to call directly, as kubernaut up prints it; none: through the API server, under your name")
	f.String(&o.TokenFile, "datastorage-token-file", "", "file with a bearer token for --datastorage-url; none: send no token")
	f.String(&o.CAFile, "datastorage-ca-file", "",
		"PEM file with the authority of DataStorage's certificate; none: those of the system")
}

// Client returns what calls the DataStorage: a client, and what adds the token to a request.
func (o *Direct) Client() (client *http.Client, authorize func(context.Context, *http.Request) error, err error) {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // nobody replaces it
	if o.CAFile != "" {
		text, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, nil, cli.Usagef("--datastorage-ca-file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, nil, cli.Usagef("--datastorage-ca-file: %s contains no PEM certificate", o.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	token := ""
	if o.TokenFile != "" {
		text, err := os.ReadFile(o.TokenFile)
		if err != nil {
			return nil, nil, cli.Usagef("--datastorage-token-file: %w", err)
		}
		if token = strings.TrimSpace(string(text)); token == "" {
			return nil, nil, cli.Usagef("--datastorage-token-file: %s is empty", o.TokenFile)
		}
	}
	authorize = func(_ context.Context, r *http.Request) error {
		r.Header.Set("User-Agent", buildinfo.UserAgent("kubernaut"))
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return nil
	}
	return &http.Client{Transport: transport}, authorize, nil
}

// Check rejects what is no URL, and a token or an authority without the URL that they are for.
func (o *Direct) Check() error {
	if at, err := url.Parse(o.URL); o.URL != "" && (err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "") {
		return cli.Usagef("--datastorage-url: %q must be a URL with scheme and host, as in http://127.0.0.1:8080", o.URL)
	}
	if o.URL == "" && (o.TokenFile != "" || o.CAFile != "") {
		return cli.Usagef("--datastorage-token-file and --datastorage-ca-file go with --datastorage-url: %w", errDirect)
	}
	return nil
}

var errDirect = errors.New("the API server has the credentials of the kubeconfig")
