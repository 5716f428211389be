package mesh

import (
	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/transport"
)

// Right is something that a peer may be allowed to do at a broker.
type Right uint8

// The rights (docs/security.md "Rights").
const (
	RightRegister = Right(majordomo.MayRegister) // offer a service
	RightCall     = Right(majordomo.MayCall)     // call a service or a method of it
	RightSee      = Right(majordomo.MaySee)      // ask for services, their contracts and the broker's state
	RightOperate  = Right(majordomo.MayOperate)  // pause and resume services, drain and disconnect workers, cancel, release and drop requests
)

// String returns the right's name, such as "call".
func (r Right) String() string {
	switch r {
	case RightRegister:
		return "register"
	case RightCall:
		return "call"
	case RightSee:
		return "see"
	case RightOperate:
		return "operate"
	}
	return "unknown"
}

// Authorizer decides what peers may do at a broker. Package keyring has one that
// goes by a file.
//
// A broker asks while it holds its state, once or twice for every request, and
// serves nobody meanwhile: an Authorizer answers at once, from memory. It is safe
// for use by many goroutines. Every request is asked for anew, so that an answer
// that changes holds from the next request on; what was taken before, be it a
// request that waits or a service that is offered, stays.
//
// The slices are valid until the method returns, and must not be written to. They
// hold what the peer sent, which may be anything: a service may be one that
// nobody can offer, and a method may be one of another service.
type Authorizer interface {
	// Allow says whether a peer has a right. It goes by who.Name, which is empty
	// where the peer isn't authenticated, and by who.Local; who.Addr is for logs.
	//
	// service is the service that the peer registers or calls, whose contract it
	// asks for, or that it pauses or resumes. For whatever else takes [RightSee]
	// or [RightOperate] it is empty at first: is the right one over all services?
	// If not, and Partly says so, each service is asked for that the request is
	// about.
	// method is what the peer calls, in full ("tea.brew"), where ByMethod said
	// yes for the service, and empty otherwise.
	Allow(who transport.Identity, right Right, service, method []byte) bool
	// Partly says whether a peer that doesn't have a right over all services may
	// have it over some: [RightSee] or [RightOperate]. Such a peer sees the part of
	// the broker's contracts and state that is of its services, and operates on
	// their requests, and on workers that serve no others; what isn't there is not
	// found, where one without any right hears that it isn't permitted. An
	// Authorizer that knows no rights of this kind says no.
	Partly(who transport.Identity, right Right) bool
	// ByMethod says whether [RightCall] goes by method at a service, for any
	// peer. If so, the broker refuses every call whose method it can't read
	// without doubt, before it asks Allow: what is no JSON-RPC, a batch, or a
	// body that has a member of the envelope twice.
	ByMethod(service []byte) bool
}

// gate is how a broker's core asks an Authorizer.
type gate struct{ rules Authorizer }

var _ majordomo.Authorizer = gate{}

func gateOf(a Authorizer) majordomo.Authorizer {
	if a == nil {
		return nil
	}
	return gate{a}
}

func (g gate) Allow(id majordomo.Identity, right majordomo.Right, service, method []byte) bool {
	return g.rules.Allow(transport.Identity(id), Right(right), service, method)
}

func (g gate) Partly(id majordomo.Identity, right majordomo.Right) bool {
	return g.rules.Partly(transport.Identity(id), Right(right))
}

func (g gate) ByMethod(service []byte) bool { return g.rules.ByMethod(service) }
