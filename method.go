package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mdpmesh/mesh/internal/contract"
	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// methodOptions are what a method's contract says beside its types.
type methodOptions struct {
	doc        string
	idempotent bool
	attempts   int
	inline     bool
	params     json.RawMessage
	result     json.RawMessage
}

// mustNotBeInline panics where the method of that name is to be inline.
func (o *methodOptions) mustNotBeInline(full string) {
	if o.inline {
		panic(fmt.Sprintf("mesh: method %q replies with a stream and can't be inline: its handler waits for its reader", full))
	}
}

// Handler is a method of a service with the function that serves it. Methods make
// them; see [Method.With] and [Service.HandleRaw].
type Handler struct {
	methodOptions
	service, name string
	stream, raw   bool
	takes, gives  *contract.Contract
	invoke        func(ctx context.Context, codec Codec, in *Invocation) (json.RawMessage, error)
}

func newRawHandler(service, name string, options []MethodOption) Handler {
	if strings.Contains(name, ".") {
		panic(fmt.Sprintf("mesh: method name %q has a dot; the service's name is put before it", name))
	}
	full := service + "." + name
	h := Handler{service: service, name: name, raw: true}
	checkMethodName(full)
	for _, o := range options {
		o.applyMethod(&h.methodOptions)
	}
	var err error
	if h.params != nil {
		if h.takes, err = contract.FromSchema(h.params, contract.Config{}); err != nil {
			panic(fmt.Errorf("mesh: the schema of the parameters of %q: %w", full, err))
		}
	}
	if h.result != nil {
		if h.gives, err = contract.FromSchema(h.result, contract.Config{}); err != nil {
			panic(fmt.Errorf("mesh: the schema of the result of %q: %w", full, err))
		}
	}
	return h
}

func (h *Handler) paramsSchema() json.RawMessage { return schemaOf(h.takes) }
func (h *Handler) resultSchema() json.RawMessage { return schemaOf(h.gives) }

func schemaOf(c *contract.Contract) json.RawMessage {
	if c == nil {
		return nil
	}
	return c.Schema()
}

// complete holds the parameters to the contract, and returns them with the
// defaults of absent members.
func (h *Handler) complete(params json.RawMessage) (json.RawMessage, error) {
	if h.takes == nil {
		return params, nil
	}
	filled, faults := h.takes.Fill(params)
	if faults != nil {
		return nil, invalidParams(faults)
	}
	return filled, nil
}

// Fault is one way in which parameters don't fit their contract; the data of an
// [ErrInvalidParams] error lists them, see [Faults].
type Fault struct {
	// Path is the JSON Pointer (RFC 6901) of the value, from the parameters.
	// Empty for the parameters as a whole.
	Path string `json:"path"`
	// Message says what is wrong there. It quotes nothing of the value.
	Message string `json:"message"`
}

// Faults returns what a worker found wrong with the parameters of a call, from
// the error that the call returned; nil where err is none of that kind.
func Faults(err error) []Fault {
	e, ok := asError(err)
	if !ok || e.Code != CodeInvalidParams {
		return nil
	}
	var data struct {
		Faults []Fault `json:"faults"`
	}
	if json.Unmarshal(e.Data, &data) != nil {
		return nil
	}
	return data.Faults
}

func invalidParams(faults []contract.Fault) *Error {
	list := make([]Fault, len(faults))
	text := make([]string, len(faults))
	for i, f := range faults {
		list[i] = Fault(f)
		text[i] = f.String()
	}
	data, err := json.Marshal(map[string][]Fault{"faults": list})
	if err != nil {
		data = nil // paths that are no text; the message has them quoted
	}
	return &Error{Code: CodeInvalidParams, Message: strings.Join(text, "; "), Data: data}
}

// signature is what both sides of a method know of it.
type signature struct {
	methodOptions
	full, service, name string
	frame               []byte // the service's name
	stream              bool
	takes, gives        *contract.Contract
}

func newSignature(full string, stream bool, req, res reflect.Type, options []MethodOption) signature {
	service, name := checkMethodName(full)
	s := signature{full: full, service: service, frame: []byte(service), name: name, stream: stream}
	for _, o := range options {
		o.applyMethod(&s.methodOptions)
	}
	if stream {
		s.mustNotBeInline(full)
	}
	if s.params != nil || s.result != nil {
		panic(fmt.Sprintf("mesh: method %q has its schemas from its Go types; Params and Result are for raw methods", full))
	}
	var err error
	if s.takes, err = contract.For(req, contract.Config{}); err != nil {
		panic(fmt.Errorf("mesh: the parameters of method %q: %w", full, err))
	}
	if !s.takes.Structured() {
		panic(fmt.Sprintf("mesh: the parameters of method %q are %v, which is neither an object nor an array in JSON; use a struct", full, req))
	}
	if s.gives, err = contract.For(res, contract.Config{}); err != nil {
		panic(fmt.Errorf("mesh: the result of method %q: %w", full, err))
	}
	return s
}

