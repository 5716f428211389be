package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/mdpmesh/mesh/internal/majordomo"
)

// brokerNode drives a broker's core.
type brokerNode struct {
	node
	core      *majordomo.Broker
	book      *brokerBook // the ledger's of this run
	listening bool
	leaving   bool // it drains
	drained   bool
	ends      map[*end]*majordomo.Peer
	ended     func() // what is to be done when it is drained
}

// brokerTamper plants bugs at a broker: it may swallow an event, or change what is
// done.
type brokerTamper struct {
	event   func(b *brokerNode, ev *majordomo.Event) (swallow bool)
	actions func(b *brokerNode, actions []majordomo.Action) []majordomo.Action
}

func newBrokerNode(w *World, at int) *brokerNode {
	return &brokerNode{node: node{w: w, name: fmt.Sprintf("b%d", at)}}
}

// start begins a new run, which knows nothing of those before.
func (b *brokerNode) start() {
	if b.up {
		return
	}
	b.begin()
	cfg := b.w.plan.Broker
	cfg.ID = b.name
	cfg.Incarnation = fmt.Sprintf("%s.%d", b.name, b.life)
	core, err := majordomo.NewBroker(cfg, b.clock())
	if err != nil {
		panic(err) // the plan is wrong
	}
	b.core = core
	b.ends = make(map[*end]*majordomo.Peer)
	b.listening, b.leaving, b.drained, b.ended = true, false, false, nil
	b.book = b.w.ledger.brokerBegins(b)
	b.w.tracef(b.name, "starts as %s", cfg.Incarnation)
}

// accept takes a connection that was dialled.
func (b *brokerNode) accept(e *end) {
	caller := ""
	if name, ok := b.w.callerName(e.peer.owner); ok {
		caller = name
	}
	p := majordomo.NewPeer(majordomo.Identity{Name: caller, Addr: e.peer.owner.name}, e)
	b.ends[e] = p
	e.receive = func(frames [][]byte) {
		var ev majordomo.Event
		ev.Received(p, frames, false)
		if b.w.trace != nil {
			b.w.tracef(b.name, "◄ %s  %s", e.peer.owner.name, describe(toBroker, frames))
		}
		b.w.ledger.brokerHears(b, e, frames)
		b.take(&ev)
	}
	e.lost = func(err error) {
		b.w.tracef(b.name, "loses %s: %v", e.peer.owner.name, err)
		delete(b.ends, e)
		b.w.ledger.brokerLoses(b, e)
		ev := majordomo.Event{Kind: majordomo.Gone, Peer: p, Err: err}
		b.take(&ev)
	}
}

// take gives the core one event, unless a planted bug swallows it.
func (b *brokerNode) take(ev *majordomo.Event) {
	if b.w.tamper.broker.event != nil && b.w.tamper.broker.event(b, ev) {
		b.w.ledger.settle(&b.node)
		return
	}
	b.step(ev)
}

// step gives the core one event and does what it wants.
func (b *brokerNode) step(ev *majordomo.Event) {
	actions := b.core.Step(b.clock(), ev)
	if b.w.tamper.broker.actions != nil {
		actions = b.w.tamper.broker.actions(b, actions)
	}
	for i := range actions {
		b.act(&actions[i])
	}
	if b.up {
		b.rearm()
	}
	b.w.ledger.settle(&b.node)
}

func (b *brokerNode) act(a *majordomo.Action) {
	switch a.Kind {
	case majordomo.Send:
		e := a.Peer.Data.(*end)
		if b.w.trace != nil {
			b.w.tracef(b.name, "► %s  %s", e.peer.owner.name, describe(fromBroker, a.Message))
		}
		b.w.ledger.brokerSays(b, e, a.Message)
		if errors.Is(b.w.net.send(e, a.Message), errFull) {
			b.w.net.cut(e.conn) // it doesn't read, and holds up nobody else
		}
	case majordomo.Close:
		e := a.Peer.Data.(*end)
		b.w.tracef(b.name, "closes %s: %s", e.peer.owner.name, a.Text)
		delete(b.ends, e)
		b.w.net.close(e)
		b.w.ledger.brokerLoses(b, e)
	case majordomo.Note:
		b.w.tracef(b.name, "notes of %s: %s: %v", a.Peer.Identity().Addr, a.Text, a.Err)
	case majordomo.Drained:
		b.drained = true
		b.after(0, b.stop)
	}
}

func (b *brokerNode) rearm() {
	b.wakeAt(b.core.NextWake(), func() { b.step(&majordomo.Event{Kind: majordomo.Wake}) })
}

// crash ends the run as kill -9 does, or with its machine.
func (b *brokerNode) crash(dark bool) {
	if !b.up {
		return
	}
	b.w.tracef(b.name, "crashes")
	b.dark = dark
	b.gone(b.w.net.crash)
}

// stop ends the run after a drain: what was sent still arrives.
func (b *brokerNode) stop() {
	b.w.tracef(b.name, "is drained and ends")
	b.gone(func(*node) {
		for _, c := range b.w.net.living() {
			if c.listener.owner == &b.node {
				b.w.net.close(&c.listener)
			}
		}
	})
	if b.ended != nil {
		b.ended()
		b.ended = nil
	}
}

func (b *brokerNode) gone(cut func(*node)) {
	cut(&b.node)
	b.end()
	b.listening = false
	b.w.ledger.brokerEnds(b)
}

// drain has the broker end in order, at the latest after limit if that isn't zero.
func (b *brokerNode) drain(limit time.Duration) {
	b.do(func() {
		if b.leaving {
			return
		}
		b.w.tracef(b.name, "drains")
		b.leaving = true
		ev := majordomo.Event{Kind: majordomo.Drain}
		if limit > 0 {
			ev.Deadline = b.clock().Add(limit)
			b.node.after(limit+limit/4, func() { b.stop() })
		}
		b.step(&ev)
	})
}
