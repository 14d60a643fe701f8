package audit

import (
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit/wire"
)

// Defaults of the options.
const (
	DefaultInterval       = 100 * time.Millisecond
	DefaultBatchEvents    = 10_000
	DefaultBatchBytes     = 4 << 20
	DefaultMaxEvents      = 30_000
	DefaultMaxBytes       = 64 << 20
	DefaultWriteTimeout   = 10 * time.Second
	DefaultFirstBackoff   = 100 * time.Millisecond
	DefaultLongestBackoff = 5 * time.Second
	DefaultInFlight       = 4
)

// MaxInFlight is the largest number of batches in flight (see WithInFlight); each takes a connection.
const MaxInFlight = 64

// FullPolicy says what Record does when as many events are pending as the bounds allow.
type FullPolicy int

const (
	// Wait makes Record wait for capacity until its context ends.
	Wait FullPolicy = iota
	// Refuse makes Record return ErrFull at once.
	Refuse
	// Spill makes Record put the event into the spool instead of memory, and wait
	// for capacity until its context ends only when the spool is full as well.
	Spill
)

// String is the policy's name in lower case.
func (p FullPolicy) String() string {
	switch p {
	case Wait:
		return "wait"
	case Refuse:
		return "refuse"
	case Spill:
		return "spill"
	default:
		return fmt.Sprintf("FullPolicy(%d)", int(p))
	}
}

// config is what the options set; New validates it once, as a whole.
type config struct {
	clock          clock.Clock
	random         rand.Source // used under the store's lock: it is not safe for concurrent use
	logger         *slog.Logger
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
	inFlight       int
	spool          Spool
	durability     Durability
	durabilityOf   map[string]Durability
	tracer         trace.Tracer
	hook           Hook
}

// Option configures a store. An invalid one makes New fail.
type Option func(*config) error

// WithClock replaces the wall clock for time stamps, ids, the batch interval and
// the pauses between retries; the default is the system's. The write timeout is
// always real time, because it guards against a peer that lives in real time.
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
// of retries; ChaCha8, seeded by the operating system, by default. Ids
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

