package main

import (
	"fmt"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
)

// openSpool opens a spool with room for so many bytes.
func openSpool(dir string, maxBytes int64) (audit.Spool, error) {
	opened, err := spool.Open(dir, spool.WithMaxBytes(maxBytes))
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return opened, nil
}
