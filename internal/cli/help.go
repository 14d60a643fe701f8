package cli

import (
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

const (
	// helpWidth is that of help without a terminal; widest keeps lines readable on wide ones.
	helpWidth, narrowest, widest = 100, 60, 120
	// leastGroup is how many flags make a group.
	leastGroup = 3
)

// addTemplateFunc tells Cobra, which keeps functions of templates for the process, about ours.
var addTemplateFunc = sync.OnceFunc(func() { cobra.AddTemplateFunc("flagGroups", flagGroups) })

// readableHelp makes the help of a command and of those below it wrap at the terminal's width, with the flags in
// groups.
func readableHelp(root *cobra.Command) {
	addTemplateFunc()
	template := root.UsageTemplate()
	template = strings.Replace(template, "Flags:\n{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}", "{{flagGroups .LocalFlags}}", 1)
	template = strings.Replace(template, "Global Flags:\n{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}", "Global {{flagGroups .InheritedFlags}}", 1)
	visit(root, func(c *cobra.Command) {
		if c.HasAvailableSubCommands() && c != root {
			return // a group has a template of its own
		}
		c.SetUsageTemplate(template)
	})
}

// width is that of the terminal that help is written to.
func width() int {
	columns, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil || columns <= 0 {
		return helpWidth
	}
	return min(max(columns, narrowest), widest)
}

// flagGroups is the help of a set of flags: those that share the first word of their names in a group.
func flagGroups(set *pflag.FlagSet) string {
	counts := map[string]int{}
	set.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			counts[firstWord(f.Name)]++
		}
	})
	groups := map[string]*pflag.FlagSet{"": pflag.NewFlagSet("", pflag.ContinueOnError)}
	var names []string
	set.VisitAll(func(f *pflag.Flag) {
		name := firstWord(f.Name)
		if counts[name] < leastGroup {
			name = ""
		}
		if groups[name] == nil {
			groups[name] = pflag.NewFlagSet("", pflag.ContinueOnError)
			names = append(names, name)
		}
		groups[name].AddFlag(f)
	})
	slices.Sort(names)
	var out strings.Builder
	if groups[""].HasAvailableFlags() {
		out.WriteString("Flags:\n" + groups[""].FlagUsagesWrapped(width()))
	}
	for _, name := range names {
		out.WriteString("\nFlags (" + name + "):\n" + groups[name].FlagUsagesWrapped(width()))
	}
	return strings.TrimSpace(out.String())
}

func firstWord(name string) string {
	word, _, _ := strings.Cut(name, "-")
	return word
}
