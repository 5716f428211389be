package mesh

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// opaqueLinks are the connections that opaque requests go over, one request at a
// time: nothing in them says which reply belongs to which request.
type opaqueLinks struct {
	turns chan struct{} // as many tokens as there are requests

	mu     sync.Mutex // guards what follows
	idle   []*clientLink
	all    []*clientLink
	closed bool
}

// Request sends frames to a service as plain Majordomo has it, and returns the
// frames of its reply, those of partial replies first. What is in them is up to
// both sides: there are no errors but those of this side (*[Error]), and no
// retries; a request that its broker can't serve times out. Without a deadline in
// ctx the client's default holds. A body is at least one frame; nobody writes to it any
// more.
func (c *Client) Request(ctx context.Context, service string, body [][]byte) ([][]byte, error) {
	if err := mdp.CheckService([]byte(service)); err != nil {
		return nil, &Error{Code: CodeNoService, Local: true, Message: err.Error(), cause: err}
	}
	if len(body) == 0 {
		return nil, &Error{Code: CodeInvalidRequest, Local: true, Message: "a request's body has at least one frame"}
	}
	deadline := c.deadline(ctx, time.Now(), 0, false)
	if err := c.opaque.turn(ctx, deadline); err != nil {
		return nil, err
	}
	defer func() { <-c.opaque.turns }()
	l, err := c.opaque.take(c)
	if err != nil {
		return nil, err
	}
	defer c.opaque.put(l)
	k := c.calls.Get().(*call)
	defer c.recycle(k)
	k.opaque, k.request.Window = true, 1 // partial replies are wanted
	now := l.work.clock.now()
	k.request.Service, k.request.Body, k.request.Deadline = []byte(service), body, deadline
	l.start(now, k)
	l.wait(ctx, k)
	if _, err := c.outcome(ctx, k); err != nil {
		return nil, err
	}
	return k.body, nil
}

// turn waits until another request may go on.
func (o *opaqueLinks) turn(ctx context.Context, deadline time.Time) error {
	bounded := ctx
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		bounded, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	select {
	case o.turns <- struct{}{}:
		return nil
	case <-bounded.Done():
	}
	if err := ctx.Err(); err != nil {
		return contextError(err, context.Cause(ctx))
	}
	return &Error{
		Code: CodeTimeout, Local: true,
		Message: "the request's time was over before its turn came: as many others go on as may (ClientConfig.MaxOpaque)",
	}
}

// take returns a link that no request uses.
func (o *opaqueLinks) take(c *Client) (*clientLink, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, &Error{Code: CodeCancelled, Local: true, Message: "the client is closed", cause: ErrClosed}
	}
	if n := len(o.idle); n > 0 {
		l := o.idle[n-1]
		o.idle = o.idle[:n-1]
		return l, nil
	}
	l, err := c.newLink(true)
	if err != nil {
		return nil, err
	}
	o.all = append(o.all, l)
	return l, nil
}

func (o *opaqueLinks) put(l *clientLink) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.idle = append(o.idle, l)
}

// links returns all that were made.
func (o *opaqueLinks) links() []*clientLink {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.all)
}

func (o *opaqueLinks) close() {
	o.mu.Lock()
	o.closed = true
	all := o.all
	o.all, o.idle = nil, nil
	o.mu.Unlock()
	for _, l := range all {
		l.close()
	}
}
