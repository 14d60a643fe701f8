package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"kubernaut.ai/internal/lifecycle"
)

// The limits of every HTTP server of the platform.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 60 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 64 << 10
)

// Server serves HTTP on a listener until its context ends, and then lets the
// requests under way finish.
type Server struct {
	// Name of the server, for errors and logs.
	Name string
	// Listener is closed when Run returns.
	Listener net.Listener
	// Handler is Paced.
	Handler http.Handler
	// TLS, optional: plain HTTP where it is nil.
	TLS *tls.Config
	// MaxGrace, optional, bounds how long requests under way may take to finish
	// even if the program has more time.
	MaxGrace time.Duration
	// Log gets, as warnings, what net/http reports about single connections,
	// like failed TLS handshakes; nil discards it.
	Log *zap.Logger
}

// Part is the server as a part of a program.
func (s *Server) Part(share int) lifecycle.Part {
	return lifecycle.Part{Name: s.Name + " server", Share: share, Run: s.Run}
}

// Run serves until ctx ends. It returns nil after a graceful stop, and an error
// when serving failed or requests outlived the grace period. Connections
// without a request are closed at the end of that period at the latest.
func (s *Server) Run(ctx context.Context, left lifecycle.Grace) error {
	logger := s.Log
	if logger == nil {
		logger = zap.NewNop()
	}
	complaints, err := zap.NewStdLogAt(logger.With(zap.String("server", s.Name)), zap.WarnLevel)
	if err != nil {
		return fmt.Errorf("serve %s: %w", s.Name, err)
	}
	var asking connections
	server := &http.Server{
		Handler:           Paced(s.Handler),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		TLSConfig:         s.TLS,
		ErrorLog:          complaints,
		ConnState:         asking.note,
		// Requests outlive ctx: they finish within the grace period.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	served := make(chan error, 1)
	go func() {
		if s.TLS != nil {
			served <- server.ServeTLS(s.Listener, "", "")
			return
		}
		served <- server.Serve(s.Listener)
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s on %s: %w", s.Name, s.Listener.Addr(), err)
	case <-ctx.Done():
	}
	grace := left()
	if s.MaxGrace > 0 {
		grace = min(grace, s.MaxGrace)
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		// Shutdown waits 5 s for the first request of a new connection. Clients
		// open connections that they never use: those need no grace.
		finished := errors.Is(err, context.DeadlineExceeded) && asking.none()
		closeErr := server.Close()
		if finished && closeErr == nil {
			return nil
		}
		return fmt.Errorf("stop %s: requests were still under way after %s: %w", s.Name, grace.Round(time.Millisecond), errors.Join(err, closeErr))
	}
	return nil
}

// connections are those with a request under way.
type connections struct {
	mu     sync.Mutex
	active map[net.Conn]struct{}
}

// note is an http.Server's ConnState.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state != http.StateActive {
		delete(c.active, conn)
		return
	}
	if c.active == nil {
		c.active = make(map[net.Conn]struct{})
	}
	c.active[conn] = struct{}{}
}

func (c *connections) none() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.active) == 0
}
