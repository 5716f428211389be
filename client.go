package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/transport"
)

// ClientConfig says how a client works. Transport is required, and one of Brokers and
// Discovery.
type ClientConfig struct {
	// Transport connects to brokers.
	Transport transport.Transport
	// Brokers lists where brokers are. The client is connected to all of them, and
	// gives each call to the one of two that is likely to be through with it first.
	Brokers []transport.Endpoint
	// Discovery finds further brokers, and says which are gone; those of Brokers are
	// always known. The client watches it from its first call until it is closed.
	Discovery Discovery
	// MaxBrokers is to how many brokers the client is connected at the same time, of
	// all that it knows; which ones is random. If zero, 16.
	MaxBrokers int
	// Speak says what the brokers speak. If zero, SpeakMesh.
	Speak Speak
	// Name is who the client says it is. Handlers see it as a claim.
	Name string
	// Instance names this client in what brokers list: 255 bytes at most, of printable
	// text. If empty, a random name.
	Instance string
	// Timeout bounds calls whose context has no deadline and that have no option
	// [Timeout]. If zero, 30 s; if negative, nothing bounds them.
	Timeout time.Duration
	// Retry says how calls are tried again that may be.
	Retry Retry
	// Heartbeat holds with brokers that don't say what theirs is.
	Heartbeat Heartbeat
	// Redial bounds the wait between two attempts to connect to the same broker. Its
	// ceiling doubles with each that failed, or whose connection ended before the broker
	// had served for the liveness time. If zero, 100 ms and 30 s.
	Redial Backoff
	// DialTimeout bounds one attempt to connect. If zero, 5 s.
	DialTimeout time.Duration
	// MaxPending is how many calls may be without an outcome; one more fails with
	// [ErrOverloaded]. If zero, 10,000.
	MaxPending int
	// MaxPendingBytes is how large their requests may be in all, about. If zero,
	// 256 MiB.
	MaxPendingBytes int64
	// MaxUnreadBytes is how large the values of one stream that its reader hasn't
	// taken may be in all, about, where there are more of them than its [Window]
	// allows: brokers and workers that speak plain Majordomo take no notice of that.
	// One value more, and the stream fails with [ErrTooLarge] behind those that came,
	// and is cancelled. The same holds for the partial replies to [Client.Request]. If
	// zero, 64 MiB.
	MaxUnreadBytes int64
	// MaxOpaque is how many opaque requests may go on at once, each over connections
	// of its own to two brokers. Further ones wait. If zero, 16.
	MaxOpaque int
	// Codec writes parameters and reads results. If nil, [JSON].
	Codec Codec
	// Errors gives the application's errors their codes. It may be nil.
	Errors *Errors
	// Interceptors wrap every call of a method; see [Interceptor] for their order.
	Interceptors []Interceptor
	// Logger hears of connections. If nil, nobody does.
	Logger *slog.Logger
}

// Retry says how a client tries calls again. It does so only where that is safe:
// where no worker was given the request, where the method is idempotent, or, at
// the same broker, where the call has a key. Where another broker serves it is asked
// at once; otherwise waits are random between zero and a
// ceiling that doubles (full jitter), and no shorter than the broker asked for.
type Retry struct {
	// Attempts is how often a call is sent at most. If zero, 4.
	Attempts int
	// Backoff bounds the waits. If zero, 20 ms and 2 s.
	Backoff Backoff
	// Budget is how many retries each call earns for all: 0.1 allows one retry
	// for ten calls, so that retries can't multiply an overload. If zero, 0.1.
	Budget float64
	// Reserve is how many retries can be saved up, and that a client begins
	// with. If zero, 10.
	Reserve int
	// Hedge is after how long without a reply a call of an idempotent method is made
	// at a second broker as well, see the option [Hedge], which says otherwise for
	// one call. If zero, never.
	Hedge time.Duration
}

