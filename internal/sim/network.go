package sim

import (
	"errors"
	"slices"
	"time"
)

// Errors that a connection ends with, or doesn't take a message for.
var (
	errRefused = errors.New("sim: connection refused")
	errClosed  = errors.New("sim: the connection has ended")
	errReset   = errors.New("sim: the connection was reset")
	errFull    = errors.New("sim: too many messages are on their way")
)

// keepAlive is how often a machine asks after connections that it doesn't hear of
// (TCP's keepalive), as package net has it.
const keepAlive = 15 * time.Second

// network carries messages between nodes. While a connection lives, each direction
// of it is reliable and in order, as TCP has it; on a bad wire (wild) it isn't.
type network struct {
	w          *World
	plan       networkPlan
	wild       bool
	conns      []*connection // those that may live
	partitions []*partition
}

// connection is one connection between a node that dialled and a broker. It has one
// life.
type connection struct {
	dialler, listener end
}

// end is one side of a connection, with what is on its way to it.
type end struct {
	owner    *node
	peer     *end
	conn     *connection
	number   uint64 // the dialler's own for the connection
	open     bool   // the owner sends and receives
	broken   bool   // the owner's next message finds that the connection has ended
	receive  func(frames [][]byte)
	lost     func(err error)
	last     time.Duration // when what was sent last arrives
	cuts     int           // what was sent before the last of them never arrives
	onTheWay int
	held     []item // for a partition to heal
	deaf     bool   // a message to it vanished: nothing but a reset comes any more
}

// item is a message, or the end of the connection.
type item struct {
	frames [][]byte
	end    error
}

// partition keeps messages of some nodes from others.
type partition struct {
	from, to map[*node]bool
	oneWay   bool
	hold     bool // they arrive when it heals; otherwise they vanish
}

func (p *partition) blocks(from, to *node) bool {
	return p.from[from] && p.to[to] || !p.oneWay && p.from[to] && p.to[from]
}

// path says what becomes of what is sent from one node to another now.
type path uint8

const (
	pathOpen path = iota
	pathHolds
	pathDead
)

func (n *network) path(from, to *node) path {
	state := pathOpen
	for _, p := range n.partitions {
		if p.blocks(from, to) {
			if !p.hold {
				return pathDead
			}
			state = pathHolds
		}
	}
	return state
}

// delay draws how long a message is on its way.
func (n *network) delay() time.Duration { return n.plan.latency + n.w.dice.upTo(n.plan.jitter) }

// dial connects a node to a broker, and tells it when that is done or failed. It
// never tells where the network is silent.
func (n *network) dial(from *node, number uint64, to *brokerNode, done func(*end, error)) {
	life := from.life
	tell := func(e *end, err error) {
		if from.life == life && from.up {
			from.do(func() { done(e, err) })
		}
	}
	n.w.after(n.delay(), func() {
		if n.path(from, &to.node) != pathOpen || n.path(&to.node, from) != pathOpen || to.dark {
			return
		}
		if !to.up {
			n.w.after(n.delay(), func() { tell(nil, errRefused) })
			return
		}
		to.do(func() { // a stopped process answers nobody
			n.w.after(n.delay(), func() { n.connect(from, life, number, to, tell) })
		})
	})
}

// connect makes the connection of a dial that got through.
func (n *network) connect(from *node, life int, number uint64, to *brokerNode, tell func(*end, error)) {
	switch {
	case from.life != life || !from.up:
		return
	case !to.up || !to.listening:
		tell(nil, errRefused)
		return
	}
	c := &connection{}
	c.dialler = end{owner: from, peer: &c.listener, conn: c, number: number, open: true}
	c.listener = end{owner: &to.node, peer: &c.dialler, conn: c, number: number, open: true}
	n.conns = append(n.conns, c)
	to.accept(&c.listener)
	tell(&c.dialler, nil)
}

// send sends a message from e. The error says why it never leaves.
func (n *network) send(e *end, frames [][]byte) error {
	to := e.peer
	switch {
	case !e.open || e.broken:
		return errClosed
	case to.onTheWay+len(to.held) >= n.plan.queue:
		return errFull
	case n.wild && n.w.dice.chance(0.01):
		return nil // lost
	}
	n.put(e, item{frames: frames})
	if n.wild && n.w.dice.chance(0.01) {
		n.put(e, item{frames: frames}) // doubled
	}
	return nil
}

