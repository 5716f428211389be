package majordomo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

var errWorkerCut = errors.New("cut")

// workerBed drives a session, plays its brokers and its handlers, and holds the
// session to its promises at every step.
type workerBed struct {
	t        require.TestingT
	s        *WorkerSession
	cfg      WorkerConfig
	now      time.Time
	jobs     map[*Job]*workerRecord // that the driver has
	conns    map[uint64]*workerConn
	last     uint64 // the connection that was dialled last, or that a test is about
	dials    uint64
	asked    string // id of the last mmi.register
	greedy   bool   // a broker hands over more than it may
	loose    bool   // the shares were more than the capacity, as there are more brokers, and still are
	finished int
	drain    bool
	notes    []WorkerAction
	accepted []WorkerAction
}

// workerRecord is what the bed knows of one job.
type workerRecord struct {
	conn      uint64
	cancelled error
	credit    int
}

// workerConn is what the bed knows of one connection.
type workerConn struct {
	broker  int
	up      bool
	over    bool
	goodbye bool
	sends   []mdp.Command
	sent    time.Time
	offers  []Registration
	asked   string          // id of the last of them
	pinged  string          // id of the question who answers, which may come before them
	may     []int           // shares that the broker may go by
	owed    map[string]bool // addresses of requests whose FINAL is due
	joins   bool            // it takes a frame in pieces
	drained bool            // an operator drained the worker there: it hands over nothing
	fixed   bool            // it refused a share that it was to have
}

// link returns what the session has of its first broker.
func (b *workerBed) link() *workerLink { return b.s.links[0] }

func workerServices(names ...string) []ServiceDoc {
	docs := make([]ServiceDoc, len(names))
	for i, name := range names {
		docs[i].Name = name
	}
	return docs
}

// newWorkerBed returns a bed whose session was started, with whatever is missing in
// the config filled in: one broker, the services tea and coffee, capacity 2, and
// hardly any wait before a dial.
func newWorkerBed(t require.TestingT, cfg WorkerConfig) *workerBed {
	b := newIdleWorker(t, cfg)
	b.step(&WorkerEvent{Kind: WorkerStart})
	return b
}

func newIdleWorker(t require.TestingT, cfg WorkerConfig) *workerBed {
	if cfg.Brokers == 0 {
		cfg.Brokers = 1
	} else if cfg.Brokers < 0 {
		cfg.Brokers = 0 // they are found later
	}
	if cfg.Random == nil {
		cfg.Random = func() uint64 { return 7 }
	}
	if cfg.Registration.Services == nil {
		cfg.Registration.Services = workerServices("tea", "coffee")
	}
	if cfg.Registration.Capacity == 0 {
		cfg.Registration.Capacity = 2
	}
	now := time.Unix(1_000_000, 0)
	s, err := NewWorkerSession(cfg, now)
	require.NoError(t, err)
	full, err := cfg.withDefaults()
	require.NoError(t, err)
	return &workerBed{t: t, s: s, cfg: full, now: now, jobs: make(map[*Job]*workerRecord), conns: make(map[uint64]*workerConn)}
}

// newServingWorker returns a bed whose session was accepted by its first broker.
func newServingWorker(t require.TestingT, cfg WorkerConfig) *workerBed {
	b := newWorkerBed(t, cfg)
	b.serve()
	return b
}

// serve lets the last dial succeed, and has the broker take the registration.
func (b *workerBed) serve() {
	b.dialed(b.last)
	if b.cfg.Speak == SpeakMesh {
		b.answer(b.last, &Registered{Broker: "b" + strconv.Itoa(b.conns[b.last].broker), Incarnation: "1"})
	}
}

// on makes the bed be about the newest connection to a broker, and returns it.
func (b *workerBed) on(broker int) *workerConn {
	for conn := b.dials; conn > 0; conn-- {
		if b.conns[conn].broker == broker {
			b.last = conn
			return b.conns[conn]
		}
	}
	require.Fail(b.t, "never dialled")
	return nil
}

