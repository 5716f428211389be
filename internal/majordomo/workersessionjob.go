package majordomo

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// Job is a request that a worker was handed. The driver owns it from WorkerRun
// until it passes the final reply back; then the session may use it for another
// request.
type Job struct {
	Deadline time.Time // zero: none
	Attempt  int       // which hand-over it is, from 1; 0 where the broker doesn't say
	Service  int       // index in the registration
	Caller   []byte    // the authenticated caller's name
	Envelope jsonrpc.Envelope
	Body     [][]byte
	// Data belongs to the driver. It stays with the job when the session uses it
	// for another request.
	Data any

	address   []byte
	token     uint64
	indexed   bool // in byToken
	cancelled bool // the driver was told
	large     bool // a part was too large to pass on: the reply is that failure
	kept      [][]byte
	keptBytes int
	waited    node[Job] // in WorkerSession.jobs, while somebody waits for the reply
}

// RPC says that the job has an id, so that its caller gets a JSON-RPC reply.
func (j *Job) RPC() bool { return j.Envelope.Kind == jsonrpc.Request }

// maxCredit bounds what one rpc.credit gives, so that sums of it fit.
const maxCredit = 1 << 30

// tooLarge is what the caller is told of a reply that can't be passed on.
const tooLarge = "the reply is larger than can be sent"

// emptyReply is the FINAL of a notification (docs/protocol.md "Bodies").
var emptyReply = [][]byte{{}}

// request takes a REQUEST: a job, or word of one.
func (s *WorkerSession) request(ev *WorkerEvent) {
	c, env := &ev.Command, &ev.Envelope
	address, err := mdp.ParseAddress(c.Address)
	registered := err == nil && !s.plain
	if !registered {
		if s.state != workerJoining && !s.plain {
			s.invalid(errNoAddress)
			return
		}
		// A plain broker passes on what the client wrote, whatever time it took.
		address = mdp.Address{Remaining: mdp.NoDeadline, Service: uint16(s.ready)}
		if t := env.Meta.TimeoutMS; env.Meta.Present && t >= 0 {
			address.Remaining = uint32(min(t, int64(mdp.NoDeadline-1)))
		}
	}
	held := registered && s.byToken[address.Token] != nil
	switch {
	case registered && env.Kind == jsonrpc.Notification && bytes.HasPrefix(env.Method, controlPrefix):
		s.control(address.Token, env)
	case held:
		s.invalid(errTokenRepeated) // to run it would answer one request twice
	case s.running >= s.cfg.Registration.Capacity || s.state == workerLastJobs:
		s.refuse(ev, jsonrpc.CodeNotStarted, "the worker has no room")
	case address.Remaining == 0:
		s.refuse(ev, jsonrpc.CodeExpired, "the request's time was over when it reached the worker")
	default:
		s.run(ev, &address, registered)
	}
}

var controlPrefix = []byte("rpc.")

// run makes a job of a REQUEST.
func (s *WorkerSession) run(ev *WorkerEvent, address *mdp.Address, registered bool) {
	var j *Job
	if n := len(s.free); n > 0 {
		j, s.free = s.free[n-1], s.free[:n-1]
	} else {
		j = &Job{}
	}
	j.address, j.Envelope, j.Body = ev.Command.Address, ev.Envelope, ev.Command.Body
	j.Attempt, j.Service, j.Caller = int(address.Attempt), int(address.Service), address.Caller
	if address.Remaining != mdp.NoDeadline {
		j.Deadline = s.start.Add(s.now + time.Duration(address.Remaining)*time.Millisecond)
	}
	if registered {
		j.token, j.indexed = address.Token, true
		s.byToken[j.token] = j
	}
	s.jobs.pushBack(&j.waited, j)
	s.running++
	s.act(WorkerAction{Kind: WorkerRun, Job: j})
	if !registered && j.Envelope.Meta.Window == 0 {
		s.act(WorkerAction{Kind: WorkerCredit, Job: j, N: 1}) // see part
	}
}

// refuse answers a REQUEST that isn't run. One that is beyond the worker's capacity
// makes the broker hold back everything until the worker's next FINAL or
// registration (docs/protocol.md "Registered workers").
func (s *WorkerSession) refuse(ev *WorkerEvent, code int, text string) {
	body := emptyReply
	if ev.Envelope.Kind != jsonrpc.Notification || code == jsonrpc.CodeNotStarted {
		body = failureBody(ev.Envelope.ID, code, text)
	}
	s.send(&mdp.Command{Version: s.version(), Kind: mdp.WorkerFinal, Address: ev.Command.Address, Body: body})
	s.held = code == jsonrpc.CodeNotStarted && !s.plain
}

// failureBody returns the body of a failure.
func failureBody(id []byte, code int, text string) [][]byte {
	if id == nil {
		id = []byte("null")
	}
	return [][]byte{jsonrpc.AppendFailure(nil, id, code, text, nil)}
}

