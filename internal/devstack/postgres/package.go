package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"kubernaut.ai/internal/devstack/supervise"
)

const (
	installPatience = 10 * time.Minute
	// noCluster keeps Debian's package from making and starting a cluster of its own.
	noCluster = "/etc/postgresql-common/createcluster.conf"
)

// fromPackage installs Debian's package and uses what it brought.
func fromPackage(ctx context.Context, opts Options) (*Server, error) {
	if os.Geteuid() != 0 {
		return nil, unavailable("not root, so nothing can be installed")
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return nil, unavailable("no apt-get")
	}
	opts.Progress.Sayf("installing PostgreSQL with apt-get, without a cluster of its own")
	if err := install(ctx, apt, opts); err != nil {
		return nil, err
	}
	return fromMachine(ctx, opts)
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
		append(slices.Clip(wait), "install", "--yes", "--no-install-recommends", "postgresql"),
	} {
		end := opts.Progress.During("installing PostgreSQL: apt-get "+args[len(wait)], nil)
		_, err := supervise.Run(ctx, dir, supervise.Spec{
			Name: "apt-get " + args[len(wait)], Path: apt, Args: args,
			Env: append(os.Environ(), "DEBIAN_FRONTEND=noninteractive"),
		})
		end()
		if err != nil {
			return unavailable(err.Error())
		}
	}
	return nil
}

// withoutCluster sets the package's configuration for the time of the
// installation, unless the machine has one already. The package then leaves
// its own version of the file beside it.
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
