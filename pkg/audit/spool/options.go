package spool

import (
	"errors"
	"fmt"
)

// Defaults of the options.
const (
	DefaultMaxBytes         = 1 << 30
	DefaultSegmentBytes     = 16 << 20
	DefaultQuarantineEvents = 10_000
	DefaultQuarantineBytes  = 64 << 20
)

const (
	minSegmentBytes = 4 << 10
	maxSegmentBytes = 1 << 30
)

// config is what the options set; Open validates it once, as a whole.
type config struct {
	files            Files
	maxBytes         int64
	segmentBytes     int64
	quarantineEvents int
	quarantineBytes  int
}

// Option configures a spool. An invalid one makes Open fail.
type Option func(*config) error

// WithMaxBytes bounds the segments on disk, in bytes, including what is
// allocated ahead; DefaultMaxBytes where it is unset. It must hold two segments.
func WithMaxBytes(bytes int64) Option {
	return func(c *config) error {
		if bytes < 1 {
			return fmt.Errorf("at most %d bytes: must be positive", bytes)
		}
		c.maxBytes = bytes
		return nil
	}
}

// WithSegmentBytes sets the size of a segment file, 4 KiB to 1 GiB, in bytes;
// DefaultSegmentBytes where it is unset. A segment is allocated when it is
// begun, and removed when everything in it is terminal. Reading takes the memory
// of two. A group of events that is larger gets its own segment.
func WithSegmentBytes(bytes int64) Option {
	return func(c *config) error {
		if bytes < minSegmentBytes || bytes > maxSegmentBytes {
			return fmt.Errorf("segments of %d bytes: must be %d to %d", bytes, minSegmentBytes, maxSegmentBytes)
		}
		c.segmentBytes = bytes
		return nil
	}
}

// WithQuarantine bounds the rejected events, in number and in bytes of their
// footprint; DefaultQuarantineEvents and DefaultQuarantineBytes where it is unset.
func WithQuarantine(events, bytes int) Option {
	return func(c *config) error {
		if events < 1 || bytes < 1 {
			return fmt.Errorf("quarantine of %d events and %d bytes: both must be positive", events, bytes)
		}
		c.quarantineEvents, c.quarantineBytes = events, bytes
		return nil
	}
}

// WithFiles replaces the file system of the machine, for tests: see package spooltest.
func WithFiles(files Files) Option {
	return func(c *config) error {
		if files == nil {
			return errors.New("files are nil")
		}
		c.files = files
		return nil
	}
}

func newConfig(options []Option) (config, error) {
	c := config{
		files:            osFiles{},
		maxBytes:         DefaultMaxBytes,
		segmentBytes:     DefaultSegmentBytes,
		quarantineEvents: DefaultQuarantineEvents,
		quarantineBytes:  DefaultQuarantineBytes,
	}
	for _, option := range options {
		if err := option(&c); err != nil {
			return config{}, err
		}
	}
	if c.maxBytes < 2*c.segmentBytes {
		return config{}, fmt.Errorf("at most %d bytes: must hold two segments of %d", c.maxBytes, c.segmentBytes)
	}
	return c, nil
}
