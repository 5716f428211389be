package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
)

// newOperations returns the commands that change what a broker does: "mesh pause" and
// so on. Those that name a service or a worker go to every broker, those that name a
// request to the one that has it.
func newOperations(c console) []*cobra.Command {
	return []*cobra.Command{
		operation{
			use: "pause SERVICE", short: "Have a service's requests wait, until mesh resume", done: "paused",
			long: "Stop the hand-over of a service's requests to workers. What comes is queued, what runs goes on. Brokers that don't know the\n" +
				"service are left out, if another does.",
			do:       (*mesh.Client).Pause,
			complete: (*asking).completeServices,
		}.command(c),
		operation{
			use: "resume SERVICE", short: "Have a paused service's requests handed over again", done: "resumed",
			do:       (*mesh.Client).Resume,
			complete: (*asking).completeServices,
		}.command(c),
		newDrain(c),
		operation{
			use: "disconnect WORKER", short: "Send a worker away at once", done: "disconnected",
			long: "Send a worker away, which is named by its instance. What it has is lost with it, and runs again elsewhere only where that is\n" +
				"idempotent. Workers of mesh connect again; take their right to register away first to keep them out.",
			do:       (*mesh.Client).DisconnectWorker,
			complete: (*asking).completeWorkers,
		}.command(c),
		requestOperation{
			use: "cancel REQUEST", short: "Cancel a request that waits or runs",
			long: "Cancel anybody's request, by its number at the broker, which mesh status --requests shows. Its caller is told.",
			do: func(ctx context.Context, c *mesh.Client, request uint64) (string, error) {
				return fmt.Sprintf("cancelled %d", request), c.CancelRequest(ctx, request)
			},
			complete: (*asking).completeRequests,
		}.command(c),
		requestOperation{
			use: "release REQUEST", short: "Run a request from quarantine once more",
			long: "Run a request from quarantine once more, with nobody who waits for its outcome. It is named by its number at the broker, which\n" +
				"mesh status --requests shows.",
			do: func(ctx context.Context, c *mesh.Client, request uint64) (string, error) {
				run, err := c.Release(ctx, request)
				return fmt.Sprintf("released %d, which runs as %d", request, run), err
			},
			complete: (*asking).completeQuarantine,
		}.command(c),
		requestOperation{
			use: "drop REQUEST", short: "Remove a request from quarantine for good",
			do: func(ctx context.Context, c *mesh.Client, request uint64) (string, error) {
				return fmt.Sprintf("dropped %d", request), c.Drop(ctx, request)
			},
			complete: (*asking).completeQuarantine,
		}.command(c),
	}
}

// completion completes an argument by what a broker says.
type completion func(a *asking, cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective)

// operation is a command about a service or a worker, at every broker.
type operation struct {
	use, short, long, example string
	done                      string // what was done, for people
	do                        func(c *mesh.Client, ctx context.Context, name string, options ...mesh.CallOption) error
	complete                  completion
	// ask has it done. If nil, at every broker at the same time.
	ask func(ctx context.Context, a *asking, name string) ([]answer[struct{}], error)
}

// everywhere has it done at every broker.
func (o operation) everywhere(ctx context.Context, a *asking, name string) ([]answer[struct{}], error) {
	return askAll(ctx, a, func(ctx context.Context, c *mesh.Client) (struct{}, error) {
		return struct{}{}, o.do(c, ctx, name)
	})
}

func (o operation) command(c console) *cobra.Command {
	a := &asking{console: c}
	ask := o.ask
	if ask == nil {
		ask = o.everywhere
	}
	cmd := &cobra.Command{
		Use: o.use, Short: o.short, Long: o.long, Example: o.example,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := ask(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			return o.report(c, args[0], all)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return o.complete(a, cmd, args, typed)
		},
	}
	a.flagsOfAll(cmd)
	return cmd
}

// report tells at which brokers it was done. One that doesn't know the service or the
// worker is none that failed, if another does.
func (o operation) report(c console, name string, all []answer[struct{}]) error {
	var concerned []answer[struct{}]
	var done []string
	for _, one := range all {
		if one.err == nil {
			done = append(done, one.broker)
		}
		if !errors.Is(one.err, mesh.ErrNoService) && !errors.Is(one.err, mesh.ErrNotFound) {
			concerned = append(concerned, one)
		}
	}
	text := o.done + " " + name
	if len(all) > 1 {
		text += " at " + strings.Join(done, ", ")
	}
	if len(done) > 0 {
		if _, err := fmt.Fprintln(c.out, printable(text)); err != nil {
			return err
		}
		all = concerned
	}
	return complain(c, all)
}

// requestOperation is a command about a request, at the broker that has it.
type requestOperation struct {
	use, short, long string
	// do returns what was done, for people.
	do       func(ctx context.Context, c *mesh.Client, request uint64) (string, error)
	complete completion
}

func (o requestOperation) command(c console) *cobra.Command {
	a := &asking{console: c}
	cmd := &cobra.Command{
		Use: o.use, Short: o.short, Long: o.long,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || request == 0 {
				return usageError{fmt.Errorf("%q is no number of a request", args[0])}
			}
			return a.askOne(cmd.Context(), func(ctx context.Context, client *mesh.Client) error {
				text, err := o.do(ctx, client, request)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(c.out, text)
				return err
			})
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return o.complete(a, cmd, args, typed)
		},
	}
	a.flagsOfOne(cmd)
	return cmd
}
