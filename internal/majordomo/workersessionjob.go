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
	// MaxMessage is what the broker takes as one message, in bytes; 0 where it
	// doesn't say.
	MaxMessage int
	// Copies says that the connection keeps nothing of a reply up to MaxReused: once it
	// was sent, its memory may be used again.
	Copies bool
	// Joins says that the connection takes the last frame of a final reply in pieces.
	Joins bool
	// Data belongs to the driver. It stays with the job when the session uses it
	// for another request.
	Data any

	link      *workerLink // over which it came; nil once that connection is gone
	address   []byte
	token     uint64
	indexed   bool // in byToken
	cancelled bool // the driver was told
	large     bool // a part was too large to pass on: the reply is that failure
	kept      [][]byte
	keptBytes int
	waited    node[Job] // in workerLink.jobs, while somebody waits for the reply
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
func (l *workerLink) request(ev *WorkerEvent) {
	c, env := &ev.Command, &ev.Envelope
	address, err := mdp.ParseAddress(c.Address)
	registered := err == nil && !l.plain
	if !registered {
		if l.state != workerJoining && !l.plain {
			l.invalid(errNoAddress)
			return
		}
		// A plain broker passes on what the client wrote, whatever time it took.
		address = mdp.Address{Remaining: mdp.NoDeadline, Service: uint16(l.ready)}
		if t := env.Meta.TimeoutMS; env.Meta.Present && t >= 0 {
			address.Remaining = uint32(min(t, int64(mdp.NoDeadline-1)))
		}
	}
	known := registered && l.byToken[address.Token] != nil
	switch {
	case registered && env.Kind == jsonrpc.Notification && bytes.HasPrefix(env.Method, controlPrefix):
		l.control(address.Token, env)
	case known:
		l.invalid(errTokenRepeated) // to run it would answer one request twice
	case !l.hasRoom() || l.state == workerLastJobs:
		l.refuse(ev, jsonrpc.CodeNotStarted, "the worker has no room")
	case address.Remaining == 0:
		l.refuse(ev, jsonrpc.CodeExpired, "the request's time was over when it reached the worker")
	default:
		l.run(ev, &address, registered)
	}
}

var controlPrefix = []byte("rpc.")

// run makes a job of a REQUEST.
func (l *workerLink) run(ev *WorkerEvent, address *mdp.Address, registered bool) {
	s := l.session
	var j *Job
	if n := len(s.free); n > 0 {
		j, s.free = s.free[n-1], s.free[:n-1]
	} else {
		j = &Job{}
	}
	j.link, j.MaxMessage, j.Copies, j.Joins = l, l.identity.MaxMessage, l.copies, l.joins
	j.address, j.Envelope, j.Body = ev.Command.Address, ev.Envelope, ev.Command.Body
	j.Attempt, j.Service, j.Caller = int(address.Attempt), int(address.Service), address.Caller
	if address.Remaining != mdp.NoDeadline {
		j.Deadline = s.start.Add(s.now + time.Duration(address.Remaining)*time.Millisecond)
	}
	if registered {
		j.token, j.indexed = address.Token, true
		l.byToken[j.token] = j
	}
	l.jobs.pushBack(&j.waited, j)
	s.running++
	l.began()
	s.act(WorkerAction{Kind: WorkerRun, Job: j})
	if !registered && j.Envelope.Meta.Window == 0 {
		s.act(WorkerAction{Kind: WorkerCredit, Job: j, N: 1}) // see part
	}
}