// checkMethodName splits a method's full name, and panics where it is a bad one.
func checkMethodName(full string) (service, name string) {
	s, n, ok := jsonrpc.SplitMethod([]byte(full))
	if !ok {
		panic(fmt.Sprintf("mesh: bad method name %q: must be the service's name, a dot and the method's own", full))
	}
	if err := checkServiceName(string(s)); err != nil {
		panic(err)
	}
	if err := mdp.CheckService(n); err != nil {
		panic(fmt.Sprintf("mesh: bad method name %q: must be printable text of at most 255 bytes", full))
	}
	if string(s) == "rpc" || strings.HasPrefix(full, "rpc.") {
		panic(fmt.Sprintf("mesh: method name %q is reserved: names that begin with rpc. belong to the protocol", full))
	}
	return string(s), string(n)
}

func (s *signature) handler() Handler {
	return Handler{
		methodOptions: s.methodOptions, service: s.service, name: s.name, stream: s.stream, takes: s.takes, gives: s.gives,
	}
}

// Method is one method of a service, with the Go types of its parameters and its
// result. The same value stands on both sides: [Method.With] makes a handler of
// it, [Method.Call] calls it.
//
//	var Brew = mesh.NewMethod[Order, Cup]("tea.brew", mesh.Doc("Brews one cup."), mesh.Idempotent())
type Method[Req, Res any] struct{ signature }

// NewMethod returns the method with that full name: the service's name, a dot and
// the method's own. Req must be an object or an array in JSON, so a struct, a map
// or a slice. JSON Schemas of both types are made from their fields and tags (see
// docs/contracts.md). NewMethod panics on a bad name or type, as that is a
// mistake in the program.
func NewMethod[Req, Res any](name string, options ...MethodOption) *Method[Req, Res] {
	return &Method[Req, Res]{newSignature(name, false, reflect.TypeFor[Req](), reflect.TypeFor[Res](), options)}
}

// Name returns the method's full name.
func (m *Method[Req, Res]) Name() string { return m.full }

// With returns a handler that serves the method with the function. The
// parameters that it gets fit their contract. An error that it returns crosses
// the wire; see [Errors] and [Errorf].
func (m *Method[Req, Res]) With(handle func(ctx context.Context, req Req) (Res, error)) Handler {
	h := m.handler()
	h.invoke = func(ctx context.Context, codec Codec, in *Invocation) (json.RawMessage, error) {
		req, err := decodeParams[Req](codec, in.Params)
		if err != nil {
			return nil, err
		}
		res, err := handle(ctx, req)
		if err != nil {
			return nil, err
		}
		return encodeResult(codec, &res)
	}
	return h
}

// Call calls the method and waits for its result. Without a deadline in ctx or
// an option [Timeout] the client's default holds. Errors are *[Error].
func (m *Method[Req, Res]) Call(ctx context.Context, c *Client, req Req, options ...CallOption) (Res, error) {
	var res Res
	params, err := c.encodeParams(&req)
	if err != nil {
		return res, err
	}
	raw, err := c.call(ctx, &m.signature, params, nil, options)
	if err != nil {
		return res, err
	}
	err = c.decodeResult(raw, &res)
	return res, err
}

// Go is Call in a goroutine of its own; it returns at once. The goroutine ends with
// the call, so cancel ctx where nobody will wait for it.
func (m *Method[Req, Res]) Go(ctx context.Context, c *Client, req Req, options ...CallOption) *Pending[Res] {
	return start(func() (Res, error) { return m.Call(ctx, c, req, options...) })
}

// Notify sends the request without waiting for an outcome: nobody hears how it
// ended. It returns once the request is on its way to the broker, or why it
// can't be.
func (m *Method[Req, Res]) Notify(ctx context.Context, c *Client, req Req, options ...CallOption) error {
	params, err := c.encodeParams(&req)
	if err != nil {
		return err
	}
	_, err = c.call(ctx, &m.signature, params, nil, append(slices.Clip(options), notify))
	return err
}

// StreamMethod is a method that replies with many values: like [Method], but each
// reply is a sequence of Res.
type StreamMethod[Req, Res any] struct{ signature }

// NewStream returns the method with that full name, each of whose replies is a
// stream of Res. It is like [NewMethod] otherwise.
func NewStream[Req, Res any](name string, options ...MethodOption) *StreamMethod[Req, Res] {
	return &StreamMethod[Req, Res]{newSignature(name, true, reflect.TypeFor[Req](), reflect.TypeFor[Res](), options)}
}

// Name returns the method's full name.
func (m *StreamMethod[Req, Res]) Name() string { return m.full }

// With returns a handler that serves the method with the function. The values
// that the sequence yields are sent as it yields them; while the reader is
// behind by its window, yield waits. yield returns false when nobody reads any
// more. An error that the sequence yields ends the stream. A sequence that ends
// when ctx is over was cut short, and the reader is told so.
func (m *StreamMethod[Req, Res]) With(handle func(ctx context.Context, req Req) iter.Seq2[Res, error]) Handler {
	h := m.handler()
	h.invoke = func(ctx context.Context, codec Codec, in *Invocation) (json.RawMessage, error) {
		req, err := decodeParams[Req](codec, in.Params)
		if err != nil {
			return nil, err
		}
		for value, err := range handle(ctx, req) {
			if err != nil {
				return nil, err
			}
			raw, err := encodeResult(codec, &value)
			if err != nil {
				return nil, err
			}
			if err := in.Part(raw); err != nil {
				return nil, err
			}
		}
		return nil, over(ctx)
	}
	return h
}

