package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
)

// newRoot returns the command with its subcommands.
func newRoot(c console) *cobra.Command {
	root := &cobra.Command{
		Use:           "mesh",
		Short:         "Run a broker, call methods, look after a mesh",
		Version:       mesh.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newBroker(c), newCall(c), newServices(c), newDescribe(c), newPeers(c), newStatus(c), newKeygen(c), newDoctor(c))
	root.AddCommand(newOperations(c)...)
	return root
}

// arguments wants a number of arguments.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n < least || n > most {
			return usageError{fmt.Errorf("%d %s where the form is: %s", n, plural(n, "argument"), cmd.UseLine())}
		}
		return nil
	}
}

// plural returns the noun for n things.
func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
