package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
)

// flagsOfAll are the flags of a command that asks every broker that it is told of.
func (a *asking) flagsOfAll(cmd *cobra.Command) {
	a.flags(cmd)
	cmd.Flags().Lookup("broker").Usage = "address of the broker; of several, with commas between them, each is asked (default $MESH_BROKER, or " + defaultBroker + ")"
}

// flagsOfOne are the flags of a command that asks exactly one broker.
func (a *asking) flagsOfOne(cmd *cobra.Command) {
	a.flags(cmd)
	cmd.Flags().Lookup("broker").Usage = "address of the one broker (default $MESH_BROKER, or " + defaultBroker + ")"
}

// answer is what one of several brokers said.
type answer[T any] struct {
	broker string // the address at which it was asked
	value  T
	err    error
}

// askAll has do ask each of the brokers, all at the same time, and returns their
// answers in the order of the addresses.
func askAll[T any](ctx context.Context, a *asking, do func(context.Context, *mesh.Client) (T, error)) ([]answer[T], error) {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	cfg, err := a.config(ctx, true)
	if err != nil {
		return nil, err
	}
	return askEach(ctx, cfg, do), nil
}

// askEach is askAll with a config that was made of the flags.
func askEach[T any](ctx context.Context, cfg mesh.ClientConfig, do func(context.Context, *mesh.Client) (T, error)) []answer[T] {
	all := make([]answer[T], len(cfg.Brokers))
	var group sync.WaitGroup
	for i, broker := range cfg.Brokers {
		group.Go(func() {
			one := cfg
			one.Brokers = []transport.Endpoint{broker}
			all[i].broker = broker.Addr
			all[i].err = askWith(ctx, one, func(ctx context.Context, c *mesh.Client) (err error) {
				all[i].value, err = do(ctx, c)
				return err
			})
		})
	}
	group.Wait()
	return all
}

// askOne is ask for what makes sense at one broker only.
func (a *asking) askOne(ctx context.Context, do func(context.Context, *mesh.Client) error) error {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	cfg, err := a.config(ctx, true)
	if err != nil {
		return err
	}
	if len(cfg.Brokers) != 1 {
		return usageError{errors.New("the numbers of requests are those of one broker: name it with --broker")}
	}
	return askWith(ctx, cfg, do)
}

// complain tells which of the brokers failed, and why. It returns an error where one
// did: that of the broker itself where there is only one.
func complain[T any](c console, all []answer[T]) error {
	failed := 0
	for _, one := range all {
		switch {
		case one.err == nil:
			continue
		case len(all) == 1:
			return one.err
		}
		failed++
		_, _ = fmt.Fprintf(c.err, "%s: %s\n", one.broker, explain(one.err)) // there is nobody else to tell
	}
	if failed > 0 {
		return fmt.Errorf("mesh: %d of %d brokers failed", failed, len(all))
	}
	return nil
}