func (b *workerBed) step(ev *WorkerEvent) []WorkerAction {
	b.drain = b.drain || ev.Kind == WorkerDrain || ev.Kind == WorkerStop
	actions := append([]WorkerAction(nil), b.s.Step(b.now, ev)...)
	for i := range actions {
		b.check(&actions[i])
	}
	if at := b.s.NextWake(); !at.IsZero() {
		require.True(b.t, at.After(b.now), "an alarm that was due was left")
	}
	b.checkShares()
	return actions
}

// checkShares holds the shares to the worker's capacity, by what was said on the wire.
func (b *workerBed) checkShares() {
	others := 0 // requests that are no part of a share
	for _, r := range b.jobs {
		if b.conns[r.conn].over {
			others++
		}
	}
	brokers, sum, fixed := 0, 0, false
	for _, c := range b.conns {
		switch {
		case c.over || len(c.may) == 0:
		case c.drained:
			others += len(c.owed)
		case c.may[len(c.may)-1] == 0: // it is left, or is to be
			others += max(slices.Max(c.may), len(c.owed))
		default:
			brokers++
			fixed = fixed || c.fixed
			sum += max(slices.Max(c.may), len(c.owed))
		}
	}
	sum += others
	capacity := b.cfg.Registration.Capacity
	b.loose = sum > capacity && (b.loose || fixed || brokers+others > capacity)
	if !b.loose && !b.greedy {
		require.LessOrEqual(b.t, sum, capacity, "brokers may hand over more than the worker takes")
	}
}

// check holds one action to what must always be so.
func (b *workerBed) check(a *WorkerAction) {
	t := b.t
	require.Zero(t, b.finished, "an action after the end")
	switch a.Kind {
	case WorkerDial:
		require.False(t, b.drain, "dialled to stop")
		require.Equal(t, b.dials+1, a.Conn)
		for _, old := range b.conns {
			require.True(t, old.over || old.broker != a.Broker, "two connections at a time")
		}
		b.last, b.dials = a.Conn, a.Conn
		b.conns[a.Conn] = &workerConn{broker: a.Broker, owed: make(map[string]bool)}
	case WorkerHangup:
		require.Contains(t, b.conns, a.Conn)
		b.conns[a.Conn].over = true
	case WorkerSend:
		b.checkSend(a)
	case WorkerRun:
		require.NotContains(t, b.jobs, a.Job, "run while the driver has it")
		b.jobs[a.Job] = &workerRecord{conn: a.Job.link.conn}
		require.LessOrEqual(t, len(b.jobs), b.cfg.Registration.Capacity, "more at once than the worker takes")
	case WorkerCancel:
		r := b.jobs[a.Job]
		require.NotNil(t, r)
		require.NoError(t, r.cancelled, "cancelled twice")
		require.Error(t, a.Err)
		r.cancelled = a.Err
	case WorkerCredit:
		r := b.jobs[a.Job]
		require.NotNil(t, r)
		require.Positive(t, a.N)
		r.credit += a.N
	case WorkerAccepted:
		require.Equal(t, b.conns[a.Conn].broker, a.Broker)
		b.accepted = append(b.accepted, *a)
	case WorkerNote:
		require.NotEmpty(t, a.Text)
		b.notes = append(b.notes, *a)
	case WorkerFinished:
		require.True(t, b.drain)
		b.finished++
		for _, c := range b.conns {
			require.True(t, c.over, "the end leaves a connection")
		}
		for j, r := range b.jobs {
			require.Error(t, r.cancelled, "the end leaves job %p", j)
		}
	default:
		require.Fail(t, "unknown action")
	}
}

