package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/lifecycle"
)

// Addresses are where a service listens, as host:port. An empty one stays closed.
type Addresses struct {
	API        string // --listen
	Management string // --management-listen
	Control    string // --control-listen
	Profiles   string // --pprof-listen
	Aggregated string // --aggregated-listen
}

// Ports are the open ports of a service; nil for those that stay closed.
type Ports struct {
	API, Management, Control, Profiles, Aggregated net.Listener
}

// Open opens the ports of a service. The error names the flag of the one that
// could not be opened.
func Open(ctx context.Context, a Addresses) (*Ports, error) {
	var p Ports
	for _, port := range []struct {
		flag, address string
		listener      *net.Listener
	}{
		{"listen", a.API, &p.API},
		{"management-listen", a.Management, &p.Management},
		{"control-listen", a.Control, &p.Control},
		{"pprof-listen", a.Profiles, &p.Profiles},
		{"aggregated-listen", a.Aggregated, &p.Aggregated},
	} {
		if port.address == "" {
			continue
		}
		opened, err := new(net.ListenConfig).Listen(ctx, "tcp", port.address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("--%s %s: %w", port.flag, port.address, err), p.Close())
		}
		*port.listener = opened
	}
	return &p, nil
}

// Part closes, when it is stopped, the ports that no server has closed. It is
// added before the servers, so that it stops after them.
func (p *Ports) Part() lifecycle.Part {
	return lifecycle.Part{Name: "ports", Run: lifecycle.OnStop(func(context.Context) error { return p.Close() })}
}

// Close closes the ports that no server has closed yet.
func (p *Ports) Close() error {
	var errs []error
	for _, l := range []net.Listener{p.API, p.Management, p.Control, p.Profiles, p.Aggregated} {
		if l == nil {
			continue
		}
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("close %s: %w", l.Addr(), err))
		}
	}
	return errors.Join(errs...)
}

// URL is the address of a server that listens on l: https with TLS, else http.
func URL(l net.Listener, config *tls.Config) string {
	if config != nil {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// CheckAddress checks host:port.
func CheckAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("want host:port, as in 127.0.0.1:8080")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("unusable port %q", port)
	}
	return nil
}

// CheckLoopback checks host:port whose host is a loopback address. A name other
// than localhost is not resolved: it counts as not loopback.
func CheckLoopback(address string) error {
	if err := CheckAddress(address); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(address) // checked above
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("want a loopback address, as in 127.0.0.1:8081")
	}
	return nil
}

// ParseAddress checks host:port for a flag and reports whether the host is a
// loopback address.
func ParseAddress(flag, address string) (loopback bool, err error) {
	if err := CheckAddress(address); err != nil {
		return false, cli.Usagef("--%s %q: %w", flag, address, err)
	}
	return CheckLoopback(address) == nil, nil
}

// DeclareManagement declares --management-listen and --pprof-listen. Profiles
// show what a process has in memory, so they are served on loopback only.
func DeclareManagement(flags *cli.Flags, management *string, preset string, profiles *string) {
	flags.String(management, "management-listen", preset, "host:port for probes, metrics and audit flushes", cli.Check(CheckAddress))
	flags.String(profiles, "pprof-listen", "", "loopback host:port for net/http/pprof; none: no profiles", cli.Check(CheckLoopback))
}

// DeclareControl declares --control-listen. The listener asks nobody who they are, so it is served on loopback only.
func DeclareControl(flags *cli.Flags, control *string) {
	flags.String(control, "control-listen", "",
		"loopback host:port to inspect and settle what the audit store holds, for kubernaut stores; none: closed", cli.Check(CheckLoopback))
}
