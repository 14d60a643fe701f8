package cli

import (
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

// numeric are the types of numbers that flags have.
type numeric interface {
	int | int64 | float32 | time.Duration
}

// number is the pflag.Value of a number.
type number[T numeric] struct {
	*declaration

	value *T
}

func addNumber[T numeric](f *Flags, value *T, name string, preset T, help string, options []Option) {
	d := newDeclaration(options)
	n := &number[T]{value: value, declaration: d}
	d.reset = func() { *value = preset }
	d.complete = func() error {
		if *value == 0 {
			*value = preset
		}
		if *value == 0 && d.derive != nil {
			*value = T(d.derive())
		}
		return n.valid(*value)
	}
	shown := fmt.Sprint(preset)
	if d.derived != "" {
		shown = d.derived
	}
	f.add(d, &pflag.Flag{Name: name, Usage: help, Value: n, DefValue: shown})
}

// Set implements pflag.Value.
func (n *number[T]) Set(text string) error {
	parsed, err := parseNumber[T](text)
	if err == nil {
		err = n.valid(parsed)
	}
	if err != nil {
		return err
	}
	*n.value = parsed
	return nil
}

// String implements pflag.Value.
func (n *number[T]) String() string {
	switch {
	case n.value == nil:
		return ""
	case *n.value == 0 && n.derive != nil:
		return fmt.Sprint(T(n.derive()))
	}
	return fmt.Sprint(*n.value)
}

// Type implements pflag.Value.
func (n *number[T]) Type() string {
	switch any(*new(T)).(type) {
	case time.Duration:
		return "duration"
	case float32:
		return "number"
	}
	return "int"
}

func (n *number[T]) valid(value T) error {
	switch any(value).(type) {
	case time.Duration, float32:
		if !(value > 0) { //nolint:staticcheck // NaN is not above 0 either
			return errNotPositive
		}
		return nil
	}
	least := max(1, n.least)
	switch whole := int64(value); {
	case n.most > 0 && (whole < least || whole > n.most):
		return fmt.Errorf("want %d to %d", least, n.most)
	case whole < least:
		return fmt.Errorf("want at least %d", least)
	}
	return nil
}

func parseNumber[T numeric](text string) (T, error) {
	switch any(*new(T)).(type) {
	case time.Duration:
		parsed, err := time.ParseDuration(text)
		if err != nil {
			return 0, errNotDuration
		}
		return T(parsed), nil
	case float32:
		parsed, err := strconv.ParseFloat(text, 32)
		if err != nil {
			return 0, errNotNumber
		}
		return T(parsed), nil
	}
	const bits = 64
	parsed, err := strconv.ParseInt(text, 10, bits)
	if err != nil || int64(T(parsed)) != parsed {
		return 0, errNotWhole
	}
	return T(parsed), nil
}
