package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/test/verdict"
)

const (
	// The roles of an upgraded database. The older program's owns the tables until roles.sql has run.
	olderRole, rolePassword = "datastorage", "torture"
	// stepBatches are acknowledged before each step of an upgrade.
	stepBatches = 20
	// maxUpgradeRefusal bounds the time that a client's batch is refused during an upgrade.
	maxUpgradeRefusal = 15 * time.Second
	// preStop is how long a replica that is to stop goes on to serve the connections it has, as in the deployment.
	preStop = 2 * time.Second
)

// rolesScript makes the roles of a database.
const rolesScript = `psql --quiet --file deploy/kustomize/components/postgres/server/roles.sql`

// Upgrade rolls two replicas of an older DataStorage to this one under load, with the
// steps of docs/operating.md: an administrator makes the roles, the new program
// migrates, and replicas are replaced one after the other. Half way the rollout is
// undone and done again. Nothing is lost or doubled, and no client is refused for long.
func Upgrade(ctx context.Context, o Options) (result verdict.Result, err error) {
	u := &upgrade{Options: &o, result: &result}
	defer func() { err = errors.Join(err, u.close(context.WithoutCancel(ctx))) }()
	if err := u.prepare(ctx); err != nil {
		return result, fmt.Errorf("prepare: %w", err)
	}
	load, sending, err := startLoad(ctx, &o, "http://"+u.front.listener.Addr().String(), u.newer.dir)
	if err != nil {
		return result, err
	}
	u.load = load
	err = u.roll(sending)
	if err := errors.Join(err, load.end(ctx), u.rollout.close(ctx)); err != nil {
		return result, err
	}
	if err := u.migrating.finished(ctx, "maintain", "--once"); err != nil {
		return result, err
	}
	return result, u.check(ctx)
}

// upgrade is what the scenario consists of.
type upgrade struct {
	*Options

	result  *verdict.Result
	server  *postgres.Server
	direct  string
	front   *relay
	rollout rollout
	// older and newer are the programs with their roles; migrating is the newer one as the role that migrates.
	older, newer, migrating *processes
	load                    *storeLoad
}

func (u *upgrade) prepare(ctx context.Context) (err error) {
	if u.Older == "" {
		return errors.New("OLDER_DATASTORAGE is not set: name the binary of an older version, as make torture-upgrade does")
	}
	if u.server, err = postgres.StartPrivate(ctx, postgres.Options{}); err != nil {
		return err
	}
	const database = `psql -qc "CREATE ROLE ` + olderRole + ` LOGIN PASSWORD '` + rolePassword + `'" -c "CREATE DATABASE ` + tortureDatabase + ` OWNER ` + olderRole + `"`
	if _, err := u.server.Shell(ctx, "postgres", "", database); err != nil {
		return err
	}
	if u.newer, err = newProcesses(ctx, u.Options, "datastorage"); err != nil {
		return err
	}
	u.direct = postgres.AtSockets(u.server, tortureDatabase, u.server.SocketDir())
	of := func(path, role string, args ...string) *processes {
		options := *u.Options
		options.Program.Path = path
		options.Program.Env = append(append([]string{}, u.Program.Env...), "DATASTORAGE_DATABASE_URL="+u.server.As(tortureDatabase, role, rolePassword))
		return &processes{Options: &options, name: "datastorage", dir: u.newer.dir, args: args}
	}
	serve := []string{"serve", "--listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0"}
	u.older, u.migrating, u.newer = of(u.Older, olderRole, serve...), of(u.Program.Path, postgres.MigrationRole), of(u.Program.Path, postgres.ServingRole, serve...)
	if err := of(u.Older, olderRole).finished(ctx, "migrate", "up"); err != nil {
		return fmt.Errorf("the older program: %w", err)
	}
	for range dataStorages {
		if err := u.rollout.add(ctx, u.older); err != nil {
			return fmt.Errorf("the older program: %w", err)
		}
	}
	u.front, err = newRelay(ctx, "tcp", "127.0.0.1:0", u.rollout.dial)
	return err
}

