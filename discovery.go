package mesh

import (
	"context"
	"slices"

	"github.com/mdpmesh/mesh/transport"
)

// Discovery says where brokers are: a fixed list, DNS, or what brokers announce.
// Workers and clients watch it for as long as they live.
type Discovery interface {
	// Watch calls found with all brokers that are known, soon after it began and
	// again whenever that changes, until ctx ends. None at all is said, too, with an
	// empty list. A broker that is known to have begun anew where it was is left out
	// once and there again, so that workers and clients don't go on waiting before they
	// dial it. Calls come one after another, and found keeps nothing of the slice. It returns ctx's error, or before that why it can never say anything.
	Watch(ctx context.Context, found func(brokers []transport.Endpoint)) error
}

// Static returns the discovery of brokers that are where they are.
func Static(brokers ...transport.Endpoint) Discovery {
	return static(slices.Clone(brokers))
}

type static []transport.Endpoint

func (s static) Watch(ctx context.Context, found func([]transport.Endpoint)) error {
	found(slices.Clone(s))
	<-ctx.Done()
	return ctx.Err()
}
