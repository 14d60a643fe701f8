package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

var (
	errNotPositive = errors.New("want more than 0")
	errNotNumber   = errors.New("want a number")
	errNotWhole    = errors.New("want a whole number")
	errNotDuration = errors.New("want a duration, as in 1m30s")
)

// positive is a flag's value that must be more than 0: to options a zero means
// "unset", which is not what somebody who writes a zero means.
type positive[T cmp.Ordered] struct {
	value *T
	parse func(string) (T, error)
	kind  string
}

// Set implements pflag.Value.
func (p *positive[T]) Set(text string) error {
	parsed, err := p.parse(text)
	if err != nil {
		return err
	}
	var zero T
	if !(parsed > zero) { //nolint:staticcheck // NaN is not above 0 either
		return errNotPositive
	}
	*p.value = parsed
	return nil
}

// String implements pflag.Value.
func (p *positive[T]) String() string {
	if p.value == nil {
		return ""
	}
	return fmt.Sprint(*p.value)
}

// Type implements pflag.Value.
func (p *positive[T]) Type() string { return p.kind }

// PositiveInt is a flag for a whole number above 0; its default is what value holds.
func PositiveInt(value *int) pflag.Value {
	return &positive[int]{value: value, kind: "int", parse: func(text string) (int, error) {
		parsed, err := strconv.Atoi(text)
		if err != nil {
			return 0, errNotWhole
		}
		return parsed, nil
	}}
}

// PositiveInt64 is PositiveInt for numbers of 64 bits.
func PositiveInt64(value *int64) pflag.Value {
	return &positive[int64]{value: value, kind: "int", parse: func(text string) (int64, error) {
		parsed, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, errNotWhole
		}
		return parsed, nil
	}}
}

// PositiveFloat32 is a flag for a number above 0; its default is what value holds.
func PositiveFloat32(value *float32) pflag.Value {
	return &positive[float32]{value: value, kind: "number", parse: func(text string) (float32, error) {
		parsed, err := strconv.ParseFloat(text, 32)
		if err != nil {
			return 0, errNotNumber
		}
		return float32(parsed), nil
	}}
}

// PositiveDuration is a flag for a duration above 0; its default is what value holds.
func PositiveDuration(value *time.Duration) pflag.Value {
	return &positive[time.Duration]{value: value, kind: "duration", parse: func(text string) (time.Duration, error) {
		parsed, err := time.ParseDuration(text)
		if err != nil {
			return 0, errNotDuration
		}
		return parsed, nil
	}}
}
