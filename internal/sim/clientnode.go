package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/majordomo"
)

// clientNode drives a client's session, and makes calls.
type clientNode struct {
	node
	at      int
	plan    clientPlan
	session *majordomo.ClientSession
	ends    map[uint64]*end
	closed  bool
}

// clientTamper plants bugs at a client: it may change what is done.
type clientTamper func(c *clientNode, actions []majordomo.ClientAction) []majordomo.ClientAction

func newClientNode(w *World, at int) *clientNode {
	return &clientNode{node: node{w: w, name: fmt.Sprintf("c%d", at)}, at: at, plan: w.plan.Clients[at]}
}

// start begins a new run.
func (c *clientNode) start() {
	if c.up {
		return
	}
	c.begin()
	session, err := majordomo.NewClientSession(majordomo.ClientConfig{
		Brokers: len(c.w.brokers), Speak: c.plan.speak, Opaque: c.plan.opaque,
		HeartbeatInterval: c.w.plan.Broker.HeartbeatInterval, Liveness: liveness,
		DialTimeout: 2 * time.Second, RedialMin: shortestRedial, RedialMax: longestRedial,
		Random: c.w.dice.Uint64,
	}, c.clock())
	if err != nil {
		panic(err) // the plan is wrong
	}
	c.session, c.ends, c.closed = session, make(map[uint64]*end), false
	c.w.tracef(c.name, "starts, speaks %v", c.plan.speak)
	c.w.ledger.clientBegins(c)
	c.rearm()
	if c.plan.speak != majordomo.SpeakMesh {
		c.keepAlive()
	}
}

// keepAlive has the machine of a plain client find the connections that lead nowhere,
// again and again: the client sends no heartbeats. All others have to find them by
// themselves.
func (c *clientNode) keepAlive() {
	c.after(keepAlive, func() {
		c.w.net.askAfter(&c.node)
		c.keepAlive()
	})
}

// step gives the session one event, and then those that come of it, and does what
// it wants.
func (c *clientNode) step(first *majordomo.ClientEvent) {
	again := []majordomo.ClientEvent{*first}
	for len(again) > 0 && c.up {
		ev := again[0]
		again = again[1:]
		actions := c.session.Step(c.clock(), &ev)
		if c.w.tamper.clientActions != nil {
			actions = c.w.tamper.clientActions(c, actions)
		}
		for i := range actions {
			if next := c.act(&actions[i]); next.Kind != 0 {
				again = append(again, next)
			}
		}
		if ev.Kind == majordomo.ClientDialFailed || ev.Kind == majordomo.ClientLost {
			delete(c.ends, ev.Conn)
		}
	}
	if c.up && !c.closed {
		c.rearm()
	}
	c.w.ledger.clientSettled(c)
}

// act does one thing that the session wants, and returns what came of it at once.
func (c *clientNode) act(a *majordomo.ClientAction) (next majordomo.ClientEvent) {
	switch a.Kind {
	case majordomo.ClientDial:
		c.dial(a.Conn, a.Broker)
	case majordomo.ClientSend:
		return c.send(a)
	case majordomo.ClientHangup:
		if e := c.ends[a.Conn]; e != nil {
			c.w.tracef(c.name, "hangs up on %s", e.peer.owner.name)
			delete(c.ends, a.Conn)
			c.w.net.close(e)
			c.w.ledger.clientLoses(c, e)
		}
	case majordomo.ClientPart:
		k := a.Call.Data.(*call)
		c.w.ledger.callerGets(k, a)
		c.read(k, len(a.Result))
	case majordomo.ClientDone:
		c.w.ledger.callerDone(a.Call.Data.(*call), a)
	case majordomo.ClientNote:
		c.w.tracef(c.name, "notes: %s: %v", a.Text, a.Err)
	}
	return next
}

func (c *clientNode) dial(number uint64, broker int) {
	to := c.w.brokers[broker]
	c.w.tracef(c.name, "dials %s", to.name)
	c.w.net.dial(&c.node, number, to, func(e *end, err error) {
		if err != nil {
			c.step(&majordomo.ClientEvent{Kind: majordomo.ClientDialFailed, Conn: number, Err: err})
			return
		}
		c.ends[number] = e
		e.receive = func(frames [][]byte) {
			if c.w.trace != nil {
				c.w.tracef(c.name, "◄ %s  %s", to.name, describe(toClient, frames))
			}
			c.w.ledger.clientHears(c, e, frames)
			var ev majordomo.ClientEvent
			ev.Received(number, frames)
			c.step(&ev)
		}
		e.lost = func(err error) {
			c.w.tracef(c.name, "loses %s: %v", to.name, err)
			c.w.ledger.clientLoses(c, e)
			c.step(&majordomo.ClientEvent{Kind: majordomo.ClientLost, Conn: number, Err: err})
		}
		c.step(&majordomo.ClientEvent{Kind: majordomo.ClientDialed, Conn: number})
	})
}

func (c *clientNode) send(a *majordomo.ClientAction) (next majordomo.ClientEvent) {
	e := c.ends[a.Conn]
	err := errClosed
	if e != nil {
		if c.w.trace != nil {
			c.w.tracef(c.name, "► %s  %s", e.peer.owner.name, describe(toBroker, a.Message))
		}
		err = c.w.net.send(e, a.Message)
		c.w.ledger.clientSays(c, e, a, err)
	}
	switch {
	case errors.Is(err, errFull):
		f := majordomo.Failure{Code: jsonrpc.CodeOverloaded, Text: "the connection to the broker is full", Cause: err}
		return majordomo.ClientEvent{Kind: majordomo.ClientUnsent, Conn: a.Conn, Call: a.Call, Failure: f}
	case err != nil:
		return majordomo.ClientEvent{Kind: majordomo.ClientUnsent, Conn: a.Conn, Call: a.Call}
	case a.Call != nil && a.Call.Notify:
		return majordomo.ClientEvent{Kind: majordomo.ClientSent, Conn: a.Conn, Call: a.Call}
	}
	return next
}

// read has the caller read a part that it got, after a while.
func (c *clientNode) read(k *call, bytes int) {
	c.after(c.w.dice.exponential(k.reads), func() {
		if k.done {
			return
		}
		k.unread--
		c.step(&majordomo.ClientEvent{Kind: majordomo.ClientCredit, Call: &k.request, N: 1, Bytes: bytes})
	})
}

func (c *clientNode) rearm() {
	c.wakeAt(c.session.NextWake(), func() { c.step(&majordomo.ClientEvent{Kind: majordomo.ClientWake}) })
}

// crash ends the run as kill -9 does, or with its machine. Nobody sees the outcome of
// its calls.
func (c *clientNode) crash(dark bool) {
	if !c.up {
		return
	}
	c.w.tracef(c.name, "crashes")
	c.dark = dark
	c.w.net.crash(&c.node)
	c.end()
	c.w.ledger.clientEnds(c)
}

// close ends the run in order.
func (c *clientNode) close() {
	c.do(func() {
		if c.closed {
			return
		}
		c.w.tracef(c.name, "closes")
		c.closed = true
		c.step(&majordomo.ClientEvent{Kind: majordomo.ClientClose})
		c.w.ledger.clientClosed(c)
		c.end()
	})
}