// checkSend holds what is sent to the grammar of the protocol.
func (b *workerBed) checkSend(a *WorkerAction) {
	t, conn := b.t, b.conns[a.Conn]
	require.NotNil(t, conn)
	require.True(t, conn.up && !conn.over, "sent on a connection that isn't there")
	require.False(t, conn.goodbye, "sent after DISCONNECT")
	require.True(t, a.Joined == 0 || conn.joins, "pieces on a connection that takes none")
	c, err := mdp.ParseBroker(joinFrames(a.Message, a.Joined))
	require.NoError(t, err)
	want := mdp.V02
	if b.cfg.Speak == SpeakMDP01 {
		want = mdp.V01
	}
	require.Equal(t, want, c.Version)
	ready := 0
	for _, s := range conn.sends {
		if s.Kind == mdp.Ready {
			ready++
		}
	}
	switch c.Kind {
	case mdp.ClientRequest:
		require.Equal(t, SpeakMesh, b.cfg.Speak, "a plain broker is sent nothing but MDP/Worker")
		var env jsonrpc.Envelope
		jsonrpc.Scan(c.Body[0], &env)
		require.Equal(t, jsonrpc.Request, env.Kind)
		require.NotEqual(t, b.asked, string(env.ID))
		if string(c.Service) == mdp.MMIPing {
			require.Empty(t, conn.sends, "it is asked who it is before anything else")
			b.asked, conn.pinged = string(env.ID), string(env.ID)
			break
		}
		require.Equal(t, mdp.MMIRegister, string(c.Service))
		b.asked, conn.asked = string(env.ID), string(env.ID)
		offer := workerOffer(t, env.Params)
		conn.offers, conn.may = append(conn.offers, offer), append(conn.may, offer.Capacity)
	case mdp.Ready:
		require.Zero(t, ready, "a second READY")
		require.True(t, b.cfg.Speak != SpeakMesh || len(conn.offers) == 1, "READY before mmi.register")
		if b.cfg.Speak != SpeakMesh {
			conn.may = []int{1}
		}
	case mdp.WorkerPartial, mdp.WorkerFinal:
		require.Equal(t, 1, ready)
		require.True(t, conn.owed[string(c.Address)], "a reply that nobody waits for")
		if c.Kind == mdp.WorkerFinal {
			delete(conn.owed, string(c.Address))
		}
	case mdp.Heartbeat:
		require.Equal(t, 1, ready)
		require.GreaterOrEqual(t, b.now.Sub(conn.sent), b.s.conns[a.Conn].interval, "a heartbeat that nobody needs")
	case mdp.Disconnect:
		require.Equal(t, 1, ready)
		conn.goodbye = true
	}
	conn.sends, conn.sent = append(conn.sends, c), b.now
}

func (b *workerBed) dialed(conn uint64) []WorkerAction {
	if c := b.conns[conn]; c != nil && !c.over {
		c.up, c.joins = true, conn%2 == 1
	}
	return b.step(&WorkerEvent{Kind: WorkerDialed, Conn: conn, Joins: conn%2 == 1})
}

func (b *workerBed) dialFailed(conn uint64) []WorkerAction {
	b.conns[conn].over = true
	return b.step(&WorkerEvent{Kind: WorkerDialFailed, Conn: conn, Err: errWorkerCut})
}

// cut ends a connection from outside.
func (b *workerBed) cut(conn uint64) []WorkerAction {
	return b.step(&WorkerEvent{Kind: WorkerLost, Conn: conn, Err: errWorkerCut})
}

func (b *workerBed) wake() []WorkerAction { return b.step(&WorkerEvent{Kind: WorkerWake}) }

// pass lets time pass, waking the session when it wants to be.
func (b *workerBed) pass(d time.Duration) (actions []WorkerAction) {
	end := b.now.Add(d)
	for at := b.s.NextWake(); !at.IsZero() && !at.After(end); at = b.s.NextWake() {
		b.now = at
		actions = append(actions, b.wake()...)
	}
	b.now = end
	return actions
}

