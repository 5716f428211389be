package mesh

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/mdpmesh/mesh/transport"
)

// Combine returns the discovery of all brokers that several find: those of the first,
// then those of the second, and so on, each endpoint once. A broker that two of them
// know under different addresses counts as two. One that fails doesn't end the others:
// what it said before it did still counts. Watch fails when all have failed.
func Combine(all ...Discovery) Discovery { return combined(slices.Clone(all)) }

type combined []Discovery

func (c combined) Watch(ctx context.Context, found func([]transport.Endpoint)) error {
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
	var g sync.WaitGroup
	for i, member := range c {
		g.Go(func() {
			errs[i] = member.Watch(ctx, func(brokers []transport.Endpoint) {
				mu.Lock()
				defer mu.Unlock()
				said[i] = slices.Clone(brokers)
				tell()
			})
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
