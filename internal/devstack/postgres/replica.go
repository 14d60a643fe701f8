package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/internal/devstack/supervise"
)

// StartPrivate starts a private cluster even if DATABASE_URL names a server: only
// such a server can have standbys, be killed, and be promoted.
func StartPrivate(ctx context.Context, opts Options) (*Server, error) {
	if opts.MaxConnections == 0 {
		opts.MaxConnections = DefaultMaxConnections
	}
	return choose(ctx, opts, []source{
		{"server binaries on this machine", fromMachine},
		{"the distribution's package", fromPackage},
	})
}

// Standby starts a streaming standby of a private server, with the same settings
// and password. Its name is what synchronous_standby_names calls it.
func (s *Server) Standby(ctx context.Context, name string) (*Server, error) {
	primary := s.cluster
	if primary == nil {
		return nil, errors.New("start a standby: the primary is not a private cluster")
	}
	c := &cluster{from: primary.from, opts: primary.opts}
	c.opts.DataDir = ""
	err := c.prepare(ctx)
	if err == nil {
		err = c.copyOf(ctx, s, name)
	}
	if err == nil {
		err = c.serve(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.release(ctx))
	}
	return c.server(s.password()), nil
}

// Rejoin starts a server that was killed again, as a standby of another one with a
// fresh copy of its data. It listens where it did before.
func (s *Server) Rejoin(ctx context.Context, primary *Server, name string) error {
	c := s.cluster
	if err := os.RemoveAll(c.data.Join(clusterDir)); err != nil {
		return fmt.Errorf("remove the data of a former primary: %w", err)
	}
	if err := c.copyOf(ctx, primary, name); err != nil {
		return err
	}
	return c.serve(ctx)
}

// Follow makes a standby stream from another primary.
func (s *Server) Follow(ctx context.Context, primary *Server, name string) error {
	return s.Set(ctx, "primary_conninfo", primary.replicationInfo(name))
}

// Promote makes a standby the primary, and returns when it takes writes.
func (s *Server) Promote(ctx context.Context) error {
	if err := s.exec(ctx, "SELECT pg_promote(true, 60)"); err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	return nil
}

// Set changes a setting of a private server, which it takes over at once.
func (s *Server) Set(ctx context.Context, name, value string) error {
	for _, statement := range []string{
		"ALTER SYSTEM SET " + pgx.Identifier{name}.Sanitize() + " = '" + strings.ReplaceAll(value, "'", "''") + "'",
		"SELECT pg_reload_conf()",
	} {
		if err := s.exec(ctx, statement); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// Received returns how much of the primary's log a standby has on its disk. It does
// not need the primary.
func (s *Server) Received(ctx context.Context) (lsn uint64, err error) {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	const query = `SELECT (greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn)::text`
	var text string
	if err := conn.QueryRow(ctx, query).Scan(&text); err != nil {
		return 0, fmt.Errorf("read the standby's position: %w", err)
	}
	if lsn, err = strconv.ParseUint(text, 10, 64); err != nil {
		return 0, fmt.Errorf("read the standby's position: %w", err)
	}
	return lsn, nil
}

// Kill ends a private server as a power failure does: nobody writes anything any
// more. Rejoin or Restart starts it again.
func (s *Server) Kill(ctx context.Context) error {
	c := s.cluster
	if s.Ended() {
		return nil
	}
	pid := c.proc.PID()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return fmt.Errorf("find the server's processes: %w", err)
	}
	for _, one := range append([]string{strconv.Itoa(pid)}, strings.Fields(string(children))...) {
		if id, err := strconv.Atoi(one); err == nil {
			_ = syscall.Kill(id, syscall.SIGKILL) // it may have ended
		}
	}
	select {
	case <-c.proc.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kill the server: %w", context.Cause(ctx))
	}
}

// Ended tells whether a private server's process has ended.
func (s *Server) Ended() bool {
	select {
	case <-s.cluster.proc.Done():
		return true
	default:
		return false
	}
}

// Restart starts a server that has ended again, on its own data.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.cluster.removeStalePID(); err != nil {
		return err
	}
	return s.cluster.serve(ctx)
}

// SocketDir is the folder of a private server's socket.
func (s *Server) SocketDir() string { return s.cluster.socketDir() }

// AnyOf is a connection string for a database on whichever of private servers is
// the primary.
func AnyOf(database string, servers ...*Server) string {
	folders := make([]string, len(servers))
	for i, s := range servers {
		folders[i] = s.SocketDir()
	}
	return AtSockets(servers[0], database, folders...) + "&target_session_attrs=read-write"
}

// AtSockets is a connection string for a database of a private server under other
// sockets, for instance those of a proxy.
func AtSockets(s *Server, database string, folders ...string) string {
	u := url.URL{Scheme: program, User: url.UserPassword(defaultUser, s.password()), Path: "/" + database}
	ports := strings.TrimSuffix(strings.Repeat("5432,", len(folders)), ",")
	return u.String() + "?host=" + url.QueryEscape(strings.Join(folders, ",")) + "&port=" + url.QueryEscape(ports)
}

func (s *Server) password() string {
	u, err := url.Parse(s.url)
	if err != nil {
		return "" // it is ours, and was parsed before
	}
	password, _ := u.User.Password()
	return password
}

// BaseBackup copies a private server into a folder, with pg_basebackup and its args.
func (s *Server) BaseBackup(ctx context.Context, folder, name string, args ...string) *exec.Cmd {
	args = append([]string{"--dbname", s.replicationInfo(name), pgdata, folder}, args...)
	return exec.CommandContext(ctx, filepath.Join(s.cluster.from.bin, "pg_basebackup"), args...)
}

// replicationInfo is a primary_conninfo.
func (s *Server) replicationInfo(name string) string {
	return fmt.Sprintf("host=%s user=%s password=%s application_name=%s", s.SocketDir(), defaultUser, s.password(), name)
}

// copyTimeout bounds a base backup of a small cluster.
const copyTimeout = time.Minute

// copyOf fills the data directory with a copy of a primary that follows it.
func (c *cluster) copyOf(ctx context.Context, primary *Server, name string) error {
	target := c.data.Join(clusterDir)
	if err := errors.Join(os.Mkdir(target, 0o700), c.user.own(target)); err != nil {
		return fmt.Errorf("prepare a standby: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	_, err := supervise.Run(ctx, c.run, supervise.Spec{
		Name: "pg_basebackup", Path: filepath.Join(c.from.bin, "pg_basebackup"),
		Args: []string{"--dbname", primary.replicationInfo(name), pgdata, target, "--checkpoint=fast", "--write-recovery-conf", "--no-sync"},
		Env:  environment(), WorkingDir: c.socketDir(), User: c.user.credential(),
	})
	if err != nil {
		return fmt.Errorf("copy the primary: %w", err)
	}
	return nil
}
