package mdp

import "slices"

// Version is a version of the Majordomo protocol. The zero value is none.
type Version uint8

const (
	// V01 is MDP/0.1 (RFC 7): one reply to a request.
	V01 Version = 1
	// V02 is MDP/0.2 (RFC 18): any number of partial replies, then a final one.
	V02 Version = 2
)

// String returns "MDP/0.1" or "MDP/0.2", and "MDP/?" for anything else.
func (v Version) String() string {
	switch v {
	case V01:
		return "MDP/0.1"
	case V02:
		return "MDP/0.2"
	}
	return "MDP/?"
}

// Kind says what a command is and which of the two sub-protocols it belongs to:
// MDP/Client, or MDP/Worker.
type Kind uint8

const (
	// Invalid is the zero value and no command.
	Invalid Kind = iota
	// ClientRequest goes from a client to a broker: Service and Body.
	ClientRequest
	// ClientPartial goes from a broker to a client: Service and Body. MDP/0.2
	// only.
	ClientPartial
	// ClientFinal goes from a broker to a client: Service and Body. It is the
	// REPLY of MDP/0.1.
	ClientFinal
	// Ready goes from a worker to a broker: Service.
	Ready
	// WorkerRequest goes from a broker to a worker: Address and Body.
	WorkerRequest
	// WorkerPartial goes from a worker to a broker: Address and Body. MDP/0.2
	// only.
	WorkerPartial
	// WorkerFinal goes from a worker to a broker: Address and Body. It is the
	// REPLY of MDP/0.1.
	WorkerFinal
	// Heartbeat goes both ways between a worker and a broker.
	Heartbeat
	// Disconnect goes both ways between a worker and a broker.
	Disconnect

	numKinds
)

var kindNames = [numKinds]string{
	Invalid:       "invalid",
	ClientRequest: "client request",
	ClientPartial: "client partial",
	ClientFinal:   "client final",
	Ready:         "ready",
	WorkerRequest: "worker request",
	WorkerPartial: "worker partial",
	WorkerFinal:   "worker final",
	Heartbeat:     "heartbeat",
	Disconnect:    "disconnect",
}

// String returns the kind in lower-case words, such as "worker request"; it is
// "invalid" for what is no kind.
func (k Kind) String() string {
	if k >= numKinds {
		k = Invalid
	}
	return kindNames[k]
}

// MaxEnvelope is the largest number of frames that a request may have before its
// first empty frame.
const MaxEnvelope = 8

// Command is one message of either sub-protocol. Which fields count is said at
// each [Kind]; the parse functions leave the others nil, and AppendTo ignores
// them.
//
// All slices are parts of the message that the command was parsed from.
type Command struct {
	Version Version
	Kind    Kind
	// Service is the name of the service. The parse functions take any bytes
	// here; see [CheckService].
	Service []byte
	// Address is the client address, which is never empty. It is the broker's
	// own, see [Address] and [AppendToken].
	Address []byte
	// Envelope holds the frames, at most [MaxEnvelope], that stood before the
	// empty one in a ClientRequest of MDP/0.1, and is nil if there was none, as is
	// usual. A REQ socket with the option REQ_CORRELATE puts a request id there
	// and expects it back, so the broker sets it in the ClientFinal as it came.
	Envelope [][]byte
	// Body holds the frames of the body, at least one; frames may be empty. Its
	// capacity is its length, so that appending to it copies.
	Body [][]byte
}

// Len returns the number of frames that [Command.AppendTo] appends. Like that, it
// panics for a command that doesn't exist.
func (c *Command) Len() int {
	if !exists(c.Version, c.Kind) {
		panic("mdp: " + c.Version.String() + " has no command " + c.Kind.String())
	}
	n := 2 // header and command
	if c.Version == V01 {
		n++ // the empty frame
	}
	switch c.Kind {
	case ClientRequest, ClientPartial, ClientFinal:
		if c.Version == V01 {
			n += len(c.Envelope) - 1 // RFC 7: clients' messages have no command byte
		}
		n += 1 + len(c.Body)
	case Ready:
		n++
	case WorkerRequest, WorkerPartial, WorkerFinal:
		n += 2 + len(c.Body)
	}
	return n
}

// AppendTo appends the frames of the command's message to dst and returns it. It
// allocates only where dst has less room than [Command.Len], and then once.
//
// The frames for header, command and delimiter are shared by all messages and
// must not be written to. The fields are not checked: a peer refuses a command
// whose body has no frame, or whose address is empty. AppendTo panics if the
// version doesn't have the kind, which only a mistake in the program can cause.
func (c *Command) AppendTo(dst [][]byte) [][]byte {
	dst = slices.Grow(dst, c.Len())
	code := codeFrames[codes[c.Version][c.Kind]]
	switch c.Kind {
	case ClientRequest, ClientPartial, ClientFinal:
		if c.Version == V01 {
			dst = append(dst, c.Envelope...)
			dst = append(dst, empty, headerC01, c.Service)
		} else {
			dst = append(dst, headerC02, code, c.Service)
		}
		return append(dst, c.Body...)
	}

	if c.Version == V01 {
		dst = append(dst, empty, headerW01, code)
	} else {
		dst = append(dst, headerW02, code)
	}
	switch c.Kind {
	case Ready:
		dst = append(dst, c.Service)
	case WorkerRequest, WorkerPartial, WorkerFinal:
		dst = append(dst, c.Address, empty)
		dst = append(dst, c.Body...)
	}
	return dst
}
