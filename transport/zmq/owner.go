//go:build cgo && unix

package zmq

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/mdpmesh/mesh/transport"
)

// owner is the goroutine of a listener that alone touches its sockets. It calls
// accept and the receivers.
type owner struct {
	listener *listener
	cfg      *Config
	within   *instance
	router   *socket
	events   *socket

	peers    map[string]*peer // by id
	greeting []*peer          // those whose handshake goes on, and some for which it has ended, oldest first
	greeters int              // how many of greeting's goes on
	pending  []*peer          // greeted, not accepted
	blocked  []*peer          // for which libzmq takes no more at the moment
	dying    []*peer          // whose connection has ended, and from which something may still come
	touched  []*peer          // that have a batch
	admit    func(transport.Peer) transport.Receiver
	received uint64 // messages
}

// open opens the sockets.
func (o *owner) open(l *listener) error {
	o.listener, o.cfg, o.peers = l, &l.transport.cfg, make(map[string]*peer)
	within, err := l.transport.library.enter()
	if err != nil {
		return err
	}
	o.within = within
	o.router, err = newSocket(within.Context, zmq4.ROUTER)
	if err == nil {
		// A message to a peer that is gone, or that doesn't read, is an error
		// rather than lost; with DONTWAIT, which all have, it never waits.
		errs := []error{o.router.configure(o.cfg), o.router.SetRouterMandatory(1)}
		if o.cfg.Keys != nil {
			errs = append(errs, o.router.SetCurveServer(1))
		}
		if err = errors.Join(errs...); err == nil {
			o.events, err = o.router.monitor(within)
		}
		if err == nil {
			return nil
		}
		o.router.close()
	}
	l.transport.library.leave()
	return err
}

// run does what there is to do until the listener is closed.
func (o *owner) run() {
	defer o.listener.transport.library.leave()
	for {
		opened, told, closed := o.collect()
		o.observe()
		for _, p := range opened {
			o.connect(p)
		}
		if closed {
			o.finish()
			return
		}
		o.accept()
		more := o.receive()
		o.retry()
		for _, p := range told {
			o.look(p)
		}
		o.bury(!more)
		if !more {
			o.park()
		}
	}
}

// park waits until there is something to do.
func (o *owner) park() {
	// What libzmq was asked last must be its state: its signal comes once.
	if o.router.readable() && o.admit != nil {
		return
	}
	var timer <-chan time.Time
	if len(o.blocked) > 0 || len(o.dying) > 0 && o.admit != nil {
		// libzmq doesn't say which peer takes messages again, and says it to
		// whatever asked last.
		timer = time.After(tick)
	}
	select {
	case <-o.router.ready:
	case <-o.events.ready:
	case <-o.listener.wake:
	case <-timer:
	}
}

// collect takes what others left for the owner.
func (o *owner) collect() (opened, told []*peer, closed bool) {
	l := o.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	opened, told = l.opened, l.told
	l.opened, l.told = nil, nil
	o.admit = l.admit
	return opened, told, l.closed
}

// connect has libzmq speak with a new peer.
func (o *owner) connect(p *peer) {
	o.peers[p.id] = p
	o.greeting = append(o.greeting, p)
	o.greeters++
	if o.within.zap != nil {
		o.within.zap.expect(p.id)
	}
	// Both hold for the next connection only, the domain because it is set anew.
	errs := []error{o.router.SetConnectRid(p.id)}
	if o.within.zap != nil {
		errs = append(errs, o.router.SetZapDomain(p.id))
	}
	err := errors.Join(errs...)
	if err == nil {
		err = o.router.Connect(p.endpoint)
	}
	if err != nil {
		o.dismiss(p, err)
		return
	}
	for o.greeters > o.cfg.MaxHandshakes {
		oldest := o.greeting[0]
		o.greeting = o.greeting[1:]
		if oldest.stage == greeting {
			o.dismiss(oldest, errCrowded)
		}
	}
}

// shaken counts a handshake that has ended.
func (o *owner) shaken() {
	o.greeters--
	if len(o.greeting) > 2*o.greeters {
		o.greeting = slices.DeleteFunc(o.greeting, func(p *peer) bool { return p.stage != greeting })
	}
}

