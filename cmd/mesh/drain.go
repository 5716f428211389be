package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
)

// newDrain returns "mesh drain".
func newDrain(c console) *cobra.Command {
	var wait bool
	drain := operation{
		use: "drain WORKER", short: "Hand nothing more to a worker, so that it can be stopped", done: "drained",
		long: "Hand nothing more to a worker, which is named by its instance. What it has goes on; mesh peers shows when that is done, and\n" +
			"the worker can be stopped with nothing lost. It holds until the worker's connection ends.\n\n" +
			"With --wait the command returns once the worker has nothing left at any broker, or is gone, and exits with 1 where that takes\n" +
			"longer than --timeout; the worker stays drained then. One that connects again meanwhile is drained again. It takes the right to\n" +
			"see as well.",
		example:  "  mesh drain kitchen-1 --wait --timeout 5m",
		do:       (*mesh.Client).DrainWorker,
		complete: (*asking).completeWorkers,
	}
	drain.ask = func(ctx context.Context, a *asking, worker string) ([]answer[struct{}], error) {
		if !wait {
			return drain.everywhere(ctx, a, worker)
		}
		return a.drainAndWait(ctx, worker)
	}
	cmd := drain.command(c)
	cmd.Flags().BoolVar(&wait, "wait", false, "return when the worker has nothing left, and fail where that takes longer than --timeout")
	return cmd
}

// drainAndWait drains a worker at every broker, and waits until it has nothing left.
func (a *asking) drainAndWait(ctx context.Context, worker string) ([]answer[struct{}], error) {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	cfg, err := a.config(ctx, true)
	if err != nil {
		return nil, err
	}
	v := &vigil{worker: worker, busy: len(cfg.Brokers), over: make(chan struct{})}
	return askEach(ctx, cfg, func(ctx context.Context, c *mesh.Client) (struct{}, error) {
		return struct{}{}, v.keep(ctx, c)
	}), nil
}

// vigilEvery is the time between two looks at a broker.
const vigilEvery = 200 * time.Millisecond

// vigil is the wait until a worker has nothing left at any of its brokers, at all of
// them at the same time: while one still waits, the worker may come back to another.
type vigil struct {
	worker string
	over   chan struct{} // closed when busy came to 0

	mu   sync.Mutex // guards what follows
	busy int        // brokers at which the worker may have something, or get it
}

// keep drains the worker at one broker, and looks after it until the vigil is over. It
// fails with [mesh.ErrNotFound] where the worker never was there.
func (v *vigil) keep(ctx context.Context, c *mesh.Client) error {
	p := &post{vigil: v, busy: true}
	defer p.set(false) // a broker that can't be asked keeps nobody waiting
	for {
		if err := p.look(ctx, c); err != nil {
			return p.gaveUp(err)
		}
		select {
		case <-v.over:
			return p.missing
		case <-ctx.Done():
			return p.gaveUp(context.Cause(ctx))
		case <-time.After(vigilEvery):
		}
	}
}

// post is what a vigil knows of one broker.
type post struct {
	*vigil
	busy      bool  // counts in vigil.busy
	missing   error // the worker never was there
	looked    bool  // what follows was seen
	running   int   // requests that the worker has
	undrained int   // connections by which it gets more
}

// look sees how the worker stands at the broker, and drains it where it isn't.
func (p *post) look(ctx context.Context, c *mesh.Client) error {
	if !p.looked || p.undrained > 0 {
		err := c.DrainWorker(ctx, p.worker)
		if err != nil && !errors.Is(err, mesh.ErrNotFound) {
			return err
		}
		if !p.looked || err == nil {
			p.missing = err
		}
	}
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	p.looked, p.running, p.undrained = true, 0, 0
	for i := range s.Workers {
		if w := &s.Workers[i]; w.Instance == p.worker {
			p.running += w.Running
			if !w.Draining {
				p.undrained++
			}
		}
	}
	p.set(p.running+p.undrained > 0)
	return nil
}

// set counts the broker as busy, or not, and ends the vigil where none is any more.
func (p *post) set(busy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case busy == p.busy:
		return
	case busy:
		p.vigil.busy++
	default:
		p.vigil.busy--
	}
	p.busy = busy
	select {
	case <-p.over:
	default:
		if p.vigil.busy == 0 {
			close(p.over)
		}
	}
}

// gaveUp says why the vigil ended early. Where its time was over that is what was seen
// last.
func (p *post) gaveUp(err error) error {
	switch {
	case !p.looked || !errors.Is(err, context.DeadlineExceeded):
		return err
	case p.running > 0:
		return fmt.Errorf("time is over, and %s still has %d %s", p.worker, p.running, plural(p.running, "request"))
	case p.undrained > 0:
		return fmt.Errorf("time is over, and %s has connected again, undrained", p.worker)
	}
	return p.missing
}
