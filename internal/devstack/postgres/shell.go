package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"

	"kubernaut.ai/internal/devstack/supervise"
)

// Shell runs a script of bash with the client programs of a private server, which
// reach one of its databases without options. env is added to their environment.
// It returns what the script wrote.
func (s *Server) Shell(ctx context.Context, database, dir, script string, env ...string) (string, error) {
	output, err := supervise.Run(ctx, s.cluster.run, supervise.Spec{
		Name: "bash", Path: "/bin/bash", Args: []string{"-euo", "pipefail", "-c", script}, WorkingDir: dir,
		Env: append([]string{
			"PATH=" + s.cluster.from.bin + string(filepath.ListSeparator) + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC",
			"PGHOST=" + s.SocketDir(), "PGUSER=" + defaultUser, "PGPASSWORD=" + s.password(), "PGDATABASE=" + database,
		}, env...),
	})
	if err != nil {
		return output, fmt.Errorf("run a script beside PostgreSQL: %w", err)
	}
	return output, nil
}

// As is the connection string of a database for a role with a password.
func (s *Server) As(database, role, password string) string {
	u := url.URL{Scheme: program, User: url.UserPassword(role, password), Path: "/" + database, RawQuery: url.Values{"host": {s.SocketDir()}}.Encode()}
	return u.String()
}

// Restored starts a server like a private one, which may have ended, on the data
// that prepare puts into an empty folder. It returns when the server has recovered
// and takes writes. The caller stops it.
func (s *Server) Restored(ctx context.Context, prepare func(dataDir string) error) (*Server, error) {
	c := &cluster{from: s.cluster.from, opts: s.cluster.opts}
	c.opts.DataDir = ""
	c.opts.Settings = maps.Clone(c.opts.Settings)
	if c.opts.Settings == nil {
		c.opts.Settings = map[string]string{}
	}
	c.opts.Settings["hot_standby"] = "off" // it is ready once it takes writes
	err := c.prepare(ctx)
	target := ""
	if err == nil {
		target = c.data.Join(clusterDir)
		err = os.Mkdir(target, 0o700)
	}
	if err == nil {
		err = prepare(target)
	}
	if err == nil {
		err = filepath.WalkDir(target, func(path string, _ os.DirEntry, err error) error { return errors.Join(err, c.user.own(path)) })
	}
	if err == nil {
		err = c.serve(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a restored server: %w", err), c.release(ctx))
	}
	return c.server(s.password()), nil
}
