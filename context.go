package mesh

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// Request says what a handler is working on. It is in the handler's context; see
// [RequestFrom].
type Request struct {
	// Service and Method name what was called: "tea", "brew". Method is empty
	// for opaque requests.
	Service, Method string
	// Caller is the authenticated name of who called, which the broker vouches
	// for. Empty where the caller isn't authenticated.
	Caller string
	// Claimed is what the caller says that its name is. Nobody checked it.
	Claimed string
	// Attempt is which hand-over of the request this is, from 1; 0 where the
	// broker doesn't say. Above 1 an earlier worker may have done part of the
	// work.
	Attempt int
	// Key is the key that the caller gave the call, empty where there is none.
	Key string
	// TraceParent and TraceState are those of W3C Trace Context, as received.
	TraceParent, TraceState string
	// Strings are the free strings that came with the call. It must not be
	// written to.
	Strings map[string]string
}

type contextKey int

const (
	requestKey contextKey = iota
	outgoingKey
)

// RequestFrom returns what the handler whose context ctx is, or comes from, is
// working on.
func RequestFrom(ctx context.Context) (*Request, bool) {
	r, ok := ctx.Value(requestKey).(*Request)
	return r, ok
}

// outgoing is what calls made with a context carry. It isn't written to.
type outgoing struct {
	traceParent, traceState string
	strings                 map[string]string
}

// WithStrings returns a context whose calls carry the given free strings, beside
// those that ctx has already; a handler finds them in its [Request]. Names that
// mesh itself uses in a request's meta ("key", "caller" and so on) are ignored.
// Calls made with a handler's context carry on what the handler was sent.
func WithStrings(ctx context.Context, strings map[string]string) context.Context {
	out := *outgoingFrom(ctx)
	merged := maps.Clone(out.strings)
	if merged == nil {
		merged = make(map[string]string, len(strings))
	}
	maps.Copy(merged, strings)
	out.strings = merged
	return context.WithValue(ctx, outgoingKey, &out)
}

// WithTrace returns a context whose calls carry a trace (W3C Trace Context, the
// traceparent and tracestate headers). Calls made with a handler's context carry
// on the trace that the handler was sent.
func WithTrace(ctx context.Context, traceParent, traceState string) context.Context {
	out := *outgoingFrom(ctx)
	out.traceParent, out.traceState = traceParent, traceState
	return context.WithValue(ctx, outgoingKey, &out)
}

// outgoingFrom returns what calls made with ctx carry.
func outgoingFrom(ctx context.Context) *outgoing {
	if out, ok := ctx.Value(outgoingKey).(*outgoing); ok {
		return out
	}
	if r, ok := RequestFrom(ctx); ok {
		return &outgoing{traceParent: r.TraceParent, traceState: r.TraceState, strings: r.Strings}
	}
	return &nothingOutgoing
}

var nothingOutgoing outgoing // of a context that says nothing; never written to

// stringsOf returns the free strings that an invocation is sent with: its own, and
// those that interceptors have put into its context since it began.
func (o *outgoing) stringsOf(in *Invocation) map[string]string {
	began := in.spec.outgoing
	if o == began || len(o.strings) == 0 {
		return in.Strings
	}
	var merged map[string]string
	for name, value := range o.strings {
		if old, ok := began.strings[name]; ok && old == value {
			continue
		}
		if _, own := in.Strings[name]; own {
			continue
		}
		if merged == nil {
			merged = make(map[string]string, len(in.Strings)+len(o.strings))
			maps.Copy(merged, in.Strings)
		}
		merged[name] = value
	}
	if merged == nil {
		return in.Strings
	}
	return merged
}

// handlerContext is the context of one handler. What costs time is made when it
// is asked for: most handlers look neither at Done nor at who called. It isn't
// reused, and refers to nothing that is, since handlers may keep it.
type handlerContext struct {
	base     context.Context
	deadline time.Time
	service  string
	method   string
	caller   []byte
	attempt  int
	body     []byte // for its meta, which is read when somebody asks

	mu      sync.Mutex // guards what follows
	request *Request
	inner   context.Context // nil until somebody asked for Done
	cancel  context.CancelCauseFunc
	stop    context.CancelFunc
	err     error // why it is over, while there is no inner
	cause   error
}

var _ context.Context = (*handlerContext)(nil)

// Deadline returns when the caller's time is over.
func (c *handlerContext) Deadline() (time.Time, bool) {
	deadline, ok := c.base.Deadline()
	if c.deadline.IsZero() || ok && deadline.Before(c.deadline) {
		return deadline, ok
	}
	return c.deadline, true
}

// Done returns the channel that is closed when nobody waits any more.
func (c *handlerContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.standard().Done()
}

// standard returns the context of the standard library that c stands for.
func (c *handlerContext) standard() context.Context {
	switch {
	case c.inner != nil:
	case c.err == nil:
		c.inner, c.cancel = context.WithCancelCause(c.base)
		if !c.deadline.IsZero() {
			c.inner, c.stop = context.WithDeadline(c.inner, c.deadline)
		}
	case errors.Is(c.err, context.DeadlineExceeded):
		c.inner, c.stop = context.WithDeadlineCause(context.WithoutCancel(c.base), time.Unix(0, 0), c.cause)
	default:
		c.inner, c.cancel = context.WithCancelCause(context.WithoutCancel(c.base))
		c.cancel(c.cause)
	}
	return c.inner
}

// Err says whether and why the context is over.
func (c *handlerContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner != nil {
		return c.inner.Err()
	}
	c.look()
	return c.err
}

// look notes whether the context is over, while there is no inner.
func (c *handlerContext) look() {
	switch {
	case c.err != nil:
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		c.err, c.cause = context.DeadlineExceeded, nil
	default:
		c.err, c.cause = c.base.Err(), context.Cause(c.base)
	}
}

// Value returns the [Request] to RequestFrom, and otherwise what the base has.
func (c *handlerContext) Value(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case key == requestKey:
		if c.request == nil {
			c.request = c.describe()
		}
		return c.request
	case c.inner != nil || c.err != nil:
		return c.standard().Value(key) // where context.Cause looks
	}
	return c.base.Value(key)
}

func (c *handlerContext) describe() *Request {
	r := &Request{Service: c.service, Method: c.method, Caller: string(c.caller), Attempt: c.attempt}
	if c.body != nil {
		var env jsonrpc.Envelope
		jsonrpc.Scan(c.body, &env)
		m := &env.Meta
		r.Claimed, r.Key, r.Strings = string(m.Caller), string(m.Key), m.Strings()
		r.TraceParent, r.TraceState = string(m.TraceParent), string(m.TraceState)
	}
	return r
}

// end cancels the context for cause, nil for none. It is called at the latest
// when the handler returned.
func (c *handlerContext) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		if cause != nil {
			c.look() // it may be over already, for another reason
		}
		if c.err == nil {
			c.err, c.cause = context.Canceled, cause
		}
	}
	if c.cancel != nil {
		c.cancel(cause)
	}
	if c.stop != nil {
		c.stop()
	}
}
