package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

const configFlag = "config"

// Configure lets every flag of c be given in three places, the earlier one
// winning: the command line, an environment variable (the flag's name in upper
// case behind prefix, as in DATASTORAGE_DATABASE_URL) and the YAML file that
// --config names (the flag's name as key). An unknown key or an unusable value
// is a UsageError that says where it stands. The values are set before c runs.
func Configure(c *cobra.Command, prefix string) {
	c.Flags().String(configFlag, "", "YAML file with values for these flags, by their names")
	run := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if err := fill(c.Flags(), prefix, os.LookupEnv, os.ReadFile); err != nil {
			return err
		}
		if run != nil {
			return run(c, args)
		}
		return nil
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		f.Usage += " [$" + variable(prefix, f.Name) + "]"
	})
}

func variable(prefix, flag string) string {
	return prefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func fill(flags *pflag.FlagSet, prefix string, lookup func(string) (string, bool), read func(string) ([]byte, error)) error {
	var errs []error
	set := func(f *pflag.Flag, where, value string) {
		err := flags.Set(f.Name, value)
		switch {
		case err == nil:
		case secret(f.Name): // the cause repeats the value
			errs = append(errs, fmt.Errorf("%s: invalid value for --%s", where, f.Name))
		default:
			errs = append(errs, fmt.Errorf("%s: invalid value %q for --%s: %w", where, value, f.Name, cause(err)))
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		name := variable(prefix, f.Name)
		if value, ok := lookup(name); ok && !f.Changed {
			set(f, "environment variable "+name, value)
		}
	})
	path := flags.Lookup(configFlag).Value.String()
	if path == "" || len(errs) > 0 {
		return usage(errs)
	}
	values, err := configFile(path, read)
	if err != nil {
		return &UsageError{Err: err}
	}
	for _, key := range sortedKeys(values) {
		switch f := flags.Lookup(key); {
		case f == nil || key == configFlag || key == "help":
			errs = append(errs, fmt.Errorf("config file %s: unknown key %q: keys are the flags' names, see --help", path, key))
		case !f.Changed:
			set(f, "config file "+path, values[key])
		}
	}
	return usage(errs)
}

// cause drops pflag's own repetition of flag and value from an error.
func cause(err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return invalid.Unwrap() //nolint:wrapcheck // unwrapping is the point
	}
	return err
}

func usage(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return &UsageError{Err: errors.Join(errs...)}
}

func configFile(path string, read func(string) ([]byte, error)) (map[string]string, error) {
	text, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("read config file: %w", err)
	}
	raw := map[string]any{}
	if err := yaml.UnmarshalStrict(text, &raw, exactNumbers); err != nil {
		return nil, fmt.Errorf("config file %s: not a YAML map of flag names to values: %w", path, err)
	}
	values := make(map[string]string, len(raw))
	for key, value := range raw {
		switch v := value.(type) {
		case string, bool, json.Number:
			values[key] = fmt.Sprint(v)
		default:
			return nil, fmt.Errorf("config file %s: key %q: want a string, a number or true/false", path, key)
		}
	}
	return values, nil
}

// exactNumbers keeps numbers as they are written: as a float64, 16777216 would
// come out as 1.6777216e+07, which no flag for whole numbers takes.
func exactNumbers(decoder *json.Decoder) *json.Decoder {
	decoder.UseNumber()
	return decoder
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// secret reports whether a flag's value must not be shown.
func secret(flag string) bool {
	for _, word := range []string{"url", "token", "password", "secret", "key"} {
		if strings.Contains(flag, word) {
			return true
		}
	}
	return false
}

// redact replaces what may be a secret. The path of a file is none, and neither
// is an address without credentials.
func redact(flag, value string) string {
	if value == "" || !secret(flag) || strings.HasSuffix(flag, "-file") {
		return value
	}
	if strings.HasSuffix(flag, "-url") {
		if u, err := url.Parse(value); err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" {
			return value
		}
	}
	return "[redacted]"
}

// Effective lists the flags' values for the log line at start, in the order of
// their names; values that may hold secrets are replaced.
func Effective(flags *pflag.FlagSet) map[string]string {
	values := map[string]string{}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			values[f.Name] = redact(f.Name, f.Value.String())
		}
	})
	return values
}