// Client calls methods. Many goroutines may share one: it is connected to all brokers
// that it knows, once to each, and every call gets its own reply. It connects when
// the first call is made; calls wait, within their time, until it has.
type Client struct {
	cfg    ClientConfig
	codec  Codec
	link   *clientLink
	finder *clientFinder
	invoke Invoker

	opaque   opaqueLinks
	presence []byte // what brokers are told of this client

	calls       sync.Pool // *call
	invocations sync.Pool // *Invocation
	signatures  sync.Map  // of untyped methods: name → *signature
	signed      atomic.Int64
}

// NewClient returns a client, or what is wrong with its config. Close it when it
// is no longer needed.
func NewClient(cfg ClientConfig) (*Client, error) {
	switch {
	case cfg.Transport == nil:
		return nil, errors.New("mesh: ClientConfig.Transport is required")
	case len(cfg.Brokers) == 0 && cfg.Discovery == nil:
		return nil, errors.New("mesh: ClientConfig.Brokers or ClientConfig.Discovery is required")
	case cfg.Retry.Hedge < 0:
		return nil, errors.New("mesh: ClientConfig.Retry.Hedge is negative")
	case cfg.MaxOpaque < 0:
		return nil, errors.New("mesh: ClientConfig.MaxOpaque is negative")
	}
	var err error
	if cfg.Heartbeat, err = cfg.Heartbeat.withDefaults("ClientConfig.Heartbeat"); err != nil {
		return nil, err
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, 30*time.Second)
	cfg.DialTimeout = cmp.Or(cfg.DialTimeout, 5*time.Second)
	cfg.MaxOpaque = cmp.Or(cfg.MaxOpaque, 16)
	cfg.Brokers = slices.Clone(cfg.Brokers)
	cfg.Instance = cmp.Or(cfg.Instance, randomName())
	if err := checkInstance("ClientConfig", cfg.Instance); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, codec: cfg.Codec, presence: presence(cfg.Instance)}
	c.finder = newClientFinder(&c.cfg)
	c.calls.New = newCall
	c.invocations.New = func() any { return new(Invocation) }
	c.opaque.turns = make(chan struct{}, cfg.MaxOpaque)
	if c.codec == nil {
		c.codec = JSON()
	}
	if c.link, err = c.newLink(false); err != nil {
		return nil, err
	}
	c.invoke = chain(cfg.Interceptors, c.send)
	return c, nil
}

// presence is what a client tells brokers of itself, as JSON.
func presence(instance string) []byte {
	said, err := json.Marshal(struct {
		Instance string `json:"instance"`
		Host     string `json:"host,omitempty"`
		PID      int    `json:"pid"`
		Version  string `json:"version"`
	}{instance, hostname(), os.Getpid(), Version})
	if err != nil {
		return nil // not reached: these are texts and a number
	}
	return said
}

// maxOpaqueBrokers is to how many brokers the connections of one opaque request are:
// two, to have a choice.
const maxOpaqueBrokers = 2

func (c *Client) newLink(opaque bool) (*clientLink, error) {
	cfg := &c.cfg
	session := majordomo.ClientConfig{
		Brokers: len(cfg.Brokers), MaxBrokers: cfg.MaxBrokers, Speak: majordomo.Speak(cfg.Speak), Opaque: opaque, Presence: c.presence,
		HeartbeatInterval: cfg.Heartbeat.Interval, Liveness: cfg.Heartbeat.Liveness,
		DialTimeout: cfg.DialTimeout, RedialMin: cfg.Redial.Min, RedialMax: cfg.Redial.Max,
		RetryMin: cfg.Retry.Backoff.Min, RetryMax: cfg.Retry.Backoff.Max, MaxAttempts: cfg.Retry.Attempts,
		RetryBudget: cfg.Retry.Budget, RetryReserve: cfg.Retry.Reserve,
		MaxPending: cfg.MaxPending, MaxPendingBytes: cfg.MaxPendingBytes, MaxUnreadBytes: cfg.MaxUnreadBytes, Random: rand.Uint64,
	}
	if opaque {
		session.MaxBrokers = min(cmp.Or(cfg.MaxBrokers, maxOpaqueBrokers), maxOpaqueBrokers)
	}
	return newClientLink(cfg, &session, c.finder)
}