// refuse answers a REQUEST that isn't run. One that is beyond the worker's capacity
// makes the broker hold back everything until the worker's next FINAL or
// registration (docs/protocol.md "Registered workers").
func (l *workerLink) refuse(ev *WorkerEvent, code int, text string) {
	body := emptyReply
	if ev.Envelope.Kind != jsonrpc.Notification || code == jsonrpc.CodeNotStarted {
		body = failureBody(ev.Envelope.ID, code, text)
	}
	l.send(&mdp.Command{Version: l.version(), Kind: mdp.WorkerFinal, Address: ev.Command.Address, Body: body})
	if code == jsonrpc.CodeNotStarted && !l.plain {
		l.hold()
	} else {
		l.unhold()
	}
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
func (l *workerLink) control(token uint64, env *jsonrpc.Envelope) {
	j := l.byToken[token]
	if j == nil {
		return
	}
	switch string(env.Method) {
	case "rpc.cancel":
		l.session.cancel(j, ErrCallerCancelled)
	case "rpc.credit":
		var params struct {
			N int `json:"n"`
		}
		if json.Unmarshal(env.Params, &params) == nil && params.N > 0 {
			l.session.act(WorkerAction{Kind: WorkerCredit, Job: j, N: min(params.N, maxCredit)})
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

// cancelJobs takes all jobs out of the link's books: there is nobody left to reply
// to.
func (l *workerLink) cancelJobs(why error) {
	for j := l.jobs.front(); j != nil; j = l.jobs.front() {
		j.waited.unlink()
		j.link, j.indexed = nil, false
		l.session.orphans++
		l.session.cancel(j, why)
	}
	clear(l.byToken)
}

// reply takes what a job replied, and sends it if somebody still waits for it.
func (s *WorkerSession) reply(ev *WorkerEvent) {
	j := ev.Job
	l := j.link
	switch {
	case !ev.Final:
		if l != nil && !j.large {
			l.part(j, ev.Body)
		}
		return
	case l != nil:
		l.final(j, ev.Body, ev.Joined)
	default:
		s.orphans--
		s.shares.unsettled = true
	}
	s.running--
	*j = Job{Data: j.Data}
	if len(s.free) < maxFree {
		s.free = append(s.free, j)
	}
	if l != nil {
		l.ended()
	}
}

// final sends the last word on j.
func (l *workerLink) final(j *Job, body [][]byte, joined int) {
	switch {
	case j.large && j.RPC():
		body, joined = failureBody(j.Envelope.ID, jsonrpc.CodeTooLarge, tooLarge), 0
	case j.large:
		body, joined = emptyReply, 0
	case len(j.kept) > 0:
		body = append(j.kept, body...)
	}
	l.sendJoined(&mdp.Command{Version: l.version(), Kind: mdp.WorkerFinal, Address: j.address, Body: body}, joined)
	l.unhold()
	j.waited.unlink()
	if j.indexed {
		delete(l.byToken, j.token)
	}
	if l.plain && l.jobs.n == 0 {
		l.heard = l.session.now // the broker may have kept silent while the worker was busy; its time begins now
	}
}

// part sends a part of j's reply. MDP/0.1 knows one REPLY: parts are kept for it.
func (l *workerLink) part(j *Job, body [][]byte) {
	if l.version() == mdp.V01 {
		for _, frame := range body {
			j.keptBytes += len(frame)
		}
		if j.keptBytes > l.session.cfg.MaxPartialBytes {
			l.session.overflow(j)
			return
		}
		j.kept = append(j.kept, body...)
	} else {
		l.send(&mdp.Command{Version: mdp.V02, Kind: mdp.WorkerPartial, Address: j.address, Body: body})
	}
	if l.plain {
		// No credit will come. What bounds the stream is the peer's queue.
		l.session.act(WorkerAction{Kind: WorkerCredit, Job: j, N: 1})
	}
}

// overflow ends a stream of which a part can't be passed on.
func (s *WorkerSession) overflow(j *Job) {
	j.large, j.kept = true, nil
	s.cancel(j, ErrReplyTooLarge)
}

// unsent deals with a message that the connection doesn't take for its size.
func (l *workerLink) unsent(ev *WorkerEvent) {
	c, err := mdp.ParseBroker(ev.Message)
	if err != nil {
		return // the session made it, so it is a message
	}
	switch c.Kind {
	case mdp.WorkerPartial:
		for nd := l.jobs.head; nd != nil; nd = nd.next {
			if bytes.Equal(nd.of.address, c.Address) {
				l.session.overflow(nd.of)
				return
			}
		}
	case mdp.WorkerFinal:
		var env jsonrpc.Envelope
		jsonrpc.Scan(c.Body[len(c.Body)-1], &env)
		if code, _, _, err := jsonrpc.ParseError(env.Error); err == nil && code == jsonrpc.CodeTooLarge {
			l.lost(ev.Err, true) // not even that
			return
		}
		c.Body = failureBody(env.ID, jsonrpc.CodeTooLarge, tooLarge)
		l.send(&c)
	default:
		l.lost(ev.Err, true)
	}
}
