// Package eventflags has the flags that several commands about events of the trail share:
// filters, and the reason that becomes a part of the trail.
package eventflags

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/cli"
)

const maxReason = 1024

// ErrReason is a reason that is missing.
var ErrReason = cli.Usagef("--reason is required: it is a part of the trail")

// Reason declares the flag --reason.
func Reason(reason *string) func(*cli.Flags) {
	return func(f *cli.Flags) {
		f.String(reason, "reason", "", "why; a part of the trail", cli.Check(func(text string) error {
			if len([]rune(text)) > maxReason {
				return fmt.Errorf("want at most %d characters", maxReason)
			}
			return nil
		}))
	}
}

// Filters declares the flag --filter.
func Filters(filters *[]string) func(*cli.Flags) {
	return func(f *cli.Flags) {
		f.List(filters, "filter", "NAME=VALUE of a filter of events; events match all", cli.Check(checkFilter))
	}
}

// CompleteFilters completes the names of --filter.
func CompleteFilters(c *cobra.Command) {
	_ = c.RegisterFlagCompletionFunc("filter", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return filterNames("="), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}) // fails only without the flag
}

// Filter is what the flag --filter gave. The server knows the filters' values.
func Filter(filters []string) (datastorage.EventFilter, error) {
	made := datastorage.EventFilter{}
	for _, f := range filters {
		name, value, _ := strings.Cut(f, "=")
		if _, twice := made[name]; twice {
			return nil, cli.Usagef("--filter %s is given twice: events match all filters", name)
		}
		made[name] = value
	}
	return made, nil
}

// CheckID checks the text of an id.
func CheckID(text string) error {
	if id, err := uuid.Parse(text); err != nil || id == uuid.Nil {
		return errors.New("want an id, a UUID")
	}
	return nil
}

func checkFilter(text string) error {
	name, _, found := strings.Cut(text, "=")
	if !found || !slices.Contains(filterNames(""), name) {
		return fmt.Errorf("want NAME=VALUE with one of the names %s", strings.Join(filterNames(""), ", "))
	}
	return nil
}

// filterNames are the filters of listEvents, each with a suffix.
func filterNames(suffix string) []string {
	var names []string
	for field := range reflect.TypeFor[datastorage.ListEventsParams]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("form"), ",")
		if name != "" && !slices.Contains([]string{"order", "limit", "cursor", "offset", "at_least"}, name) {
			names = append(names, name+suffix)
		}
	}
	return names
}
