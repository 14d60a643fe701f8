package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// program is the server's name, of its user on most machines, and of its URLs.
const program = "postgres"

// installation is a folder with initdb and postgres.
type installation struct {
	bin   string
	major int
}

func (i installation) path(name string) string { return filepath.Join(i.bin, name) }

// installations lists what is installed on the machine, newest first.
func installations(ctx context.Context) []installation {
	var folders []string
	if postgres, err := exec.LookPath(program); err == nil {
		if target, err := filepath.EvalSymlinks(postgres); err == nil {
			folders = append(folders, filepath.Dir(target))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
		"/usr/pgsql-*/bin",          // PostgreSQL's packages for Red Hat
		"/usr/lib/postgresql*/bin",  // SUSE
		"/usr/libexec/postgresql*",  // Alpine
		"/usr/local/pgsql/bin",      // built from source
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		if matches, err := filepath.Glob(pattern); err == nil {
			folders = append(folders, matches...)
		}
	}
	slices.Sort(folders)
	var found []installation
	for _, bin := range slices.Compact(folders) {
		if major, err := majorVersion(ctx, bin); err == nil && major >= MinVersion {
			found = append(found, installation{bin: bin, major: major})
		}
	}
	slices.SortStableFunc(found, func(a, b installation) int { return b.major - a.major })
	return found
}

// majorVersion asks the programs in bin for their version; both must be there.
func majorVersion(ctx context.Context, bin string) (int, error) {
	if _, err := os.Stat(filepath.Join(bin, "initdb")); err != nil {
		return 0, fmt.Errorf("find initdb: %w", err)
	}
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(bin, program), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask postgres for its version: %w", err)
	}
	return parseVersion(string(out))
}

// parseVersion reads the major version from "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
func parseVersion(text string) (int, error) {
	match := regexp.MustCompile(`\(PostgreSQL\) (\d+)`).FindStringSubmatch(text)
	if match == nil {
		return 0, fmt.Errorf("read version from %q", text)
	}
	major, err := strconv.Atoi(match[1])
	if err != nil {
		return 0, fmt.Errorf("read version from %q: %w", text, err)
	}
	return major, nil
}

// fromMachine uses the newest installed server, or for existing data the
// version that created it.
func fromMachine(ctx context.Context, opts Options) (*Server, error) {
	found := installations(ctx)
	if len(found) == 0 {
		return nil, unavailablef("no initdb and postgres of version %d or later", MinVersion)
	}
	use := found[0]
	if kept, ok, err := keptVersion(opts.DataDir); err != nil {
		return nil, err
	} else if ok {
		i := slices.IndexFunc(found, func(f installation) bool { return f.major == kept })
		if i < 0 {
			return nil, unavailablef("the data in %s was created by PostgreSQL %d, which is not installed", opts.DataDir, kept)
		}
		use = found[i]
	}
	return startCluster(ctx, opts, use)
}