// Close ends the client. Calls that go on, and later ones, fail with [ErrClosed].
// It returns when nothing of the client is running any more, always nil, and is
// idempotent.
func (c *Client) Close() error {
	c.finder.close()
	c.link.close()
	c.opaque.close()
	return nil
}

// Call calls a method by its full name. The parameters are written, and the
// result is read into result, by the client's codec; params may be nil for none,
// result nil where it doesn't matter. Without a deadline in ctx or an option
// [Timeout] the client's default holds. Errors are *[Error].
func (c *Client) Call(ctx context.Context, method string, params, result any, options ...CallOption) error {
	raw, err := c.encodeParams(params)
	if err != nil {
		return err
	}
	reply, err := c.callUntyped(ctx, method, raw, options)
	if err != nil || result == nil {
		return err
	}
	return c.decodeResult(reply, result)
}

// CallRaw is Call with raw JSON: params is an object, an array, or nil or null for
// none. It is sent as it is; anything else is [ErrInvalidParams] at once. It must not be
// written to any more, also when the call has ended: a request that was given up may still
// be on its way out, and what is large goes out from where it is.
func (c *Client) CallRaw(ctx context.Context, method string, params json.RawMessage, options ...CallOption) (json.RawMessage, error) {
	params, err := readParams(params)
	if err != nil {
		return nil, err
	}
	return c.callUntyped(ctx, method, params, options)
}

// callUntyped is CallRaw with parameters that are known to be good.
func (c *Client) callUntyped(ctx context.Context, method string, params json.RawMessage, options []CallOption) (json.RawMessage, error) {
	s, err := c.untyped(method)
	if err != nil {
		return nil, err
	}
	return c.call(ctx, s, params, nil, options)
}

// Notify sends a request by its full name without waiting for an outcome: nobody
// hears how it ended. It returns once the request is on its way to the broker, or
// why it can't be. Errors are *[Error].
func (c *Client) Notify(ctx context.Context, method string, params any, options ...CallOption) error {
	raw, err := c.encodeParams(params)
	if err != nil {
		return err
	}
	_, err = c.callUntyped(ctx, method, raw, append(slices.Clip(options), notify))
	return err
}

// StreamRaw calls a method that replies with many values by its full name; see
// [StreamMethod.Call]. A method that replies with one gives that. For params holds what
// [Client.CallRaw] says.
func (c *Client) StreamRaw(ctx context.Context, method string, params json.RawMessage, options ...CallOption) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		left := false // whatever interceptors make of that
		s, err := c.untyped(method)
		if err == nil {
			params, err = readParams(params)
		}
		if err == nil {
			streaming := *s
			streaming.stream = true
			err = c.streamValues(ctx, &streaming, params, func(value json.RawMessage) error {
				if left = left || !yield(value, nil); left {
					return errStopReading
				}
				return nil
			}, options)
		}
		if err != nil && !left {
			yield(nil, err)
		}
	}
}

// streamValues makes a call that streams. The result of a method that doesn't
// stream is its one value.
func (c *Client) streamValues(ctx context.Context, s *signature, params json.RawMessage, value func(json.RawMessage) error, options []CallOption) error {
	last, err := c.call(ctx, s, params, value, options)
	if err == nil && last != nil && string(last) != "null" {
		err = value(last)
	}
	return err
}

// errStopReading ends a stream whose reader left its loop.
var errStopReading = errors.New("mesh: the reader left the stream")

// untyped returns the signature of a method that is known by its name only.
func (c *Client) untyped(method string) (*signature, error) {
	if s, ok := c.signatures.Load(method); ok {
		return s.(*signature), nil
	}
	service, name, ok := jsonrpc.SplitMethod([]byte(method))
	if !ok {
		return nil, &Error{
			Code: CodeNoMethod, Local: true, Message: "bad method name " + quote(method) + ": must be the service's name, a dot and the method's own",
		}
	}
	if err := checkServiceName(string(service)); err != nil {
		return nil, &Error{Code: CodeNoService, Local: true, Message: err.Error(), cause: err}
	}
	s := &signature{full: method, service: string(service), frame: service, name: string(name)}
	if c.signed.Add(1) <= maxSignatures {
		c.signatures.Store(method, s)
	}
	return s, nil
}

