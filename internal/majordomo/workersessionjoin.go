package majordomo

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// dialed begins the conversation on a new connection: mmi.register, and READY
// without waiting for the answer.
func (s *WorkerSession) dialed(conn uint64) {
	switch {
	case s.talks(conn):
		return
	case conn != s.conn || s.state != workerDialing:
		s.act(WorkerAction{Kind: WorkerHangup, Conn: conn})
		return
	}
	s.state = workerJoining
	s.heard = s.now
	s.plain = s.cfg.Speak != SpeakMesh
	s.interval, s.liveness = s.cfg.HeartbeatInterval, s.cfg.Liveness
	if !s.plain {
		s.register(s.offer)
	}
	s.ready = max(s.firstTaken(), 0)
	s.send(&mdp.Command{Version: s.version(), Kind: mdp.Ready, Service: []byte(s.cfg.Registration.Services[s.ready].Name)})
	if s.plain {
		s.joined(nil) // a plain broker doesn't answer READY (RFC 7)
		return
	}
	s.beat()
}

// firstTaken returns the first service that the broker didn't refuse when it was
// last asked, or -1.
func (s *WorkerSession) firstTaken() int {
	refused := s.refused[s.redial.at]
	for i := range s.cfg.Registration.Services {
		if !refused[s.cfg.Registration.Services[i].Name] {
			return i
		}
	}
	return -1
}

// register sends mmi.register: what the worker offers, and how many requests at
// once it takes (docs/protocol.md "Registered workers").
func (s *WorkerSession) register(params []byte) {
	s.asked++
	s.askedAt = s.now
	head := jsonrpc.RequestHead{ID: s.asked, Method: mdp.MMIRegister, TimeoutMS: -1, Window: -1}
	s.send(&mdp.Command{
		Version: mdp.V02, Kind: mdp.ClientRequest, Service: []byte(mdp.MMIRegister),
		Body: [][]byte{jsonrpc.AppendRequest(nil, &head, params)},
	})
}

// registered takes an answer to mmi.register.
func (s *WorkerSession) registered(ev *WorkerEvent) {
	switch s.state {
	case workerJoining:
		s.answered(ev)
	case workerLeaving:
		// Whatever it says, it is the barrier: what was handed over came before.
		if string(ev.Envelope.ID) == strconv.FormatUint(s.asked, 10) {
			s.lastJobs()
		}
	}
}

// answered takes the answer to a connection's first mmi.register.
func (s *WorkerSession) answered(ev *WorkerEvent) {
	env := &ev.Envelope
	if status, digits := mdp.ParseStatus(ev.Command.Body[0]); digits {
		if status == mdp.StatusNotImplemented {
			s.joinPlain()
			return
		}
		s.lost(fmt.Errorf("majordomo: the broker answered mmi.register with %d", status), true)
		return
	}
	switch env.Kind {
	case jsonrpc.Failure:
		code, text, _, err := jsonrpc.ParseError(env.Error)
		switch {
		case err != nil:
			s.lost(fmt.Errorf("majordomo: the answer to mmi.register can't be read: %w", err), true)
		case code == jsonrpc.CodeMethodNotFound:
			s.joinPlain()
		default:
			s.lost(fmt.Errorf("%w: %s (%d)", ErrRefused, text, code), true)
		}
	case jsonrpc.Result:
		var answer Registered
		if err := json.Unmarshal(env.Result, &answer); err != nil {
			s.lost(fmt.Errorf("majordomo: the answer to mmi.register can't be read: %w", err), true)
			return
		}
		s.accepted(&answer)
	default:
		s.lost(errNoEnvelope, true)
	}
}

// joinPlain serves a broker that doesn't know mmi.register as one of plain
// MDP/0.2. It has the READY already.
func (s *WorkerSession) joinPlain() {
	s.plain, s.held = true, false
	s.refused[s.redial.at] = nil
	s.note("the broker doesn't know mmi.register; it is served as plain MDP/0.2", nil)
	s.joined(nil)
}

// accepted looks at what a broker took of the registration.
func (s *WorkerSession) accepted(answer *Registered) {
	refused := make(map[string]bool, len(answer.Refused))
	for _, r := range answer.Refused {
		refused[r.Service] = true
		s.note("the broker refused service "+quoted(r.Service)+": "+r.Reason, nil)
	}
	s.refused[s.redial.at] = refused
	switch {
	case s.firstTaken() < 0:
		first := answer.Refused[0]
		s.lost(fmt.Errorf("%w: service %s: %s", ErrRefused, quoted(first.Service), first.Reason), true)
	case refused[s.cfg.Registration.Services[s.ready].Name]:
		// The READY is answered with DISCONNECT, and there may be no other one on
		// this connection (RFC 7). The next connection's READY names a service
		// that the broker takes.
		s.readyRefused()
	default:
		s.adopt(answer)
		s.joined(answer)
	}
}

// readyRefused dials the same broker once more, unless that is what was just done.
func (s *WorkerSession) readyRefused() {
	if s.again || s.draining {
		s.lost(errReadyRefused, true)
		return
	}
	s.again = true
	s.act(WorkerAction{Kind: WorkerHangup, Conn: s.conn})
	s.cancelJobs(ErrConnectionLost)
	s.dial()
}

// adopt takes over what the broker wants of heartbeats.
func (s *WorkerSession) adopt(answer *Registered) {
	ms, n := answer.HeartbeatMS, answer.Liveness
	if ms > 0 && ms <= maxHeartbeat.Milliseconds() && n > 0 && n <= maxLiveness {
		s.interval, s.liveness = time.Duration(ms)*time.Millisecond, n
	}
}

func (s *WorkerSession) joined(answer *Registered) {
	s.state = workerServing
	s.again = false
	s.act(WorkerAction{Kind: WorkerAccepted, Conn: s.conn, Broker: s.redial.at, Registered: answer})
	if s.draining {
		s.leave()
		return
	}
	s.release()
	s.beat()
}

// leave asks the broker for nothing new (docs/protocol.md "Registered workers").
// A plain one can't be asked: DISCONNECT says it, after the reply that is due.
func (s *WorkerSession) leave() {
	if s.plain {
		s.lastJobs()
		return
	}
	s.state = workerLeaving
	s.register(s.farewell)
	s.beat()
}

// lastJobs waits for what is running, and ends the session after it.
func (s *WorkerSession) lastJobs() {
	s.state = workerLastJobs
	s.beat()
	s.checkLeft()
}

// checkLeft ends a draining session after the last reply that somebody waits for.
func (s *WorkerSession) checkLeft() {
	if s.jobs.n == 0 {
		s.goodbye()
	}
}
