// Package spool gives the audit store of a service a spool on disk, so that
// accepted events survive the process.
package spool

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"kubernaut.ai/internal/auditclient"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
)

// minBytes is what a spool needs: the segment that is written and the one before it.
const minBytes = 2 * spool.DefaultSegmentBytes

// Flags say where the spool of a service is.
type Flags struct {
	// Dir belongs to this one process, and must outlive it. Empty means that
	// there is no spool: accepted events are in memory only.
	Dir string
	// MaxBytes bounds the spool on disk, except for its quarantine; 0 means 1 GiB.
	MaxBytes int64
}

// Declare declares --audit-spool and --audit-spool-max-bytes.
func (f *Flags) Declare(flags *cli.Flags) {
	flags.String(&f.Dir, "audit-spool", "",
		"directory for accepted audit events, for this process alone; none: they are lost if it is killed")
	flags.Int64(&f.MaxBytes, "audit-spool-max-bytes", spool.DefaultMaxBytes, "bound on the size of the spool's files", cli.AtLeast(minBytes))
}

// Check returns a *cli.UsageError that names the flag for values that are
// unusable anywhere, and sets unset ones to their defaults. It does not look at
// the disk.
func (f *Flags) Check() error {
	var flags cli.Flags
	f.Declare(&flags)
	return flags.Complete() //nolint:wrapcheck // names the flag
}

// NewStore returns a service's audit store, which logs to log. With a spool,
// Record returns when its event is on disk, and the events of earlier processes
// are sent first; without one, a warning is logged. A directory that cannot be
// used is a *cli.UsageError, unless another process has it open: that is
// transient.
func (f *Flags) NewStore(sink audit.Sink, log *zap.Logger, options ...audit.Option) (*audit.Store, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	options = append([]audit.Option{audit.WithLogger(auditclient.Logger(log))}, options...)
	if f.Dir == "" {
		log.Warn("accepted audit events are in memory only and do not survive this process: give it a directory with --audit-spool")
		store, err := audit.New(sink, options...)
		if err != nil {
			return nil, fmt.Errorf("open audit store: %w", err)
		}
		return store, nil
	}
	disk, err := f.open()
	if err != nil {
		return nil, err
	}
	store, err := audit.New(sink, append(options, audit.WithSpool(disk), audit.WithDurability(audit.Spooled))...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open audit store: %w", err), disk.Close())
	}
	return store, nil
}

func (f *Flags) open() (*spool.Spool, error) {
	opened, err := spool.Open(f.Dir, spool.WithMaxBytes(f.MaxBytes))
	switch {
	case errors.Is(err, spool.ErrInUse):
		return nil, fmt.Errorf("--audit-spool: %w", err)
	case err != nil:
		return nil, cli.Usagef("--audit-spool: %w", err)
	}
	return opened, nil
}

// Close closes a service's audit store. It is a clean stop, and no failure, if
// everything that is not stored when ctx ends is on disk, where the next process
// finds it: pending events as well as rejected ones that nobody acknowledged.
// The store logs how many they are. Lost events are a failure, and so is a spool
// that could not be closed.
func Close(ctx context.Context, store *audit.Store) error {
	err := store.Close(ctx)
	// Not errors.As: joined with something else, it is not all that went wrong.
	if f, ok := err.(*audit.FlushError); ok && f.Persisted() { //nolint:errorlint // see above
		return nil
	}
	if err != nil {
		return fmt.Errorf("close audit store: %w", err)
	}
	return nil
}