// Call calls the method when the sequence is ranged over, and yields the values as
// they come. The call ends when the loop does; leaving the loop cancels the
// handler. An error is the last thing that is yielded. A reader that is slow
// slows only the handler down: at most a window of values is on its way (option
// [Window]).
func (m *StreamMethod[Req, Res]) Call(ctx context.Context, c *Client, req Req, options ...CallOption) iter.Seq2[Res, error] {
	return func(yield func(Res, error) bool) {
		var none Res
		params, err := c.encodeParams(&req)
		if err != nil {
			yield(none, err)
			return
		}
		left := false // whatever interceptors make of that
		err = c.streamValues(ctx, &m.signature, params, func(raw json.RawMessage) error {
			var value Res
			if left {
				return errStopReading
			}
			if err := c.decodeResult(raw, &value); err != nil {
				return err
			}
			if left = left || !yield(value, nil); left {
				return errStopReading
			}
			return nil
		}, options)
		if err != nil && !left {
			yield(none, err)
		}
	}
}

// decodeParams makes the handler's parameters of the caller's, which fit their
// contract.
func decodeParams[Req any](codec Codec, params json.RawMessage) (req Req, err error) {
	if err := codec.Unmarshal(params, &req); err != nil {
		return req, invalidParams(contract.DecodeFaults(err))
	}
	return req, nil
}

// encodeResult takes a pointer, as codecs are faster with one.
func encodeResult[Res any](codec Codec, res *Res) (json.RawMessage, error) {
	raw, err := codec.Marshal(res)
	if err != nil {
		return nil, &Error{Code: CodeInternal, Message: "the result can't be written as JSON: " + err.Error(), cause: err}
	}
	return raw, nil
}

// Pending is a call that goes on.
type Pending[Res any] struct {
	done   chan struct{}
	result Res
	err    error
}

func start[Res any](call func() (Res, error)) *Pending[Res] {
	p := &Pending[Res]{done: make(chan struct{}), err: &Error{
		Code: CodeInternal, Local: true, HandedOver: true, Message: "the goroutine of the call was ended, by its handler (Inline) or by an interceptor",
	}}
	go func() {
		defer close(p.done)
		p.result, p.err = call()
	}()
	return p
}

// Done returns a channel that is closed when the call has ended.
func (p *Pending[Res]) Done() <-chan struct{} { return p.done }

// Wait waits for the call to end and returns its outcome, as often as it is asked.
func (p *Pending[Res]) Wait() (Res, error) {
	<-p.done
	return p.result, p.err
}

// CallOption sets something of one call: [Key], [Timeout], [NoRetry], [Hedge],
// [Window] and [Idempotent] return one.
type CallOption interface{ applyCall(*callOptions) }

type callOptions struct {
	key        string
	timeout    time.Duration
	bounded    bool // by timeout
	noRetry    bool
	hedge      time.Duration
	hedged     bool // by that
	idempotent bool
	notify     bool
	window     int
}

type callOption func(*callOptions)

func (f callOption) applyCall(o *callOptions) { f(o) }

var notify = callOption(func(o *callOptions) { o.notify = true })

// Key gives the call a key. A call with the same method, parameters and key from
// the same caller doesn't run again at the same broker, but joins the run or gets
// its outcome (docs/protocol.md "Repeats"); so a call with a key is tried again
// where another would not be. Streams have no use for it.
func Key(key string) CallOption { return callOption(func(o *callOptions) { o.key = key }) }

// Timeout bounds the call, to the next millisecond; it is over at once where d
// isn't positive. A shorter deadline of the context holds all the same.
func Timeout(d time.Duration) CallOption {
	return callOption(func(o *callOptions) { o.timeout, o.bounded = d, true })
}

// NoRetry makes the client send the call once.
func NoRetry() CallOption { return callOption(func(o *callOptions) { o.noRetry = true }) }

// Hedge makes the call at a second broker as well if no reply has come after that
// time. The first outcome is the call's, and the other request is cancelled. It is
// for idempotent methods, counts as a retry, and is left out where no second broker
// serves or the budget for retries is used up. A call that isn't idempotent, has a
// key, streams or is a notification fails at once with this option, with
// [CodeInvalidRequest]. Hedge(0) is never; the default is [Retry.Hedge], which other
// calls take no notice of.
func Hedge(after time.Duration) CallOption {
	return callOption(func(o *callOptions) { o.hedge, o.hedged = after, true })
}

// Window sets how many values of a stream may be on their way unread. The default
// is 32. Values below 1 stand for the default.
func Window(n int) CallOption { return callOption(func(o *callOptions) { o.window = n }) }

func quote[T ~string | ~[]byte](s T) string { return strconv.Quote(string(s)) }
