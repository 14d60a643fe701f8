package schema

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// appended are the tables that the serving role adds to and cannot change.
var appended = []string{"audit_events", "audit_batches", "audit_leaf_ranges", "audit_producer_duplicates"}

// right is what the serving role may do with a table or sequence. What has no
// right here, it may not even read.
type right struct {
	kind       string // TABLE or SEQUENCE
	relations  []string
	privileges []string
}

const toRead, toAdd, tables = "SELECT", "INSERT", "TABLE"

var servingRights = []right{
	{tables, appended, []string{toRead, toAdd}},
	{tables, []string{"audit_locks", "audit_leases", "audit_holds", "audit_requests"}, []string{toRead, toAdd, "UPDATE"}},
	{tables, []string{
		"audit_events_retained", "audit_rollup", "audit_maintenance", "audit_digest_keys", "audit_erasures",
		versionTable, "schema_compatible",
		// What programs of version 1 are ready by. A database that was made later has none.
		firstVersionTable,
		// What their migration reads before it starts, with the serving role once an upgrade is undone.
		defaultTable,
	}, []string{toRead}},
	{"SEQUENCE", []string{"audit_batch_ids"}, []string{"USAGE"}},
}

// grant gives the serving role its rights and no others, and takes everybody's
// away, if that is not so already.
func (r Roles) grant(ctx context.Context, tx pgx.Tx) error {
	var names []string
	if err := tx.QueryRow(ctx, `SELECT array_agg(relname::text) FROM pg_class WHERE relnamespace = current_schema()::regnamespace`).Scan(&names); err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	var statements, relations, want []string
	for _, g := range servingRights {
		existing := slices.DeleteFunc(slices.Clone(g.relations), func(name string) bool {
			return name == firstVersionTable && !slices.Contains(names, name)
		})
		list := strings.Join(existing, ", ")
		statements = append(statements,
			fmt.Sprintf(`REVOKE ALL ON %s %s FROM PUBLIC, %s`, g.kind, list, quoted(r.Serving)),
			fmt.Sprintf(`GRANT %s ON %s %s TO %s`, strings.Join(g.privileges, ", "), g.kind, list, quoted(r.Serving)))
		relations = append(relations, existing...)
		for _, relation := range existing {
			for _, privilege := range g.privileges {
				want = append(want, relation+" "+privilege)
			}
		}
	}
	rows, err := tx.Query(ctx, `SELECT relname || ' ' || privilege_type || CASE WHEN grantee = 0 THEN ' for everybody' WHEN is_grantable THEN ' to grant' ELSE '' END
		FROM pg_class, aclexplode(relacl) WHERE relnamespace = current_schema()::regnamespace AND relname = ANY ($1)
		AND grantee IN (0, (SELECT oid FROM pg_roles WHERE rolname = $2))`, relations, r.Serving)
	if err != nil {
		return fmt.Errorf("list the rights of %q: %w", r.Serving, err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list the rights of %q: %w", r.Serving, err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return nil
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
