// Package spool gives the audit store of a service its spool on disk, so that
// what the service has accepted survives its death.
package spool

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
)

// minBytes is what a spool needs: the segment that is written and the one before it.
const minBytes = 2 * spool.DefaultSegmentBytes

// Flags say where the spool of a service is.
type Flags struct {
	// Dir belongs to this one process, and must outlive it. There is no spool
	// where it is empty: accepted events are in memory only.
	Dir string
	// MaxBytes bounds what the spool keeps on disk, quarantine not included;
	// 1 GiB where it is 0.
	MaxBytes int64
}

// AddTo registers --audit-spool and --audit-spool-max-bytes.
func (f *Flags) AddTo(flags *pflag.FlagSet) {
	flags.StringVar(&f.Dir, "audit-spool", f.Dir,
		"folder of this process alone that keeps accepted audit events until DataStorage has them; empty: they are lost when the process is killed")
	if f.MaxBytes == 0 {
		f.MaxBytes = spool.DefaultMaxBytes
	}
	flags.Var(cli.PositiveInt64(&f.MaxBytes), "audit-spool-max-bytes", "how much of the disk the spool may take")
}

// Check returns a *cli.UsageError that names the flag for values that are
// unusable anywhere. It does not look at the disk.
func (f *Flags) Check() error {
	if f.MaxBytes != 0 && f.MaxBytes < minBytes {
		return cli.Usagef("--audit-spool-max-bytes %d: must be at least %d", f.MaxBytes, int64(minBytes))
	}
	return nil
}

// NewStore makes a service's audit store. With a spool, Record returns when its
// event is on disk, and what an earlier life left there is sent first; without
// one, it logs once what that means. A folder that cannot be used is a
// *cli.UsageError, one that another process has is not: that passes.
func (f *Flags) NewStore(sink audit.Sink, log *zap.Logger, options ...audit.Option) (*audit.Store, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	if f.Dir == "" {
		log.Warn("accepted audit events are in memory only and do not survive the death of this process: give it a folder with --audit-spool")
		store, err := audit.New(sink, options...)
		if err != nil {
			return nil, fmt.Errorf("open audit store: %w", err)
		}
		return store, nil
	}
	kept, err := f.open()
	if err != nil {
		return nil, err
	}
	store, err := audit.New(sink, append(options, audit.WithSpool(kept), audit.WithDurability(audit.Spooled))...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open audit store: %w", err), kept.Close())
	}
	return store, nil
}

func (f *Flags) open() (*spool.Spool, error) {
	var options []spool.Option
	if f.MaxBytes > 0 {
		options = append(options, spool.WithMaxBytes(f.MaxBytes))
	}
	kept, err := spool.Open(f.Dir, options...)
	switch {
	case errors.Is(err, spool.ErrInUse):
		return nil, fmt.Errorf("--audit-spool: %w", err)
	case err != nil:
		return nil, cli.Usagef("--audit-spool: %w", err)
	}
	return kept, nil
}

// Close closes a service's audit store. Events that are not stored when ctx
// ends are no failure where all of them are on disk, where the next life finds
// them; the store logs how many. Lost and rejected ones are.
func Close(ctx context.Context, store *audit.Store) error {
	err := store.Close(ctx)
	if f, ok := errors.AsType[*audit.FlushError](err); ok && onDisk(f) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("close audit store: %w", err)
	}
	return nil
}

// onDisk says whether nothing but events in the spool keeps a flush from being a proof.
func onDisk(f *audit.FlushError) bool {
	return f.Pending == f.Spooled && len(f.Lost)+f.LostUnnamed+len(f.Rejected)+f.RejectedUnnamed == 0
}