// WithLogger sets where the store logs its changes of state; the package's
// documentation lists the lines. The default is nowhere.
func WithLogger(logger *slog.Logger) Option {
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
// digits by default.
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
// not fill up; DefaultInterval by default.
func WithInterval(interval time.Duration) Option {
	return func(o *config) error {
		if interval <= 0 {
			return fmt.Errorf("interval %v: must be positive", interval)
		}
		o.interval = interval
		return nil
	}
}

// WithBatch sets the largest batch, in events and in bytes; DefaultBatchEvents
// and DefaultBatchBytes by default. A smaller limit of the sink or of the
// bounds prevails. Within it the size adapts to the load: a batch is full with
// 1,000 events at first, with more while full ones pile up, and with fewer after
// a write that took longer than the write timeout.
func WithBatch(events, bytes int) Option {
	return func(o *config) error {
		if events < 1 || bytes < 1 {
			return fmt.Errorf("batch of %d events and %d bytes: both must be positive", events, bytes)
		}
		o.batchEvents, o.batchBytes = events, bytes
		return nil
	}
}

// WithBounds sets how much may be pending in memory, in events and in bytes;
// DefaultMaxEvents and DefaultMaxBytes by default. The bytes must hold
// an event of the largest size.
func WithBounds(events, bytes int) Option {
	return func(o *config) error {
		if events < 1 {
			return fmt.Errorf("bound of %d events: must be positive", events)
		}
		if bytes < MaxFootprint {
			return fmt.Errorf("bound of %d bytes: must be at least %d, the size of the largest event", bytes, MaxFootprint)
		}
		o.maxEvents, o.maxBytes = events, bytes
		return nil
	}
}

// WithFullPolicy sets what Record does at the bounds; Wait by default.
func WithFullPolicy(policy FullPolicy) Option {
	return func(o *config) error {
		if policy != Wait && policy != Refuse && policy != Spill {
			return fmt.Errorf("full policy %v: must be wait, refuse or spill", policy)
		}
		o.fullPolicy = policy
		return nil
	}
}

// WithWriteTimeout bounds one call of the sink, so that a peer that accepts
// and never answers counts as down; DefaultWriteTimeout by default.
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
// random. DefaultFirstBackoff and DefaultLongestBackoff by default.
func WithBackoff(first, longest time.Duration) Option {
	return func(o *config) error {
		if first <= 0 || longest < first {
			return fmt.Errorf("backoff from %v to %v: must be positive and not decrease", first, longest)
		}
		o.firstBackoff, o.longestBackoff = first, longest
		return nil
	}
}

// WithSpool persists events whose durability, or the full policy, asks for it.
// Events that the spool has from an earlier process are sent first. The store
// owns the spool from then on and closes it, unless New fails. The default is no
// spool.
func WithSpool(spool Spool) Option {
	return func(o *config) error {
		if spool == nil {
			return errors.New("spool is nil")
		}
		o.spool = spool
		return nil
	}
}

// WithDurability sets the durability of some types of events, or of all those
// that no other WithDurability names; Memory by default. Spooled needs a spool.
func WithDurability(durability Durability, eventTypes ...string) Option {
	return func(o *config) error {
		if durability < Memory || durability > Stored {
			return fmt.Errorf("durability %v: must be memory, spooled or stored", durability)
		}
		if len(eventTypes) == 0 {
			o.durability = durability
			return nil
		}
		if o.durabilityOf == nil {
			o.durabilityOf = make(map[string]Durability)
		}
		for _, eventType := range eventTypes {
			if !wire.IsType(eventType) {
				return fmt.Errorf("durability %v of event type %q: must be dotted lower case, as in gateway.signal.received", durability, eventType)
			}
			o.durabilityOf[eventType] = durability
		}
		return nil
	}
}

// WithInFlight sets how many batches may be on their way to the sink at the
// same time; DefaultInFlight by default. Events of one correlation id
// are never in two of them: a later one is not stored before an earlier one.
func WithInFlight(batches int) Option {
	return func(o *config) error {
		if batches < 1 || batches > MaxInFlight {
			return fmt.Errorf("%d batches in flight: must be 1 to %d", batches, MaxInFlight)
		}
		o.inFlight = batches
		return nil
	}
}

// WithTracer makes a span of each batch write. The default is no spans.
func WithTracer(tracer trace.Tracer) Option {
	return func(o *config) error {
		if tracer == nil {
			return errors.New("tracer is nil")
		}
		o.tracer = tracer
		return nil
	}
}

// WithHook sets a function that is called at inner points of the store's work. It is meant for tests.
func WithHook(hook Hook) Option {
	return func(o *config) error {
		if hook == nil {
			return errors.New("hook is nil")
		}
		o.hook = hook
		return nil
	}
}

// newConfig applies the options to the defaults.
func newConfig(options []Option) (config, error) {
	o := config{
		clock:          clock.RealClock{},
		logger:         slog.New(slog.DiscardHandler),
		interval:       DefaultInterval,
		batchEvents:    DefaultBatchEvents,
		batchBytes:     DefaultBatchBytes,
		maxEvents:      DefaultMaxEvents,
		maxBytes:       DefaultMaxBytes,
		fullPolicy:     Wait,
		writeTimeout:   DefaultWriteTimeout,
		firstBackoff:   DefaultFirstBackoff,
		longestBackoff: DefaultLongestBackoff,
		inFlight:       DefaultInFlight,
		tracer:         noop.NewTracerProvider().Tracer(""),
		hook:           func(HookPoint, int) {},
	}
	for _, option := range options {
		if err := option(&o); err != nil {
			return config{}, fmt.Errorf("audit store: %w", err)
		}
	}
	if o.spool == nil {
		if o.durability == Spooled {
			return config{}, fmt.Errorf("audit store: %w", needsSpool(o.durability))
		}
		if o.fullPolicy == Spill {
			return config{}, fmt.Errorf("audit store: full policy %v needs a spool: open one and pass it with WithSpool", o.fullPolicy)
		}
		for eventType, durability := range o.durabilityOf {
			if durability == Spooled {
				return config{}, fmt.Errorf("audit store: event type %s: %w", eventType, needsSpool(durability))
			}
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
	if limits.Events < 0 || limits.Bytes < 0 || limits.Bytes > 0 && limits.Bytes < MaxFootprint {
		return fmt.Errorf("audit store: sink limits of %d events and %d bytes: must hold an event of %d bytes",
			limits.Events, limits.Bytes, MaxFootprint)
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

// needsSpool is the error of an event that shall be on disk, in a store without a spool.
func needsSpool(durability Durability) error {
	return fmt.Errorf("durability %v needs a spool: open one and pass it with WithSpool", durability)
}
