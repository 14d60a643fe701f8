-- The roles of DataStorage's database, for psql as a superuser. It may run again.
-- The passwords are environment variables, so that no command line shows them.
\set ON_ERROR_STOP on
\getenv migration_password MIGRATION_PASSWORD
\getenv serving_password SERVING_PASSWORD
BEGIN;
SELECT pg_advisory_xact_lock(hashtext('kubernaut_owner'));
SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['kubernaut_owner', 'kubernaut_migration', 'kubernaut_serving']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE kubernaut_migration LOGIN PASSWORD :'migration_password';
ALTER ROLE kubernaut_serving LOGIN PASSWORD :'serving_password';
GRANT kubernaut_owner TO kubernaut_migration;
-- It tells standbys from backups.
GRANT pg_read_all_stats TO kubernaut_serving;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT CREATE, USAGE ON SCHEMA public TO kubernaut_owner;
GRANT USAGE ON SCHEMA public TO kubernaut_serving;
-- What another role made goes to the owner. That role may go on to append meanwhile.
CREATE TEMPORARY TABLE handed ON COMMIT DROP AS
SELECT c.oid, c.relkind, c.oid::regclass::text AS name, relowner::regrole::text AS former FROM pg_class AS c
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S') AND relname ~ '^(audit|schema)_' AND relowner <> 'kubernaut_owner'::regrole
AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND relkind = 'S' AND deptype IN ('a', 'i'));
SELECT format('ALTER %s %s OWNER TO kubernaut_owner', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, name) FROM handed \gexec
SELECT format('GRANT SELECT, %s %s TO %s', CASE relkind WHEN 'S' THEN 'USAGE ON SEQUENCE' ELSE 'INSERT ON' END, name, former)
FROM handed WHERE former <> 'kubernaut_migration' \gexec
-- Who owns the database can drop its tables, too.
SELECT DISTINCT format('ALTER DATABASE %I OWNER TO kubernaut_owner', datname) FROM pg_database JOIN handed ON former = datdba::regrole::text
WHERE datname = current_database() AND NOT (SELECT rolsuper FROM pg_roles WHERE oid = datdba) \gexec
SELECT format('ALTER FUNCTION %s OWNER TO kubernaut_owner', oid::regprocedure) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND proname ~ '^audit_' AND proowner <> 'kubernaut_owner'::regrole \gexec
COMMIT;
