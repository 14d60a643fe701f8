package cli_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/spf13/cobra"

	"kubernaut.ai/internal/cli"
)

func TestNamesAreCompletedOnceAndInOrder(t *testing.T) {
	t.Parallel()
	complete := cli.CompleteName(func(ctx context.Context) ([]string, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("a shell waits without end")
		}
		return []string{"rr-b", "hold", "rr-a", "rr-b"}, nil
	})
	if names, directive := complete(&cobra.Command{}, nil, "rr-"); !slices.Equal(names, []string{"rr-a", "rr-b"}) || directive != cobra.ShellCompDirectiveNoFileComp {
		t.Errorf("got %v, %v", names, directive)
	}
	if names, directive := complete(&cobra.Command{}, []string{"rr-a"}, ""); names != nil || directive != cobra.ShellCompDirectiveNoFileComp {
		t.Errorf("behind the argument: got %v, %v", names, directive)
	}
	failing := cli.CompleteName(func(context.Context) ([]string, error) { return []string{"rr-a"}, errors.New("away") })
	if names, directive := failing(&cobra.Command{}, nil, ""); names != nil || directive != cobra.ShellCompDirectiveError {
		t.Errorf("without an answer: got %v, %v", names, directive)
	}
}
