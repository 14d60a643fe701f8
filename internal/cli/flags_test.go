package cli_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"kubernaut.ai/internal/cli"
)

// settings are options of every type.
type settings struct {
	Address    string
	Database   string
	Namespaces []string
	Loud       bool
	Count      int
	Few        int
	Bytes      int64
	Rate       float32
	Wait       time.Duration
	MaxWait    time.Duration
}

func (s *settings) flags() *cli.Flags {
	var f cli.Flags
	f.String(&s.Address, "address", "here:1", "host:port", cli.Check(func(value string) error {
		if !strings.Contains(value, ":") {
			return errors.New("want host:port")
		}
		return nil
	}))
	f.String(&s.Database, "database", "", "a database", cli.Required("as in here/db"))
	f.Strings(&s.Namespaces, "namespace", "namespace, may be repeated", cli.Check(func(value string) error {
		if value == "-" {
			return errors.New("want a name")
		}
		return nil
	}))
	f.Bool(&s.Loud, "loud", true, "be loud")
	f.Int(&s.Count, "count", 7, "how many")
	f.Int(&s.Few, "few", 2, "how few", cli.AtMost(9))
	f.Int64(&s.Bytes, "bytes", 1<<40, "how large", cli.AtLeast(1024))
	f.Float32(&s.Rate, "rate", 2.5, "how fast")
	f.Duration(&s.Wait, "wait", time.Minute, "how long")
	f.Duration(&s.MaxWait, "max-wait", 0, "how long at most", cli.Derived("1m, or --wait if longer", func() int64 { return int64(max(time.Minute, s.Wait)) }))
	return &f
}

func defaults() settings {
	return settings{Address: "here:1", Loud: true, Count: 7, Few: 2, Bytes: 1 << 40, Rate: 2.5, Wait: time.Minute}
}

func TestAnEmptyCommandLineAndSetDefaultsGiveTheDefaults(t *testing.T) {
	t.Parallel()
	var parsed, set settings
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	parsed.flags().AddTo(flags)
	if err := flags.Parse(nil); err != nil {
		t.Fatal(err)
	}
	set.flags().SetDefaults()
	if want := defaults(); !reflect.DeepEqual(parsed, want) || !reflect.DeepEqual(set, want) {
		t.Errorf("parsed %+v, set %+v, want %+v", parsed, set, want)
	}
	usages := flags.FlagUsages()
	for _, part := range []string{
		"--wait duration", "how long (default 1m0s)", "--count int", "(default 7)", `(default "here:1")`, "--loud", "(default true)",
		"(default 1m, or --wait if longer)",
	} {
		if !strings.Contains(usages, part) {
			t.Errorf("help does not say %q:\n%s", part, usages)
		}
	}
}

func TestFlagsAreParsed(t *testing.T) {
	t.Parallel()
	var s settings
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.flags().AddTo(flags)
	err := flags.Parse([]string{
		"--address=there:2", "--namespace=a,b", "--namespace=c", "--loud=false", "--count=1", "--few=9", "--bytes=1024", "--rate=.5", "--wait=1h", "--max-wait=2h",
	})
	want := settings{
		Address: "there:2", Namespaces: []string{"a", "b", "c"}, Count: 1, Few: 9, Bytes: 1024, Rate: .5, Wait: time.Hour, MaxWait: 2 * time.Hour,
	}
	if err != nil || !reflect.DeepEqual(s, want) {
		t.Errorf("parsed %+v, error %v, want %+v", s, err, want)
	}
}

