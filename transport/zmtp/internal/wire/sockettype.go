package wire

import (
	"slices"
	"strconv"
	"strings"
)

// SocketType is the type of a ZeroMQ socket, as peers call it in the property
// Socket-Type (RFC 37, The Socket-Type Property).
type SocketType string

// The socket types of request and reply (RFC 28), which are those that may connect
// to the library.
const (
	// REQ sends a request, then waits for its reply.
	REQ SocketType = "REQ"
	// REP waits for a request, then sends its reply.
	REP SocketType = "REP"
	// DEALER sends and receives at any time.
	DEALER SocketType = "DEALER"
	// ROUTER sends and receives at any time, and knows its peers by identity.
	ROUTER SocketType = "ROUTER"
)

// accepts says whom a type talks to.
var accepts = map[SocketType][]SocketType{
	REQ:    {REP, ROUTER},
	REP:    {REQ, DEALER},
	DEALER: {REP, DEALER, ROUTER},
	ROUTER: {REQ, DEALER, ROUTER},
}

// Accepts returns nil if a socket of type t, one of those above, talks to a peer of
// the other type, and else a [*ParseError] that says to whom it talks. A peer that
// didn't say its type is not accepted.
func (t SocketType) Accepts(peer SocketType) error {
	allowed := accepts[t]
	if slices.Contains(allowed, peer) {
		return nil
	}
	var names []string
	for _, a := range allowed {
		names = append(names, string(a))
	}
	who := "a peer of the type " + quoteShort(string(peer))
	if peer == "" {
		who = "a peer that doesn't say its type"
	}
	return &ParseError{"socket type", who + " connects to a " + string(t) + ", which talks to " + strings.Join(names, ", ")}
}

// hasIdentity says whether peers of the type say their identity.
func (t SocketType) hasIdentity() bool { return t == REQ || t == DEALER || t == ROUTER }

func socketTypeOf(value []byte) SocketType {
	switch string(value) { // these don't allocate
	case string(REQ):
		return REQ
	case string(REP):
		return REP
	case string(DEALER):
		return DEALER
	case string(ROUTER):
		return ROUTER
	}
	return SocketType(value)
}

// quoteShort returns s in quotes if it is as short as a socket type.
func quoteShort(s string) string {
	const longest = 16
	if len(s) > longest {
		return "of " + strconv.Itoa(len(s)) + " bytes"
	}
	return strconv.QuoteToASCII(s)
}
