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

// rights are what a peer or a role may do. A map that is nil permits nothing.
type rights struct {
	callAll     bool
	services    map[string]bool
	methods     map[string]bool // full names
	registerAll bool
	register    map[string]bool
	see         bool
	operate     bool
}

func newRights() *rights {
	return &rights{services: make(map[string]bool), methods: make(map[string]bool), register: make(map[string]bool)}
}

func (r *rights) mayCall(service, method []byte) bool {
	return r.callAll || r.services[string(service)] || isMethodOf(service, method) && r.methods[string(method)]
}

// isMethodOf says whether the method's full name splits into the service and
// something, as jsonrpc.SplitMethod does it.
func isMethodOf(service, method []byte) bool {
	return bytes.LastIndexByte(method, '.') == len(service) && bytes.HasPrefix(method, service)
}

// add gives r what other has.
func (r *rights) add(other *rights) {
	r.callAll = r.callAll || other.callAll
	r.registerAll = r.registerAll || other.registerAll
	r.see = r.see || other.see
	r.operate = r.operate || other.operate
	for _, set := range []struct{ to, from map[string]bool }{
		{r.services, other.services}, {r.methods, other.methods}, {r.register, other.register},
	} {
		for name := range set.from {
			set.to[name] = true
		}
	}
}