// maxSignatures bounds the names that a client remembers having checked.
const maxSignatures = 1024

func (c *Client) encodeParams(params any) (json.RawMessage, error) {
	if params == nil {
		return nil, nil
	}
	raw, err := c.codec.Marshal(params)
	if err != nil {
		return nil, &Error{Code: CodeInvalidParams, Local: true, Message: "the parameters can't be written as JSON: " + err.Error(), cause: err}
	}
	if len(raw) > 0 && (raw[0] == '{' || raw[0] == '[') {
		return raw, nil // a codec writes JSON
	}
	return readParams(raw)
}

// readParams returns raw as it is sent, nil for none. Parameters that aren't JSON
// would make the whole request something that nobody can answer.
func readParams(raw json.RawMessage) (json.RawMessage, error) {
	params, err := jsonrpc.ReadParams(raw)
	if err != nil {
		return nil, &Error{
			Code: CodeInvalidParams, Local: true, cause: err, Message: "the parameters must be a JSON object or array: " + err.Error(),
		}
	}
	return params, nil
}

func (c *Client) decodeResult(raw json.RawMessage, result any) error {
	if err := c.codec.Unmarshal(raw, result); err != nil {
		return &Error{
			Code: CodeInternal, Local: true, HandedOver: true, cause: err,
			Message: fmt.Sprintf("the result can't be read as %T: %v", result, err),
		}
	}
	return nil
}

// call makes one call, through the interceptors.
func (c *Client) call(ctx context.Context, s *signature, params json.RawMessage, part func(json.RawMessage) error, options []CallOption) (json.RawMessage, error) {
	var in *Invocation
	if len(c.cfg.Interceptors) > 0 {
		in = new(Invocation) // they may keep it, though they mustn't: it is never another call's
	} else {
		in = c.invocations.Get().(*Invocation)
		defer func() {
			*in = Invocation{}
			c.invocations.Put(in)
		}()
	}
	out := outgoingFrom(ctx)
	*in = Invocation{Service: s.service, Method: s.name, Params: params, Strings: out.strings, Client: true, Part: part}
	in.spec.signature, in.spec.outgoing, in.spec.options.idempotent = s, out, s.idempotent
	for _, o := range options {
		o.applyCall(&in.spec.options)
	}
	in.Notify = in.spec.options.notify
	return c.invoke(ctx, in)
}

// callSpec is what an invocation at a client is sent with.
type callSpec struct {
	signature *signature
	outgoing  *outgoing // when the call was made
	options   callOptions
}

// send is the innermost invoker: it gives the call to the session and waits for
// its outcome.
func (c *Client) send(ctx context.Context, in *Invocation) (json.RawMessage, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextError(err, context.Cause(ctx))
	}
	if len(c.cfg.Interceptors) > 0 { // which may have put other parameters in place
		var err error
		if in.Params, err = readParams(in.Params); err != nil {
			return nil, err
		}
	}
	spec := &in.spec
	k := c.calls.Get().(*call)
	defer c.recycle(k)
	q := &k.request
	q.Service, q.Method, q.Params = spec.signature.frame, spec.signature.full, in.Params
	now := c.link.work.clock.now()
	q.Deadline = c.deadline(ctx, now, spec.options.timeout, spec.options.bounded)
	q.Notify, q.Idempotent, q.Key, q.NoRetry = in.Notify, spec.options.idempotent, spec.options.key, spec.options.noRetry
	q.Hedge = c.hedge(in, &spec.options)
	out := spec.outgoing
	if len(c.cfg.Interceptors) > 0 {
		out = outgoingFrom(ctx)
	}
	q.TraceParent, q.TraceState = out.traceParent, out.traceState
	q.Strings, q.Caller = out.stringsOf(in), c.cfg.Name
	if spec.signature.stream {
		q.Window = defaultWindow
		if spec.options.window > 0 {
			q.Window = spec.options.window
		}
		return c.stream(ctx, now, k, in.Part)
	}
	c.link.start(now, k)
	c.link.wait(ctx, k)
	return c.outcome(ctx, k)
}

