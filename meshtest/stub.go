package meshtest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/mdpmesh/mesh"
)

// Stub stands in for the handler of one method; see [Mesh.Stub].
type Stub struct {
	service, name string                             // of the method
	part          any                                // a function of one type for all stubs of the method
	cast          func(in *mesh.Service, as *player) // adds a handler that plays what the player has
}

// player has the part that a method plays now.
type player struct{ part atomic.Value }

func newStub(method string, part any, cast func(*mesh.Service, *player)) Stub {
	dot := strings.LastIndexByte(method, '.')
	if dot < 0 {
		panic(fmt.Sprintf("meshtest: bad method name %q: must be the service's name, a dot and the method's own", method))
	}
	return Stub{service: method[:dot], name: method[dot+1:], part: part, cast: cast}
}

// Func returns a stub that answers with the function.
func Func[Req, Res any](method *mesh.Method[Req, Res], f func(context.Context, Req) (Res, error)) Stub {
	return newStub(method.Name(), f, func(in *mesh.Service, as *player) {
		in.Handle(method.With(func(ctx context.Context, req Req) (Res, error) {
			return as.part.Load().(func(context.Context, Req) (Res, error))(ctx, req)
		}))
	})
}

// Reply returns a stub that answers every call with the same result.
func Reply[Req, Res any](method *mesh.Method[Req, Res], res Res) Stub {
	return Func(method, func(context.Context, Req) (Res, error) { return res, nil })
}

// Fail returns a stub that answers every call with the same error. It crosses the
// wire as that of a handler does: the codes of the application's own errors are
// those of Config.Worker.Errors.
func Fail[Req, Res any](method *mesh.Method[Req, Res], err error) Stub {
	return Func(method, func(context.Context, Req) (res Res, _ error) { return res, err })
}

// Hang returns a stub that answers no call before its caller gave up.
func Hang[Req, Res any](method *mesh.Method[Req, Res]) Stub {
	return Func(method, func(ctx context.Context, _ Req) (res Res, _ error) {
		<-ctx.Done()
		return res, ctx.Err()
	})
}

// Stream returns a stub that answers with the sequence that the function returns.
func Stream[Req, Res any](method *mesh.StreamMethod[Req, Res], f func(context.Context, Req) iter.Seq2[Res, error]) Stub {
	return newStub(method.Name(), f, func(in *mesh.Service, as *player) {
		in.Handle(method.With(func(ctx context.Context, req Req) iter.Seq2[Res, error] {
			return as.part.Load().(func(context.Context, Req) iter.Seq2[Res, error])(ctx, req)
		}))
	})
}

// Values returns a stub that answers every call with the values, and after them
// with the error where it isn't nil.
func Values[Req, Res any](method *mesh.StreamMethod[Req, Res], err error, values ...Res) Stub {
	return Stream(method, func(context.Context, Req) iter.Seq2[Res, error] {
		return func(yield func(Res, error) bool) {
			for _, v := range values {
				if !yield(v, nil) {
					return
				}
			}
			if err != nil {
				var none Res
				yield(none, err)
			}
		}
	})
}

// Raw returns a stub of the method with that full name, for tests that have no
// [mesh.Method] of it: the function gets the parameters and answers with a result,
// both raw JSON. It panics where the name has no dot.
func Raw(method string, f func(ctx context.Context, params json.RawMessage) (json.RawMessage, error), options ...mesh.MethodOption) Stub {
	_, name, _ := strings.Cut(method[max(strings.LastIndexByte(method, '.'), 0):], ".")
	return newStub(method, f, func(in *mesh.Service, as *player) {
		in.HandleRaw(name, func(ctx context.Context, params json.RawMessage) (json.RawMessage, error) {
			return as.part.Load().(func(context.Context, json.RawMessage) (json.RawMessage, error))(ctx, params)
		}, options...)
	})
}

// Stub puts stubs in the place of handlers. The stubs of one service make up one
// worker; calls of its other methods fail with [mesh.ErrNoMethod]. So the first
// Stub that is about a service names all its methods. A later one changes how they
// answer, from the next call on.
func (m *Mesh) Stub(stubs ...Stub) {
	m.t.Helper()
	byService := make(map[string][]Stub)
	for _, s := range stubs {
		byService[s.service] = append(byService[s.service], s)
	}
	for _, service := range slices.Sorted(maps.Keys(byService)) {
		m.stub(service, byService[service])
	}
}

// stub puts stubs of one service in place.
func (m *Mesh) stub(service string, stubs []Stub) {
	m.t.Helper()
	if fresh := m.cast(service, stubs); fresh != nil {
		m.addWorker(m.name("stub-"+service, ""), m.cfg.Worker, []*mesh.Service{fresh})
	}
}

// cast gives stubs their players. If the service had none it returns one that
// needs a worker.
func (m *Mesh) cast(service string, stubs []Stub) (fresh *mesh.Service) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	players := m.stubs[service]
	if players == nil {
		if worker := m.served[service]; worker != "" {
			m.t.Fatalf("meshtest: service %q is served by %s; calls would go to it and to the stub in turn", service, worker)
		}
		players = make(map[string]*player)
		m.stubs[service] = players
		fresh = mesh.NewService(service)
	}
	for _, s := range stubs {
		p := players[s.name]
		switch {
		case p == nil && fresh == nil:
			m.t.Fatalf("meshtest: the stub of service %q runs without method %q; the first Stub names all of them", service, s.name)
		case p == nil:
			p = new(player)
			players[s.name] = p
			s.cast(fresh, p)
		case reflect.TypeOf(p.part.Load()) != reflect.TypeOf(s.part):
			m.t.Fatalf("meshtest: method %q of service %q has a stub of other types", s.name, service)
		}
		p.part.Store(s.part)
	}
	return fresh
}
