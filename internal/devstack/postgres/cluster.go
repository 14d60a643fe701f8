package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kubernaut.ai/internal/devstack/supervise"
)

const (
	clusterDir = "cluster"
	// startPatience bounds a start with the replay of a whole write-ahead log.
	startPatience = 2 * time.Minute
)

// cluster is a private PostgreSQL cluster and the process that serves it.
type cluster struct {
	data *supervise.Dir // holds the cluster and its password
	run  *supervise.Dir // holds the socket, whose path must be short; data too, if it is temporary
	user *account       // nil: this process's
	from installation
	opts Options
	proc *supervise.Process
}

func startCluster(ctx context.Context, opts Options, from installation) (*Server, error) {
	end := opts.Progress.During(fmt.Sprintf("starting PostgreSQL %d", from.major), nil)
	defer end()
	c := &cluster{from: from, opts: opts}
	password, err := c.start(ctx)
	if err != nil {
		return nil, errors.Join(err, c.release(ctx))
	}
	s := c.server(password)
	if err := s.makeDefaultDatabase(ctx); err != nil {
		return nil, errors.Join(err, c.stop(ctx))
	}
	return s, nil
}

func (c *cluster) server(password string) *Server {
	u := url.URL{
		Scheme: program, User: url.UserPassword(defaultUser, password), Path: "/" + defaultDatabase,
		RawQuery: url.Values{"host": {c.socketDir()}}.Encode(),
	}
	return &Server{url: u.String(), stop: c.stop, origin: fmt.Sprintf("PostgreSQL %d from %s", c.from.major, c.from.bin), cluster: c}
}

// socketDir has a short name: a socket's path is limited to about 100 bytes.
func (c *cluster) socketDir() string { return c.run.Join("s") }

func (c *cluster) start(ctx context.Context) (password string, err error) {
	if err := c.prepare(ctx); err != nil {
		return "", err
	}
	if password, err = c.initialize(ctx); err != nil {
		return "", err
	}
	if err := c.removeStalePID(); err != nil {
		return "", err
	}
	return password, c.serve(ctx)
}

// prepare makes the folders.
func (c *cluster) prepare(ctx context.Context) (err error) {
	if c.user, err = unprivileged(); err != nil {
		return err
	}
	if c.run, err = supervise.Temporary(ctx, program); err != nil {
		return fmt.Errorf("prepare PostgreSQL: %w", err)
	}
	c.data = c.run
	if c.opts.DataDir != "" {
		if c.data, err = supervise.Open(ctx, c.opts.DataDir); err != nil {
			return fmt.Errorf("prepare PostgreSQL: %w", err)
		}
	}
	if c.user != nil {
		if err := supervise.Reachable(c.data.Path()); err != nil {
			return fmt.Errorf("user %s, which PostgreSQL runs as because it refuses to run as root, cannot reach "+
				"the data directory %s: choose another one: %w", c.user.name, c.data.Path(), err)
		}
	}
	if err := errors.Join(os.Mkdir(c.socketDir(), 0o755), c.user.own(c.socketDir())); err != nil {
		return fmt.Errorf("make folder for the socket: %w", err)
	}
	return nil
}

// initialize makes the cluster under another name first: an interrupted initdb
// leaves nothing that looks like a cluster.
func (c *cluster) initialize(ctx context.Context) (string, error) {
	target := c.data.Join(clusterDir)
	if _, err := os.Stat(target); err == nil {
		return readPassword(c.data)
	}
	work := c.run.Join("new")
	if err := errors.Join(os.RemoveAll(work), os.Mkdir(work, 0o700), c.user.own(work)); err != nil {
		return "", fmt.Errorf("prepare cluster: %w", err)
	}
	password, err := newPassword(c.data)
	if err != nil {
		return "", err
	}
	pwfile := filepath.Join(work, "password")
	if err := errors.Join(os.WriteFile(pwfile, []byte(password), 0o600), c.user.own(pwfile)); err != nil {
		return "", fmt.Errorf("hand password to initdb: %w", err)
	}
	return password, c.initdb(ctx, work, pwfile, target)
}

// pgdata is the flag of PostgreSQL's programs for the data directory.
const pgdata = "--pgdata"