// hedge returns after how long a call is made at a second broker as well; 0: never.
func (c *Client) hedge(in *Invocation, o *callOptions) time.Duration {
	switch {
	case o.hedged:
		return max(o.hedge, 0)
	case !o.idempotent || o.key != "" || in.Notify || in.spec.signature.stream:
		return 0
	}
	return c.cfg.Retry.Hedge
}

// outcome returns the outcome of a call that is done.
func (c *Client) outcome(ctx context.Context, k *call) (json.RawMessage, error) {
	if k.failed {
		return nil, c.failure(ctx, &k.failure)
	}
	return k.result, nil
}

// stream makes a call that streams, and gives its values to part in the caller's
// goroutine.
func (c *Client) stream(ctx context.Context, now time.Time, k *call, part func(json.RawMessage) error) (json.RawMessage, error) {
	k.parts = newParts()
	c.link.start(now, k)
	settled := false
	defer func() { // also where the reader panics
		if !settled {
			c.link.abort(k, context.Canceled)
			<-k.done
		}
		c.link.waiting.Add(-1)
	}()
	for {
		values, ended := k.parts.take()
		bytes := 0
		for _, value := range values {
			bytes += len(value)
			if err := part(value); err != nil {
				return nil, err
			}
		}
		switch {
		case ended:
			<-k.done
			settled = true
			return c.outcome(ctx, k)
		case len(values) > 0:
			k.kept = true
			c.link.work.submit(clientWork{kind: majordomo.ClientCredit, call: k, n: len(values), bytes: bytes})
		default:
			select {
			case <-k.parts.more:
			case <-ctx.Done():
				c.link.abort(k, ctx.Err())
				<-k.done
				settled = true
				if k.failed {
					return c.outcome(ctx, k)
				}
				// The whole of it came before: what is ready wins.
				values, _ := k.parts.take()
				for _, value := range values {
					if err := part(value); err != nil {
						return nil, err
					}
				}
				return c.outcome(ctx, k)
			}
		}
	}
}

// deadline returns when a call that begins now ends at the latest; zero: never. It
// is bounded by timeout if it has that option.
func (c *Client) deadline(ctx context.Context, now time.Time, timeout time.Duration, bounded bool) time.Time {
	deadline, ok := ctx.Deadline()
	switch {
	case bounded:
		if at := now.Add(timeout); !ok || at.Before(deadline) {
			return at
		}
	case !ok && c.cfg.Timeout > 0:
		return now.Add(c.cfg.Timeout)
	}
	return deadline
}

// failure makes the error that a call returns.
func (c *Client) failure(ctx context.Context, f *majordomo.Failure) error {
	if !f.Local {
		e := c.cfg.Errors.decode(Code(f.Code), f.Text, f.Data)
		e.HandedOver = f.HandedOver != majordomo.HandedNo
		e.RetryAfter = f.RetryAfter
		return e
	}
	e := &Error{
		Code: Code(f.Code), Message: f.Text, Data: f.Data, Local: true, RetryAfter: f.RetryAfter, cause: f.Cause,
		HandedOver: f.HandedOver != majordomo.HandedNo,
	}
	if errors.Is(f.Cause, majordomo.ErrClientClosed) {
		e.cause = ErrClosed
	} else if cause := context.Cause(ctx); cause != nil {
		e.cause = cause
	}
	return e
}

// contextError is the error of a call whose context is over.
func contextError(err, cause error) *Error {
	e := &Error{Code: CodeCancelled, Local: true, Message: "the caller's context is over: " + cause.Error(), cause: cause}
	if errors.Is(err, context.DeadlineExceeded) {
		e.Code = CodeTimeout
	}
	return e
}
