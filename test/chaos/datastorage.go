package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/services/datastorage/schematest"
	"kubernaut.ai/test/auditdb"
	"kubernaut.ai/test/verdict"
)

const (
	// diskBytes is the size of PostgreSQL's disk.
	diskBytes, fullDiskBytes = 1 << 30, 4 << 30
	// dataStorages is how many instances serve.
	dataStorages = 2
	// killedMigrations is how many migrations are killed before one may end.
	killedMigrations = 4
	// maintenancePause is from the end of a maintenance to the next one.
	maintenancePause = time.Second
	// maxMigration is until a migration or a maintenance is killed.
	maxMigration = 400 * time.Millisecond
	// maxOutage is how long the server or its disk is out of order.
	maxOutage = time.Second
	// chanceStream is the random stream of the disturbances.
	chanceStream = 1 << 10
)

// smallSettings keep the write-ahead log of a server on a small disk small.
var smallSettings = map[string]string{"max_wal_size": "128MB", "min_wal_size": "32MB"}

// DataStorage upgrades a database of schema version 1 under load, and goes on to
// kill the instances of DataStorage, maintenance, and PostgreSQL, to cut the
// connections before and behind DataStorage, and to fill PostgreSQL's disk. Stores
// with spools, clients that repeat a batch until it is acknowledged, and programs
// of version 1 store events meanwhile. Afterwards everything that was accepted is
// stored once and under the id that it was sent with, and the batches and counts
// agree with the events.
func DataStorage(ctx context.Context, o Options) (result verdict.Result, err error) {
	t := &storeTrial{Options: &o, result: &result, chance: o.random(chanceStream), maintenanceKills: make(chan chan struct{})}
	defer func() { err = errors.Join(err, t.close(context.WithoutCancel(ctx))) }()
	if err := t.prepare(ctx); err != nil {
		return result, fmt.Errorf("prepare: %w", err)
	}
	load, sending, err := startLoad(ctx, &o, "http://"+t.front.listener.Addr().String(), t.migrations.dir)
	if err != nil {
		return result, err
	}
	t.load = load
	load.writeAsVersion1(sending, t.database)
	load.group.Go(func() error { return t.maintaining(sending) })
	err = t.upgrade(sending)
	if err == nil {
		err = o.disturb(sending, load.ticks, &result, t.disturbance)
	}
	if err := errors.Join(err, load.end(ctx), t.serving.close()); err != nil {
		return result, err
	}
	if err := t.maintain(ctx); err != nil {
		return result, err
	}
	return result, t.check(ctx)
}

// storeTrial is what the scenario consists of.
type storeTrial struct {
	*Options

	result *verdict.Result
	chance *rand.Rand
	disk   *disk // nil without the right to mount one
	server *postgres.Server
	// direct is the database, database the same behind a relay.
	direct, database string
	// front and back are before and behind DataStorage.
	front, back *relay
	serving     *instances
	migrations  *processes
	load        *storeLoad
	// maintenanceKills are asked of maintaining, which closes what it was sent once the process has ended.
	maintenanceKills chan chan struct{}

	done struct{ instances, servers, cuts, full, migrations, maintenance int64 }
}

func (t *storeTrial) prepare(ctx context.Context) (err error) {
	if err := t.startServer(ctx); err != nil {
		return err
	}
	if t.migrations, err = newProcesses(ctx, t.Options, "datastorage"); err != nil {
		return err
	}
	sockets := t.migrations.dir.Join("s")
	if err := os.Mkdir(sockets, 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	const socket = "/.s.PGSQL.5432"
	if t.back, err = newRelay(ctx, "unix", sockets+socket, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", t.server.SocketDir()+socket)
	}); err != nil {
		return err
	}
	t.database = postgres.AtSockets(t.server, tortureDatabase, sockets)
	serving, err := auditdb.Serving(t.database)
	if err != nil {
		return err
	}
	migrating, err := auditdb.Maintaining(t.database)
	if err != nil {
		return err
	}
	program := *t.Options
	program.Program.Env = append(append([]string{}, t.Program.Env...), "DATASTORAGE_DATABASE_URL="+migrating)
	t.migrations.Options = &program
	serve := *t.Options
	serve.Program.Env = append(append([]string{}, t.Program.Env...), "DATASTORAGE_DATABASE_URL="+serving)
	t.serving = runInstances(ctx, &processes{Options: &serve, name: "datastorage", dir: t.migrations.dir, args: []string{
		"serve", "--listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0",
	}}, dataStorages)
	t.front, err = newRelay(ctx, "tcp", "127.0.0.1:0", t.serving.dial)
	return err
}