// control takes rpc.cancel and rpc.credit (docs/protocol.md "Cancel and
// streams"). One for a job that isn't here is ignored.
func (s *WorkerSession) control(token uint64, env *jsonrpc.Envelope) {
	j := s.byToken[token]
	if j == nil {
		return
	}
	switch string(env.Method) {
	case "rpc.cancel":
		s.cancel(j, ErrCallerCancelled)
	case "rpc.credit":
		var params struct {
			N int `json:"n"`
		}
		if json.Unmarshal(env.Params, &params) == nil && params.N > 0 {
			s.act(WorkerAction{Kind: WorkerCredit, Job: j, N: min(params.N, maxCredit)})
		}
	}
}

// cancel tells the driver, once, that nobody waits for j.
func (s *WorkerSession) cancel(j *Job, why error) {
	if !j.cancelled {
		j.cancelled = true
		s.act(WorkerAction{Kind: WorkerCancel, Job: j, Err: why})
	}
}

// cancelJobs takes all jobs out of the session's books: there is nobody left to
// reply to.
func (s *WorkerSession) cancelJobs(why error) {
	for j := s.jobs.front(); j != nil; j = s.jobs.front() {
		j.waited.unlink()
		j.indexed = false
		s.cancel(j, why)
	}
	clear(s.byToken)
	s.held = false
}

// reply takes what a job replied, and sends it if somebody still waits for it.
func (s *WorkerSession) reply(ev *WorkerEvent) {
	j := ev.Job
	switch {
	case !ev.Final:
		if j.waited.linked() && !j.large {
			s.part(j, ev.Body)
		}
		return
	case j.waited.linked():
		s.final(j, ev.Body)
	}
	s.running--
	*j = Job{Data: j.Data}
	if len(s.free) < maxFree {
		s.free = append(s.free, j)
	}
	if s.state == workerLastJobs {
		s.checkLeft()
		return
	}
	s.release()
}

// release has the broker hand over requests again, if it holds them back though
// there is room. Mostly a FINAL does that; but what ended may have come over an
// earlier connection.
func (s *WorkerSession) release() {
	if s.held && s.state == workerServing && s.running < s.cfg.Registration.Capacity {
		s.held = false
		s.register(s.offer)
	}
}

// final sends the last word on j.
func (s *WorkerSession) final(j *Job, body [][]byte) {
	switch {
	case j.large && j.RPC():
		body = failureBody(j.Envelope.ID, jsonrpc.CodeTooLarge, tooLarge)
	case j.large:
		body = emptyReply
	case len(j.kept) > 0:
		body = append(j.kept, body...)
	}
	s.send(&mdp.Command{Version: s.version(), Kind: mdp.WorkerFinal, Address: j.address, Body: body})
	s.held = false
	j.waited.unlink()
	if j.indexed {
		delete(s.byToken, j.token)
	}
	if s.plain && s.jobs.n == 0 {
		s.heard = s.now // the broker may have kept silent while the worker was busy; its time begins now
	}
}

// part sends a part of j's reply. MDP/0.1 knows one REPLY: parts are kept for it.
func (s *WorkerSession) part(j *Job, body [][]byte) {
	if s.version() == mdp.V01 {
		for _, frame := range body {
			j.keptBytes += len(frame)
		}
		if j.keptBytes > s.cfg.MaxPartialBytes {
			s.overflow(j)
			return
		}
		j.kept = append(j.kept, body...)
	} else {
		s.send(&mdp.Command{Version: mdp.V02, Kind: mdp.WorkerPartial, Address: j.address, Body: body})
	}
	if s.plain {
		// No credit will come. What bounds the stream is the peer's queue.
		s.act(WorkerAction{Kind: WorkerCredit, Job: j, N: 1})
	}
}

// overflow ends a stream of which a part can't be passed on.
func (s *WorkerSession) overflow(j *Job) {
	j.large, j.kept = true, nil
	s.cancel(j, ErrReplyTooLarge)
}

// unsent deals with a message that the connection doesn't take for its size.
func (s *WorkerSession) unsent(ev *WorkerEvent) {
	c, err := mdp.ParseBroker(ev.Message)
	if err != nil {
		return // the session made it, so it is a message
	}
	switch c.Kind {
	case mdp.WorkerPartial:
		for nd := s.jobs.head; nd != nil; nd = nd.next {
			if bytes.Equal(nd.of.address, c.Address) {
				s.overflow(nd.of)
				return
			}
		}
	case mdp.WorkerFinal:
		var env jsonrpc.Envelope
		jsonrpc.Scan(c.Body[len(c.Body)-1], &env)
		if code, _, _, err := jsonrpc.ParseError(env.Error); err == nil && code == jsonrpc.CodeTooLarge {
			s.lost(ev.Err, true) // not even that
			return
		}
		c.Body = failureBody(env.ID, jsonrpc.CodeTooLarge, tooLarge)
		s.send(&c)
	default:
		s.lost(ev.Err, true)
	}
}
