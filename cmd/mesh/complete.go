package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
)

// completionTimeout is how long a shell waits for a broker that doesn't answer.
const completionTimeout = 2 * time.Second

// known returns what the broker has for completion, nothing where it can't be asked.
func (a *asking) known(cmd *cobra.Command) []mesh.ServiceInfo {
	var all []mesh.ServiceInfo
	a.timeout = completionTimeout
	err := a.ask(cmd.Context(), func(ctx context.Context, c *mesh.Client) (err error) {
		all, err = c.Services(ctx)
		return err
	})
	if err != nil {
		cobra.CompDebugln(explain(err), false) // for whoever sets BASH_COMP_DEBUG_FILE
	}
	return all
}

// completeServices completes the name of a service.
func (a *asking) completeServices(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, s := range a.known(cmd) {
		names = append(names, cobra.CompletionWithDesc(s.Name, printable(s.Doc)))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeMethods completes the full name of a method.
func (a *asking) completeMethods(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, s := range a.known(cmd) {
		for _, m := range s.Methods {
			names = append(names, cobra.CompletionWithDesc(s.Name+"."+m.Name, printable(m.Doc)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
