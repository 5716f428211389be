package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
)

// compare measures every system in every round, in an order that changes.
func compare(ctx context.Context, o options, dir string, progress io.Writer) ([]row, map[string]string, error) {
	running, absent, err := deployAll(ctx, o, dir, progress)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		for _, d := range running {
			d.stop()
		}
	}()
	var rows []row
	for _, size := range o.sizes {
		for _, inFlight := range o.inFlight {
			first := len(rows)
			for _, d := range running {
				rows = append(rows, row{System: d.system.name, Against: d.system.against, Size: size, InFlight: inFlight})
			}
			l := load{size: size, inFlight: inFlight, warmUp: o.warmUp, duration: o.duration}
			for round := range o.rounds {
				_, _ = fmt.Fprintf(progress, "%d bytes, %d in flight, round %d of %d\n", size, inFlight, round+1, o.rounds)
				for _, i := range rand.Perm(len(running)) { //nolint:gosec // no secret
					if ctx.Err() != nil {
						return nil, nil, ctx.Err()
					}
					s, err := running[i].measure(l)
					rows[first+i].add(s, err)
				}
			}
			compareRows(rows[first:])
		}
	}
	return rows, absent, nil
}

// deployAll starts the systems that can run here, and says why others can't.
func deployAll(ctx context.Context, o options, dir string, progress io.Writer) ([]*deployment, map[string]string, error) {
	var running []*deployment
	absent := map[string]string{}
	for _, s := range o.systems {
		_, _ = fmt.Fprintln(progress, "starting", s.name)
		d, err := deploy(ctx, s, o, dir)
		if err != nil {
			absent[s.name] = err.Error()
			continue
		}
		running = append(running, d)
	}
	if len(running) == 0 {
		return nil, nil, fmt.Errorf("nothing to measure: %v", absent)
	}
	return running, absent, nil
}
