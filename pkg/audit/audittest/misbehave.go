package audittest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// ErrMisbehaved is a random failure of a write, see FaultySink.Misbehave.
var ErrMisbehaved = errors.New("sink misbehaves")

// Odds are the probabilities, from 0 to 1, of faults of a write. The faults
// exclude each other; the rest is the probability of a write without a fault.
type Odds struct {
	// Fail and FailAfterStoring fail with Err.
	Fail, FailAfterStoring float64
	// Hang waits for the end of the context, or for Recover. Outside of a
	// testing/synctest bubble, use a short audit.WithWriteTimeout with it.
	Hang float64
	// Slow delays the write by up to LongestDelay, which it needs.
	Slow         float64
	LongestDelay time.Duration
	// Duplicate writes twice, and returns either answer.
	Duplicate float64
	// Err is ErrMisbehaved if it is nil.
	Err error
}

// Misbehave gives each write a random fault, or none, until Recover. The same
// source gives the same faults in the order of the calls of Write, so that a
// run can be repeated with its seed. The sink uses the source under a lock;
// nothing else may use it until Recover. Invalid odds are an error.
func (s *FaultySink) Misbehave(source rand.Source, odds Odds) error {
	if odds.Err == nil {
		odds.Err = ErrMisbehaved
	}
	if err := odds.validate(); err != nil {
		return err
	}
	dice := rand.New(source) //nolint:gosec // faults are no secret
	s.behave(fault{}, func() fault { return odds.draw(dice.Float64(), dice.Float64()) })
	return nil
}

// chance is one way to go wrong, and its probability.
type chance struct {
	name        string
	probability float64
	// fault makes the fault from a number in [0, 1).
	fault func(size float64) fault
}

func (o *Odds) chances() []chance {
	return []chance{
		{"fail", o.Fail, func(float64) fault { return fault{err: o.Err} }},
		{"fail after storing", o.FailAfterStoring, func(float64) fault { return fault{err: o.Err, stores: true} }},
		{"hang", o.Hang, func(float64) fault { return fault{hangs: true} }},
		{"slow", o.Slow, func(size float64) fault {
			return fault{delay: 1 + time.Duration(size*float64(o.LongestDelay-1))}
		}},
		{"duplicate", o.Duplicate, func(size float64) fault {
			if size < 0.5 {
				return fault{answer: FirstAnswer}
			}
			return fault{answer: SecondAnswer}
		}},
	}
}

func (o *Odds) validate() error {
	sum := 0.0
	for _, c := range o.chances() {
		if !(c.probability >= 0 && c.probability <= 1) { // a NaN is neither
			return fmt.Errorf("odds: %s %v: must be from 0 to 1", c.name, c.probability)
		}
		sum += c.probability
	}
	const rounding = 1e-9
	if sum > 1+rounding {
		return fmt.Errorf("odds: sum %v: must be at most 1", sum)
	}
	if o.Slow > 0 && o.LongestDelay <= 0 {
		return fmt.Errorf("odds: longest delay %v: must be positive where writes may be slow", o.LongestDelay)
	}
	return nil
}

// draw picks a fault by two numbers in [0, 1).
func (o *Odds) draw(which, size float64) fault {
	for _, c := range o.chances() {
		if which < c.probability {
			return c.fault(size)
		}
		which -= c.probability
	}
	return fault{}
}
