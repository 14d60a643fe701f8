// Package middlebox runs HAProxy, a proxy as it stands between senders and
// DataStorage in the field: with limits, time limits and answers of its own.
package middlebox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"kubernaut.ai/internal/devstack/supervise"
)

// stopTimeout bounds the end of a proxy.
const stopTimeout = 10 * time.Second

// Rules are lines of HAProxy's configuration.
type Rules struct {
	// Frontend lines judge requests, Backend lines responses.
	Frontend, Backend []string
}

// BodyLimit answers 413, in HTML, to requests with a larger body, in bytes.
func BodyLimit(bytes int) string {
	return fmt.Sprintf("http-request deny deny_status 413 if { req.hdr(content-length) -m int gt %d }", bytes)
}

// Answer answers requests in DataStorage's place, in HTML.
func Answer(status int, condition string) string {
	return fmt.Sprintf(`http-request return status %d content-type text/html string "<html><body>%d</body></html>" %s`, status, status, condition)
}

// Proxy is a running HAProxy.
type Proxy struct {
	// URL of the proxy.
	URL string

	path, target string
	port         int
	dir          *supervise.Dir
	process      *supervise.Process
}

// New prepares a proxy for a server at a URL; Start starts it. The caller closes it.
func New(ctx context.Context, target string) (*Proxy, error) {
	path, err := program()
	if err != nil {
		return nil, err
	}
	to, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("proxy for %s: %w", target, err)
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, fmt.Errorf("port of a proxy: %w", err)
	}
	dir, err := supervise.Temporary(ctx, "haproxy")
	if err != nil {
		return nil, fmt.Errorf("directory of a proxy: %w", err)
	}
	return &Proxy{URL: fmt.Sprintf("http://127.0.0.1:%d", port), path: path, target: to.Host, port: port, dir: dir}, nil
}

// program finds HAProxy, which Debian installs where only root looks.
func program() (string, error) {
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("haproxy is missing: install the package haproxy, or run make with INSTALL=1")
}

func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of a TCP listener
	return port, listener.Close()
}

// configuration is that of a proxy with its time limits. Connections that are
// idle for longer than a moment are closed, as many proxies do.
const configuration = `global
	maxconn 200
	nbthread 1
	tune.bufsize 16384
defaults
	mode http
	timeout connect 2s
	timeout client 5s
	timeout server 10s
	timeout http-request 5s
	timeout http-keep-alive 50ms
	retries 0
frontend senders
	bind 127.0.0.1:%d
%s	default_backend storage
backend storage
%s	server datastorage %s
`

// Start starts the proxy with rules, after it has ended the process before, as
// kill -9 does.
func (p *Proxy) Start(ctx context.Context, rules Rules) error {
	if err := p.Kill(ctx); err != nil {
		return err
	}
	text := fmt.Sprintf(configuration, p.port, lines(rules.Frontend), lines(rules.Backend), p.target)
	file := p.dir.Join("haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("configure proxy: %w", err)
	}
	if out, err := supervise.Run(ctx, p.dir, supervise.Spec{Name: "haproxy -c", Path: p.path, Args: []string{"-c", "-f", file}}); err != nil {
		return fmt.Errorf("configuration of the proxy: %w\n%s", err, out)
	}
	var err error
	p.process, err = supervise.Start(p.dir, supervise.Spec{
		Name: "haproxy", Path: p.path, Args: []string{"-db", "-f", file}, StopSignal: syscall.SIGKILL,
	})
	if err != nil {
		return fmt.Errorf("start proxy: %w", err)
	}
	return p.awaitConnections(ctx)
}

// Kill ends the process, if there is one, with SIGKILL.
func (p *Proxy) Kill(ctx context.Context) error {
	if p.process == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := p.process.Stop(ctx); err != nil {
		return fmt.Errorf("kill proxy: %w", err)
	}
	p.process = nil
	return nil
}

// Close ends the proxy and removes its files.
func (p *Proxy) Close(ctx context.Context) error { return errors.Join(p.Kill(ctx), p.dir.Close()) }

// awaitConnections waits until the proxy accepts connections: it does not say when.
func (p *Proxy) awaitConnections(ctx context.Context) error {
	const pause = 5 * time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ticker.C:
		case <-p.process.Done():
			return fmt.Errorf("proxy: %w", p.process.Failure())
		case <-ctx.Done():
			return fmt.Errorf("wait for the proxy: %w", context.Cause(ctx))
		}
	}
}

func lines(rules []string) string {
	var text strings.Builder
	for _, rule := range rules {
		text.WriteString("\t" + rule + "\n")
	}
	return text.String()
}