// startServer starts a PostgreSQL with a database of version 1, on a small disk.
func (t *storeTrial) startServer(ctx context.Context) (err error) {
	size := int64(diskBytes)
	if t.Full {
		size = fullDiskBytes
	}
	options := postgres.Options{Settings: smallSettings}
	if t.disk, err = newDisk(ctx, size); err != nil {
		t.Progress.Sayf("the disk is never full, because none can be mounted here: %v", err)
	} else {
		options.DataDir = t.disk.path + "/data"
	}
	if t.server, err = postgres.StartPrivate(ctx, options); err != nil {
		return err
	}
	if t.direct, err = t.server.CreateDatabase(ctx, tortureDatabase, ""); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, t.direct)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.PgConn().Exec(ctx, schematest.Version1).ReadAll(); err != nil {
		return fmt.Errorf("make the tables of version 1: %w", err)
	}
	// Once more: what is there is given to the owner.
	_, err = t.server.CreateDatabase(ctx, tortureDatabase, "")
	return err
}

func (t *storeTrial) close(ctx context.Context) error {
	var errs []error
	if t.serving != nil {
		errs = append(errs, t.serving.close())
	}
	for _, r := range []*relay{t.front, t.back} {
		if r != nil {
			errs = append(errs, r.close())
		}
	}
	if t.migrations != nil {
		errs = append(errs, t.migrations.dir.Close())
	}
	if t.server != nil {
		errs = append(errs, t.server.Stop(ctx))
	}
	if t.disk != nil {
		errs = append(errs, t.disk.close(ctx))
	}
	return errors.Join(errs...)
}

// upgrade kills some migrations, and lets one end.
func (t *storeTrial) upgrade(ctx context.Context) error {
	up := []string{"migrate", "up", "--owner-role", postgres.OwnerRole, "--serving-role", postgres.ServingRole}
	for range killedMigrations {
		if err := t.killed(ctx, up...); err != nil {
			return err
		}
		t.done.migrations++
		t.result.Disruptions++
	}
	return t.migrations.finished(ctx, up...)
}

// maintaining runs one maintenance after the other, as a deployment does. One that
// finds the lease of a killed one ends at once.
func (t *storeTrial) maintaining(ctx context.Context) error {
	for {
		started, err := t.migrations.start(syscall.SIGKILL, func([]byte) {}, "maintain", "--once")
		if err != nil {
			return err
		}
		select {
		case <-started.Done():
		case ended := <-t.maintenanceKills:
			err = errors.Join(pause(ctx, t.chance, maxMigration), started.Stop(context.WithoutCancel(ctx)))
			close(ended)
		case <-ctx.Done():
			err = started.Stop(context.WithoutCancel(ctx))
		}
		if err != nil {
			return err
		}
		select {
		case <-time.After(maintenancePause):
		case <-t.load.stop:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// killed starts a command and kills it, unless it ends before.
func (t *storeTrial) killed(ctx context.Context, command ...string) error {
	started, err := t.migrations.start(syscall.SIGKILL, func([]byte) {}, command...)
	if err != nil {
		return err
	}
	err = pause(ctx, t.chance, maxMigration)
	return errors.Join(err, started.Stop(context.WithoutCancel(ctx)))
}

// maintain completes rows and counts. A maintenance that was killed keeps its lease for a while.
func (t *storeTrial) maintain(ctx context.Context) error {
	const again = time.Second
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	for {
		err := t.migrations.finished(ctx, "maintain", "--once")
		if err == nil {
			return nil
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return err
		}
	}
}
