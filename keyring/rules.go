package keyring

import (
	"bytes"

	"github.com/mdpmesh/mesh/transport/curve"
)

// rules are what a file says. They don't change once they are made.
type rules struct {
	names    map[curve.Key]string // by public key
	peers    map[string]*rights   // by name
	byMethod map[string]bool      // services of which a method is named
}

// rights are what a peer or a role may do.
type rights struct {
	call     scope
	methods  map[string]bool // that it may call as well, by their full names
	register scope
	see      scope
	operate  scope
}

// scope is the services that a right is over.
type scope struct {
	all   bool
	names map[string]bool
}

func (s *scope) has(service []byte) bool { return s.all || s.names[string(service)] }

// add gives s what other has.
func (s *scope) add(other *scope) {
	s.all = s.all || other.all
	for name := range other.names {
		s.names[name] = true
	}
}

func newRights() *rights {
	empty := func() scope { return scope{names: make(map[string]bool)} }
	return &rights{call: empty(), methods: make(map[string]bool), register: empty(), see: empty(), operate: empty()}
}

func (r *rights) mayCall(service, method []byte) bool {
	return r.call.has(service) || isMethodOf(service, method) && r.methods[string(method)]
}

// isMethodOf says whether the method's full name splits into the service and
// something, as jsonrpc.SplitMethod does it.
func isMethodOf(service, method []byte) bool {
	return bytes.LastIndexByte(method, '.') == len(service) && bytes.HasPrefix(method, service)
}

// add gives r what other has.
func (r *rights) add(other *rights) {
	r.call.add(&other.call)
	r.register.add(&other.register)
	r.see.add(&other.see)
	r.operate.add(&other.operate)
	for name := range other.methods {
		r.methods[name] = true
	}
}
