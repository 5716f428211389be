package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
)

// newRoot returns the command with its subcommands.
func newRoot(c console) *cobra.Command {
	root := &cobra.Command{
		Use:           "mesh",
		Short:         "Run a broker, call methods, look at services",
		Version:       mesh.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q%s", args[0], suggestion(cmd, args[0]))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newBroker(c), newCall(c), newServices(c), newDescribe(c), newKeygen())
	return root
}

// suggestion names the command that may have been meant.
func suggestion(cmd *cobra.Command, typed string) string {
	found := cmd.SuggestionsFor(typed)
	if len(found) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(found, " or ") + "?"
}

// exactly wants a number of arguments, which usage names.
func exactly(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageError{fmt.Errorf("usage: %s", cmd.UseLine())}
		}
		return nil
	}
}
