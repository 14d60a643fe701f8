package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/printable"
)

// The exit codes of every program of the platform.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// UsageError marks an error that the caller of a program can correct: unusable
// flags or configuration. Programs end with ExitUsage on it.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }

func (e *UsageError) Unwrap() error { return e.Err }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error {
	return &UsageError{Err: fmt.Errorf(format, args...)}
}

// ReportedError ends a program with a code and without a message: the user has
// been told already.
type ReportedError struct {
	Code int
	Err  error
}

func (e *ReportedError) Error() string { return e.Err.Error() }

func (e *ReportedError) Unwrap() error { return e.Err }

// Main runs a program's command until it ends or a SIGINT or SIGTERM asks it
// to, and returns the exit code. A second signal ends the program at once.
func Main(root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Execute(ctx, root, os.Args[1:], os.Stderr)
}

// Execute runs a command with args and writes its error, if any, to stderr as
// one line. It returns the exit code. The command also takes --version.
func Execute(ctx context.Context, root *cobra.Command, args []string, stderr io.Writer) int {
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.Version = buildinfo.Get().String()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetArgs(args)
	root.SetFlagErrorFunc(flagError)
	strict(root, args)
	readableHelp(root)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	if reported, ok := errors.AsType[*ReportedError](err); ok {
		return reported.Code
	}
	// The message may quote what was read from others.
	_, _ = fmt.Fprintf(stderr, "%s: %s\n", root.Name(), printable.Text(err.Error()))
	if _, ok := errors.AsType[*UsageError](err); ok {
		return ExitUsage
	}
	return ExitFailed
}

// strict makes cobra's own commands, help and completion, reject unknown words.
func strict(root *cobra.Command, args []string) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	for _, c := range root.Commands() {
		switch c.Name() {
		case "completion":
			Group(c)
		case "help":
			c.Args = knownCommand
		}
	}
}

// knownCommand rejects words that do not name a command of the program.
func knownCommand(help *cobra.Command, words []string) error {
	parent := help.Root()
	for _, word := range words {
		at := slices.IndexFunc(parent.Commands(), func(c *cobra.Command) bool { return c.Name() == word || c.HasAlias(word) })
		if at < 0 {
			return unknownCommand(parent, word)
		}
		parent = parent.Commands()[at]
	}
	return nil
}

func unknownCommand(parent *cobra.Command, word string) error {
	candidates := make([]string, 0, len(parent.Commands()))
	for _, child := range parent.Commands() {
		candidates = append(candidates, child.Name())
	}
	return Usagef("unknown command %q for %q%s (see %s --help)", word, parent.CommandPath(), didYouMean(word, candidates), parent.CommandPath())
}

// flagError says what is wrong with a flag, what may be meant, and where to look.
func flagError(c *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var candidates []string
		c.Flags().VisitAll(func(f *pflag.Flag) { candidates = append(candidates, "--"+f.Name) })
		return Usagef("%w%s (see %s --help)", err, didYouMean("--"+unknown.GetSpecifiedName(), candidates), c.CommandPath())
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok && shown(invalid.GetFlag(), invalid.GetValue()) != invalid.GetValue() {
		return Usagef("invalid value for --%s (see %s --help)", invalid.GetFlag().Name, c.CommandPath())
	}
	return Usagef("%w (see %s --help)", err, c.CommandPath())
}

// Group makes a command that only holds others. Without one, or with an unknown
// one, it fails with a UsageError.
func Group(c *cobra.Command) *cobra.Command {
	c.Use += " COMMAND"
	c.DisableFlagsInUseLine = true
	// The template has a line for commands besides that of Use.
	c.SetUsageTemplate(strings.Replace(c.UsageTemplate(), "{{if .HasAvailableSubCommands}}\n  {{.CommandPath}} [command]{{end}}", "", 1))
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknownCommand(c, args[0])
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		c.PrintErrln(c.UsageString())
		return Usagef("a command is missing (see %s --help)", c.CommandPath())
	}
	return c
}

// NoArgs refuses positional arguments as a usage error.
func NoArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return Usagef("%s takes no arguments, got %q", c.CommandPath(), args)
}
