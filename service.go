package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// Service is a named collection of methods that a [Worker] serves. It is made
// complete before a worker gets it, and may be given to several workers.
type Service struct {
	name     string
	doc      string
	handlers []Handler
	byName   map[string]int
	opaque   OpaqueHandler
}

// OpaqueHandler serves the requests to a service that are no JSON-RPC: frames in,
// frames out, as plain Majordomo has them; nobody writes to either any more. An error
// becomes a reply of no frames but one empty one, since such callers know no errors; the
// worker logs it.
type OpaqueHandler func(ctx context.Context, body [][]byte) ([][]byte, error)

// NewService returns a service without methods. The name is 1 to 255 bytes of
// printable text and must not begin with "mmi." (RFC 8). NewService panics on a
// bad name, as that is a mistake in the program.
func NewService(name string, options ...ServiceOption) *Service {
	if err := checkServiceName(name); err != nil {
		panic(err)
	}
	s := &Service{name: name, byName: make(map[string]int)}
	for _, o := range options {
		o.applyService(s)
	}
	return s
}

func checkServiceName(name string) error {
	if err := mdp.CheckService([]byte(name)); err != nil {
		return fmt.Errorf("mesh: bad service name: %w", err)
	}
	if mdp.Reserved([]byte(name)) {
		return fmt.Errorf("mesh: service name %q is reserved: names that begin with mmi. belong to the broker", name)
	}
	return nil
}

// Name returns the service's name.
func (s *Service) Name() string { return s.name }

// Handle adds methods to the service and returns it. It panics where a handler is
// for another service or a method has one already.
func (s *Service) Handle(handlers ...Handler) *Service {
	for _, h := range handlers {
		if h.service != s.name {
			panic(fmt.Sprintf("mesh: method %q doesn't belong to service %q", h.service+"."+h.name, s.name))
		}
		if _, taken := s.byName[h.name]; taken {
			panic(fmt.Sprintf("mesh: method %q of service %q has two handlers", h.name, s.name))
		}
		s.byName[h.name] = len(s.handlers)
		s.handlers = append(s.handlers, h)
	}
	return s
}

// HandleRaw adds a method that works on raw JSON: params is an object or an array,
// and what the function returns is any JSON value; the caller of one that returns
// something else gets [ErrInternal]. The function writes to neither, also after it has
// returned: the result may be sent later, from where it is. The schemas that the options
// [Params] and [Result] give are its contract. The name is the method's own, without the
// service's. HandleRaw panics on a bad or taken name and on a schema
// that can't be compiled, as that is a mistake in the program.
func (s *Service) HandleRaw(name string, handle func(ctx context.Context, params json.RawMessage) (json.RawMessage, error), options ...MethodOption) *Service {
	h := newRawHandler(s.name, name, options)
	h.invoke = func(ctx context.Context, _ Codec, in *Invocation) (json.RawMessage, error) {
		return handle(ctx, in.Params)
	}
	return s.Handle(h)
}

// HandleRawStream is HandleRaw for a method that replies with many values.
func (s *Service) HandleRawStream(name string, handle func(ctx context.Context, params json.RawMessage) iter.Seq2[json.RawMessage, error], options ...MethodOption) *Service {
	h := newRawHandler(s.name, name, options)
	h.mustNotBeInline(s.name + "." + name)
	h.stream = true
	h.invoke = func(ctx context.Context, _ Codec, in *Invocation) (json.RawMessage, error) {
		for part, err := range handle(ctx, in.Params) {
			if err != nil {
				return nil, err
			}
			if err := in.Part(part); err != nil {
				return nil, err
			}
		}
		return nil, over(ctx)
	}
	return s.Handle(h)
}

// HandleOpaque makes handle serve the requests to the service that are no
// JSON-RPC. Without it they are refused. They don't go through interceptors, which
// are made for methods: what must hold for them too, handle has to see to.
func (s *Service) HandleOpaque(handle OpaqueHandler) *Service {
	s.opaque = handle
	return s
}

// document returns what a worker registers of the service.
func (s *Service) document() majordomo.ServiceDoc {
	doc := majordomo.ServiceDoc{Name: s.name, Doc: s.doc}
	for i := range s.handlers {
		h := &s.handlers[i]
		doc.Methods = append(doc.Methods, majordomo.MethodDoc{
			Name: h.name, Doc: h.doc, Idempotent: h.idempotent, Attempts: h.attempts, Stream: h.stream,
			Params: h.paramsSchema(), Result: h.resultSchema(),
		})
	}
	return doc
}

// ServiceOption sets something of a service: [Doc] returns one.
type ServiceOption interface{ applyService(*Service) }

// MethodOption sets something of a method: [Doc], [Idempotent], [Attempts], [Params],
// [Result] and [Inline] return one.
type MethodOption interface{ applyMethod(*methodOptions) }

// Doc documents a service or a method. The text travels with the registration of
// each worker, and brokers show it to whoever asks.
func Doc(text string) DocOption { return DocOption(text) }

// DocOption is the option that [Doc] returns, for services and methods alike.
type DocOption string

func (d DocOption) applyService(s *Service)      { s.doc = string(d) }
func (d DocOption) applyMethod(o *methodOptions) { o.doc = string(d) }

type methodOption func(*methodOptions)

func (f methodOption) applyMethod(o *methodOptions) { f(o) }

// Idempotent declares that running a method twice does no more than running it
// once. Only then may a request that a worker may have begun be run again, by
// the broker when the worker is lost, or by the client when the broker is. As an
// option of a single call it tells the client of a method that it knows by name
// only.
func Idempotent() IdempotentOption { return IdempotentOption{} }

// IdempotentOption is the option that [Idempotent] returns, for methods and calls
// alike.
type IdempotentOption struct{}

func (IdempotentOption) applyMethod(o *methodOptions) { o.idempotent = true }
func (IdempotentOption) applyCall(o *callOptions)     { o.idempotent = true }

// Attempts sets how often a broker hands a request of an idempotent method to a
// worker at most; one whose workers were lost as often is quarantined. The
// default is the broker's, 3. It panics where n is less than 1.
func Attempts(n int) MethodOption {
	if n < 1 {
		panic(fmt.Sprintf("mesh: Attempts(%d): must be at least 1", n))
	}
	return methodOption(func(o *methodOptions) { o.attempts = n })
}

// Params gives a raw method the JSON Schema (2020-12) of its parameters. They are
// checked before the handler runs. Methods with Go types have theirs already.
func Params(schema json.RawMessage) MethodOption {
	return methodOption(func(o *methodOptions) { o.params = schema })
}

// Result gives a raw method the JSON Schema (2020-12) of its result, for its
// documentation.
func Result(schema json.RawMessage) MethodOption {
	return methodOption(func(o *methodOptions) { o.result = schema })
}
