package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// The annotations of a pflag.Flag.
const (
	hiddenAnnotation = "kubernaut.ai/hidden" // the value is not shown
	valuesAnnotation = "kubernaut.ai/values" // the values that there are
)

var errEmpty = errors.New("want a value that is not empty")

// Flags are the options of a program, each declared once with its variable,
// name, default, help and bounds. A declaration serves the command line (AddTo)
// and programs that set the variables themselves (Complete). To both, the zero
// value of a variable stands for the default. A zero or an empty text on the
// command line is therefore an error, unless it is the default itself.
type Flags struct{ declared []*declaration }

// declaration is one option.
type declaration struct {
	flag *pflag.Flag
	// reset sets the variable to its default.
	reset func()
	// complete sets an unset variable to its default, and checks it.
	complete func() error

	shorthand   string
	secret      bool
	least, most int64 // bounds of a number; zero: only that it is positive
	derived     string
	derive      func() int64
	required    string
	values      []string
	check       func(string) error
}

// Option is a property of a declared flag.
type Option func(*declaration)

// Shorthand gives a flag a letter on the command line.
func Shorthand(letter string) Option { return func(d *declaration) { d.shorthand = letter } }

// Secret keeps the value out of logs and errors.
func Secret() Option { return func(d *declaration) { d.secret = true } }

// AtLeast bounds a whole number.
func AtLeast(n int64) Option { return func(d *declaration) { d.least = n } }

// AtMost bounds a whole number.
func AtMost(n int64) Option { return func(d *declaration) { d.most = n } }

// OneOf lists the values of a text, which shells complete.
func OneOf(values ...string) Option { return func(d *declaration) { d.values = values } }

// Check checks a text that is not empty.
func Check(check func(value string) error) Option { return func(d *declaration) { d.check = check } }

// Derived makes the default of a number depend on options that are declared
// before it: find returns it (of a duration: in nanoseconds), and text describes
// it in the help. On the command line the variable stays zero until Complete.
func Derived(text string, find func() int64) Option {
	return func(d *declaration) { d.derived, d.derive = text, find }
}

// Required makes Complete reject an option without a value; text describes the
// value in the error.
func Required(text string) Option { return func(d *declaration) { d.required = text } }

// Int declares a whole number above 0.
func (f *Flags) Int(value *int, name string, preset int, help string, options ...Option) {
	addNumber(f, value, name, preset, help, options)
}

// Int64 declares a whole number of 64 bits above 0.
func (f *Flags) Int64(value *int64, name string, preset int64, help string, options ...Option) {
	addNumber(f, value, name, preset, help, options)
}

// Float32 declares a number above 0.
func (f *Flags) Float32(value *float32, name string, preset float32, help string) {
	addNumber(f, value, name, preset, help, nil)
}

// Duration declares a duration above 0.
func (f *Flags) Duration(value *time.Duration, name string, preset time.Duration, help string, options ...Option) {
	addNumber(f, value, name, preset, help, options)
}

// String declares a text.
func (f *Flags) String(value *string, name, preset, help string, options ...Option) {
	d := newDeclaration(options)
	t := &text{value: value, preset: preset, declaration: d}
	d.reset = func() { *value = preset }
	d.complete = func() error {
		if *value == "" {
			*value = preset
		}
		return t.valid(*value)
	}
	f.add(d, &pflag.Flag{Name: name, Usage: help, Value: t, DefValue: preset})
}

// Strings declares a list of texts, empty by default. The flag can be repeated.
func (f *Flags) Strings(value *[]string, name, help string, options ...Option) {
	d := newDeclaration(options)
	given := *value
	var scratch pflag.FlagSet
	scratch.StringSliceVar(value, name, nil, help)
	*value = given
	d.reset = func() { *value = nil }
	d.complete = func() error {
		for _, one := range *value {
			if err := (&text{declaration: d}).valid(one); err != nil {
				return err
			}
		}
		return nil
	}
	f.add(d, scratch.Lookup(name))
}

// listSeparator separates the items of a List.
const listSeparator = ";"

// List declares a list of texts that may contain commas: its items are separated
// by semicolons. It is empty by default, and the flag can be repeated.
func (f *Flags) List(value *[]string, name, help string, options ...Option) {
	d := newDeclaration(options)
	l := &list{value: value, declaration: d}
	d.reset = func() { *value = nil }
	d.complete = func() error {
		for _, item := range *value {
			if err := l.check(item); err != nil {
				return err
			}
		}
		return nil
	}
	f.add(d, &pflag.Flag{Name: name, Usage: help, Value: l})
}

