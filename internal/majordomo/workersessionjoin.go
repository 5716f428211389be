package majordomo

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// dialed takes a new connection. What is said on it has to wait for a share of the
// worker's capacity, if nothing is free; but not the question who answers.
func (l *workerLink) dialed() {
	if l.state != workerDialing {
		return
	}
	s := l.session
	l.heard = s.now
	l.plain = s.cfg.Speak != SpeakMesh
	l.identity = Registered{}
	l.interval, l.liveness = s.cfg.HeartbeatInterval, s.cfg.Liveness
	if l.twin != nil {
		l.probe()
		return
	}
	l.connected()
}

// connected has a connection wait for a share.
func (l *workerLink) connected() {
	s := l.session
	l.state, l.armed = workerConnected, false
	s.stale, s.shares.unsettled = true, true
}

// join begins the conversation: mmi.register, and READY without waiting for the
// answer.
func (l *workerLink) join(share int) {
	l.state = workerJoining
	l.heard = l.session.now // until now it had nothing to say
	l.ready = max(l.firstTaken(), 0)
	if l.plain {
		l.resize(share)
	} else {
		l.register(share)
	}
	l.send(&mdp.Command{Version: l.version(), Kind: mdp.Ready, Service: []byte(l.session.cfg.Registration.Services[l.ready].Name)})
	if l.plain {
		l.joined(nil) // a plain broker doesn't answer READY (RFC 7)
		return
	}
	l.beat()
}

// firstTaken returns the first service that the broker didn't refuse when it was
// last asked, or -1.
func (l *workerLink) firstTaken() int {
	services := l.session.cfg.Registration.Services
	for i := range services {
		if !l.refused[services[i].Name] {
			return i
		}
	}
	return -1
}

// register sends mmi.register: what the worker offers, and how many requests at
// once it takes of this broker (docs/protocol.md "Registered workers").
func (l *workerLink) register(share int) {
	s := l.session
	l.resize(share)
	l.unhold()
	s.asked++
	l.asking, l.asked, l.askedAt = true, s.asked, s.now
	head := jsonrpc.RequestHead{ID: s.asked, Method: mdp.MMIRegister, TimeoutMS: -1, Window: -1}
	l.send(&mdp.Command{
		Version: mdp.V02, Kind: mdp.ClientRequest, Service: []byte(mdp.MMIRegister),
		Body: [][]byte{jsonrpc.AppendRequest(nil, &head, s.offer.with(share))},
	})
}

// registered takes an answer to mmi.register.
func (l *workerLink) registered(ev *WorkerEvent) {
	switch {
	case l.state == workerJoining:
		l.welcomed(ev)
		return
	case string(ev.Envelope.ID) != strconv.FormatUint(l.asked, 10):
		return
	}
	known := l.share.before
	l.answered()
	switch {
	case l.state == workerLeaving:
		// Whatever it says, it is the barrier: what was handed over came before.
		l.lastJobs()
	case ev.Envelope.Kind == jsonrpc.Result:
		var answer Registered
		if json.Unmarshal(ev.Envelope.Result, &answer) == nil {
			l.adopt(&answer)
		}
		l.beat()
	default:
		l.unshifted(ev, known)
		l.beat()
	}
}

// welcomed takes the answer to a connection's first mmi.register.
func (l *workerLink) welcomed(ev *WorkerEvent) {
	env := &ev.Envelope
	l.answered()
	if status, digits := mdp.ParseStatus(ev.Command.Body[0]); digits {
		if status == mdp.StatusNotImplemented {
			l.joinPlain()
			return
		}
		l.lost(fmt.Errorf("majordomo: the broker answered mmi.register with %d", status), true)
		return
	}
	switch env.Kind {
	case jsonrpc.Failure:
		code, text, _, err := jsonrpc.ParseError(env.Error)
		switch {
		case err != nil:
			l.lost(fmt.Errorf("majordomo: the answer to mmi.register can't be read: %w", err), true)
		case code == jsonrpc.CodeMethodNotFound:
			l.joinPlain()
		default:
			l.lost(fmt.Errorf("%w: %s (%d)", ErrRefused, text, code), true)
		}
	case jsonrpc.Result:
		var answer Registered
		if err := json.Unmarshal(env.Result, &answer); err != nil {
			l.lost(fmt.Errorf("majordomo: the answer to mmi.register can't be read: %w", err), true)
			return
		}
		l.accepted(&answer)
	default:
		l.lost(errNoEnvelope, true)
	}
}

