package audit

import (
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/utils/clock"
)

// Defaults of the options.
const (
	DefaultInterval       = 100 * time.Millisecond
	DefaultBatchEvents    = 1000
	DefaultBatchBytes     = 4 << 20
	DefaultMaxEvents      = 30_000
	DefaultMaxBytes       = 64 << 20
	DefaultWriteTimeout   = 10 * time.Second
	DefaultFirstBackoff   = 100 * time.Millisecond
	DefaultLongestBackoff = 30 * time.Second
)

// FullPolicy says what Record does when the store owes as much as it may.
type FullPolicy int

const (
	// Wait makes Record wait for room until its context ends.
	Wait FullPolicy = iota
	// Refuse makes Record return ErrFull at once.
	Refuse
)

// String is the policy's name in lower case.
func (p FullPolicy) String() string {
	switch p {
	case Wait:
		return "wait"
	case Refuse:
		return "refuse"
	default:
		return fmt.Sprintf("FullPolicy(%d)", int(p))
	}
}

// config is what the options set; New validates it once, as a whole.
type config struct {
	clock          clock.Clock
	random         rand.Source // used under the store's lock: it is not safe for concurrent use
	logger         *zap.Logger
	registerer     prometheus.Registerer
	producerID     string
	interval       time.Duration
	batchEvents    int
	batchBytes     int
	maxEvents      int
	maxBytes       int
	fullPolicy     FullPolicy
	writeTimeout   time.Duration
	firstBackoff   time.Duration
	longestBackoff time.Duration
}

// Option configures a store. An invalid one makes New fail.
type Option func(*config) error

// WithClock replaces the wall clock: time stamps, ids, the batch interval and
// the pauses between retries go by it. The write timeout does not, because it
// guards against a peer that lives in real time.
func WithClock(c clock.Clock) Option {
	return func(o *config) error {
		if c == nil {
			return errors.New("clock is nil")
		}
		o.clock = c
		return nil
	}
}

// WithRandom replaces the source of the random bits of ids and of the jitter
// of retries; ChaCha8, seeded by the operating system, where it is unset. Ids
// from a source that can be guessed can be guessed as well.
func WithRandom(source rand.Source) Option {
	return func(o *config) error {
		if source == nil {
			return errors.New("random source is nil")
		}
		o.random = source
		return nil
	}
}

// WithLogger logs state changes of the store: nothing is logged where it is unset.
func WithLogger(logger *zap.Logger) Option {
	return func(o *config) error {
		if logger == nil {
			return errors.New("logger is nil")
		}
		o.logger = logger
		return nil
	}
}

// WithRegisterer registers the store's metrics until it is closed. Two stores
// need two registerers, or prometheus.WrapRegistererWith and a label each.
func WithRegisterer(registerer prometheus.Registerer) Option {
	return func(o *config) error {
		if registerer == nil {
			return errors.New("registerer is nil")
		}
		o.registerer = registerer
		return nil
	}
}

// WithProducerID names the store in Producer.ID, 1-255 characters. It must be
// unique among the stores that run at the same time; the host's name and random
// digits where it is unset.
func WithProducerID(id string) Option {
	return func(o *config) error {
		if n := utf8.RuneCountInString(id); n < 1 || n > 255 || !utf8.ValidString(id) || strings.IndexByte(id, 0) >= 0 {
			return fmt.Errorf("producer id %q: must be valid UTF-8 of 1 to 255 characters, without NUL", id)
		}
		o.producerID = id
		return nil
	}
}

// WithInterval sets how long after its first event a batch is sent that did
// not fill up; DefaultInterval where it is unset.
func WithInterval(interval time.Duration) Option {
	return func(o *config) error {
		if interval <= 0 {
			return fmt.Errorf("interval %v: must be positive", interval)
		}
		o.interval = interval
		return nil
	}
}

// WithBatch sets the size at which a batch is full, in events and in bytes;
// DefaultBatchEvents and DefaultBatchBytes where it is unset. A smaller limit
// of the sink or of the bounds prevails.
func WithBatch(events, bytes int) Option {
	return func(o *config) error {
		if events < 1 || bytes < 1 {
			return fmt.Errorf("batch of %d events and %d bytes: both must be positive", events, bytes)
		}
		o.batchEvents, o.batchBytes = events, bytes
		return nil
	}
}

