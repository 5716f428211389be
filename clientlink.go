package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/transport"
)

// call is one call of a client, from the caller's invocation to its outcome. It is
// used again.
type call struct {
	request majordomo.Call

	done    chan struct{} // holds a token when the outcome is there
	result  json.RawMessage
	opaque  bool
	body    [][]byte // of an opaque reply
	failure majordomo.Failure
	failed  bool

	parts *parts // of a stream

	looks bool // the caller will look for its task at the inliner

	// kept: it isn't used again, since something may still refer to it when its caller
	// has done with it, as word of it that was left for whoever runs the session.
	kept bool
}

func newCall() any {
	k := &call{done: make(chan struct{}, 1)}
	k.request.Data = k
	return k
}

// recycle makes k ready for another call, unless it is to be kept. Its outcome was taken.
func (c *Client) recycle(k *call) {
	if k.kept {
		return
	}
	done := k.done
	*k = call{done: done}
	k.request.Data = k
	c.calls.Put(k)
}

// part takes one partial reply: a value of a stream, or the first frames of an
// opaque reply.
func (k *call) part(a *majordomo.ClientAction) {
	switch {
	case k.parts != nil:
		k.parts.add(a.Result)
	case k.opaque:
		k.body = append(k.body, a.Body...)
	}
}

// end takes the outcome.
func (k *call) end(a *majordomo.ClientAction) {
	k.result = a.Result
	if k.opaque {
		k.body = append(k.body, a.Body...)
	}
	if a.Failure != nil {
		k.failed, k.failure = true, *a.Failure
	}
	if k.parts != nil {
		k.parts.end()
	}
}

// clientLink drives a client's session: whoever has work for it runs it (see
// combiner), and does what it asked for after leaving it.
type clientLink struct {
	cfg     *ClientConfig
	finder  *clientFinder // nil: all brokers are known
	work    combiner[clientWork, clientTurn]
	inline  *inliner     // of the mesh that the client is of; may be nil
	waiting atomic.Int64 // calls
	once    sync.Once
	over    chan struct{} // closed when the session was closed

	// What follows belongs to whoever runs the session.
	session *majordomo.ClientSession
	link    *link
	event   majordomo.ClientEvent // of what isn't a message
	begun   bool                  // the session had something to do
	comer   *call                 // whose caller runs the session now, and may run the call's task later; may be nil
	heard   int                   // serial of what discovery said last
	closed  bool
}

// clientWork is something for the session to do.
type clientWork struct {
	kind     majordomo.ClientEventKind
	conn     uint64
	n, bytes int // ClientCredit
	call     *call
	inline   bool           // whoever takes this to the session is the caller, and may run the call's task
	messages *clientTurn    // only its events are used
	dialed   transport.Conn // ClientDialed
	found    *foundBrokers  // ClientBrokers
	look     func()         // looks at the session, which does nothing
	err      error
}

// clientTurn is room for the messages of one batch, and for what comes of a turn.
type clientTurn struct {
	outbox
	events []majordomo.ClientEvent
	again  []majordomo.ClientEvent // what became of messages
	done   []*call
	notes  []clientNote
	closed bool
}

// clientNote is something that the log should hear of.
type clientNote struct {
	text   string
	broker string // address
	err    error
}

func newClientLink(cfg *ClientConfig, session *majordomo.ClientConfig, finder *clientFinder) (*clientLink, error) {
	l := &clientLink{cfg: cfg, finder: finder, over: make(chan struct{})}
	l.work.init(l)
	session.Address = func(broker int) string { return l.link.brokers[broker].Addr }
	var err error
	if l.session, err = majordomo.NewClientSession(*session, time.Now()); err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	l.link = newLink(cfg.Transport, cfg.Brokers, cfg.DialTimeout, func() { l.work.submit(clientWork{kind: majordomo.ClientWake}) })
	l.link.uses = l.session.Uses
	l.link.on = dialEvents{
		dialed: func(id uint64, conn transport.Conn) {
			l.work.submit(clientWork{kind: majordomo.ClientDialed, conn: id, dialed: conn})
		},
		failed: func(id uint64, err error) {
			l.work.submit(clientWork{kind: majordomo.ClientDialFailed, conn: id, err: err})
		},
		lost: func(id uint64, err error) {
			l.work.submit(clientWork{kind: majordomo.ClientLost, conn: id, err: err})
		},
		read: l.read,
	}
	finder.join(l)
	return l, nil
}