// roll takes the steps of an upgrade, each under load.
func (u *upgrade) roll(ctx context.Context) error {
	replace := func(by *processes) func(context.Context) error {
		return func(ctx context.Context) error {
			return errors.Join(u.rollout.add(ctx, by), u.rollout.removeOldest(ctx))
		}
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"make the roles", u.makeRoles},
		{"migrate", func(ctx context.Context) error {
			return u.migrating.finished(ctx, "migrate", "up", "--owner-role", postgres.OwnerRole, "--serving-role", postgres.ServingRole)
		}},
		{"replace a replica", replace(u.newer)},
		{"undo the rollout", replace(u.older)},
		{"undo the rollout", replace(u.older)},
		{"replace a replica", replace(u.newer)},
		{"maintain beside older replicas", func(ctx context.Context) error { return u.migrating.finished(ctx, "maintain", "--once") }},
		{"replace the last replica", replace(u.newer)},
	} {
		if err := u.underLoad(ctx); err != nil {
			return fmt.Errorf("before %q: %w", step.name, err)
		}
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		u.result.Disruptions++
	}
	return u.underLoad(ctx)
}

// underLoad returns once some batches were acknowledged.
func (u *upgrade) underLoad(ctx context.Context) error {
	drain(u.load.ticks)
	for range stepBatches {
		select {
		case <-u.load.ticks:
		case <-ctx.Done():
			return fmt.Errorf("no batch is acknowledged: %w", context.Cause(ctx))
		}
	}
	return nil
}

func (u *upgrade) makeRoles(ctx context.Context) error {
	root, err := repositoryRoot()
	if err != nil {
		return err
	}
	_, err = u.server.Shell(ctx, tortureDatabase, root, rolesScript, "MIGRATION_PASSWORD="+rolePassword, "SERVING_PASSWORD="+rolePassword)
	return err
}

// repositoryRoot is the closest folder above with the deployment.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "deploy", "kustomize")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no deploy/kustomize in this folder or above: run it in the repository")
		}
		dir = filepath.Dir(dir)
	}
	return "", fmt.Errorf("find the repository: %w", err)
}

func (u *upgrade) check(ctx context.Context) error {
	c, err := countStored(ctx, u.direct)
	if err != nil {
		return err
	}
	u.result.AddFigure("longest-refusal-ms", u.load.refused.Milliseconds())
	u.result.AddFigure("repeated", int64(u.load.attempts))
	u.result.AddFigure("duplicates", int64(u.load.duplicates))
	if err := c.agree(0); err != nil {
		return err
	}
	if u.load.refused > maxUpgradeRefusal {
		return fmt.Errorf("a batch was refused for %s, longer than %s", u.load.refused, maxUpgradeRefusal)
	}
	return checkRecords(ctx, u.result, u.direct, u.load.accepted)
}

func (u *upgrade) close(ctx context.Context) error {
	errs := []error{u.rollout.close(ctx)}
	if u.front != nil {
		errs = append(errs, u.front.close())
	}
	if u.newer != nil {
		errs = append(errs, u.newer.dir.Close())
	}
	if u.server != nil {
		errs = append(errs, u.server.Stop(ctx))
	}
	return errors.Join(errs...)
}

// rollout are replicas behind one address, the oldest first.
type rollout struct {
	mu       sync.Mutex
	replicas []rolled // guarded by mu
}

type rolled struct {
	*process

	host string
}

// add starts a replica, and returns once it is ready.
func (r *rollout) add(ctx context.Context, p *processes) error {
	started, ready, err := p.serve(syscall.SIGTERM)
	if err != nil {
		return err
	}
	at, err := awaitReady(ctx, started, ready)
	if err != nil {
		return errors.Join(err, started.Stop(context.WithoutCancel(ctx)))
	}
	api, err := url.Parse(at.API)
	if err != nil {
		return errors.Join(fmt.Errorf("address of a replica: %w", err), started.Stop(context.WithoutCancel(ctx)))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replicas = append(r.replicas, rolled{started, api.Host})
	return nil
}

// removeOldest ends a replica gracefully, some time after it gets no new connections.
func (r *rollout) removeOldest(ctx context.Context) error {
	r.mu.Lock()
	oldest := r.replicas[0]
	r.replicas = r.replicas[1:]
	r.mu.Unlock()
	select {
	case <-time.After(preStop):
	case <-ctx.Done():
	}
	return oldest.finish(context.WithoutCancel(ctx))
}

// dial connects to one of them.
func (r *rollout) dial(ctx context.Context) (net.Conn, error) {
	r.mu.Lock()
	if len(r.replicas) == 0 {
		r.mu.Unlock()
		return nil, errNoInstance
	}
	host := r.replicas[rand.IntN(len(r.replicas))].host
	r.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, "tcp", host)
}

// close ends all of them.
func (r *rollout) close(ctx context.Context) error {
	var errs []error
	for {
		r.mu.Lock()
		left := r.replicas
		r.replicas = nil
		r.mu.Unlock()
		if len(left) == 0 {
			return errors.Join(errs...)
		}
		for _, one := range left {
			errs = append(errs, one.finish(ctx))
		}
	}
}
