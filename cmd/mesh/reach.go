package main

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/mdpmesh/mesh/transport"
)

// reaching is a transport that gives up where no broker can be reached. A client goes
// on trying; whoever typed a command wants to hear at once what is wrong. Once a
// connection was there, the client has its way.
type reaching struct {
	transport.Transport
	brokers []transport.Endpoint
	giveUp  context.CancelCauseFunc

	mu      sync.Mutex // guards what follows
	reached bool
	failed  map[transport.Endpoint]error // the first of each
}

// unreachableError says why no broker can be reached.
type unreachableError struct{ error }

// Dial connects, and gives up after each broker was tried in vain.
func (r *reaching) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	conn, err := r.Transport.Dial(ctx, to)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.reached = true
		return conn, nil
	}
	if r.failed == nil {
		r.failed = make(map[transport.Endpoint]error)
	}
	r.failed[to] = cmp.Or(r.failed[to], err)
	if why := r.tried(); why != nil && !r.reached {
		r.giveUp(unreachableError{errors.Join(why...)})
	}
	return nil, err
}

// tried returns what each broker said, in their order, or nil where one wasn't tried yet.
func (r *reaching) tried() (why []error) {
	for _, broker := range r.brokers {
		err := r.failed[broker]
		if err == nil {
			return nil
		}
		why = append(why, err)
	}
	return why
}

func (e unreachableError) Error() string {
	return "no broker can be reached: " + strings.ReplaceAll(e.error.Error(), "\n", "\n  ")
}