// start gives a call to the session.
func (l *clientLink) start(now time.Time, k *call) {
	l.finder.begin()
	w := clientWork{kind: majordomo.ClientCall, call: k}
	others := l.waiting.Add(1) > 1
	if !l.work.enter(w) {
		return
	}
	if others {
		// Other callers that are ready to run put their calls into the inbox
		// first, and all of them leave together.
		runtime.Gosched()
	}
	k.kept = true // until it is known that nothing, an observer for instance, ended the goroutine in here
	if l.inline.has(k.request.Method) && k.parts == nil && !k.request.Notify {
		w.inline = true
		defer l.unwind(k)
	}
	l.work.run(now, w, l.work.turn())
	k.kept = false
}

// unwind has another goroutine run the task of k if the caller's won't come to it.
func (l *clientLink) unwind(k *call) {
	if !k.kept || !k.looks {
		return
	}
	if t := l.inline.leave(k); t != nil {
		t.worker.pool.run([]*task{t})
	}
}

// look has the caller run the task of its call, if that has come.
func (l *clientLink) look(k *call) {
	t := l.inline.leave(k)
	if t == nil {
		return
	}
	k.kept = true // until it is known that the task didn't end the goroutine
	t.worker.pool.serve(t)
	k.kept = false
}

// abort ends a call that nobody waits for any more.
func (l *clientLink) abort(k *call, why error) {
	k.kept = true
	l.work.submit(clientWork{kind: majordomo.ClientAbort, call: k, err: why})
}

// wait waits until a call is done, or its context is.
func (l *clientLink) wait(ctx context.Context, k *call) {
	defer l.waiting.Add(-1)
	if k.looks {
		l.look(k)
	}
	over := ctx.Done()
	if over == nil {
		<-k.done
		return
	}
	select {
	case <-k.done:
	case <-over:
		l.abort(k, ctx.Err())
		<-k.done // at once: either of the abort, or of an outcome that came before it
	}
}

// read takes a batch of messages of the broker.
func (l *clientLink) read(id uint64, batch []transport.Message) {
	b := l.work.turn()
	if cap(b.events) < len(batch) {
		b.events = make([]majordomo.ClientEvent, len(batch))
	}
	b.events = b.events[:len(batch)]
	for i, m := range batch {
		b.events[i].Received(id, m)
	}
	l.work.submit(clientWork{kind: majordomo.ClientMessage, messages: b})
}

// found passes on what discovery said.
func (l *clientLink) found(news foundBrokers) {
	l.work.submit(clientWork{kind: majordomo.ClientBrokers, found: &news, err: news.err})
}

// snapshot returns the state of the session, which it doesn't have begin.
func (l *clientLink) snapshot() (core majordomo.ClientSnapshot, brokers []BrokerLink) {
	done := make(chan struct{})
	l.work.submit(clientWork{look: func() {
		core = l.session.Snapshot(l.work.clock.now())
		for i := range core.Brokers {
			b := &core.Brokers[i]
			brokers = append(brokers, newBrokerLink(b, l.link.brokers[b.Broker].Addr))
		}
		close(done)
	}})
	<-done
	return core, brokers
}

// take takes one piece of work to the session.
func (l *clientLink) take(now time.Time, w clientWork, t *clientTurn) int {
	if b := w.messages; b != nil {
		n := len(b.events)
		for i := range b.events {
			l.step(now, &b.events[i], t)
		}
		clear(b.events)
		b.events = b.events[:0]
		l.work.turns.Put(b)
		return n
	}
	if w.look != nil {
		w.look()
		return 1
	}
	ev := &l.event
	ev.Kind, ev.Conn, ev.N, ev.Bytes, ev.Err, ev.Call, ev.Brokers = w.kind, w.conn, w.n, w.bytes, w.err, nil, nil
	if w.call != nil {
		ev.Call = &w.call.request
	}
	if w.dialed != nil {
		if !l.link.dialed(w.conn, w.dialed) {
			return 1
		}
		ev.Copies, ev.Joins = abilities(w.dialed)
	}
	switch w.kind {
	case majordomo.ClientWake:
		l.link.woke()
	case majordomo.ClientBrokers:
		if w.found.serial <= l.heard {
			return 1 // something newer overtook it
		}
		l.heard = w.found.serial
		if w.found.brokers != nil {
			ev.Brokers = l.link.numbers(w.found.brokers)
		}
	}
	if w.inline {
		l.comer = w.call
	}
	l.step(now, ev, t)
	l.comer = nil
	switch w.kind {
	case majordomo.ClientDialFailed, majordomo.ClientLost:
		l.link.drop(w.conn)
	case majordomo.ClientClose:
		l.closed = true
		l.work.close()
		l.link.timer.Stop()
		t.closed = true
	}
	return 1
}

