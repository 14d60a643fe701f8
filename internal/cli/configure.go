package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

const (
	configFlag = "config"
	// prefixAnnotation is the cobra annotation with a command's prefix.
	prefixAnnotation = "kubernaut.ai/environment-prefix"
)

// Configure lets every flag of c be given in three places, the earlier one
// winning: the command line, an environment variable (the flag's name in upper
// case behind prefix, as in DATASTORAGE_DATABASE_URL) and the YAML file that
// --config names (the flag's name as key). The values are set before c runs.
//
// An unusable value is a UsageError that says where it was found. So is an
// unknown key, and a variable with the prefix that belongs to no command of
// the program, unless it is one that Kubernetes sets for a Service of that name.
func Configure(c *cobra.Command, prefix string) {
	c.Flags().String(configFlag, "", "YAML file with values for these flags, by name")
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[prefixAnnotation] = prefix
	run := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if err := unknownVariables(c, prefix, os.Environ()); err != nil {
			return err
		}
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
		if values, ok := f.Annotations[valuesAnnotation]; ok {
			// The only error is that the flag does not exist.
			_ = c.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		}
	})
}

// WithFlags adds flags to a command, and configures it.
func WithFlags(c *cobra.Command, prefix string, declare ...func(*Flags)) *cobra.Command {
	var flags Flags
	for _, d := range declare {
		d(&flags)
	}
	flags.AddTo(c.Flags())
	Configure(c, prefix)
	return c
}

func variable(prefix, flag string) string {
	return prefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// builtIn reports whether a flag is cobra's own, which has no value to configure.
func builtIn(flag string) bool { return flag == "help" || flag == "version" }

// serviceLink matches, behind a prefix, the variables that Kubernetes sets in
// pods for each Service of the namespace (DATASTORAGE_SERVICE_HOST,
// DATASTORAGE_PORT_8080_TCP_ADDR), also one whose name has more words
// (DATASTORAGE_READER_SERVICE_PORT_HTTP).
var serviceLink = regexp.MustCompile(`^(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// unknownVariables refuses variables with the prefix that are no command's flag.
func unknownVariables(c *cobra.Command, prefix string, environment []string) error {
	known := map[string]bool{}
	visit(c.Root(), func(other *cobra.Command) {
		if other.Annotations[prefixAnnotation] != prefix {
			return
		}
		other.Flags().VisitAll(func(f *pflag.Flag) {
			if !builtIn(f.Name) {
				known[variable(prefix, f.Name)] = true
			}
		})
	})
	var errs []error
	slices.Sort(environment)
	for _, set := range environment {
		name, _, _ := strings.Cut(set, "=")
		rest, ok := strings.CutPrefix(name, prefix+"_")
		if !ok || known[name] || serviceLink.MatchString(rest) {
			continue
		}
		errs = append(errs, fmt.Errorf("environment variable %s: no flag has this name%s", name, didYouMean(name, slices.Sorted(maps.Keys(known)))))
	}
	return usage(errs)
}

func visit(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, child := range c.Commands() {
		visit(child, do)
	}
}

func fill(flags *pflag.FlagSet, prefix string, lookup func(string) (string, bool), read func(string) ([]byte, error)) error {
	var errs []error
	set := func(f *pflag.Flag, where, value string) {
		err := flags.Set(f.Name, value)
		switch {
		case err == nil:
		case shown(f, value) != value: // the cause repeats the value
			errs = append(errs, fmt.Errorf("%s: invalid value for --%s", where, f.Name))
		default:
			errs = append(errs, fmt.Errorf("%s: invalid value %q for --%s: %w", where, value, f.Name, cause(err)))
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		name := variable(prefix, f.Name)
		if value, ok := lookup(name); ok && !f.Changed && !builtIn(f.Name) {
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
	for _, key := range slices.Sorted(maps.Keys(values)) {
		switch f := flags.Lookup(key); {
		case f == nil || key == configFlag || builtIn(key):
			errs = append(errs, fmt.Errorf("config file %s: unknown key %q: keys are the flags' names%s", path, key, didYouMean(key, names(flags))))
		case values[key].isList && !takesSeveral(f):
			errs = append(errs, fmt.Errorf("config file %s: key %q: want one value, not a list", path, key))
		case !f.Changed:
			for _, value := range values[key].items {
				set(f, "config file "+path, value)
			}
		}
	}
	return usage(errs)
}

// takesSeveral reports whether a flag has a list of values.
func takesSeveral(f *pflag.Flag) bool {
	_, list := f.Value.(*list)
	_, slice := f.Value.(pflag.SliceValue)
	return list || slice
}

// names are those of the flags that can be configured.
func names(flags *pflag.FlagSet) []string {
	var all []string
	flags.VisitAll(func(f *pflag.Flag) {
		if !builtIn(f.Name) && f.Name != configFlag {
			all = append(all, f.Name)
		}
	})
	return all
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

// configured is what a configuration file says about a flag: one value, or a list.
type configured struct {
	items  []string
	isList bool
}

func configFile(path string, read func(string) ([]byte, error)) (map[string]configured, error) {
	text, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", configFlag, err)
	}
	raw := map[string]any{}
	if err := yaml.UnmarshalStrict(text, &raw, exactNumbers); err != nil {
		return nil, fmt.Errorf("config file %s: not a YAML map of flag names to values: %w", path, err)
	}
	values := make(map[string]configured, len(raw))
	for key, value := range raw {
		items, isList := value.([]any)
		if !isList {
			items = []any{value}
		}
		found := configured{isList: isList}
		for _, item := range items {
			switch v := item.(type) {
			case string, bool, json.Number:
				found.items = append(found.items, fmt.Sprint(v))
			default:
				return nil, fmt.Errorf("config file %s: key %q: want a string, a number, true/false, or a list of them", path, key)
			}
		}
		values[key] = found
	}
	return values, nil
}

// exactNumbers keeps numbers as they are written: as a float64, 16777216 would
// come out as 1.6777216e+07, which no flag for whole numbers takes.
func exactNumbers(decoder *json.Decoder) *json.Decoder {
	decoder.UseNumber()
	return decoder
}
