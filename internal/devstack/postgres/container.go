package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"k8s.io/apimachinery/pkg/util/wait"

	"kubernaut.ai/internal/devstack/supervise"
)

const (
	containerImage    = "docker.io/library/postgres:17-alpine"
	containerPatience = 5 * time.Minute // with the image's download
	containerPoll     = 200 * time.Millisecond
	enginePatience    = 5 * time.Second
)

// fromContainer runs a container in the foreground of a client that is this
// process's child, so that it ends and is removed like every other child.
func fromContainer(ctx context.Context, opts Options) (*Server, error) {
	engine, err := containerEngine(ctx)
	if err != nil {
		return nil, err
	}
	c := &container{}
	server, err := c.start(ctx, engine, opts)
	if err != nil {
		return nil, errors.Join(err, c.release(ctx))
	}
	return server, nil
}

func containerEngine(ctx context.Context) (string, error) {
	var reasons []string
	for _, name := range []string{"docker", "podman"} {
		engine, err := exec.LookPath(name)
		if err != nil {
			reasons = append(reasons, "no "+name)
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, enginePatience)
		err = exec.CommandContext(ctx, engine, "ps", "--quiet").Run()
		cancel()
		if err == nil {
			return engine, nil
		}
		reasons = append(reasons, fmt.Sprintf("%s does not answer: %v", name, err))
	}
	return "", unavailable(strings.Join(reasons, "; "))
}

type container struct {
	dir  *supervise.Dir
	proc *supervise.Process
}

func (c *container) start(ctx context.Context, engine string, opts Options) (*Server, error) {
	var err error
	var volume []string
	if opts.DataDir == "" {
		c.dir, err = supervise.Temporary(ctx, program)
	} else if c.dir, err = supervise.Open(ctx, opts.DataDir); err == nil {
		volume = []string{"--volume", c.dir.Join("container") + ":/var/lib/postgresql/data"}
	}
	if err != nil {
		return nil, fmt.Errorf("prepare container: %w", err)
	}
	password, err := readPassword(c.dir)
	if errors.Is(err, os.ErrNotExist) {
		password, err = newPassword(c.dir)
	}
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.FormatUint(uint64(port), 10))
	args := append([]string{
		"run", "--rm", "--name", "kubernaut-" + filepath.Base(c.dir.Path()) + "-" + strconv.Itoa(os.Getpid()),
		"--publish", address + ":5432",
		"--env=POSTGRES_USER=" + defaultUser, "--env=POSTGRES_PASSWORD", "--env=POSTGRES_DB=" + defaultDatabase,
	}, volume...)
	args = append(args, containerImage, "-c", "max_connections="+strconv.Itoa(opts.MaxConnections), "-c", "jit=off")
	for name, value := range opts.Settings {
		args = append(args, "-c", name+"="+value)
	}
	end := opts.Progress.During("starting PostgreSQL in a container", nil)
	defer end()
	c.proc, err = supervise.Start(c.dir, supervise.Spec{
		Name: "container of " + containerImage, Path: engine, Args: args,
		Env:        append(os.Environ(), "POSTGRES_PASSWORD="+password), // not among the arguments, which everybody can see
		StopSignal: syscall.SIGINT,                                      // passed on: PostgreSQL's fast shutdown
	})
	if err != nil {
		return nil, fmt.Errorf("run container: %w", err)
	}
	u := url.URL{
		Scheme: program, User: url.UserPassword(defaultUser, password), Host: address, Path: "/" + defaultDatabase,
		RawQuery: "sslmode=disable",
	}
	if err := c.ready(ctx, u.String()); err != nil {
		return nil, err
	}
	stop := func(ctx context.Context) error { return errors.Join(c.proc.Stop(ctx), c.release(ctx)) }
	return &Server{url: u.String(), stop: stop, origin: "a container of " + containerImage}, nil
}

// ready waits until the server answers; the image opens the port only when it
// has prepared the cluster.
func (c *container) ready(ctx context.Context, connection string) error {
	err := wait.PollUntilContextTimeout(ctx, containerPoll, containerPatience, true, func(ctx context.Context) (bool, error) {
		select {
		case <-c.proc.Done():
			return false, c.proc.WaitFor(ctx, connection) // reports why it ended
		default:
		}
		conn, err := pgx.Connect(ctx, connection)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return true, conn.Close(ctx)
	})
	if err != nil {
		return fmt.Errorf("wait for container: %w", err)
	}
	return nil
}

func (c *container) release(ctx context.Context) error {
	var errs []error
	if c.proc != nil {
		errs = append(errs, c.proc.Stop(ctx))
	}
	if c.dir != nil {
		errs = append(errs, c.dir.Close())
	}
	return errors.Join(errs...)
}

// freePort returns a loopback port that is unused when it returns.
func freePort(ctx context.Context) (uint32, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("find a free port: unexpected address %v", listener.Addr())
	}
	return uint32(address.Port), nil //nolint:gosec // a port fits
}