// observe looks at what became of connections.
func (o *owner) observe() {
	for {
		e, ok := o.events.event()
		if !ok {
			return
		}
		p := o.peers[path.Base(e.endpoint)]
		switch {
		case p == nil: // buried
		case p.stage == greeting && e.kind == zmq4.EVENT_HANDSHAKE_SUCCEEDED:
			o.greeted(p)
		case p.stage == greeting && e.kind == zmq4.EVENT_HANDSHAKE_FAILED_AUTH:
			p.refused = e.failure()
			p.relay.refuse()
		case p.stage == greeting:
			if err := e.failure(); err != nil {
				o.dismiss(p, cmp.Or(p.refused, err))
			}
		case e.forged() != nil:
			o.dismiss(p, e.forged())
		case e.ended():
			if p.down.IsZero() {
				o.lost(p)
			}
			p.final = p.final || e.final()
		}
	}
}

var errUnauthenticated = errors.New("zmq: a handshake without authentication")

// greeted has a peer wait for Serve.
func (o *owner) greeted(p *peer) {
	if o.within.zap != nil {
		said := o.within.zap.verdict(p.id)
		if !said.ok {
			o.dismiss(p, errUnauthenticated)
			return
		}
		p.identity.Name = said.name
	}
	if len(o.pending) >= o.cfg.MaxPending {
		o.dismiss(p, fmt.Errorf("%w: %d wait for Serve (Config.MaxPending)", errLimit, len(o.pending)))
		return
	}
	p.stage = pending
	o.listener.transport.counters.Greeted.Add(1)
	o.pending = append(o.pending, p)
	o.shaken()
}

// lost begins with the end of a peer whose connection has ended.
func (o *owner) lost(p *peer) {
	p.down, p.downAt = time.Now(), o.received
	p.end(transport.ErrPeerClosed, false, true)
	o.dying = append(o.dying, p)
}

// accept shows new peers to whoever serves.
func (o *owner) accept() {
	if o.admit == nil {
		return
	}
	all := o.pending
	o.pending = nil
	for _, p := range all {
		p.stage = accepted
		if p.receiver = o.admit(p); p.receiver == nil {
			p.end(transport.ErrClosed, true, false)
			o.look(p)
		}
	}
}

// receive gives receivers what has come, and reports whether there may be more.
func (o *owner) receive() bool {
	if o.admit == nil {
		return false
	}
	var t turn
	more := true
	for more && !t.over() {
		var m transport.Message
		if m, more = o.take(); more {
			t.add(m)
			o.received++
		}
	}
	for _, p := range o.touched {
		batch := p.batch
		if ended, _ := p.over(); !ended && p.stage == accepted {
			p.receiver.Receive(batch)
		}
		clear(batch)
		p.batch = batch[:0]
	}
	clear(o.touched)
	o.touched = o.touched[:0]
	return more
}

// take receives one message for its peer's batch, and reports whether there was one; m
// is nil where nobody wants it.
func (o *owner) take() (m transport.Message, ok bool) {
	id, err := o.router.Recv(zmq4.DONTWAIT)
	if err != nil {
		return nil, false
	}
	m, user, err := o.router.receive(o.cfg, o.within.zap != nil)
	p := o.peers[id]
	if p == nil { // buried
		return nil, true
	}
	if p.stage != accepted {
		// The monitor knew of it before it could send.
		o.observe()
		o.accept()
	}
	switch {
	case p.stage == buried || p.receiver == nil:
	case p.stage != accepted: // of a version of ZMTP without a handshake
		o.dismiss(p, fmt.Errorf("%w: a message before the handshake", ErrProtocol))
	case err != nil:
		o.dismiss(p, err)
	case user != p.identity.Name:
		// A connection has one identity for life. This can't happen, and if it
		// does, nothing goes by the wrong name.
		o.dismiss(p, errUnauthenticated)
	default:
		if len(p.batch) == 0 {
			o.touched = append(o.touched, p)
		}
		p.batch = append(p.batch, m)
		return m, true
	}
	return nil, true
}

// look sends what a peer has to be sent, and ends it if this side did.
func (o *owner) look(p *peer) {
	if p.stage == buried {
		return
	}
	p.look()
	o.write(p)
	o.part(p)
}

