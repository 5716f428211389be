package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// Invocation is one call on its way to its handler, as interceptors see it, at
// the client and at the worker alike. It is theirs until they return; it must not
// be kept. What is done with it later is refused at a worker: a value given to Part, and
// a call of next.
type Invocation struct {
	// Service and Method name what is called: "tea", "brew".
	Service, Method string
	// Params are the parameters, raw JSON. An interceptor must not write to
	// them; it may put others in their place, and doesn't write to those any more.
	Params json.RawMessage
	// Strings are the free strings that travel with the call. At the worker they
	// are what the caller sent; at the client, what will be sent. Nil where
	// there are none. An interceptor must not write to the map, which is
	// shared; it may put another in its place.
	Strings map[string]string
	// Client reports that this is the caller's side.
	Client bool
	// Notify reports that nobody waits for the outcome.
	Notify bool
	// Part takes each value of a streaming reply, in order; nil where the method
	// doesn't stream. An interceptor that wants to see or change the values puts
	// its own function in place. An error ends the stream.
	Part func(json.RawMessage) error

	spec   callSpec     // at the client
	credit *credit      // at the worker, of a method that streams
	over   *atomic.Bool // at the worker, where there are interceptors: the request has its reply
}

// Invoker carries out an invocation and returns the result, raw JSON, to which nobody
// writes any more. For a method that streams it returns after the last value.
type Invoker func(ctx context.Context, in *Invocation) (json.RawMessage, error)

// Interceptor wraps an invoker with another. Interceptors run in the order in
// which a config lists them: the first one sees an invocation first and its
// outcome last. At a worker two of mesh's own are always there: recovery from
// panics stands before all others, the check of the parameters after them, so
// that what an interceptor changed is checked too. A panic of the handler is an error
// to interceptors, in whatever goroutine they call next. They may call it several times,
// also at the same time; of a method that streams the values of all go to the reader.
//
// At a client an interceptor sees a call once, whatever the number of attempts.
// Opaque requests ([Client.Request], [Service.HandleOpaque]) go through none.
type Interceptor func(next Invoker) Invoker

var (
	errTooLate = errors.New("mesh: an interceptor called next when the request had its reply")
	errNoPart  = errors.New("mesh: an interceptor took Part away from a method that streams")
)

// apart has a handler not share its invocation with interceptors, which may be called
// again or return while it runs, and keeps it from being run when that is too late.
func apart(invoke Invoker) Invoker {
	return func(ctx context.Context, in *Invocation) (json.RawMessage, error) {
		if in.over != nil && in.over.Load() {
			return nil, errTooLate
		}
		own := *in
		return invoke(ctx, &own)
	}
}

// chain returns invoke wrapped so that the first interceptor is outermost.
func chain(interceptors []Interceptor, invoke Invoker) Invoker {
	for _, wrap := range slices.Backward(interceptors) {
		invoke = wrap(invoke)
	}
	return invoke
}

// Logging returns an interceptor that logs every invocation with its duration
// and outcome: level Debug, and Warn where it failed. Parameters and results are
// never logged.
func Logging(logger *slog.Logger) Interceptor {
	return func(next Invoker) Invoker {
		return func(ctx context.Context, in *Invocation) (json.RawMessage, error) {
			start := time.Now()
			result, err := next(ctx, in)
			attrs := []slog.Attr{
				slog.String("service", in.Service), slog.String("method", in.Method),
				slog.Duration("took", time.Since(start)), slog.Bool("client", in.Client),
			}
			level := slog.LevelDebug
			if err != nil {
				if !errors.Is(err, errStopReading) { // a loop that was left is no failure
					level = slog.LevelWarn
				}
				attrs = append(attrs, slog.String("error", err.Error()))
			}
			logger.LogAttrs(ctx, level, "invocation", attrs...)
			return result, err
		}
	}
}

// Deadline returns an interceptor that gives every invocation at most d. At a
// worker it bounds handlers; a caller's shorter deadline holds all the same.
func Deadline(d time.Duration) Interceptor {
	return func(next Invoker) Invoker {
		return func(ctx context.Context, in *Invocation) (json.RawMessage, error) {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			return next(ctx, in)
		}
	}
}

// recovery turns a handler's panic into an internal error; the stack goes to the
// worker's log, the caller hears nothing of it.
func recovery(logger *slog.Logger) Interceptor {
	return func(next Invoker) Invoker {
		return func(ctx context.Context, in *Invocation) (result json.RawMessage, err error) {
			defer func() {
				if v := recover(); v != nil {
					logger.ErrorContext(ctx, "handler panicked", "service", in.Service, "method", in.Method,
						"panic", v, "stack", string(debug.Stack()))
					result, err = nil, &Error{Code: CodeInternal, Message: "the handler panicked"}
				}
			}()
			return next(ctx, in)
		}
	}
}