// clientUnsent is the event of a message that the connection didn't take: that of a
// call, or one of the session's own.
func clientUnsent(a *majordomo.ClientAction, err error) majordomo.ClientEvent {
	ev := majordomo.ClientEvent{Kind: majordomo.ClientUnsent, Conn: a.Conn, Call: a.Call}
	switch {
	case errors.Is(err, transport.ErrFull):
		ev.Failure = majordomo.Failure{Code: int(CodeOverloaded), Text: "the connection to the broker is full", Cause: err}
	case errors.Is(err, transport.ErrTooLarge):
		ev.Failure = majordomo.Failure{Code: int(CodeTooLarge), Text: "the request is larger than the transport takes", Cause: err}
	default:
		ev.Err = err // the connection has ended, and its reader says so
	}
	return ev
}

// step takes one event to the session; what has to wait until the session is left
// is collected in t.
func (l *clientLink) step(now time.Time, ev *majordomo.ClientEvent, t *clientTurn) {
	l.begun = true
	actions := l.session.Step(now, ev)
	again := len(t.again)
	for i := range actions {
		switch a := &actions[i]; a.Kind {
		case majordomo.ClientSend:
			if k := l.comer; k != nil && a.Call == &k.request && a.Joined == 0 && !k.looks {
				k.looks = true
				l.inline.come(k, a.Message[len(a.Message)-1])
			}
			var err error
			t.flush, err = l.link.send(t.flush, a.Conn, a.Message, a.Joined)
			switch {
			case err != nil && a.Call == nil:
				// To be taken last: it may end the connection, and who hears of that
				// takes the calls that never left for lost.
				t.again = slices.Insert(t.again, again, clientUnsent(a, err))
			case err != nil:
				t.again = append(t.again, clientUnsent(a, err))
			case a.Call != nil && a.Call.Notify:
				t.again = append(t.again, majordomo.ClientEvent{Kind: majordomo.ClientSent, Conn: a.Conn, Call: a.Call})
			}
		case majordomo.ClientDial:
			l.link.dial(a.Conn, a.Broker)
		case majordomo.ClientHangup:
			if c := l.link.drop(a.Conn); c != nil {
				t.close = append(t.close, c)
			}
		case majordomo.ClientPart:
			a.Call.Data.(*call).part(a)
		case majordomo.ClientDone:
			k := a.Call.Data.(*call)
			k.end(a)
			t.done = append(t.done, k)
		case majordomo.ClientNote:
			t.notes = append(t.notes, clientNote{a.Text, l.link.brokers[a.Broker].Addr, a.Err})
		}
	}
	for len(t.again) > again {
		next := t.again[len(t.again)-1]
		t.again = t.again[:len(t.again)-1]
		l.step(now, &next, t)
	}
}

// leave does what has to be done before somebody else may run the session.
func (l *clientLink) leave(now time.Time, t *clientTurn) {
	t.outbox.leave()
	if l.begun && !l.closed {
		l.link.rearm(now, l.session.NextWake())
	}
}

// finish does what a turn left to be done; the session is free.
func (l *clientLink) finish(t *clientTurn) {
	t.carryOut()
	for _, k := range t.done {
		k.done <- struct{}{}
	}
	for i := range t.notes {
		l.note(&t.notes[i])
	}
	if t.closed {
		close(l.over)
	}
	clear(t.done)
	clear(t.notes)
	t.done, t.notes, t.closed = t.done[:0], t.notes[:0], false
	l.work.turns.Put(t)
}

func (l *clientLink) note(n *clientNote) {
	if l.cfg.Logger != nil {
		l.cfg.Logger.Warn(n.text, "broker", n.broker, "error", n.err)
	}
}

// close ends the session and waits for what the link started.
func (l *clientLink) close() {
	l.once.Do(func() { l.work.submit(clientWork{kind: majordomo.ClientClose}) })
	<-l.over
	l.link.tasks.Wait()
	l.work.relays.Wait()
}

// parts are the values of a stream that its reader hasn't taken yet. The session
// bounds them (the window, and MaxUnreadBytes), so that they never hold up the
// connection.
type parts struct {
	mu     sync.Mutex // guards values and ended
	values []json.RawMessage
	ended  bool
	more   chan struct{} // holds a token when there may be something to take
}

func newParts() *parts { return &parts{more: make(chan struct{}, 1)} }

func (p *parts) add(value json.RawMessage) {
	p.mu.Lock()
	p.values = append(p.values, value)
	p.mu.Unlock()
	p.notify()
}

func (p *parts) end() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.notify()
}

func (p *parts) notify() {
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// take returns the values that came, and whether they are the last.
func (p *parts) take() (values []json.RawMessage, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	values, p.values = p.values, nil
	return values, p.ended
}
