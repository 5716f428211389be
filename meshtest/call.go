package meshtest

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/mdpmesh/mesh"
)

// Call is one run of a handler, stubbed or real, as it is so far.
type Call[Req, Res any] struct {
	// Request says who called, with which key and strings, and so on.
	mesh.Request
	// Worker is the name of the worker whose handler it is.
	Worker string
	// At is when the handler was called, since the mesh was made.
	At time.Duration
	// Params are the parameters, as they were sent; the zero value where they
	// don't fit the type.
	Params Req
	// Replies are the result, if there is one, or the values that were sent so
	// far of a stream.
	Replies []Res
	// Err is the error that the handler returned.
	Err error
	// Ended reports that the handler has returned.
	Ended bool
}

// Calls returns all calls of a method that reached a handler in this mesh, in their
// order. A call that was tried again, by its client or a broker, is in it as often as
// a handler was run. Calls with parameters that don't fit the contract are in it;
// calls of methods that their worker doesn't know and opaque requests aren't.
func Calls[Req, Res any](m *Mesh, method *mesh.Method[Req, Res]) []Call[Req, Res] {
	return typed[Req, Res](m, method.Name())
}

// StreamCalls is [Calls] for a method that replies with many values.
func StreamCalls[Req, Res any](m *Mesh, method *mesh.StreamMethod[Req, Res]) []Call[Req, Res] {
	return typed[Req, Res](m, method.Name())
}

// Calls is the function of that name for tests that have no [mesh.Method] of the
// method with that full name.
func (m *Mesh) Calls(method string) []Call[json.RawMessage, json.RawMessage] {
	var found []Call[json.RawMessage, json.RawMessage]
	for _, c := range m.calls.copies() {
		if c.Service+"."+c.Method == method {
			found = append(found, c)
		}
	}
	return found
}

func typed[Req, Res any](m *Mesh, method string) []Call[Req, Res] {
	codec := m.cfg.Worker.Codec
	if codec == nil {
		codec = mesh.JSON()
	}
	var found []Call[Req, Res]
	for _, c := range m.Calls(method) {
		t := Call[Req, Res]{Request: c.Request, Worker: c.Worker, At: c.At, Err: c.Err, Ended: c.Ended}
		if err := codec.Unmarshal(c.Params, &t.Params); err != nil {
			var none Req
			t.Params = none
		}
		for _, raw := range c.Replies {
			var res Res
			if err := codec.Unmarshal(raw, &res); err != nil {
				m.t.Errorf("meshtest: a reply of %s doesn't fit its type: %v", method, err)
			}
			t.Replies = append(t.Replies, res)
		}
		found = append(found, t)
	}
	return found
}

// callLog keeps all calls of all workers' handlers.
type callLog struct {
	start time.Time

	mu  sync.Mutex // guards what follows
	all []*Call[json.RawMessage, json.RawMessage]
}

// copies returns the calls as they are now.
func (l *callLog) copies() []Call[json.RawMessage, json.RawMessage] {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Call[json.RawMessage, json.RawMessage], len(l.all))
	for i, c := range l.all {
		all[i] = *c
		all[i].Replies = slices.Clip(c.Replies) // more are only appended
	}
	return all
}

// record returns an interceptor that keeps the calls of one worker.
func (l *callLog) record(worker string) mesh.Interceptor {
	return func(next mesh.Invoker) mesh.Invoker {
		return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
			c := l.begin(ctx, worker, in)
			if send := in.Part; send != nil {
				in.Part = func(value json.RawMessage) error {
					err := send(value)
					if err == nil {
						l.replied(c, value)
					}
					return err
				}
			}
			stream := in.Part != nil
			returned := false
			defer func() {
				if !returned { // it panics, and mesh makes an error of it
					l.ended(c, mesh.ErrInternal)
				}
			}()
			result, err := next(ctx, in)
			returned = true
			if err == nil && !stream {
				l.replied(c, result)
			}
			l.ended(c, err)
			return result, err
		}
	}
}

func (l *callLog) begin(ctx context.Context, worker string, in *mesh.Invocation) *Call[json.RawMessage, json.RawMessage] {
	c := &Call[json.RawMessage, json.RawMessage]{Worker: worker, At: time.Since(l.start), Params: in.Params}
	if r, ok := mesh.RequestFrom(ctx); ok {
		c.Request = *r
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, c)
	return c
}

func (l *callLog) replied(c *Call[json.RawMessage, json.RawMessage], value json.RawMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Replies = append(c.Replies, value)
}

func (l *callLog) ended(c *Call[json.RawMessage, json.RawMessage], err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Err, c.Ended = err, true
}