// joinPlain serves a broker that doesn't know mmi.register as one of plain
// MDP/0.2. It has the READY already.
func (l *workerLink) joinPlain() {
	l.plain = true
	l.unhold()
	l.resize(1)
	l.answered()
	l.refused = nil
	l.note("the broker doesn't know mmi.register; it is served as plain MDP/0.2", nil)
	l.joined(nil)
}

// accepted looks at what a broker took of the registration.
func (l *workerLink) accepted(answer *Registered) {
	refused := make(map[string]bool, len(answer.Refused))
	for _, r := range answer.Refused {
		refused[r.Service] = true
		l.note("the broker refused service "+quoted(r.Service)+": "+r.Reason, nil)
	}
	l.refused = refused
	switch {
	case l.firstTaken() < 0:
		first := answer.Refused[0]
		l.lost(fmt.Errorf("%w: service %s: %s", ErrRefused, quoted(first.Service), first.Reason), true)
	case refused[l.session.cfg.Registration.Services[l.ready].Name]:
		// The READY is answered with DISCONNECT, and there may be no other one on
		// this connection (RFC 7). The next connection's READY names a service
		// that the broker takes.
		l.readyRefused()
	default:
		l.twin = l.session.twinOf(l, answer.Broker, answer.Incarnation)
		l.adopt(answer)
		l.joined(answer)
	}
}

// readyRefused dials the broker once more at once, unless that is what was just
// done.
func (l *workerLink) readyRefused() {
	if l.again || l.session.draining || !l.placed {
		l.lost(errReadyRefused, true)
		return
	}
	l.again = true
	l.hangup()
	l.disconnected()
	l.dial()
}

// adopt takes over what the broker says of itself and of this worker, and what it wants
// of heartbeats.
func (l *workerLink) adopt(answer *Registered) {
	l.identity = *answer
	l.identity.Refused = nil
	l.noteDrain(answer.Draining)
	ms, n := answer.HeartbeatMS, answer.Liveness
	if ms > 0 && ms <= maxHeartbeat.Milliseconds() && n > 0 && n <= maxLiveness {
		l.interval, l.liveness = time.Duration(ms)*time.Millisecond, n
	}
}

func (l *workerLink) joined(answer *Registered) {
	l.state, l.since = workerServing, l.session.now
	l.again = false
	switch {
	case l.session.draining:
		l.accept(answer)
		l.leave()
	case l.twin != nil:
		// One registration is enough. What was handed over by this one is served.
		l.note("the broker is served over another address already", nil)
		l.leave()
	default:
		l.accept(answer)
		l.tally()
		l.beat()
		l.session.crowded = true
	}
}

func (l *workerLink) accept(answer *Registered) {
	l.trouble = nil
	l.session.act(WorkerAction{Kind: WorkerAccepted, Conn: l.conn, Broker: l.broker, Registered: answer})
}

// leave asks the broker for nothing new (docs/protocol.md "Registered workers").
// A plain one can't be asked: DISCONNECT says it, after the reply that is due.
func (l *workerLink) leave() {
	if l.plain {
		l.lastJobs()
		return
	}
	l.state = workerLeaving
	l.register(0)
	l.beat()
}

// lastJobs waits for what is running, and ends the conversation after it.
func (l *workerLink) lastJobs() {
	l.state = workerLastJobs
	l.beat()
	l.checkLeft()
}

// checkLeft ends the conversation after the last reply that the broker waits for.
func (l *workerLink) checkLeft() {
	if l.jobs.n == 0 {
		l.goodbye()
	}
}
