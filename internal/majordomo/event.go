package majordomo

import (
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// Identity says who a peer is, as far as its transport vouches for it.
type Identity struct {
	Name  string // authenticated name, empty where there is none
	Addr  string // where it is, for logs
	Local bool   // in this process
}

// Peer is one connection to the broker, for its whole life. The driver makes it
// with [NewPeer], hands it over with each event and gets it back with each
// action; what is inside belongs to the broker.
type Peer struct {
	// Data belongs to the driver.
	Data any

	closed   bool // gone, or told to go
	refused  bool // its registration was refused as a whole
	held     bool // a client that is held to liveness: it sent mmi.ping
	drained  bool // by an operator: as a worker it gets nothing
	worker   *worker
	heard    time.Duration
	sent     time.Duration
	known    node[Peer] // in Broker.peers, once it said something valid
	account  *account
	requests roll[request] // whose outcome it waits for

	firstWorker worker // worker, most times: beside the rest it costs one miss of the caches less

	id        Identity
	serial    uint64
	since     time.Duration
	beat      timer
	invalid   uint64
	noteAfter time.Duration
	presence  *Presence // what a client said of itself; nil: nothing
}

// NewPeer returns the broker's view of a new connection.
func NewPeer(id Identity, data any) *Peer { return &Peer{id: id, Data: data} }

// Identity returns what the peer was made with.
func (p *Peer) Identity() Identity { return p.id }

// EventKind says what happened.
type EventKind uint8

// The kinds of [Event].
const (
	// Message: a peer sent Command, or something that gave Err.
	Message EventKind = iota + 1
	// Gone: the connection to Peer ended for Err. It is the last event of it.
	Gone
	// Wake: the time that NextWake returned has come.
	Wake
	// Drain: stop serving; Deadline bounds how long opaque requests that are
	// queued may still wait for a worker.
	Drain
	// Operate: the program that the broker is part of asks for Operation, which
	// tells what came of it afterwards.
	Operate
)

// Event is something that happens to a broker.
type Event struct {
	Kind     EventKind
	Peer     *Peer
	Size     int // bytes of the whole message
	Command  mdp.Command
	Envelope jsonrpc.Envelope // of the first body frame, where it is the only one
	Err      error
	Deadline time.Time

	Operation *Operation
}

// Received makes ev the event of a message from p. It needs nothing of the broker's
// state and can run before its turn comes. full asks for every byte of the
// envelope to be checked, which a broker needs where rights go by method.
func (ev *Event) Received(p *Peer, frames [][]byte, full bool) {
	ev.Kind, ev.Peer, ev.Size, ev.Deadline, ev.Operation = Message, p, 0, time.Time{}, nil
	for _, f := range frames {
		ev.Size += len(f)
	}
	ev.Command, ev.Err = mdp.ParseBroker(frames)
	kind := ev.Command.Kind
	if ev.Err != nil || len(ev.Command.Body) != 1 || kind != mdp.ClientRequest && kind != mdp.WorkerFinal {
		ev.Envelope = noEnvelope()
		return
	}
	switch kind {
	case mdp.ClientRequest:
		scan := jsonrpc.ScanHead
		if full {
			scan = jsonrpc.Scan
		}
		scan(ev.Command.Body[0], &ev.Envelope)
		if !ev.Envelope.Complete && len(ev.Envelope.Meta.Key) > 0 {
			// The window compares params, so it must know where they end.
			jsonrpc.Scan(ev.Command.Body[0], &ev.Envelope)
		}
	case mdp.WorkerFinal:
		jsonrpc.ScanHead(ev.Command.Body[0], &ev.Envelope)
	}
}

// noEnvelope is the envelope of a body that isn't scanned.
func noEnvelope() (e jsonrpc.Envelope) {
	e.Meta.TimeoutMS, e.Meta.Window = -1, -1
	return e
}

// ActionKind says what has to be done.
type ActionKind uint8

// The kinds of [Action].
const (
	// Send: Message has to be sent to Peer.
	Send ActionKind = iota + 1
	// Close: the connection to Peer has to be closed, after what was sent. No
	// Gone is needed for it any more.
	Close
	// Note: something that the log should hear of: Text, of Peer where there is
	// one, for Err where there is one.
	Note
	// Drained: nothing is left to be done after a Drain; it comes once.
	Drained
)

// Action is something that a broker wants done. Actions of one step are to be
// carried out in their order.
type Action struct {
	Kind    ActionKind
	Peer    *Peer
	Message [][]byte
	Text    string
	Err     error
}

// Occasion says what an [Observation] tells.
type Occasion uint8

// The occasions of a request's life, then those of workers and services, then
// what operators ask for.
const (
	Received Occasion = iota + 1
	Queued
	Dispatched
	Partial
	Replied
	Failed
	TimedOut
	Cancelled
	Requeued
	Quarantined
	WorkerJoined
	WorkerLeft
	ServiceAppeared
	ServiceGone
	// Operated: somebody asked for a management request that is for operators. It
	// comes after what the request caused, also where it was refused.
	Operated
)

// Observation is one event of the life of a request, a worker or a service, for
// whoever watches the broker. Frames and envelope are references to what was
// received.
type Observation struct {
	Occasion Occasion
	At       time.Time
	Request  uint64 // serial number of the request at this broker, from 1
	Linked   uint64 // the request of which this one is a released copy
	Service  string
	Envelope jsonrpc.Envelope // of the request
	Body     [][]byte         // Received: the request's; Partial, Replied, Failed: the reply's
	Caller   Identity
	Worker   Identity
	Instance string // the worker's own name for itself, where it registered
	Attempt  int    // which hand-over it was, from 1; 0 before the first
	Code     int    // Failed, TimedOut, Cancelled, Quarantined, Operated: the error's code
	Reason   string // why, where that isn't plain from the code

	// Operated: what was asked for, such as "pause", and who asked. Service,
	// Instance and Request are what it was asked for.
	Operation string
	By        Identity
}

// String returns the occasion's name in lower case.
func (o Occasion) String() string {
	names := [...]string{
		Received: "received", Queued: "queued", Dispatched: "dispatched", Partial: "partial", Replied: "replied", Failed: "failed",
		TimedOut: "timed out", Cancelled: "cancelled", Requeued: "requeued", Quarantined: "quarantined",
		WorkerJoined: "worker joined", WorkerLeft: "worker left", ServiceAppeared: "service appeared", ServiceGone: "service gone",
		Operated: "operated",
	}
	if int(o) < len(names) && names[o] != "" {
		return names[o]
	}
	return "unknown"
}