func (c *cluster) initdb(ctx context.Context, work, pwfile, target string) error {
	fresh := target + ".new" // beside the target: a rename does not cross file systems
	if err := errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o700), c.user.own(fresh)); err != nil {
		return fmt.Errorf("prepare cluster: %w", err)
	}
	args := []string{
		pgdata, fresh, "--username", defaultUser, "--pwfile", pwfile, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--no-locale", "--no-instructions",
	}
	if c.opts.DataDir == "" {
		args = append(args, "--no-sync") // temporary data need not survive a power failure
	}
	if _, err := supervise.Run(ctx, c.run, supervise.Spec{
		Name: "initdb", Path: c.from.path("initdb"), Args: args,
		Env: environment(), WorkingDir: work, User: c.user.credential(),
	}); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	if err := errors.Join(os.Rename(fresh, target), os.RemoveAll(work)); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	return nil
}

// removeStalePID removes the pid file of a server that was killed. PostgreSQL
// does that itself unless the id belongs to another process by now, and then
// refuses to start. This process holds the directory's lock and has ended the
// children of its last owner, so only a server that somebody started by hand
// can be running: it works in the cluster's folder.
func (c *cluster) removeStalePID() error {
	file := c.data.Join(clusterDir, "postmaster.pid")
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read pid of the cluster's last server: %w", err)
	}
	first, _, _ := strings.Cut(string(content), "\n")
	cwd, err := os.Readlink(filepath.Join("/proc", first, "cwd"))
	switch {
	case err == nil && cwd == c.data.Join(clusterDir):
		return fmt.Errorf("a PostgreSQL server (pid %s) that was not started here runs on %s: stop it", first, cwd)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil // cannot tell: leave it to the server's own check
	}
	if _, err := os.Stat("/proc/self"); err != nil {
		return nil //nolint:nilerr // no proc file system: the same
	}
	if err := os.Remove(file); err != nil {
		return fmt.Errorf("remove stale pid file: %w", err)
	}
	return nil
}

func (c *cluster) serve(ctx context.Context) error {
	const off = "off"
	settings := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": c.socketDir(),
		"max_connections":         strconv.Itoa(c.opts.MaxConnections),
		"shared_buffers":          "128MB",
		"max_wal_size":            "1GB",
		"jit":                     off, // every query here is short
		"log_checkpoints":         off,
		"logging_collector":       off,
		"log_destination":         "stderr",
	}
	maps.Copy(settings, c.opts.Settings)
	args := make([]string, 0, 2+2*len(settings))
	args = append(args, "-D", c.data.Join(clusterDir))
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	var err error
	c.proc, err = supervise.Start(c.data, supervise.Spec{
		Name: program, Path: c.from.path(program), Args: args, Env: environment(),
		WorkingDir: c.socketDir(), User: c.user.credential(),
		StopSignal: syscall.SIGINT, // fast shutdown: cuts connections, writes a checkpoint
	})
	if err != nil {
		return fmt.Errorf("serve cluster: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := c.proc.WaitFor(ctx, "database system is ready to accept"); err != nil {
		return fmt.Errorf("serve cluster: %w", err)
	}
	return nil
}

// stop ends the server and gives the directories up.
func (c *cluster) stop(ctx context.Context) error {
	err := c.proc.Stop(ctx)
	return errors.Join(err, c.release(ctx))
}

// release gives up what start took, as far as it came.
func (c *cluster) release(ctx context.Context) error {
	var errs []error
	if c.proc != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		errs = append(errs, c.proc.Stop(ctx))
	}
	if c.data != nil && c.data != c.run {
		errs = append(errs, c.data.Close())
	}
	if c.run != nil {
		errs = append(errs, c.run.Close())
	}
	return errors.Join(errs...)
}

// makeDefaultDatabase runs at each start: the first one may have been
// interrupted behind initdb.
func (s *Server) makeDefaultDatabase(ctx context.Context) error {
	maintenance, err := withDatabase(s.url, "postgres")
	if err != nil {
		return err
	}
	return Join(maintenance).create(ctx, defaultDatabase, "")
}

// keptVersion reads which version made the data in dir.
func keptVersion(dir string) (major int, exists bool, err error) {
	if dir == "" {
		return 0, false, nil
	}
	content, err := os.ReadFile(filepath.Join(dir, clusterDir, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read version of the data directory: %w", err)
	}
	if major, err = strconv.Atoi(strings.TrimSpace(string(content))); err != nil {
		return 0, false, fmt.Errorf("read version of the data directory: %w", err)
	}
	return major, true, nil
}

// environment shields the server from the user's settings (PGDATA, locale).
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}
