package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mdpmesh/mesh/transport"
)

// Combine returns the discovery of all brokers that several find: those of the first,
// then those of the second, and so on, each endpoint once. A broker that two of them
// know under different addresses counts as two. One that fails doesn't end the others:
// what it said before it did still counts, and Watch fails when all have failed. Clients
// and workers that were given the combination itself tell of each that fails: the log of
// both, [ClientSnapshot.Discovery], and the errors of calls that wait for a broker.
func Combine(all ...Discovery) Discovery { return combined(slices.Clone(all)) }

type combined []Discovery

func (c combined) Watch(ctx context.Context, found func([]transport.Endpoint)) error {
	return c.watch(ctx, found, func(error) {})
}

// watchDiscovery watches d, and tells why a discovery of several ended where others go
// on, which Watch has no way to say. Calls of ended may come at the same time.
func watchDiscovery(ctx context.Context, d Discovery, found func([]transport.Endpoint), ended func(why error)) error {
	if c, ok := d.(combined); ok {
		return c.watch(ctx, found, ended)
	}
	return d.Watch(ctx, found)
}

// textMemberEnded is what the log is told of a discovery of several.
const textMemberEnded = "a discovery has ended, the others go on"

func (c combined) watch(ctx context.Context, found func([]transport.Endpoint), ended func(why error)) error {
	var mu sync.Mutex // guards what follows, and found
	said := make([][]transport.Endpoint, len(c))
	var last []transport.Endpoint
	tell := func() {
		union := join(said)
		if last == nil || !slices.Equal(union, last) {
			last = union
			found(slices.Clone(union))
		}
	}
	if len(c) == 0 {
		return static(nil).Watch(ctx, found)
	}
	errs := make([]error, len(c))
	var left atomic.Int64
	left.Store(int64(len(c)))
	var g sync.WaitGroup
	for i, member := range c {
		g.Go(func() {
			err := watchDiscovery(ctx, member, func(brokers []transport.Endpoint) {
				mu.Lock()
				defer mu.Unlock()
				said[i] = slices.Clone(brokers)
				tell()
			}, ended)
			errs[i] = fmt.Errorf("mesh: discovery %d of %d ended: %w", i+1, len(c), cmp.Or(err, errWatchEnded))
			if left.Add(-1) > 0 && ctx.Err() == nil {
				ended(errs[i])
			}
		})
	}
	g.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// join returns every endpoint once, in order; never nil.
func join(said [][]transport.Endpoint) []transport.Endpoint {
	union := []transport.Endpoint{}
	for _, brokers := range said {
		for _, b := range brokers {
			if !slices.Contains(union, b) {
				union = append(union, b)
			}
		}
	}
	return union
}