// Bool declares a switch. It has no unset value: programs that set the variable
// themselves get what they set.
func (f *Flags) Bool(value *bool, name string, preset bool, help string) {
	d := newDeclaration(nil)
	given := *value
	var scratch pflag.FlagSet
	scratch.BoolVar(value, name, preset, help)
	*value = given
	d.reset = func() { *value = preset }
	d.complete = func() error { return nil }
	f.add(d, scratch.Lookup(name))
}

// AddTo sets the variables to their defaults and adds the flags to a set.
func (f *Flags) AddTo(set *pflag.FlagSet) {
	f.SetDefaults()
	for _, d := range f.declared {
		set.AddFlag(d.flag)
	}
}

// SetDefaults sets the variables to their defaults.
func (f *Flags) SetDefaults() {
	for _, d := range f.declared {
		d.reset()
	}
}

// Complete sets the variables that are unset to their defaults. It returns a
// UsageError that names all required flags without a value, else the flag of the
// first one whose value is unusable.
func (f *Flags) Complete() error {
	var missing []error
	for _, d := range f.declared {
		if d.required != "" && d.flag.Value.String() == "" {
			missing = append(missing, fmt.Errorf("--%s is required: %s", d.flag.Name, d.required))
		}
	}
	if len(missing) > 0 {
		return usage(missing)
	}
	for _, d := range f.declared {
		if err := d.complete(); err != nil {
			return d.unusable(err)
		}
	}
	return nil
}

func (f *Flags) add(d *declaration, flag *pflag.Flag) {
	d.flag = flag
	flag.Shorthand = d.shorthand
	flag.Annotations = map[string][]string{}
	if d.secret {
		flag.Annotations[hiddenAnnotation] = nil
	}
	if len(d.values) > 0 {
		flag.Annotations[valuesAnnotation] = d.values
	}
	f.declared = append(f.declared, d)
}

func newDeclaration(options []Option) *declaration {
	d := &declaration{}
	for _, option := range options {
		option(d)
	}
	return d
}

func (d *declaration) unusable(err error) error {
	if d.secret { // the cause may repeat the value
		return Usagef("--%s: unusable value", d.flag.Name)
	}
	return Usagef("--%s %s: %w", d.flag.Name, d.flag.Value, err)
}

// isSecret reports whether a flag was declared to be secret.
func isSecret(f *pflag.Flag) bool {
	_, ok := f.Annotations[hiddenAnnotation]
	return ok
}

// text is the pflag.Value of a String.
type text struct {
	*declaration

	value  *string
	preset string
}

// Set implements pflag.Value.
func (t *text) Set(value string) error {
	if value == "" && t.preset != "" {
		return errEmpty
	}
	if err := t.valid(value); err != nil {
		return err
	}
	*t.value = value
	return nil
}

// String implements pflag.Value.
func (t *text) String() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// Type implements pflag.Value.
func (*text) Type() string { return "string" }

func (t *text) valid(value string) error {
	switch {
	case len(t.values) > 0 && !slices.Contains(t.values, value):
		return fmt.Errorf("want %s", alternatives(t.values))
	case t.check != nil && value != "":
		return t.check(value)
	}
	return nil
}

// list is the pflag.Value of a List.
type list struct {
	*declaration

	value *[]string
	given bool // the value is no longer the default
}

// Set implements pflag.Value. It adds to what was set before.
func (l *list) Set(text string) error {
	var items []string
	for item := range strings.SplitSeq(text, listSeparator) {
		item = strings.TrimSpace(item)
		if err := l.check(item); err != nil {
			return err
		}
		items = append(items, item)
	}
	if l.given {
		items = append(slices.Clone(*l.value), items...)
	}
	*l.value, l.given = items, true
	return nil
}

// String implements pflag.Value.
func (l *list) String() string {
	if l.value == nil {
		return ""
	}
	return strings.Join(*l.value, listSeparator)
}

// Type implements pflag.Value.
func (*list) Type() string { return "list" }

func (l *list) check(item string) error {
	if item == "" {
		return errEmpty
	}
	return (&text{declaration: l.declaration}).valid(item)
}

// alternatives is a list for people, as in "json or console".
func alternatives(values []string) string {
	last := len(values) - 1
	if last == 0 {
		return values[0]
	}
	return strings.Join(values[:last], ", ") + " or " + values[last]
}
