package main

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
)

// completionTimeout is how long a shell waits for a broker that doesn't answer.
const completionTimeout = 2 * time.Second

// known returns what the broker has for completion, nothing where it can't be asked.
func (a *asking) known(cmd *cobra.Command) []mesh.ServiceInfo {
	var all []mesh.ServiceInfo
	a.complete(cmd, func(ctx context.Context, c *mesh.Client) (err error) {
		all, err = c.Services(ctx)
		return err
	})
	return all
}

// complete has do ask a broker for completion.
func (a *asking) complete(cmd *cobra.Command, do func(context.Context, *mesh.Client) error) {
	a.timeout = completionTimeout
	if err := a.ask(cmd.Context(), do); err != nil {
		cobra.CompDebugln(explain(err), false) // for whoever sets BASH_COMP_DEBUG_FILE
	}
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

// completeState completes the one argument by a broker's state.
func (a *asking) completeState(cmd *cobra.Command, args []string, pick func(*mesh.Snapshot) []cobra.Completion) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []cobra.Completion
	a.complete(cmd, func(ctx context.Context, c *mesh.Client) error {
		s, err := c.Status(ctx)
		if err == nil {
			found = pick(s)
		}
		return err
	})
	return found, cobra.ShellCompDirectiveNoFileComp
}

// completeWorkers completes the instance of a worker.
func (a *asking) completeWorkers(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeState(cmd, args, func(s *mesh.Snapshot) (found []cobra.Completion) {
		for _, w := range s.Workers {
			if w.Instance != "" {
				found = append(found, cobra.CompletionWithDesc(w.Instance, printable(strings.Join(w.Services, " "))))
			}
		}
		return found
	})
}

// completeRequests completes the number of a request that can be cancelled.
func (a *asking) completeRequests(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeState(cmd, args, func(s *mesh.Snapshot) (found []cobra.Completion) {
		for _, r := range s.Requests {
			if r.State != "abandoned" {
				found = append(found, completeRequest(r.Request, r.State, cmp.Or(r.Method, r.Service)))
			}
		}
		return found
	})
}

// completeQuarantine completes the number of a request in quarantine.
func (a *asking) completeQuarantine(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeState(cmd, args, func(s *mesh.Snapshot) (found []cobra.Completion) {
		for _, r := range s.Quarantine {
			found = append(found, completeRequest(r.Request, "quarantined", cmp.Or(r.Method, r.Service)))
		}
		return found
	})
}

func completeRequest(request uint64, state, method string) cobra.Completion {
	return cobra.CompletionWithDesc(strconv.FormatUint(request, 10), printable(state+" "+method))
}