// message brings a message as its frames.
func (b *workerBed) message(conn uint64, frames ...[]byte) []WorkerAction {
	var ev WorkerEvent
	ev.Received(conn, frames)
	return b.step(&ev)
}

// command brings a message as a command, of the version that the session speaks
// where it names none.
func (b *workerBed) command(c mdp.Command) []WorkerAction {
	if c.Version == 0 {
		c.Version = b.cfg.Speak.version()
	}
	if c.Kind == mdp.WorkerRequest {
		conn := b.conns[b.last]
		var env jsonrpc.Envelope
		jsonrpc.Scan(c.Body[0], &env)
		if env.Kind != jsonrpc.Notification || string(env.Method) == "tea.note" {
			conn.owed[string(c.Address)] = true
		}
	}
	return b.message(b.last, c.AppendTo(nil)...)
}

func (b *workerBed) heartbeat() { b.command(mdp.Command{Kind: mdp.Heartbeat}) }

// mmi brings a reply to mmi.register.
func (b *workerBed) mmi(body string) []WorkerAction {
	c := b.conns[b.last]
	var env jsonrpc.Envelope
	jsonrpc.Scan([]byte(body), &env)
	switch {
	case len(c.may) == 0 || c.over:
	case b.s.find(b.last).state == workerJoining && (body == "501" || strings.Contains(body, "-32601")):
		c.may = []int{1}
		b.greedy = b.greedy || len(c.owed) > 1 // a plain one hands over one at a time
	case string(env.ID) != c.asked:
	case env.Kind == jsonrpc.Result:
		c.may = c.may[len(c.may)-1:]
	default:
		c.fixed = c.fixed || len(c.may) > 1
		c.may = c.may[:max(len(c.may)-1, 1)]
	}
	return b.command(mdp.Command{Kind: mdp.ClientFinal, Service: []byte(mdp.MMIRegister), Body: [][]byte{[]byte(body)}})
}

// answer brings the result of the last mmi.register.
func (b *workerBed) answer(conn uint64, r *Registered) []WorkerAction {
	b.last = conn
	if l := b.s.find(conn); l != nil && l.asking { // others count for nothing
		b.conns[conn].drained = r.Draining
	}
	return b.mmi(`{"jsonrpc":"2.0","id":` + b.conns[conn].asked + `,"result":` + workerJSON(b.t, r) + `}`)
}

// pong brings the answer to the question who answers.
func (b *workerBed) pong(conn uint64, p *Pong) []WorkerAction {
	b.last = conn
	return b.ponged(`{"jsonrpc":"2.0","id":` + b.conns[conn].pinged + `,"result":` + workerJSON(b.t, p) + `}`)
}

// ponged brings a reply to mmi.ping.
func (b *workerBed) ponged(body string) []WorkerAction {
	return b.command(mdp.Command{Kind: mdp.ClientFinal, Service: []byte(mdp.MMIPing), Body: frames(body)})
}

// refuse brings the failure of the last mmi.register.
func (b *workerBed) refuse(code int) []WorkerAction {
	return b.mmi(`{"jsonrpc":"2.0","id":` + b.conns[b.last].asked + `,"error":{"code":` + strconv.Itoa(code) + `,"message":"no"}}`)
}

// workerAsk is a request as a broker hands it over.
type workerAsk struct {
	token   uint64
	body    string // "": a call of tea.brew with the token as its id
	left    uint32 // milliseconds; 0: none said
	expired bool
	attempt uint8
	service uint16
	caller  string
	plain   bool
}

func (a *workerAsk) command() mdp.Command {
	body := a.body
	if body == "" {
		body = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tea.brew"}`, a.token)
	}
	c := mdp.Command{Kind: mdp.WorkerRequest, Body: [][]byte{[]byte(body)}}
	if a.plain {
		c.Address = mdp.AppendToken(nil, a.token)
		return c
	}
	left := a.left
	if left == 0 && !a.expired {
		left = mdp.NoDeadline
	}
	address := mdp.Address{Token: a.token, Remaining: left, Attempt: a.attempt, Service: a.service, Caller: []byte(a.caller)}
	c.Address = address.AppendTo(nil)
	return c
}

