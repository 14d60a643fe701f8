package httpserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"

	"kubernaut.ai/internal/cli"
)

// Listen opens a TCP listener; the error names the flag that asked for it.
func Listen(ctx context.Context, flag, address string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, address, err)
	}
	return listener, nil
}

// URL is the address of a server that listens on l: https with TLS, else http.
func URL(l net.Listener, config *tls.Config) string {
	if config != nil {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// ParseAddress checks host:port for a flag and reports whether the host is a
// loopback one. A name other than localhost is not resolved: it counts as not
// loopback.
func ParseAddress(flag, address string) (loopback bool, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false, cli.Usagef("--%s %q: want host:port, as in 127.0.0.1:8080", flag, address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false, cli.Usagef("--%s %q: unusable port %q", flag, address, port)
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback()), nil
}

// CheckProfilesAddress checks --pprof-listen: profiles show what a process
// holds in memory, so they are served on loopback only. Empty means off.
func CheckProfilesAddress(address string) error {
	if address == "" {
		return nil
	}
	loopback, err := ParseAddress("pprof-listen", address)
	if err != nil {
		return err
	}
	if !loopback {
		return cli.Usagef("--pprof-listen %s: profiles are served on loopback only, as in 127.0.0.1:6060", address)
	}
	return nil
}