// part ends a peer that this side ended, after what was flushed, if that doesn't take
// too long.
func (o *owner) part(p *peer) {
	ended, drop := p.over()
	switch now := time.Now(); {
	case !ended:
	case drop || !p.left() || !p.parts.IsZero() && now.After(p.parts):
		o.end(p, drop)
	case p.parts.IsZero():
		p.parts = now.Add(farewell)
	}
}

// retry tries again to send where libzmq took no more.
func (o *owner) retry() {
	all := o.blocked
	o.blocked = nil
	for _, p := range all {
		if p.blocked = false; p.stage != buried {
			o.write(p)
			o.part(p)
		}
	}
}

// write sends what was flushed as far as libzmq takes it.
func (o *owner) write(p *peer) {
	if p.blocked {
		return
	}
	for range maxBatch {
		m := p.next()
		if m == nil {
			return
		}
		switch err := o.router.send(p.id, m); {
		case err == nil:
			p.sent()
		case is(err, syscall.EHOSTUNREACH):
			if p.down.IsZero() { // the monitor will say so, too
				o.lost(p)
			}
			return
		default:
			p.fallBehind()
			p.blocked = true
			o.blocked = append(o.blocked, p)
			return
		}
	}
	o.listener.tell(p)
}

// bury ends the peers whose connection has ended and of which nothing comes any
// more. drained says that nothing is waiting at all.
func (o *owner) bury(drained bool) {
	if len(o.dying) == 0 || o.admit == nil {
		return
	}
	// libzmq takes turns among those that have sent something.
	turns := uint64((len(o.peers) + 1) * (highWater + 1))
	o.dying = slices.DeleteFunc(o.dying, func(p *peer) bool {
		if p.stage == accepted && (p.final || time.Since(p.down) > grace) && (drained || o.received-p.downAt > turns) {
			o.end(p, true)
		}
		return p.stage == buried
	})
}

// dismiss ends a peer that did wrong, at once.
func (o *owner) dismiss(p *peer, why error) {
	if p.stage == pending {
		o.pending = slices.DeleteFunc(o.pending, func(other *peer) bool { return other == p })
	}
	p.end(why, true, true)
	o.listener.socket.Note("connection ended", p.identity.Addr, why) // before whoever hears of the end looks for it
	o.end(p, true)
}

// end ends a peer for good and tells its receiver.
func (o *owner) end(p *peer, drop bool) {
	if p.stage == buried {
		return
	}
	p.end(transport.ErrClosed, true, true)
	lingers := linger
	if drop {
		lingers = 0
		p.relay.abort()
	} else {
		p.relay.finish()
	}
	// It fails only where libzmq has forgotten the endpoint itself.
	_ = errors.Join(o.router.SetLinger(lingers), o.router.Disconnect(p.endpoint))
	if o.within.zap != nil {
		o.within.zap.forget(p.id)
	}
	delete(o.peers, p.id)
	was, why := p.stage, p.why()
	p.stage = buried
	if was == greeting {
		o.shaken()
		o.listener.transport.counters.refused(why)
	} else {
		o.listener.transport.counters.ended(why)
	}
	if p.receiver != nil {
		p.receiver.Gone(why)
	}
}

// finish ends everything, because the listener is closed.
func (o *owner) finish() {
	l := o.listener
	l.mu.Lock()
	l.buried = true
	late := l.opened
	l.mu.Unlock()
	for _, p := range late {
		p.relay.abort()
	}
	for _, p := range o.peers {
		p.end(transport.ErrClosed, true, p.stage != accepted)
	}
	for o.bye(); len(o.peers) > 0; o.bye() {
		select {
		case <-o.router.ready:
		case <-time.After(tick):
		}
	}
	o.router.closeMonitored(o.events, linger)
	_ = os.RemoveAll(l.dir) // a leftover in the directory for temporary files
}

// bye goes on with the end of every peer.
func (o *owner) bye() {
	o.blocked = nil
	for _, p := range o.peers {
		if p.blocked = false; p.down.IsZero() {
			o.look(p)
		} else {
			o.end(p, true)
		}
	}
}