func (b *workerBed) ask(a workerAsk) []WorkerAction { return b.command(a.command()) }

// run has the broker hand over a request that is run, and returns its job.
func (b *workerBed) run(a workerAsk) *Job {
	a.plain = a.plain || b.s.find(b.last).plain
	actions := b.ask(a)
	require.Equal(b.t, "run", workerKinds(actions)[0])
	return actions[0].Job
}

// control brings word of a request.
func (b *workerBed) control(token uint64, body string) []WorkerAction {
	return b.ask(workerAsk{token: token, body: body})
}

// reply has a handler reply; its last reply gives the job back, and comes in pieces where
// the connection takes those.
func (b *workerBed) reply(j *Job, final bool, body ...string) []WorkerAction {
	require.Contains(b.t, b.jobs, j)
	ev := WorkerEvent{Kind: WorkerReply, Job: j, Body: frames(body...), Final: final}
	if final {
		delete(b.jobs, j)
		if last := len(body) - 1; j.Joins && len(body[last]) > 1 {
			ev.Body, ev.Joined = append(ev.Body[:last], frames(body[last][:1], body[last][1:], "")...), 3
		}
	}
	return b.step(&ev)
}

// joinFrames returns a message as it comes at the other side.
func joinFrames(m [][]byte, joined int) [][]byte {
	if joined == 0 {
		return m
	}
	whole := len(m) - joined
	return append(slices.Clone(m[:whole]), bytes.Join(m[whole:], nil))
}

// lastSend returns what was sent last on the last connection.
func (b *workerBed) lastSend() mdp.Command {
	sends := b.conns[b.last].sends
	require.NotEmpty(b.t, sends)
	return sends[len(sends)-1]
}

// failure returns the code of the failure that was sent last.
func (b *workerBed) failure() int {
	c := b.lastSend()
	require.Equal(b.t, mdp.WorkerFinal, c.Kind)
	var env jsonrpc.Envelope
	jsonrpc.Scan(c.Body[len(c.Body)-1], &env)
	require.Equal(b.t, jsonrpc.Failure, env.Kind)
	code, _, _, err := jsonrpc.ParseError(env.Error)
	require.NoError(b.t, err)
	return code
}

// lastNote returns what the log heard last.
func (b *workerBed) lastNote() WorkerAction {
	require.NotEmpty(b.t, b.notes)
	return b.notes[len(b.notes)-1]
}

// workerKinds returns what actions are, in words; of sends what is sent. Notes are
// left out.
func workerKinds(actions []WorkerAction) (kinds []string) {
	names := map[WorkerActionKind]string{
		WorkerDial: "dial", WorkerHangup: "hangup", WorkerRun: "run", WorkerCancel: "cancel", WorkerCredit: "credit",
		WorkerAccepted: "accepted", WorkerFinished: "finished",
	}
	for i := range actions {
		switch a := &actions[i]; a.Kind {
		case WorkerNote:
		case WorkerSend:
			c, err := mdp.ParseBroker(joinFrames(a.Message, a.Joined))
			if err != nil {
				kinds = append(kinds, "rubbish")
				continue
			}
			if c.Kind == mdp.ClientRequest {
				kinds = append(kinds, string(c.Service))
				continue
			}
			kinds = append(kinds, c.Kind.String())
		default:
			kinds = append(kinds, names[a.Kind])
		}
	}
	return kinds
}

func workerJSON(t require.TestingT, v any) string {
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return string(raw)
}

func workerOffer(t require.TestingT, params []byte) (reg Registration) {
	require.NoError(t, json.Unmarshal(params, &reg))
	require.True(t, reg.Cancel && reg.Credit)
	return reg
}
