package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"
	"github.com/gofrs/flock"

	"kubernaut.ai/internal/devstack/supervise"
)

const (
	downloadVersion  = embedded.V17
	downloadMajor    = 17
	downloadPatience = 3 * time.Minute
	lockPoll         = 200 * time.Millisecond
)

// fromDownload uses the programs that embedded-postgres downloads, from a
// cache. The library's own way to run them is not used: it starts a daemon,
// which would outlive this process, and cannot run as another user.
func fromDownload(ctx context.Context, opts Options) (_ *Server, err error) {
	if kept, ok, err := keptVersion(opts.DataDir); err != nil {
		return nil, err
	} else if ok && kept != downloadMajor {
		return nil, unavailablef("the data in %s was created by PostgreSQL %d, and the download is %d", opts.DataDir, kept, downloadMajor)
	}
	cache, err := downloadCache()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, downloadPatience)
	defer cancel()
	lock := flock.New(filepath.Join(cache, "lock"))
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("lock %s: %w", cache, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()

	bin := filepath.Join(cache, string(downloadVersion), "bin")
	if _, err := majorVersion(ctx, bin); err != nil {
		end := opts.Progress.During("downloading PostgreSQL", nil)
		err := download(ctx, cache)
		end()
		if err != nil {
			return nil, err
		}
	}
	return startCluster(context.WithoutCancel(ctx), opts, installation{bin: bin, major: downloadMajor})
}

// download makes the library download and extract. It has no call for that
// alone: it is told to start on a folder that merely looks like a cluster,
// does its work, and then fails to start.
func download(ctx context.Context, cache string) (err error) {
	dir, err := supervise.Temporary(ctx, "download")
	if err != nil {
		return fmt.Errorf("prepare download: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	data := dir.Join("data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return fmt.Errorf("prepare download: %w", err)
	}
	looks := filepath.Join(data, "PG_VERSION")
	if err := os.WriteFile(looks, fmt.Appendf(nil, "%d\n", downloadMajor), 0o600); err != nil {
		return fmt.Errorf("prepare download: %w", err)
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	server := embedded.NewDatabase(embedded.DefaultConfig().
		Version(downloadVersion).
		Port(port).
		CachePath(cache).
		BinariesPath(filepath.Join(cache, string(downloadVersion))).
		RuntimePath(dir.Join("runtime")).
		DataPath(data).
		Logger(io.Discard))

	result := make(chan error, 1) // the library cannot be interrupted
	go func() { result <- server.Start() }()
	select {
	case err = <-result:
	case <-ctx.Done():
		return unavailable("the download took too long")
	}
	if err == nil {
		return errors.Join(errors.New("a folder that is no cluster was started"), server.Stop())
	}
	if _, missing := majorVersion(ctx, filepath.Join(cache, string(downloadVersion), "bin")); missing != nil {
		return unavailable(err.Error())
	}
	return nil
}

// downloadCache returns a folder that the user whom PostgreSQL runs as can reach.
func downloadCache() (string, error) {
	base := "/var/cache"
	if os.Geteuid() != 0 {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", unavailablef("no cache folder: %v", err)
		}
	}
	cache := filepath.Join(base, "kubernaut", "postgres")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make cache: %w", err)
	}
	return cache, nil
}
