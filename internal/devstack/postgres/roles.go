package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The roles of every database that CreateDatabase makes, as a deployment has them.
const (
	// OwnerRole owns the tables and cannot log in.
	OwnerRole = "kubernaut_owner"
	// MigrationRole is a member of the owner: it migrates and maintains.
	MigrationRole = "kubernaut_migration"
	// ServingRole has the rights that a migration grants it.
	ServingRole = "kubernaut_serving"
)

// As is the connection string of a database of this package for one of its roles.
// The password is derived from that of the server's first user, so that every
// process that has a connection string can make one for a role. It is empty if
// that user's is, on a server that trusts its clients.
func As(databaseURL, role string) (string, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return "", errors.New("make a connection string for a role: the given one is unusable")
	}
	password := rolePassword(config.Password, role)
	if !strings.HasPrefix(databaseURL, "postgres://") && !strings.HasPrefix(databaseURL, "postgresql://") {
		// keyword=value form: the last one of a keyword counts
		return fmt.Sprintf("%s user='%s' password='%s'", databaseURL, role, password), nil
	}
	u, err := url.Parse(databaseURL)
	if err != nil {
		return "", fmt.Errorf("make a connection string for a role: %w", errors.Unwrap(err)) // without the password
	}
	u.User = url.User(role)
	if password != "" {
		u.User = url.UserPassword(role, password)
	}
	return u.String(), nil
}

func rolePassword(password, role string) string {
	if password == "" {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(password))
	mac.Write([]byte(role))
	return hex.EncodeToString(mac.Sum(nil))
}

// makeRoles makes the roles of a server, or sets their passwords again.
func (s *Server) makeRoles(ctx context.Context) error {
	config, err := pgx.ParseConfig(s.url)
	if err != nil {
		return errors.New("make database roles: the connection string is unusable")
	}
	statements := []string{
		// Suites may share a server: one of them makes the roles.
		`BEGIN`, `SELECT pg_advisory_xact_lock(hashtext('` + OwnerRole + `'))`,
	}
	for _, role := range []string{OwnerRole, MigrationRole, ServingRole} {
		statements = append(statements, `DO $$ BEGIN CREATE ROLE `+role+`; EXCEPTION WHEN duplicate_object THEN NULL; END $$`)
		login := `NOLOGIN PASSWORD NULL`
		if role != OwnerRole {
			login = `LOGIN PASSWORD NULL`
			if password := rolePassword(config.Password, role); password != "" {
				login = `LOGIN PASSWORD '` + password + `'`
			}
		}
		statements = append(statements, `ALTER ROLE `+role+` `+login)
	}
	statements = append(statements,
		// A first user who is no superuser reads and changes tables as a member, and may not grant what the server has.
		`GRANT `+OwnerRole+` TO `+MigrationRole+`, CURRENT_USER`,
		`DO $$ BEGIN GRANT pg_read_all_stats TO `+ServingRole+`; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$`, `COMMIT`)
	if err := s.exec(ctx, strings.Join(statements, "; ")); err != nil {
		return fmt.Errorf("make database roles (the user needs CREATEROLE): %w", err)
	}
	return nil
}

// giveToOwner lets the owner, and nobody else, create tables in a database, and
// gives it what the server's first user has made there.
func giveToOwner(ctx context.Context, databaseURL string) error {
	return Join(databaseURL).exec(ctx, `REVOKE CREATE ON SCHEMA public FROM PUBLIC;
		GRANT CREATE, USAGE ON SCHEMA public TO `+OwnerRole+`;
		GRANT USAGE ON SCHEMA public TO `+ServingRole+`;
		DO $$ DECLARE change text; BEGIN
			FOR change IN
				SELECT format('ALTER %s %s OWNER TO `+OwnerRole+`', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass)
				FROM pg_class AS c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S') AND relowner = current_user::regrole
				-- A sequence of a column goes with its table.
				AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND relkind = 'S' AND deptype IN ('a', 'i'))
				UNION ALL SELECT format('ALTER ROUTINE %s OWNER TO `+OwnerRole+`', oid::regprocedure)
				FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proowner = current_user::regrole
			LOOP
				EXECUTE change;
			END LOOP;
		END $$`)
}
