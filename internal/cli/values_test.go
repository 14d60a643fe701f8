package cli_test

import (
	"testing"
	"time"

	"github.com/spf13/pflag"

	"kubernaut.ai/internal/cli"
)

func TestPositiveValues(t *testing.T) {
	count, size, rate, wait := 1, int64(1), float32(1), time.Second
	values := map[string]pflag.Value{
		"int": cli.PositiveInt(&count), "int64": cli.PositiveInt64(&size),
		"float32": cli.PositiveFloat32(&rate), "duration": cli.PositiveDuration(&wait),
	}
	for name, tc := range map[string]struct {
		good, shown string
		bad         map[string]string // text to message
	}{
		"int":      {"7", "7", map[string]string{"0": "want more than 0", "-1": "want more than 0", "x": "want a whole number", "1.5": "want a whole number"}},
		"int64":    {"99999999999", "99999999999", map[string]string{"0": "want more than 0", "": "want a whole number"}},
		"float32":  {"1.5", "1.5", map[string]string{"0": "want more than 0", "NaN": "want more than 0", "x": "want a number"}},
		"duration": {"1m30s", "1m30s", map[string]string{"0s": "want more than 0", "-1s": "want more than 0", "5": "want a duration, as in 1m30s"}},
	} {
		value := values[name]
		if err := value.Set(tc.good); err != nil || value.String() != tc.shown {
			t.Errorf("%s: set to %s, error %v; want %s", name, value, err, tc.shown)
		}
		for text, want := range tc.bad {
			if err := value.Set(text); err == nil || err.Error() != want {
				t.Errorf("%s: %q: error %v, want %s", name, text, err, want)
			}
		}
		if value.String() != tc.shown {
			t.Errorf("%s: a refused value changed it to %s", name, value)
		}
	}
}
