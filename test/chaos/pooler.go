package chaos

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/test/verdict"
)

// poolerConnections are fewer than DataStorage's, so that transactions share them.
const poolerConnections = 3

// Pooler kills the PgBouncer between DataStorage and PostgreSQL. It pools
// transactions, and the database asks for no durability, which each transaction
// has to set for itself.
func Pooler(ctx context.Context, o Options) (result verdict.Result, err error) {
	server, err := ownPostgres(ctx, nil)
	if err != nil {
		return verdict.Result{}, err
	}
	defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()
	direct := postgres.AtSockets(server, tortureDatabase, server.SocketDir())
	if err := expectDurability(ctx, direct); err != nil {
		return verdict.Result{}, err
	}
	pooler, err := postgres.StartPooler(ctx, server, poolerConnections)
	if err != nil {
		return verdict.Result{}, fmt.Errorf("prepare: %w", err)
	}
	defer func() { err = errors.Join(err, pooler.Stop(context.WithoutCancel(ctx))) }()
	load, err := underLoad(ctx, pooler.URL(tortureDatabase), func(ctx context.Context, ticks <-chan struct{}) error {
		return o.disturb(ctx, ticks, &result, func(ctx context.Context) error {
			return errors.Join(pooler.Kill(ctx), pooler.Start(ctx))
		})
	})
	if err != nil {
		return result, err
	}
	return result, load.check(ctx, &result, direct)
}

// expectDurability makes a database ask for none, and refuse transactions that did
// not set it: they would never be acknowledged.
func expectDurability(ctx context.Context, databaseURL string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range []string{
		`CREATE FUNCTION expect_durability() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF current_setting('synchronous_commit') <> 'on' THEN RAISE 'synchronous_commit is %', current_setting('synchronous_commit'); END IF;
			RETURN NULL; END $$`,
		`CREATE TRIGGER expect AFTER INSERT ON audit_events FOR EACH STATEMENT EXECUTE FUNCTION expect_durability()`,
		`ALTER DATABASE ` + tortureDatabase + ` SET synchronous_commit = off`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	return nil
}
