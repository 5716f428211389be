package majordomo

import (
	"slices"
	"strconv"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// workerWorld wires sessions of workers to brokers in virtual time. What is sent
// arrives after a while, in order, unless its way is cut.
type workerWorld struct {
	t       require.TestingT
	now     time.Time
	latency time.Duration
	events  []workerOccurrence
	brokers []*workerWorldBroker
	leads   []int // to which broker an address leads; nil: each to that of its number
	workers []*workerNode
	asked   int
	boots   int
}

// workerOccurrence is something that will happen.
type workerOccurrence struct {
	at   time.Time
	what func()
}

// workerWorldBroker is a broker, with the one client that it has.
type workerWorldBroker struct {
	broker   *Broker
	cfg      Config
	up       bool
	cutOff   bool // what is sent to it or by it is lost, and nobody is told
	client   *Peer
	outcomes map[string][]string // what the client was told, by id
	drained  bool
}

// workerNode is a worker: a session and its handlers.
type workerNode struct {
	world    *workerWorld
	s        *WorkerSession
	pipes    map[uint64]*workerPipe
	work     time.Duration // how long a handler takes; negative: until it is told
	running  []*Job
	runs     []string // ids, in the order in which their handlers began
	at       []int    // the brokers that they came from
	causes   []error  // of cancels
	dials    []int
	accepted int
	conns    map[int]uint64 // the newest connection, by broker
	credit   int
	finished bool
	loose    bool // shares were more than the capacity, as there are more brokers, and still are
}

// workerPipe is one connection.
type workerPipe struct {
	to     *workerWorldBroker
	broker *Broker // the run of it that was connected to
	peer   *Peer
	dead   bool // something was lost on it, and nothing comes after what was lost
	over   bool

	ready  bool  // READY was sent
	plain  bool  // without a registration
	shares []int // of registrations that are on their way
	finals int   // that are on their way, or were lost
	missed int   // requests that were lost
	told   int   // registrations that were sent
}

// mayRun returns how many requests the worker may have to run over the connection,
// from what the broker knows and what is on its way. Over a dead one comes nothing
// but what is on its way.
func (p *workerPipe) mayRun() int {
	most := 0
	if w := p.peer.worker; w != nil {
		most = max(w.used-p.finals-p.missed, 0)
		if !p.dead {
			most = max(most, w.capacity)
		}
	}
	if p.dead {
		return most
	}
	if p.plain {
		most = max(most, 1)
	}
	for _, share := range p.shares {
		most = max(most, share)
	}
	return most
}

// lost says whether what is sent now is lost.
func (p *workerPipe) lost() bool {
	p.dead = p.dead || p.to.cutOff
	return p.dead
}

// workerRandom returns a generator of its own (SplitMix64), so that what a session
// draws doesn't shift what a test draws.
func workerRandom(seed uint64) func() uint64 {
	return func() uint64 {
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return z ^ z>>31
	}
}

func newWorkerWorld(t require.TestingT, configs ...Config) *workerWorld {
	w := &workerWorld{t: t, now: time.Unix(1_000_000, 0), latency: 3 * time.Millisecond}
	for _, cfg := range configs {
		w.brokers = append(w.brokers, &workerWorldBroker{cfg: cfg, outcomes: make(map[string][]string)})
		w.boot(len(w.brokers) - 1)
	}
	return w
}

// boot starts a broker, or starts it anew.
func (w *workerWorld) boot(at int) {
	b := w.brokers[at]
	var err error
	w.boots++
	b.cfg.ID, b.cfg.Incarnation = "b"+strconv.Itoa(at), strconv.Itoa(w.boots)
	b.broker, err = NewBroker(b.cfg, w.now)
	require.NoError(w.t, err)
	b.up, b.drained, b.client = true, false, NewPeer(Identity{Name: "client"}, nil)
}

// crash takes a broker away with all its connections.
func (w *workerWorld) crash(at int) {
	b := w.brokers[at]
	b.up = false
	for _, n := range w.workers {
		for conn, p := range n.pipes {
			if p.to == b && p.peer != nil && !p.over {
				n.cut(conn)
			}
		}
	}
}

// add starts a worker of tea and coffee.
func (w *workerWorld) add(cfg WorkerConfig) *workerNode {
	if cfg.Brokers == 0 {
		cfg.Brokers = len(w.brokers)
	}
	if cfg.Registration.Services == nil {
		cfg.Registration.Services = []ServiceDoc{
			{Name: "tea", Methods: []MethodDoc{{Name: "brew", Idempotent: true}, {Name: "pour"}}},
			{Name: "coffee"},
		}
	}
	if cfg.Registration.Capacity == 0 {
		cfg.Registration.Capacity = 2
	}
	cfg.Registration.Instance = "w" + strconv.Itoa(len(w.workers))
	if cfg.Random == nil {
		cfg.Random = workerRandom(uint64(len(w.workers)))
	}
	s, err := NewWorkerSession(cfg, w.now)
	require.NoError(w.t, err)
	n := &workerNode{world: w, s: s, pipes: make(map[uint64]*workerPipe), conns: make(map[int]uint64), work: -1}
	w.workers = append(w.workers, n)
	n.step(&WorkerEvent{Kind: WorkerStart})
	return n
}

// later has something happen after d.
func (w *workerWorld) later(d time.Duration, what func()) {
	at := w.now.Add(d)
	i := len(w.events)
	for i > 0 && w.events[i-1].at.After(at) {
		i--
	}
	w.events = slices.Insert(w.events, i, workerOccurrence{at, what})
}

// pass lets time pass for everybody.
func (w *workerWorld) pass(d time.Duration) {
	for end := w.now.Add(d); ; {
		next := end
		wake := func(at time.Time) {
			if !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		if len(w.events) > 0 {
			wake(w.events[0].at)
		}
		for _, b := range w.brokers {
			if b.up {
				wake(b.broker.NextWake())
			}
		}
		for _, n := range w.workers {
			wake(n.s.NextWake())
		}
		if !next.Before(end) {
			w.now = end
			return
		}
		if next.After(w.now) {
			w.now = next
		}
		for len(w.events) > 0 && !w.events[0].at.After(w.now) {
			what := w.events[0].what
			w.events = w.events[1:]
			what()
		}
		for _, b := range w.brokers {
			if at := b.broker.NextWake(); b.up && !at.IsZero() && !at.After(w.now) {
				w.stepBroker(b, &Event{Kind: Wake})
			}
		}
		for _, n := range w.workers {
			if at := n.s.NextWake(); !at.IsZero() && !at.After(w.now) {
				n.step(&WorkerEvent{Kind: WorkerWake})
			}
		}
	}
}

// stepBroker takes an event to a broker and does what it asks for.
func (w *workerWorld) stepBroker(b *workerWorldBroker, ev *Event) {
	if !b.up {
		return
	}
	for _, a := range b.broker.Step(w.now, ev) {
		switch a.Kind {
		case Send:
			if a.Peer == b.client {
				b.told(w.t, a.Message)
				continue
			}
			a.Peer.Data.(func([][]byte))(a.Message)
		case Drained:
			b.drained = true
		}
	}
}

// told notes what the client was told.
func (b *workerWorldBroker) told(t require.TestingT, message [][]byte) {
	c, err := mdp.ParseClient(message)
	require.NoError(t, err)
	var env jsonrpc.Envelope
	jsonrpc.Scan(c.Body[len(c.Body)-1], &env)
	outcome := "result"
	switch {
	case c.Kind == mdp.ClientPartial:
		outcome = "part"
	case env.Kind == jsonrpc.Failure:
		code, _, _, err := jsonrpc.ParseError(env.Error)
		require.NoError(t, err)
		outcome = jsonrpc.CodeName(code)
	}
	b.outcomes[string(env.ID)] = append(b.outcomes[string(env.ID)], outcome)
}

// ask has the client of a broker ask for something, and returns the request's id.
func (w *workerWorld) ask(at int, method, meta string) string {
	w.asked++
	id := strconv.Itoa(w.asked)
	service, _, _ := jsonrpc.SplitMethod([]byte(method))
	w.tell(at, string(service), `{"jsonrpc":"2.0","id":`+id+`,"method":"`+method+`","meta":{`+meta+`}}`)
	return id
}

// tell has the client of a broker send a request.
func (w *workerWorld) tell(at int, service, body string) {
	b := w.brokers[at]
	var ev Event
	ev.Received(b.client, frames("MDPC02", "\x01", service, body), false)
	w.stepBroker(b, &ev)
}

// step takes an event to a session and does what it asks for.
func (n *workerNode) step(ev *WorkerEvent) {
	for _, a := range slices.Clone(n.s.Step(n.world.now, ev)) {
		switch a.Kind {
		case WorkerDial:
			n.dial(a.Conn, a.Broker)
		case WorkerSend:
			n.send(n.pipes[a.Conn], a.Message)
		case WorkerHangup:
			n.hangup(a.Conn)
		case WorkerRun:
			n.run(a.Job)
		case WorkerCancel:
			n.causes = append(n.causes, a.Err)
		case WorkerCredit:
			n.credit += a.N
		case WorkerAccepted:
			n.accepted++
		case WorkerFinished:
			require.False(n.world.t, n.finished)
			n.finished = true
		}
	}
	n.checkShares()
}

func (n *workerNode) dial(conn uint64, at int) {
	w, leads := n.world, at
	if w.leads != nil {
		leads = w.leads[at]
	}
	b := w.brokers[leads]
	n.dials = append(n.dials, at)
	p := &workerPipe{to: b}
	n.pipes[conn], n.conns[at] = p, conn
	w.later(w.latency, func() {
		switch {
		case p.over:
			return // it was given up
		case !b.up || b.cutOff:
			n.step(&WorkerEvent{Kind: WorkerDialFailed, Conn: conn, Err: errWorkerCut})
			return
		}
		p.broker = b.broker
		p.peer = NewPeer(Identity{}, func(message [][]byte) {
			if p.lost() {
				if c, err := mdp.ParseWorker(message); err == nil && c.Kind == mdp.WorkerRequest {
					p.missed++
				}
				return
			}
			w.later(w.latency, func() {
				if !p.over {
					var ev WorkerEvent
					ev.Received(conn, message)
					n.step(&ev)
				}
			})
		})
		n.step(&WorkerEvent{Kind: WorkerDialed, Conn: conn})
	})
}

func (n *workerNode) send(p *workerPipe, message [][]byte) {
	require.False(n.world.t, p.over || p.peer == nil)
	c, err := mdp.ParseBroker(message)
	require.NoError(n.world.t, err)
	if c.Kind == mdp.Ready {
		// The session divides its slots among all to which it said this, also where
		// it doesn't arrive.
		p.ready, p.plain = true, n.s.cfg.Speak != SpeakMesh
	}
	arrive := func() {}
	if c.Kind == mdp.WorkerFinal {
		p.finals++
		arrive = func() { p.finals-- }
	}
	if p.lost() {
		return
	}
	if c.Kind == mdp.ClientRequest && string(c.Service) != mdp.MMIPing {
		p.told++
		var env jsonrpc.Envelope
		jsonrpc.Scan(c.Body[0], &env)
		p.shares = append(p.shares, workerOffer(n.world.t, env.Params).Capacity)
		arrive = func() { p.shares = p.shares[1:] }
	}
	n.toBroker(p, func(ev *Event) {
		arrive()
		ev.Received(p.peer, message, false)
	})
}

// checkShares sees to it that brokers can't hand over more than the worker takes.
func (n *workerNode) checkShares() {
	brokers, orphans, sum := 0, 0, 0
	runs := make(map[uint64]int) // by connection
	for _, j := range n.running {
		if j.link == nil {
			orphans++
		} else {
			runs[j.link.conn]++
		}
	}
	for conn, p := range n.pipes {
		if p.ready && !p.over {
			sum += max(p.mayRun(), runs[conn])
			brokers++
		}
	}
	held := 0 // as far as the session can know
	for _, l := range n.s.links {
		held += l.holds()
	}
	capacity := n.s.cfg.Registration.Capacity
	n.loose = max(sum, held)+orphans > capacity && (n.loose || brokers+orphans > capacity)
	if !n.loose {
		require.LessOrEqual(n.world.t, sum+orphans, capacity, "brokers may hand over more than the worker takes")
	}
}

// hangup closes a connection; the broker hears of it unless it is cut off.
func (n *workerNode) hangup(conn uint64) {
	p := n.pipes[conn]
	if p.over {
		return
	}
	p.over = true
	if p.peer != nil && !p.lost() {
		n.toBroker(p, func(ev *Event) { ev.Kind, ev.Peer = Gone, p.peer })
	}
}

// toBroker has an event reach the other end of a connection, if it is still there
// then.
func (n *workerNode) toBroker(p *workerPipe, fill func(*Event)) {
	n.world.later(n.world.latency, func() {
		if p.to.broker != p.broker {
			return
		}
		var ev Event
		fill(&ev)
		n.world.stepBroker(p.to, &ev)
		n.checkShares()
	})
}

// cut ends a connection at both ends. What is on its way still arrives.
func (n *workerNode) cut(conn uint64) {
	n.hangup(conn)
	n.step(&WorkerEvent{Kind: WorkerLost, Conn: conn, Err: errWorkerCut})
}

func (n *workerNode) run(j *Job) {
	n.running = append(n.running, j)
	n.runs = append(n.runs, string(j.Envelope.ID))
	n.at = append(n.at, j.link.broker)
	require.LessOrEqual(n.world.t, len(n.running), n.s.cfg.Registration.Capacity)
	if n.work >= 0 {
		n.world.later(n.work, func() { n.reply(j) })
	}
}

// reply ends a handler.
func (n *workerNode) reply(j *Job) {
	at := slices.Index(n.running, j)
	require.GreaterOrEqual(n.world.t, at, 0)
	n.running = slices.Delete(n.running, at, at+1)
	body := emptyReply
	if j.RPC() {
		body = [][]byte{jsonrpc.AppendResult(nil, j.Envelope.ID, []byte("1"))}
	}
	n.step(&WorkerEvent{Kind: WorkerReply, Job: j, Body: body, Final: true})
}

// part sends one part of a handler's reply.
func (n *workerNode) part(j *Job) {
	n.step(&WorkerEvent{Kind: WorkerReply, Job: j, Body: [][]byte{jsonrpc.AppendResult(nil, j.Envelope.ID, []byte("0"))}})
}

// replyAll ends the handlers that run now.
func (n *workerNode) replyAll() {
	for _, j := range slices.Clone(n.running) {
		n.reply(j)
	}
}