func TestUnusableValuesAreRefusedByTheCommandLineAndByComplete(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		argument string // empty: cannot be said
		change   func(*settings)
		flag     string
		want     string
	}{
		"zero":             {"--count=0", nil, "--count", "want at least 1"},
		"negative":         {"--count=-1", func(s *settings) { s.Count = -1 }, "--count", "want at least 1"},
		"no number":        {"--count=x", nil, "--count", "want a whole number"},
		"a fraction":       {"--count=1.5", nil, "--count", "want a whole number"},
		"too large":        {"--count=99999999999999999999", nil, "--count", "want a whole number"},
		"above the bound":  {"--few=10", func(s *settings) { s.Few = 10 }, "--few", "want 1 to 9"},
		"zero of bounds":   {"--few=0", nil, "--few", "want 1 to 9"},
		"below the bound":  {"--bytes=1023", func(s *settings) { s.Bytes = 1023 }, "--bytes", "want at least 1024"},
		"no rate":          {"--rate=0", nil, "--rate", "want more than 0"},
		"not a number":     {"--rate=NaN", func(s *settings) { s.Rate = float32(math.NaN()) }, "--rate", "want more than 0"},
		"no rate at all":   {"--rate=x", nil, "--rate", "want a number"},
		"no time":          {"--wait=0s", nil, "--wait", "want more than 0"},
		"negative time":    {"--wait=-1s", func(s *settings) { s.Wait = -1 }, "--wait", "want more than 0"},
		"no unit":          {"--wait=5", nil, "--wait", "want a duration, as in 1m30s"},
		"zero of derived":  {"--max-wait=0s", nil, "--max-wait", "want more than 0"},
		"negative derived": {"--max-wait=-1s", func(s *settings) { s.MaxWait = -1 }, "--max-wait", "want more than 0"},
		"text":             {"--address=there", func(s *settings) { s.Address = "there" }, "--address", "want host:port"},
		"empty text":       {"--address=", nil, "--address", "not empty"},
		"one of a list":    {"", func(s *settings) { s.Namespaces = []string{"a", "-"} }, "--namespace", "want a name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.argument != "" {
				var s settings
				flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
				s.flags().AddTo(flags)
				if err := flags.Parse([]string{test.argument}); err == nil || !strings.Contains(err.Error(), test.flag) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%s: error %v, want %s and %q", test.argument, err, test.flag, test.want)
				}
				if !reflect.DeepEqual(s, defaults()) {
					t.Errorf("%s: a refused value changed the options to %+v", test.argument, s)
				}
			}
			if test.change == nil {
				return
			}
			s := settings{Database: "db"}
			test.change(&s)
			err := s.flags().Complete()
			if _, ok := errors.AsType[*cli.UsageError](err); !ok || !strings.Contains(err.Error(), test.flag) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want a usage error with %s and %q", err, test.flag, test.want)
			}
		})
	}
}

func TestCompleteFillsWhatIsUnset(t *testing.T) {
	t.Parallel()
	s := settings{Database: "db", Count: 3, Namespaces: []string{"a"}, Wait: time.Hour}
	if err := s.flags().Complete(); err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Database, want.Count, want.Namespaces, want.Loud = "db", 3, []string{"a"}, false // a switch has no unset value
	want.Wait, want.MaxWait = time.Hour, time.Hour
	if !reflect.DeepEqual(s, want) {
		t.Errorf("completed to %+v, want %+v", s, want)
	}
}

func TestRequiredFlagsAreReportedFirstAndTogether(t *testing.T) {
	t.Parallel()
	var f cli.Flags
	var count int
	var source, drain string
	f.Int(&count, "count", 1, "how many", cli.AtMost(2))
	f.String(&source, "source", "", "where from", cli.Required("a URL"))
	f.String(&drain, "drain", "", "where to", cli.Required("a file"))
	count = 3
	err := f.Complete()
	if _, ok := errors.AsType[*cli.UsageError](err); !ok || err.Error() != "--source is required: a URL\n--drain is required: a file" {
		t.Errorf("error %v", err)
	}
}

func TestADerivedDefaultIsShownAsItsValue(t *testing.T) {
	t.Parallel()
	var s settings
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.flags().AddTo(flags)
	if err := flags.Parse([]string{"--wait=3h"}); err != nil {
		t.Fatal(err)
	}
	if got := cli.Effective(flags)["max-wait"]; got != "3h0m0s" || s.MaxWait != 0 {
		t.Errorf("shown %q, set to %s", got, s.MaxWait)
	}
}

func TestAListHasItemsWithCommas(t *testing.T) {
	t.Parallel()
	newFlags := func(items *[]string) *pflag.FlagSet {
		var f cli.Flags
		f.List(items, "item", "items", cli.Check(func(value string) error {
			if value == "-" {
				return errors.New("want a name")
			}
			return nil
		}))
		set := pflag.NewFlagSet("test", pflag.ContinueOnError)
		f.AddTo(set)
		return set
	}
	var items []string
	set := newFlags(&items)
	if err := set.Parse([]string{"--item", "a,b=c; d", "--item=e"}); err != nil || !reflect.DeepEqual(items, []string{"a,b=c", "d", "e"}) {
		t.Errorf("items %q, error %v", items, err)
	}
	if shown := cli.Effective(set)["item"]; shown != "a,b=c;d;e" {
		t.Errorf("shown %q", shown)
	}
	for argument, want := range map[string]string{"": "not empty", "a;;b": "not empty", "a;-": "want a name"} {
		if err := newFlags(&items).Parse([]string{"--item=" + argument}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", argument, err, want)
		}
	}
	var f cli.Flags
	set2 := []string{"a", ""}
	f.List(&set2, "item", "items")
	if err := f.Complete(); err == nil {
		t.Error("an empty item was taken")
	}
}
