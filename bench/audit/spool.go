package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"kubernaut.ai/bench/ratio"
)

// spoolBytes is room for the events of any scale.
const spoolBytes = 4 << 30

// measureSpool works in its own directory, which it removes again.
func measureSpool(ctx context.Context, p plan, report *ratio.Report) (err error) {
	dir, err := os.MkdirTemp(p.dir, "bench-audit-")
	if err != nil {
		return fmt.Errorf("make directory for spools: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := measureSpooled(ctx, p, report, dir); err != nil {
		return err
	}
	return measureRecovery(p, report, filepath.Join(dir, "recover"))
}