// WithBounds sets how much the store may owe, in events and in bytes;
// DefaultMaxEvents and DefaultMaxBytes where it is unset. The bytes must hold
// an event of the largest size.
func WithBounds(events, bytes int) Option {
	return func(o *config) error {
		if events < 1 {
			return fmt.Errorf("bound of %d events: must be positive", events)
		}
		if bytes < maxFootprint {
			return fmt.Errorf("bound of %d bytes: must be at least %d, the size of the largest event", bytes, maxFootprint)
		}
		o.maxEvents, o.maxBytes = events, bytes
		return nil
	}
}

// WithFullPolicy sets what Record does at the bounds; Wait where it is unset.
func WithFullPolicy(policy FullPolicy) Option {
	return func(o *config) error {
		if policy != Wait && policy != Refuse {
			return fmt.Errorf("full policy %v: must be wait or refuse", policy)
		}
		o.fullPolicy = policy
		return nil
	}
}

// WithWriteTimeout bounds one call of the sink, so that a peer that accepts
// and never answers counts as down; DefaultWriteTimeout where it is unset.
func WithWriteTimeout(timeout time.Duration) Option {
	return func(o *config) error {
		if timeout <= 0 {
			return fmt.Errorf("write timeout %v: must be positive", timeout)
		}
		o.writeTimeout = timeout
		return nil
	}
}

// WithBackoff sets the pause after the first failure of a batch and the
// longest one; it doubles in between, and each is shortened by up to a half at
// random. DefaultFirstBackoff and DefaultLongestBackoff where it is unset.
func WithBackoff(first, longest time.Duration) Option {
	return func(o *config) error {
		if first <= 0 || longest < first {
			return fmt.Errorf("backoff from %v to %v: must be positive and not decrease", first, longest)
		}
		o.firstBackoff, o.longestBackoff = first, longest
		return nil
	}
}

// newConfig applies the options to the defaults.
func newConfig(options []Option) (config, error) {
	o := config{
		clock:          clock.RealClock{},
		logger:         zap.NewNop(),
		interval:       DefaultInterval,
		batchEvents:    DefaultBatchEvents,
		batchBytes:     DefaultBatchBytes,
		maxEvents:      DefaultMaxEvents,
		maxBytes:       DefaultMaxBytes,
		fullPolicy:     Wait,
		writeTimeout:   DefaultWriteTimeout,
		firstBackoff:   DefaultFirstBackoff,
		longestBackoff: DefaultLongestBackoff,
	}
	for _, option := range options {
		if err := option(&o); err != nil {
			return config{}, fmt.Errorf("audit store: %w", err)
		}
	}
	if o.random == nil {
		var seed [32]byte
		_, _ = crand.Read(seed[:]) // never fails, as it documents
		o.random = rand.NewChaCha8(seed)
	}
	if o.producerID == "" {
		host, err := os.Hostname()
		if err != nil {
			return config{}, fmt.Errorf("audit store: name it with WithProducerID, because the host has no name: %w", err)
		}
		var digits [4]byte
		_, _ = crand.Read(digits[:])
		o.producerID = host + "-" + hex.EncodeToString(digits[:])
	}
	return o, nil
}

// within cuts the batch size to what the sink and the bounds allow.
func (o *config) within(limits Limits) error {
	if limits.Events < 0 || limits.Bytes < 0 || limits.Bytes > 0 && limits.Bytes < maxFootprint {
		return fmt.Errorf("audit store: sink limits of %d events and %d bytes: must hold an event of %d bytes",
			limits.Events, limits.Bytes, maxFootprint)
	}
	o.batchEvents = min(o.batchEvents, o.maxEvents)
	o.batchBytes = min(o.batchBytes, o.maxBytes)
	if limits.Events > 0 {
		o.batchEvents = min(o.batchEvents, limits.Events)
	}
	if limits.Bytes > 0 {
		o.batchBytes = min(o.batchBytes, limits.Bytes)
	}
	return nil
}

const (
	// DefaultInFlight is how many writes at a time the sink is expected to see,
	// maxInFlight how many it keeps connections for.
	DefaultInFlight = 4
	maxInFlight     = 64
)
