package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"kubernaut.ai/internal/devstack/supervise"
)

const (
	poolerProgram = "pgbouncer"
	// poolerPatience bounds its start.
	poolerPatience = 30 * time.Second
)

// Pooler is a PgBouncer in front of a private server, in transaction mode.
type Pooler struct {
	server *Server
	dir    *supervise.Dir
	user   *account
	path   string
	proc   *supervise.Process
}

// StartPooler starts a PgBouncer with so many connections to the server. Debian's
// package is pgbouncer.
func StartPooler(ctx context.Context, s *Server, connections int) (*Pooler, error) {
	p := &Pooler{server: s}
	var err error
	if p.path, err = findPooler(); err != nil {
		return nil, err
	}
	if p.user, err = unprivileged(); err != nil { // it refuses to run as root, too
		return nil, err
	}
	if p.dir, err = supervise.Temporary(ctx, poolerProgram); err != nil {
		return nil, fmt.Errorf("prepare PgBouncer: %w", err)
	}
	if err = p.configure(connections); err == nil {
		err = p.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.Stop(ctx))
	}
	return p, nil
}

func findPooler() (string, error) {
	for _, path := range []string{poolerProgram, "/usr/sbin/" + poolerProgram} { // Debian's is not in every user's PATH
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", errors.New("no pgbouncer: install the package pgbouncer")
}

// SocketDir is the folder of its socket.
func (p *Pooler) SocketDir() string { return p.dir.Join("s") }

// URL is a connection string for one of the server's databases through the pooler.
func (p *Pooler) URL(database string) string {
	return AtSockets(p.server, database, p.SocketDir())
}

// Start starts it, also after Kill.
func (p *Pooler) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, poolerPatience)
	defer cancel()
	// A killed one leaves its socket, and does not start beside one.
	if err := os.Remove(p.SocketDir() + "/.s.PGSQL.5432"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the socket of a killed PgBouncer: %w", err)
	}
	var err error
	p.proc, err = supervise.Start(p.dir, supervise.Spec{
		Name: poolerProgram, Path: p.path, Args: []string{p.dir.Join("pgbouncer.ini")},
		Env: environment(), WorkingDir: p.SocketDir(), User: p.user.credential(), StopSignal: syscall.SIGTERM,
	})
	if err != nil {
		return fmt.Errorf("start PgBouncer: %w", err)
	}
	if err := p.proc.WaitFor(ctx, "process up"); err != nil {
		return fmt.Errorf("start PgBouncer: %w", err)
	}
	return nil
}

// Kill ends it without a word to its clients.
func (p *Pooler) Kill(ctx context.Context) error {
	_ = syscall.Kill(p.proc.PID(), syscall.SIGKILL) // it may have ended
	select {
	case <-p.proc.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kill PgBouncer: %w", context.Cause(ctx))
	}
}

// Stop ends it and removes its folder.
func (p *Pooler) Stop(ctx context.Context) error {
	var err error
	if p.proc != nil {
		err = p.proc.Stop(ctx)
	}
	return errors.Join(err, p.dir.Close())
}

func (p *Pooler) configure(connections int) error {
	users, password := p.dir.Join("users.txt"), p.server.password()
	var logins strings.Builder
	fmt.Fprintf(&logins, "%q %q\n", defaultUser, password)
	for _, role := range []string{MigrationRole, ServingRole} {
		fmt.Fprintf(&logins, "%q %q\n", role, rolePassword(password, role))
	}
	settings := []string{
		"[databases]",
		fmt.Sprintf("* = host=%s port=5432", p.server.SocketDir()),
		"[pgbouncer]",
		"listen_addr =",
		"listen_port = 5432",
		"unix_socket_dir = " + p.SocketDir(),
		"auth_type = trust",
		"auth_file = " + users,
		"pool_mode = transaction",
		fmt.Sprintf("default_pool_size = %d", connections),
		"max_client_conn = 500",
		"server_login_retry = 1",
		"",
	}
	file := p.dir.Join("pgbouncer.ini")
	if err := errors.Join(
		os.Mkdir(p.SocketDir(), 0o755), p.user.own(p.SocketDir()),
		os.WriteFile(users, []byte(logins.String()), 0o600), p.user.own(users),
		os.WriteFile(file, []byte(strings.Join(settings, "\n")), 0o600), p.user.own(file),
	); err != nil {
		return fmt.Errorf("configure PgBouncer: %w", err)
	}
	return nil
}