// put sends something from e on its way, as the network is now.
func (n *network) put(e *end, it item) {
	to := e.peer
	state := n.path(e.owner, to.owner)
	switch {
	case to.deaf && it.end != errReset: //nolint:errorlint // it is no other's
	case state == pathDead:
		to.deaf = !n.wild
	case state == pathHolds || len(to.held) > 0:
		to.held = append(to.held, it)
	default:
		n.pass(to, it)
	}
}

// pass has something arrive at an end.
func (n *network) pass(to *end, it item) {
	at := n.w.now + n.delay()
	if n.wild && n.w.dice.chance(0.02) {
		at += n.w.dice.upTo(20 * n.plan.latency) // others may overtake it
	} else {
		at = max(at, to.last)
		to.last = at
	}
	cuts := to.cuts
	to.onTheWay++
	n.w.at(at, func() {
		if to.cuts == cuts {
			to.onTheWay--
			n.arrive(to, it)
		}
	})
}

func (n *network) arrive(to *end, it item) {
	switch {
	case it.end != nil:
		n.ended(to, it.end)
	case to.open:
		to.owner.do(func() {
			if to.open {
				n.w.ledger.messages++
				to.receive(it.frames)
			}
		})
	case !to.owner.dark:
		// Nobody is there any more, and the sender's machine is told so.
		n.put(to, item{end: errReset})
	}
}

// ended tells an end's owner that the connection is over.
func (n *network) ended(e *end, err error) {
	if e.open {
		e.owner.do(func() {
			if e.open {
				e.open = false
				e.lost(err)
			}
		})
	}
}

// close ends the connection from e's side, after what was sent.
func (n *network) close(e *end) {
	if e.open {
		e.open = false
		n.put(e, item{end: errClosed})
	}
}

// cut ends a connection at both of its ends, with or without what is on its way.
func (n *network) cut(c *connection) {
	for _, e := range []*end{&c.dialler, &c.listener} {
		if !e.open {
			continue
		}
		e.broken = n.w.dice.chance(0.5)
		if n.w.dice.chance(0.5) {
			e.cuts++
			e.onTheWay = 0
			e.held = nil
		}
		n.pass(e, item{end: errReset})
	}
}

// crash ends a node's connections without its doing. Where the machine is gone
// with it nobody is told.
func (n *network) crash(who *node) {
	for _, c := range n.living() {
		for _, e := range []*end{&c.dialler, &c.listener} {
			if e.owner != who || !e.open {
				continue
			}
			e.open = false
			if n.w.dice.chance(0.5) { // what was written and hadn't left yet
				e.peer.cuts++
				e.peer.onTheWay = 0
				e.peer.held = nil
			}
			if !who.dark {
				n.put(e, item{end: errReset})
			}
		}
	}
}

// askAfter asks the machines at the other ends of a node's connections whether they
// still know them. One that was restarted doesn't, and resets them.
func (n *network) askAfter(who *node) {
	for _, c := range n.living() {
		from, to := &c.dialler, &c.listener
		if from.owner == who && !to.open && !to.owner.dark && n.path(who, to.owner) == pathOpen {
			n.put(to, item{end: errReset})
		}
	}
}

// living returns the connections that have an end that is open, oldest first.
func (n *network) living() []*connection {
	n.conns = slices.DeleteFunc(n.conns, func(c *connection) bool { return !c.dialler.open && !c.listener.open })
	return n.conns
}

// split begins a partition.
func (n *network) split(p *partition) { n.partitions = append(n.partitions, p) }

// join ends a partition: what it held goes on.
func (n *network) join(p *partition) {
	at := slices.Index(n.partitions, p)
	if at < 0 {
		return
	}
	n.partitions = slices.Delete(n.partitions, at, at+1)
	for _, c := range n.living() {
		for _, e := range []*end{&c.dialler, &c.listener} {
			if len(e.held) == 0 || n.path(e.peer.owner, e.owner) != pathOpen {
				continue
			}
			held := e.held
			e.held = nil
			for _, it := range held {
				n.pass(e, it)
			}
		}
	}
}

// heal makes the network a good one. Connections that have lost something end, as
// they do when what was lost is sent again.
func (n *network) heal() {
	for len(n.partitions) > 0 {
		n.join(n.partitions[0])
	}
	for _, c := range n.living() {
		if n.wild || c.dialler.deaf || c.listener.deaf {
			n.cut(c)
		}
	}
	n.wild = false
}
