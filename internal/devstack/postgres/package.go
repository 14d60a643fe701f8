package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kubernaut.ai/internal/devstack/consent"
	"kubernaut.ai/internal/devstack/supervise"
)

const (
	aptGet          = "apt-get"
	installPatience = 10 * time.Minute
	// noCluster is the file that keeps Debian's package from creating and starting a cluster.
	noCluster = "/etc/postgresql-common/createcluster.conf"
)

// installOptions avoid recommended packages: the server runs without them.
var installOptions = []string{"install", "--yes", "--no-install-recommends", "postgresql"} //nolint:gochecknoglobals // constant

// fromPackage installs Debian's package, if that is allowed, and uses its server.
func fromPackage(ctx context.Context, opts Options) (*Server, error) {
	apt, err := exec.LookPath(aptGet)
	if err != nil {
		return nil, unavailable("no " + aptGet)
	}
	command := aptGet + " " + strings.Join(installOptions, " ")
	if os.Geteuid() != 0 {
		return nil, unavailablef("only root can install it: run %q", "sudo "+command)
	}
	if err := permitted(ctx, opts.Consent, command); err != nil {
		return nil, err
	}
	opts.Progress.Sayf("installing PostgreSQL with apt-get, without a database cluster")
	if err := install(ctx, apt, opts); err != nil {
		return nil, err
	}
	return fromMachine(ctx, opts)
}

// permitted makes a refusal an unavailable source: the next one may do.
func permitted(ctx context.Context, allow consent.Func, command string) error {
	err := allow.Check(ctx, consent.Change{What: "install the Debian package postgresql", Command: command})
	if refused, ok := errors.AsType[*consent.RefusedError](err); ok {
		return unavailable(refused.Error())
	}
	return err //nolint:wrapcheck // has its context
}

func install(ctx context.Context, apt string, opts Options) (err error) {
	dir, err := supervise.Temporary(ctx, "install")
	if err != nil {
		return fmt.Errorf("prepare installation: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	restore, err := withoutCluster()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()

	ctx, cancel := context.WithTimeout(ctx, installPatience)
	defer cancel()
	wait := []string{"-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confold"}
	for _, args := range [][]string{
		append(slices.Clip(wait), "update"),
		append(slices.Clip(wait), installOptions...),
	} {
		end := opts.Progress.During("installing PostgreSQL: apt-get "+args[len(wait)], nil)
		_, err := supervise.Run(ctx, dir, supervise.Spec{
			Name: aptGet + " " + args[len(wait)], Path: apt, Args: args,
			Env: append(os.Environ(), "DEBIAN_FRONTEND=noninteractive"),
		})
		end()
		if err != nil {
			return unavailable(err.Error())
		}
	}
	return nil
}

// withoutCluster sets the package's configuration during the installation,
// unless the machine has one already. The package leaves its own version of
// the file beside it, which restore puts in place.
func withoutCluster() (restore func() error, err error) {
	if _, err := os.Stat(noCluster); err == nil {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(filepath.Dir(noCluster), 0o755); err != nil {
		return nil, fmt.Errorf("configure package: %w", err)
	}
	if err := os.WriteFile(noCluster, []byte("create_main_cluster = false\n"), 0o644); err != nil {
		return nil, fmt.Errorf("configure package: %w", err)
	}
	return func() error {
		err := os.Rename(noCluster+".ucf-dist", noCluster)
		if errors.Is(err, os.ErrNotExist) { // nothing was installed
			err = os.Remove(noCluster)
		}
		if err != nil {
			return fmt.Errorf("restore the package's configuration: %w", err)
		}
		return nil
	}, nil
}
