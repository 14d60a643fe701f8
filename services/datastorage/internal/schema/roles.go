package schema

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Roles are the database roles; empty names leave owners and rights as they are.
type Roles struct {
	// Owner owns every table. It cannot log in; migration and maintenance are
	// members of it.
	Owner string
	// Serving is the role that `datastorage serve` logs in as.
	Serving string
}

// rolesLock is the advisory lock of the transaction that applies the roles: two
// at once would change the same rows of the catalog, which PostgreSQL refuses.
const rolesLock = 7236450192

// Apply gives everything to the owner, and the serving role its rights and no
// others. It changes nothing if it fails, or if all is as it should be. Any number
// of processes may call it at once, beside programs that serve; it tries again
// until ctx ends while it cannot lock a table in time.
func (r Roles) Apply(ctx context.Context, db Executor) error {
	if r == (Roles{}) {
		return nil
	}
	for {
		err := pgx.BeginTxFunc(ctx, db, pgx.TxOptions{BeginQuery: beginBriefly}, func(tx pgx.Tx) error { return r.apply(ctx, tx) })
		switch {
		case err == nil:
			return nil
		case hasCode(err, codeLockNotAvailable) && ctx.Err() == nil:
			pause(ctx)
		default:
			return fmt.Errorf("apply the database roles: %w", err)
		}
	}
}

func (r Roles) apply(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, rolesLock); err != nil {
		return fmt.Errorf("wait for another migration: %w", err)
	}
	if err := r.check(ctx, tx); err != nil {
		return err
	}
	if err := r.own(ctx, tx); err != nil {
		return err
	}
	if err := r.grant(ctx, tx); err != nil {
		return err
	}
	return r.verify(ctx, tx)
}

// check says what has to be done before roles can be applied.
func (r Roles) check(ctx context.Context, tx pgx.Tx) error {
	if r.Owner == "" || r.Serving == "" {
		return errors.New("give both roles, --owner-role and --serving-role, or neither")
	}
	for _, name := range []string{r.Owner, r.Serving} {
		var exists bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, name).Scan(&exists); err != nil {
			return fmt.Errorf("look for role %q: %w", name, err)
		}
		if !exists {
			return fmt.Errorf("there is no role %q: create it, as in examples/datastorage/roles.sql", name)
		}
	}
	var user string
	var member, circular bool
	const query = `SELECT current_user::text, pg_has_role(current_user, $1::name, 'MEMBER'), pg_has_role($2::name, $1::name, 'MEMBER')`
	if err := tx.QueryRow(ctx, query, r.Owner, r.Serving).Scan(&user, &member, &circular); err != nil {
		return fmt.Errorf("look for members of %q: %w", r.Owner, err)
	}
	switch {
	case !member:
		return fmt.Errorf("%q is no member of the owner: run GRANT %s TO %s as an administrator", user, quoted(r.Owner), quoted(user))
	case circular:
		return fmt.Errorf("the serving role %q is a superuser or a member of the owner %q, so no right can be withheld from it: use a role that is neither", r.Serving, r.Owner)
	}
	return nil
}

// own changes the owner of what belongs to another role.
func (r Roles) own(ctx context.Context, tx pgx.Tx) error {
	const query = `SELECT format('ALTER %s %s OWNER TO %I', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, oid::regclass, $1::text)
		FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'S')
		AND (relname LIKE 'audit\_%' OR relname LIKE 'schema\_%') AND relowner <> (SELECT oid FROM pg_roles WHERE rolname = $1)
		AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND relkind = 'S')
	UNION ALL SELECT format('ALTER FUNCTION %s OWNER TO %I', oid::regprocedure, $1::text)
		FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'audit\_%' AND proowner <> (SELECT oid FROM pg_roles WHERE rolname = $1)`
	rows, err := tx.Query(ctx, query, r.Owner)
	if err != nil {
		return fmt.Errorf("look for tables of other owners: %w", err)
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for tables of other owners: %w", err)
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// verify returns an error if the serving role still has a right that it must not
// have, for instance by a membership.
func (r Roles) verify(ctx context.Context, tx pgx.Tx) error {
	const query = `SELECT coalesce(string_agg(format('%s %s', privilege, relation), ', '), ''),
			has_schema_privilege($1::name, current_schema(), 'CREATE'), current_schema()::text
		FROM unnest($2::text[]) AS relation, unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES']) AS privilege
		WHERE has_table_privilege($1::name, relation, privilege)`
	var rights, schemaName string
	var creates bool
	if err := tx.QueryRow(ctx, query, r.Serving, appended).Scan(&rights, &creates, &schemaName); err != nil {
		return fmt.Errorf("verify the rights of %q: %w", r.Serving, err)
	}
	if rights != "" {
		return fmt.Errorf("the serving role %q still has the rights %s: revoke them, or its memberships", r.Serving, rights)
	}
	if creates {
		return fmt.Errorf("the serving role %q may create tables: run REVOKE CREATE ON SCHEMA %s FROM PUBLIC, %s as an administrator",
			r.Serving, quoted(schemaName), quoted(r.Serving))
	}
	return nil
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }
