package majordomo

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// brokerModel is what a broker may do and must do, written down from protocol.md
// and design.md without regard to cost: flat maps, and scans over everything. It
// watches a broker from outside, by what is sent and observed, and keeps the
// faults that it finds.
type brokerModel struct {
	cfg    Config
	now    time.Time
	start  time.Time
	faults []string

	peers    []*modelPeer
	requests []*modelRequest // by serial number, from 1
	services map[string]*modelService
	keys     map[string]*modelKey
	keysDone []*modelKey // oldest first
	held     map[uint64]*modelRequest

	draining  bool
	drainEnd  time.Time
	drainOver bool
	drained   bool

	// After the broker stood still, nobody is lost for silence before mustSpare;
	// before maySpare somebody may still be there for that reason.
	mustSpare, maySpare time.Time

	// cause is what the step that is looked at was about.
	cause modelCause
	queue int // order of putting into queues
}

type modelCause struct {
	request  *modelRequest // the one that just came
	final    *modelRequest // the one that a FINAL came for
	partial  *modelRequest
	body     [][]byte
	cancel   string // id
	of       *modelPeer
	lost     map[*modelPeer]bool // workers lost in this step
	silent   map[*modelPeer]bool // of these, those that were silent; true: and nothing else
	loseOK   map[*modelPeer]bool // workers that may be told DISCONNECT for what they did
	operator string              // instance that an operator disconnects
	stopped  uint64              // request that an operator cancels
	ended    map[*modelKey]*modelRequest
	deserted map[*modelRequest]bool // runs that nobody waits for any more
}

func newModelCause() modelCause {
	return modelCause{
		lost: make(map[*modelPeer]bool), silent: make(map[*modelPeer]bool), loseOK: make(map[*modelPeer]bool),
		ended: make(map[*modelKey]*modelRequest), deserted: make(map[*modelRequest]bool),
	}
}

type modelPeer struct {
	n       int
	name    string // authenticated
	peer    *Peer
	gone    bool
	serials map[string]*modelRequest // JSON-RPC id to the request that waits
	answers int                      // management replies that are due

	pinged  bool
	heard   time.Time
	refused bool // its registration was refused as a whole
	drained bool // by an operator, as a worker
	worker  *modelWorker
}

func (p *modelPeer) account() string {
	if p.name != "" {
		return p.name
	}
	return "#" + strconv.Itoa(p.n)
}

type modelWorker struct {
	registered bool
	ready      bool
	version    mdp.Version
	instance   string
	capacity   int
	cancels    bool
	credits    bool
	offers     map[string]modelOffer
	held       bool
	drained    bool                     // by an operator
	slots      map[string]*modelRequest // by address frame
	issued     map[string]bool
	sent       time.Time
	busySince  time.Time
	beatsBusy  bool
	finals     int
	strays     int
	passed     map[string]map[*modelPeer]bool // per service: who was given a request while this one was free
}

type modelOffer struct {
	index   int
	methods map[string]int // idempotent ones: attempts
}

func (w *modelWorker) free() bool {
	return w.ready && !w.held && !w.drained && len(w.slots) < w.capacity
}

type modelService struct {
	known  bool
	paused bool
	alone  time.Time
	passed map[string]map[string]bool // per caller: who was served while it waited
}

type modelState int

const (
	modelWaiting modelState = iota + 1
	modelJoined
	modelRunning
	modelAbandoned // settled, but in its worker's slot
	modelDone
)

type modelRequest struct {
	serial   uint64
	peer     *modelPeer // nil: released
	caller   string
	name     string // authenticated
	id       string
	kind     jsonrpc.Kind
	service  string
	method   string
	key      string
	params   string
	attempt  int
	window   int
	version  mdp.Version
	deadline time.Time
	body     []byte

	state    modelState
	queued   time.Time
	order    int
	front    bool
	handed   int
	handedAt time.Time
	partials int
	worker   *modelPeer
	address  string
	idem     bool // by the worker that had it last
	attempts int
	// The same of the worker before, should this one not have started it.
	idemBefore     bool
	attemptsBefore int
	run            *modelKey
	outcomes       int
	occasion       Occasion
	code           int
	told           int
	callerOK       bool // the caller is there to be told
	until          time.Time
	linked         uint64
}

func (r *modelRequest) rpc() bool { return r.kind == jsonrpc.Request }

// wanted says whether there is somebody for whom r is to be run.
func (r *modelRequest) wanted() bool {
	return r.linked != 0 || r.callerOK || r.run != nil && len(r.run.joined) > 0
}

type modelKey struct {
	name    string
	params  string
	run     *modelRequest
	joined  []*modelRequest
	unsure  bool
	void    bool
	fate    modelFate // of a key whose run is over, once nobody has joined it any more
	outcome Occasion
	code    int
	body    [][]byte
	at      time.Time
}

type modelFate int

const (
	modelDropped modelFate = iota // it never ran
	modelVoid                     // nor did it, but its caller may come back
	modelLost                     // it was lost with its worker
)

func newBrokerModel(cfg Config, now time.Time) *brokerModel {
	cfg, err := cfg.withDefaults()
	if err != nil {
		panic(err)
	}
	return &brokerModel{
		cfg: cfg, now: now, start: now, services: make(map[string]*modelService),
		keys: make(map[string]*modelKey), held: make(map[uint64]*modelRequest), requests: []*modelRequest{nil},
	}
}

func (m *brokerModel) faultf(format string, args ...any) {
	m.faults = append(m.faults, fmt.Sprintf(format, args...))
}

func (m *brokerModel) checkf(ok bool, format string, args ...any) {
	if !ok {
		m.faultf(format, args...)
	}
}

func (m *brokerModel) service(name string) *modelService {
	s := m.services[name]
	if s == nil {
		s = &modelService{alone: m.start, passed: make(map[string]map[string]bool)}
		m.services[name] = s
	}
	return s
}

func (m *brokerModel) expiry() time.Duration {
	return time.Duration(m.cfg.Liveness) * m.cfg.HeartbeatInterval
}

func (m *brokerModel) peerOf(p *Peer) *modelPeer {
	for _, mp := range m.peers {
		if mp.peer == p {
			return mp
		}
	}
	return nil
}

// workers returns the peers that offer the service.
func (m *brokerModel) workers(service string) []*modelPeer {
	var ws []*modelPeer
	for _, p := range m.peers {
		if p.worker != nil {
			if _, ok := p.worker.offers[service]; ok {
				ws = append(ws, p)
			}
		}
	}
	return ws
}

func (m *brokerModel) all(state modelState) []*modelRequest {
	var rs []*modelRequest
	for _, r := range m.requests[1:] {
		if r.state == state {
			rs = append(rs, r)
		}
	}
	return rs
}

// contract says what the worker that r is handed to promises of its method.
func (m *brokerModel) contract(p *modelPeer, r *modelRequest) (idempotent bool, attempts int) {
	sc := m.cfg.service(r.service)
	if !p.worker.registered {
		return sc.Idempotent, sc.Attempts
	}
	method := ""
	if service, name, ok := jsonrpc.SplitMethod([]byte(r.method)); ok && string(service) == r.service {
		method = string(name)
	}
	n, ok := p.worker.offers[r.service].methods[method]
	return ok, cmp.Or(n, sc.Attempts)
}

// step looks at one step: ev was given to the broker, which answered with
// actions and observed. What ev means to the model's books was written down
// before, in m.cause.
func (m *brokerModel) step(actions []Action, observed []Observation) {
	var requests, finals, partials []Action
	if slices.ContainsFunc(actions, func(a Action) bool { return a.Kind == Drained }) {
		m.checkf(m.draining && !m.drained, "drained without a drain, or twice")
		m.drained = true
		defer func() { m.checkf(m.idle(), "drained too early") }()
	}
	for _, a := range actions {
		p := m.peerOf(a.Peer)
		switch a.Kind {
		case Close:
			_, silent := m.cause.silent[p]
			m.checkf(!p.gone && (silent || p.pinged && m.silent(p, m.expiry())), "peer %d closed", p.n)
			delete(m.cause.silent, p)
			m.leave(p)
		case Send:
			m.checkf(!p.gone, "sent to peer %d, which is gone: %q", p.n, a.Message)
			c, err := mdp.ParseWorker(a.Message)
			if err != nil {
				m.faultf("sent %q: %v", a.Message, err)
				continue
			}
			switch c.Kind {
			case mdp.ClientFinal:
				if mdp.Reserved(c.Service) {
					m.checkf(p.answers > 0, "peer %d was answered what it didn't ask", p.n)
					p.answers--
				} else {
					finals = append(finals, a)
				}
			case mdp.ClientPartial:
				partials = append(partials, a)
			case mdp.WorkerRequest:
				if bytes.Contains(c.Body[0], []byte(`"rpc.`)) {
					m.note(p, &c)
				} else {
					requests = append(requests, a)
				}
			case mdp.Heartbeat:
				m.checkf(p.worker != nil && p.worker.ready, "HEARTBEAT to peer %d, which is no worker", p.n)
			case mdp.Disconnect:
				m.disconnected(p)
			}
			if p.worker != nil {
				m.checkf(c.Kind == mdp.ClientFinal || c.Kind == mdp.ClientPartial || c.Version == p.worker.version || c.Kind == mdp.Disconnect,
					"peer %d was sent %v of %v", p.n, c.Kind, c.Version)
				p.worker.sent = m.now
			}
		}
	}
	for p, only := range m.cause.silent {
		m.checkf(!only, "the connection of peer %d, a silent worker, isn't closed", p.n)
	}
	next := func(list *[]Action, what string, r *modelRequest) (Action, bool) {
		if len(*list) == 0 {
			m.faultf("#%d: %s isn't sent", r.serial, what)
			return Action{}, false
		}
		a := (*list)[0]
		*list = (*list)[1:]
		return a, true
	}
	for i := range observed {
		o := &observed[i]
		if o.Occasion >= WorkerJoined {
			continue
		}
		if o.Occasion == Received {
			m.received(o)
			continue
		}
		if o.Request == 0 || int(o.Request) >= len(m.requests) {
			m.faultf("observation of #%d", o.Request)
			continue
		}
		r := m.requests[o.Request]
		switch o.Occasion {
		case Queued:
			m.queuedNow(r)
		case Dispatched:
			if a, ok := next(&requests, "REQUEST", r); ok {
				m.dispatched(r, &a, o)
			}
		case Partial:
			m.checkf(m.cause.partial == r && r.state == modelRunning, "#%d: PARTIAL from nowhere", r.serial)
			r.partials++
			if r.callerOK && r.version == mdp.V02 {
				if a, ok := next(&partials, "PARTIAL", r); ok {
					m.checkf(m.peerOf(a.Peer) == r.peer, "#%d: PARTIAL to another", r.serial)
				}
			}
		case Requeued:
			m.requeued(r)
		default:
			if r.peer != nil && r.peer.gone && r.callerOK {
				// Its connection was closed in this step: maybe after it was told.
				r.callerOK = len(finals) > 0 && m.peerOf(finals[0].Peer) == r.peer && bytes.Contains(finals[0].Message[len(finals[0].Message)-1], []byte(`"id":`+r.id+`,`))
			}
			m.settled(r, o)
			reply := o.Occasion == Replied || o.Body != nil
			if r.callerOK && (r.rpc() || reply) {
				if a, ok := next(&finals, "FINAL", r); ok {
					m.told(r, &a)
				}
			}
			m.forget(r)
		}
	}
	for _, left := range [][]Action{requests, finals, partials} {
		for _, a := range left {
			m.faultf("sent to peer %d for no reason: %q", m.peerOf(a.Peer).n, a.Message)
		}
	}
	if r := m.cause.request; r != nil && r.serial == 0 {
		m.faultf("a request wasn't received")
	}
	m.settleBooks()
}

// leave takes a peer out of the books. What becomes of its requests is seen by
// what is observed.
func (m *brokerModel) leave(p *modelPeer) {
	p.gone = true
	if p.worker != nil {
		m.loseWorker(p)
	}
}

func (m *brokerModel) loseWorker(p *modelPeer) {
	w := p.worker
	p.worker = nil
	m.cause.lost[p] = true
	for name := range w.offers {
		if len(m.workers(name)) == 0 {
			m.service(name).alone = m.now
		}
	}
	for _, r := range m.requests[1:] {
		if r.state == modelAbandoned && r.worker == p {
			r.state = modelDone
			m.lostRun(r, r.idem && r.partials == 0 && r.handed < r.attempts, Failed, jsonrpc.CodeWorkerLost)
		}
	}
}

// disconnected is told that p was sent DISCONNECT.
func (m *brokerModel) disconnected(p *modelPeer) {
	w := p.worker
	if w == nil {
		m.checkf(m.cause.loseOK[p], "DISCONNECT to peer %d, which did nothing", p.n)
		return
	}
	ok := m.cause.loseOK[p] || m.drained || m.cause.operator != "" && w.instance == m.cause.operator
	for _, r := range w.slots { // a plain worker that is busy for too long
		ok = ok || !w.registered && (r.state == modelAbandoned && !m.now.Before(r.until) ||
			r.deadline.IsZero() && !m.now.Before(r.handedAt.Add(m.cfg.service(r.service).BusyLimit)))
	}
	silent := m.silent(p, m.patience(p))
	m.checkf(ok || silent, "DISCONNECT to worker %d for nothing", p.n)
	if silent {
		m.cause.silent[p] = !ok
	}
	m.loseWorker(p)
}

// silent says whether p may be lost for silence.
func (m *brokerModel) silent(p *modelPeer, patience time.Duration) bool {
	return !m.now.Before(p.heard.Add(patience)) && !m.now.Before(m.mustSpare)
}

// silentTooLong says whether p must have been lost for silence.
func (m *brokerModel) silentTooLong(p *modelPeer, patience time.Duration) bool {
	return m.past(p.heard.Add(patience)) && m.past(m.maySpare)
}

// stall lets time pass in which the broker does nothing, not even what is due. It
// sees so by a timer of a peer that is late by an interval.
func (m *brokerModel) stall(d time.Duration) {
	m.now = m.now.Add(d)
	if d < m.cfg.HeartbeatInterval {
		return
	}
	spared := m.maySpare
	m.maySpare = m.now.Add(m.cfg.HeartbeatInterval)
	for _, p := range m.peers {
		late := func(due time.Time) bool {
			return !m.now.Before(due.Add(m.cfg.HeartbeatInterval + time.Millisecond))
		}
		w := p.worker
		if !p.gone && (w != nil && w.ready && late(w.sent.Add(m.cfg.HeartbeatInterval)) || (w != nil || p.pinged) && late(p.heard.Add(m.patience(p))) && late(spared)) {
			m.mustSpare = m.maySpare
		}
	}
}

func (m *brokerModel) patience(p *modelPeer) time.Duration {
	w := p.worker
	if w == nil || w.registered || w.beatsBusy || len(w.slots) == 0 {
		return m.expiry()
	}
	for name := range w.offers {
		return max(m.expiry(), m.cfg.service(name).BusyLimit)
	}
	return m.expiry()
}

// note is told of rpc.cancel and rpc.credit.
func (m *brokerModel) note(p *modelPeer, c *mdp.Command) {
	w := p.worker
	if w == nil {
		m.faultf("%s to peer %d, which is no worker", c.Body[0], p.n)
		return
	}
	r := w.slots[string(c.Address)]
	if r == nil {
		m.faultf("%s for no request", c.Body[0])
		return
	}
	if bytes.Contains(c.Body[0], []byte("cancel")) {
		m.checkf(w.cancels, "rpc.cancel to a worker that doesn't know it")
	} else {
		m.checkf(w.credits, "rpc.credit to a worker that doesn't know it")
	}
}

// received enters a request into the books.
func (m *brokerModel) received(o *Observation) {
	r := m.cause.request
	if r == nil || r.serial != 0 {
		m.faultf("received what nobody sent")
		r = &modelRequest{}
	}
	r.serial = o.Request
	m.checkf(int(o.Request) == len(m.requests), "serial number %d after %d", o.Request, len(m.requests)-1)
	m.requests = append(m.requests, r)
	if r.peer != nil {
		r.callerOK = true
	}
	r.state = modelWaiting
	r.queued = m.now
	m.queue++
	r.order = m.queue
	if r.linked != 0 {
		return
	}
	// What the window says.
	k := m.keyOf(r)
	switch {
	case k == nil || k.void && k.params == r.params:
	case k.params != r.params:
		r.run = nil
	case k.run != nil:
		if m.roomFor(r) == "" && len(k.joined) < maxJoined {
			r.state, r.run = modelJoined, k
			k.joined = append(k.joined, r)
		}
	}
}

// keyed says whether the window has a say in r.
func (r *modelRequest) keyed() bool {
	return r.key != "" && r.window < 0 && r.rpc() && r.linked == 0
}

// keyOf returns what the window knows of r's key, or nil.
func (m *brokerModel) keyOf(r *modelRequest) *modelKey {
	if !r.keyed() {
		return nil
	}
	return m.keys[m.keyName(r)]
}

func (m *brokerModel) keyName(r *modelRequest) string {
	return strings.Join([]string{r.name, r.service, r.method, r.key}, "\x00")
}

// enterKey makes r the run of its key, once it is neither refused nor answered.
func (m *brokerModel) enterKey(r *modelRequest) {
	if !r.keyed() || r.run != nil {
		return
	}
	name := m.keyName(r)
	k := m.keys[name]
	if k != nil {
		m.checkf(k.void && k.run == nil, "#%d runs although its key is known", r.serial)
		m.keysDone = slices.DeleteFunc(m.keysDone, func(d *modelKey) bool { return d == k })
		k.void, k.run = false, r
		r.run = k
		return
	}
	for len(m.keys) >= m.cfg.WindowEntries {
		if len(m.keysDone) == 0 {
			m.faultf("#%d: no room for its key", r.serial)
			return
		}
		delete(m.keys, m.keysDone[0].name)
		m.keysDone = m.keysDone[1:]
	}
	k = &modelKey{name: name, params: r.params, run: r, unsure: r.attempt > 1}
	m.keys[name] = k
	r.run = k
}

// load counts what waits.
func (m *brokerModel) load(keep func(*modelRequest) bool) int {
	n := 0
	for _, r := range m.requests[1:] {
		if (r.state == modelWaiting || r.state == modelJoined) && keep(r) {
			n++
		}
	}
	return n
}

// roomFor says which limit r meets, not counting r itself.
func (m *brokerModel) roomFor(r *modelRequest) string {
	others := func(keep func(*modelRequest) bool) int {
		return m.load(func(o *modelRequest) bool { return o != r && keep(o) })
	}
	switch {
	case others(func(o *modelRequest) bool { return o.service == r.service }) >= m.cfg.service(r.service).MaxQueued:
		return "service"
	case others(func(o *modelRequest) bool { return o.caller == r.caller }) >= m.cfg.MaxCallerQueued:
		return "caller"
	case others(func(*modelRequest) bool { return true }) >= m.cfg.MaxQueued:
		return "all"
	}
	return ""
}

func (m *brokerModel) queuedNow(r *modelRequest) {
	if r.state == modelJoined { // promoted
		m.promote(r)
	}
	m.checkf(r.state == modelWaiting && r.handed == 0 || r.run != nil, "#%d queued in state %d", r.serial, r.state)
	m.enterKey(r)
	r.queued = m.now
	m.queue++
	r.order = m.queue
	m.checkf(!m.draining || !r.rpc() || r.run != nil, "#%d queued while the broker drains", r.serial)
	m.checkf(!m.drainOver && !m.drained || r.run != nil, "#%d queued after the drain", r.serial)
}

// promote makes r, which joined, the run of its key.
func (m *brokerModel) promote(r *modelRequest) {
	k := r.run
	m.checkf(k.run == nil || k.run.state == modelDone, "#%d has a run of its own, but its key's goes on", r.serial)
	if len(k.joined) == 0 || k.joined[0] != r {
		m.faultf("#%d promoted before others", r.serial)
	}
	k.joined = slices.DeleteFunc(k.joined, func(o *modelRequest) bool { return o == r })
	if old := k.run; old != nil {
		r.handed, r.idem, r.attempts = old.handed, old.idem, old.attempts
	}
	k.run, k.void = r, false
	r.state = modelWaiting
	r.queued = m.now
	m.queue++
	r.order = m.queue
}

// dispatched checks that r may be handed over as it is.
func (m *brokerModel) dispatched(r *modelRequest, a *Action, o *Observation) {
	p := m.peerOf(a.Peer)
	c, _ := mdp.ParseWorker(a.Message)
	if r.state == modelJoined {
		m.promote(r)
	}
	m.enterKey(r)
	m.checkf(r.state == modelWaiting, "#%d handed over in state %d", r.serial, r.state)
	m.checkf(r.deadline.IsZero() || m.now.Before(r.deadline), "#%d handed over after its deadline", r.serial)
	m.checkf(r.wanted(), "#%d handed over, but its caller is gone", r.serial)
	m.checkf(bytes.Equal(c.Body[0], r.body), "#%d: body changed to %q", r.serial, c.Body[0])
	s := m.service(r.service)
	m.checkf(!s.paused, "#%d handed over at a paused service", r.serial)
	m.checkf(!m.draining || !r.rpc(), "#%d handed over while the broker drains", r.serial)
	m.checkf(!m.drainOver && !m.drained, "#%d handed over after the drain", r.serial)
	w := p.worker
	if w == nil {
		m.faultf("#%d handed to peer %d, which is no worker", r.serial, p.n)
		return
	}
	offer, ok := w.offers[r.service]
	m.checkf(ok, "#%d handed to a worker of another service", r.serial)
	m.checkf(w.ready && !w.held && !w.drained, "#%d handed to a worker that is not ready, said not started, or was drained", r.serial)
	for _, o := range m.requests[1:] {
		if o.worker == p && m.outlived(o) {
			m.outlive(o)
		}
	}
	m.checkf(len(w.slots) < w.capacity, "#%d handed to a worker with %d of %d slots in use", r.serial, len(w.slots), w.capacity)
	if r.handed > 0 {
		m.checkf(r.idem && r.partials == 0 && r.handed < r.attempts, "#%d handed over again (%d, idempotent %v, %d partials)", r.serial, r.handed, r.idem, r.partials)
	}
	idem, attempts := m.contract(p, r)
	unsure := r.key != "" && r.rpc() && r.attempt > 1
	if r.run != nil {
		unsure = r.run.unsure
	}
	m.checkf(!unsure || idem || r.handed > 0 || r.linked != 0, "#%d: a repeat of what may have run", r.serial)
	m.inTurn(r, p)
	r.idemBefore, r.attemptsBefore = r.idem, r.attempts
	r.idem, r.attempts = idem, attempts
	r.handed++
	m.checkf(o.Attempt == r.handed, "#%d: attempt %d observed as %d", r.serial, r.handed, o.Attempt)
	if len(w.slots) == 0 {
		w.busySince = m.now
	}
	r.state, r.worker, r.handedAt, r.address = modelRunning, p, m.now, string(c.Address)
	m.checkf(!w.issued[r.address], "#%d: an address that was used before", r.serial)
	w.issued[r.address] = true
	w.slots[r.address] = r
	if !w.registered {
		_, err := mdp.ParseToken(c.Address)
		m.checkf(err == nil, "#%d: address %q to a plain worker", r.serial, c.Address)
		return
	}
	addr, err := mdp.ParseAddress(c.Address)
	m.checkf(err == nil && int(addr.Service) == offer.index && int(addr.Attempt) == r.handed && string(addr.Caller) == r.name,
		"#%d: address %+v", r.serial, addr)
	if r.deadline.IsZero() {
		m.checkf(addr.Remaining == mdp.NoDeadline, "#%d: %d ms remain", r.serial, addr.Remaining)
	} else {
		left := time.Duration(addr.Remaining) * time.Millisecond
		m.checkf(left >= r.deadline.Sub(m.now) && left < r.deadline.Sub(m.now)+time.Millisecond, "#%d: %v of %v remain", r.serial, left, r.deadline.Sub(m.now))
	}
}

// inTurn checks that it is r's turn and p's: first in first out within a caller,
// in turn between callers and between workers.
func (m *brokerModel) inTurn(r *modelRequest, p *modelPeer) {
	s := m.service(r.service)
	callers := make(map[string]bool)
	for _, o := range m.requests[1:] {
		if o == r || o.state != modelWaiting || o.service != r.service || o.order == 0 {
			continue
		}
		if o.front && !r.front {
			m.faultf("#%d handed over before #%d, which was put back in front", r.serial, o.serial)
		}
		if !o.front && !r.front {
			if o.caller == r.caller {
				m.checkf(o.order > r.order, "#%d handed over before #%d of the same caller", r.serial, o.serial)
			}
			callers[o.caller] = true
		}
	}
	if !r.front {
		delete(callers, r.caller)
		for caller := range callers {
			if s.passed[caller] == nil {
				s.passed[caller] = make(map[string]bool)
			}
			m.checkf(!s.passed[caller][r.caller], "%s served twice at %s while %s waits", r.caller, r.service, caller)
			s.passed[caller][r.caller] = true
		}
		delete(s.passed, r.caller)
	}
	for _, o := range m.workers(r.service) {
		w := o.worker
		if o == p {
			delete(w.passed, r.service)
			continue
		}
		if !w.free() {
			w.passed = make(map[string]map[*modelPeer]bool)
			continue
		}
		if w.passed[r.service] == nil {
			w.passed[r.service] = make(map[*modelPeer]bool)
		}
		m.checkf(!w.passed[r.service][p], "worker %d was given two requests of %s while worker %d was free", p.n, r.service, o.n)
		w.passed[r.service][p] = true
	}
}

// requeued checks that r may be put back.
func (m *brokerModel) requeued(r *modelRequest) {
	m.checkf(r.state == modelRunning, "#%d requeued in state %d", r.serial, r.state)
	if m.cause.final == r {
		r.handed-- // not started
		r.idem, r.attempts = r.idemBefore, r.attemptsBefore
		m.cause.final = nil
	} else {
		m.checkf(m.cause.lost[r.worker], "#%d requeued, but its worker lives", r.serial)
		m.checkf(r.idem && r.partials == 0 && r.handed < r.attempts, "#%d requeued (%d times of %d, idempotent %v, %d partials)", r.serial, r.handed, r.attempts, r.idem, r.partials)
	}
	if w := r.worker.worker; w != nil {
		delete(w.slots, r.address)
	}
	r.state, r.worker, r.front = modelWaiting, nil, true
	r.queued = m.now
}

// settled checks that r may end as it does.
func (m *brokerModel) settled(r *modelRequest, o *Observation) {
	r.outcomes++
	r.occasion, r.code = o.Occasion, o.Code
	if r.state == modelJoined && r.run.run != nil && m.outlived(r.run.run) {
		m.outlive(r.run.run)
	}
	m.checkf(r.outcomes == 1, "#%d has %d outcomes", r.serial, r.outcomes)
	m.checkf(r.state == modelWaiting || r.state == modelJoined || r.state == modelRunning, "#%d settled in state %d", r.serial, r.state)
	if m.cause.final == r { // the worker's reply
		want := Replied
		var e jsonrpc.Envelope
		if len(m.cause.body) == 1 {
			jsonrpc.Scan(m.cause.body[0], &e)
		}
		if e.Kind == jsonrpc.Failure {
			want = Failed
		}
		m.checkf(o.Occasion == want, "#%d: the reply is observed as %d", r.serial, o.Occasion)
		m.checkf(slices.EqualFunc(o.Body, m.cause.body, bytes.Equal), "#%d: the reply is observed as %q", r.serial, o.Body)
		return
	}
	// The outcome of another request with its key.
	if m.copied(r, o) {
		return
	}
	if r == m.cause.request && (o.Code == jsonrpc.CodeExpired || o.Code == jsonrpc.CodeOutcomeUnknown) {
		m.enterKey(r) // it was about to be handed over
	}
	m.checkf(o.Occasion == failure{code: o.Code}.occasion(), "#%d: code %d observed as %d", r.serial, o.Code, o.Occasion)
	if why := m.refused(r, o.Code); why != "" {
		m.faultf("#%d (state %d, handed over %d times) failed with %s (%s): %s", r.serial, r.state, r.handed, jsonrpc.CodeName(o.Code), o.Reason, why)
	}
	var e jsonrpc.Envelope
	if o.Body != nil {
		jsonrpc.Scan(o.Body[0], &e)
		_, _, data, err := jsonrpc.ParseError(e.Error)
		handed := r.handed > 0
		if k := m.keyOf(r); k != nil && r.handed == 0 && k.params == r.params && k.run != nil && k.run != r {
			handed = handed || k.run.handed > 0 // it joined, or would have
		} else if r.run != nil && m.cause.ended[r.run] != nil {
			handed = handed || m.cause.ended[r.run].handed > 0
		}
		m.checkf(err == nil && bytes.Contains(data, []byte(`"handed_over":`+strconv.FormatBool(handed))), "#%d handed over: %v, told %s", r.serial, handed, data)
	}
}

// copied says whether o is the outcome of another request with r's key.
func (m *brokerModel) copied(r *modelRequest, o *Observation) bool {
	k := m.keyOf(r)
	if k == nil || k.run != nil || k.void || k.params != r.params || (r.run != nil && r.run != k) || r.run != nil && r.state != modelJoined {
		return false
	}
	m.checkf(o.Occasion == k.outcome && o.Code == k.code, "#%d: outcome %d (%d) is kept, %d (%d) given", r.serial, k.outcome, k.code, o.Occasion, o.Code)
	same := len(o.Body) == len(k.body)
	for i := range o.Body {
		same = same && bytes.Equal(modelWithoutID(o.Body[i]), modelWithoutID(k.body[i]))
	}
	m.checkf(same || k.body == nil, "#%d: %q is kept, %q given", r.serial, k.body, o.Body)
	return true
}

// modelWithoutID returns a reply without its id.
func modelWithoutID(body []byte) []byte {
	var e jsonrpc.Envelope
	jsonrpc.Scan(body, &e)
	if e.ID == nil {
		return body
	}
	return append(append([]byte{}, e.Result...), e.Error...)
}

// refused returns why the broker had no reason to end r with that code, or "".
func (m *brokerModel) refused(r *modelRequest, code int) string {
	s := m.service(r.service)
	arriving := m.cause.request == r
	past := func(t time.Time, d time.Duration) bool { return !m.now.Before(t.Add(d)) }
	expired := !r.deadline.IsZero() && !m.now.Before(r.deadline)
	k := m.keyOf(r)
	lostRun := func() bool { // r joined a run that is over
		return r.state == modelJoined && m.cause.ended[r.run] != nil
	}
	ok := false
	switch code {
	case jsonrpc.CodeNoService, jsonrpc.CodeNoWorker:
		last := s.alone
		ok = r.rpc() && !m.draining && len(m.workers(r.service)) == 0 && past(last, m.cfg.NoWorkerWait) &&
			s.known == (code == jsonrpc.CodeNoWorker) && (r.state == modelWaiting || lostRun())
	case jsonrpc.CodeOverloaded:
		ok = arriving && m.roomFor(r) != "" || lostRun() || k != nil && len(k.joined) >= maxJoined ||
			arriving && r.key != "" && len(m.keys) >= m.cfg.WindowEntries && len(m.keysDone) == 0
	case jsonrpc.CodeExpired:
		switch r.state {
		case modelWaiting:
			ok = expired || r.deadline.IsZero() && past(r.queued, m.cfg.QueueTimeout)
		case modelRunning:
			ok = expired || r.deadline.IsZero() && past(r.handedAt, m.cfg.service(r.service).BusyLimit) || m.deserted(r)
		case modelJoined:
			ok = expired || lostRun()
		}
	case jsonrpc.CodeWorkerLost:
		ok = r.state == modelRunning && m.cause.lost[r.worker] && !(r.idem && r.partials == 0) || lostRun()
	case jsonrpc.CodeQuarantined:
		ok = r.state == modelRunning && m.cause.lost[r.worker] && r.idem && r.partials == 0 && r.handed >= r.attempts || lostRun()
	case jsonrpc.CodeCancelled:
		ok = r.peer != nil && (!r.callerOK || m.cause.cancel == r.id && m.cause.of == r.peer) || m.deserted(r) || m.cause.stopped == r.serial
	case jsonrpc.CodeDraining:
		ok = m.draining && (r.rpc() || m.drainTimeUp() || m.drained) && r.state == modelWaiting || lostRun()
	case jsonrpc.CodeOutcomeUnknown:
		unsure := r.key != "" && r.attempt > 1
		if r.run != nil {
			unsure = r.run.unsure
		}
		ok = r.rpc() && unsure && r.handed == 0 || lostRun()
	case jsonrpc.CodeKeyConflict:
		ok = arriving && k != nil && k.params != r.params
	}
	if ok {
		return ""
	}
	return "no reason for it"
}

// deserted says whether nobody waits for the run r any more: its caller is gone, and
// the last that joined it gave up in this step.
func (m *brokerModel) deserted(r *modelRequest) bool {
	return r.state == modelRunning && r.run != nil && !r.callerOK && len(r.run.joined) == 0 && m.cause.deserted[r]
}

// told checks what r's caller is sent.
func (m *brokerModel) told(r *modelRequest, a *Action) {
	p := m.peerOf(a.Peer)
	m.checkf(p == r.peer, "#%d: told another", r.serial)
	r.told++
	m.checkf(r.told == 1, "#%d: told %d times", r.serial, r.told)
	c, err := mdp.ParseWorker(a.Message)
	m.checkf(err == nil && c.Kind == mdp.ClientFinal && c.Version == r.version && string(c.Service) == r.service, "#%d: told %q", r.serial, a.Message)
	if r.rpc() && len(c.Body) > 0 {
		last := c.Body[len(c.Body)-1]
		var e jsonrpc.Envelope
		jsonrpc.Scan(last, &e)
		m.checkf(e.ID == nil || string(e.ID) == r.id, "#%d: told under the id %s, not %s", r.serial, e.ID, r.id)
	}
}

// forget moves r on after it was settled.
func (m *brokerModel) forget(r *modelRequest) {
	if r.peer != nil {
		delete(r.peer.serials, r.id)
	}
	switch {
	case m.cause.final == r:
		m.freeSlot(r)
		r.state = modelDone
		m.repliedRun(r)
	case r.state == modelRunning && !m.cause.lost[r.worker]:
		r.state = modelAbandoned
		r.until = m.now.Add(m.expiry())
		if busy := r.handedAt.Add(m.cfg.service(r.service).BusyLimit); busy.After(r.until) {
			r.until = busy
		}
	case r.state == modelRunning:
		r.state = modelDone
		m.lostRun(r, false, r.occasion, r.code)
	case r.state == modelJoined:
		r.state = modelDone
		k := r.run
		k.joined = slices.DeleteFunc(k.joined, func(o *modelRequest) bool { return o == r })
		if len(k.joined) == 0 && k.run != nil && k.run.state == modelRunning && r.callerOK {
			m.cause.deserted[k.run] = true
		}
	default:
		r.state = modelDone
		m.neverRan(r)
		delete(m.service(r.service).passed, r.caller) // it may have been its turn
	}
}

func (m *brokerModel) freeSlot(r *modelRequest) {
	if w := r.worker.worker; w != nil {
		delete(w.slots, r.address)
	}
}

// outlived says whether r's worker had it for longer than the busy limit allows.
func (m *brokerModel) outlived(r *modelRequest) bool {
	return r.state == modelAbandoned && !m.now.Before(r.until) && r.worker.worker != nil && r.worker.worker.registered
}

// outlive takes r's slot from it.
func (m *brokerModel) outlive(r *modelRequest) {
	m.freeSlot(r)
	r.state = modelDone
	m.lostRun(r, false, TimedOut, jsonrpc.CodeExpired)
}

// isRun says whether r is the run of its key, which then has no run.
func (m *brokerModel) isRun(r *modelRequest) bool {
	if r.run == nil || r.run.run != r {
		return false
	}
	m.cause.ended[r.run] = r
	return true
}

// repliedRun is told that r's worker had the last word in this step.
func (m *brokerModel) repliedRun(r *modelRequest) {
	if !m.isRun(r) {
		return
	}
	k := r.run
	k.outcome, k.code, k.body = Replied, 0, m.cause.body
	var e jsonrpc.Envelope
	if len(k.body) == 1 {
		jsonrpc.Scan(k.body[0], &e)
	}
	if e.Kind == jsonrpc.Failure {
		k.outcome = Failed
		k.code, _, _, _ = jsonrpc.ParseError(e.Error)
	}
	m.keep(k)
}

// lostRun is told that r ended without its worker's word. Where it may run again,
// one of those that joined it has a run of its own.
func (m *brokerModel) lostRun(r *modelRequest, again bool, o Occasion, code int) {
	if !m.isRun(r) {
		return
	}
	k := r.run
	k.outcome, k.code, k.body = o, code, nil
	if again && len(k.joined) > 0 {
		k.fate = modelLost
		return
	}
	m.keep(k)
}

// neverRan is told that r ended before a worker had it, or before one that may run
// it again had it.
func (m *brokerModel) neverRan(r *modelRequest) {
	if !m.isRun(r) {
		return
	}
	k := r.run
	k.fate = modelDropped
	if r.peer != nil && !r.callerOK && r.code == jsonrpc.CodeCancelled && m.cause.stopped != r.serial {
		k.fate = modelVoid
	}
}

func (m *brokerModel) keep(k *modelKey) {
	k.run, k.at = nil, m.now
	m.keysDone = append(m.keysDone, k)
}

// drainTimeUp says whether opaque requests needn't be served any more.
func (m *brokerModel) drainTimeUp() bool {
	return m.draining && !m.drainEnd.IsZero() && !m.now.Before(m.drainEnd)
}

// settleBooks does what follows at the end of a step: keys whose run is over and
// that nobody waits for, outcomes that are too old.
func (m *brokerModel) settleBooks() {
	for _, r := range m.requests[1:] {
		r.callerOK = r.callerOK && !r.peer.gone
	}
	for _, p := range m.peers {
		if w := p.worker; w != nil && !w.free() {
			w.passed = make(map[string]map[*modelPeer]bool)
		}
	}
	for name, s := range m.services {
		for caller := range s.passed {
			waits := func(r *modelRequest) bool {
				return r.state == modelWaiting && r.service == name && r.caller == caller && !r.front
			}
			if !slices.ContainsFunc(m.requests[1:], waits) {
				delete(s.passed, caller) // it loses its place when nothing of it waits
			}
		}
	}
	for name, k := range m.keys {
		if k.run == nil || k.run.state != modelDone || len(k.joined) > 0 {
			continue
		}
		switch k.fate {
		case modelDropped:
			delete(m.keys, name)
		case modelVoid:
			k.void = true
			m.keep(k)
		case modelLost:
			m.keep(k)
		}
	}
	for len(m.keysDone) > 0 && !m.now.Before(m.keysDone[0].at.Add(m.cfg.WindowAge)) {
		delete(m.keys, m.keysDone[0].name)
		m.keysDone = m.keysDone[1:]
	}
}

// past says whether the millisecond in which t falls has ended.
func (m *brokerModel) past(t time.Time) bool {
	ms := (t.Sub(m.start) + time.Millisecond - 1).Truncate(time.Millisecond)
	return m.now.Sub(m.start) >= ms
}

// settledDown checks what must hold when nothing more is to be done at this time.
func (m *brokerModel) settledDown() {
	for _, r := range m.requests[1:] {
		over := !r.deadline.IsZero() && m.past(r.deadline)
		switch r.state {
		case modelWaiting:
			m.checkf(!over, "#%d waits after its deadline", r.serial)
			m.checkf(!r.deadline.IsZero() || !m.past(r.queued.Add(m.cfg.QueueTimeout)), "#%d waits for ever", r.serial)
			m.checkf(r.wanted(), "#%d waits, but its caller is gone", r.serial)
			m.checkf(!m.draining || !r.rpc(), "#%d waits in a drain", r.serial)
			m.checkf(!m.drainOver, "#%d waits after the drain", r.serial)
			ws := m.workers(r.service)
			s := m.service(r.service)
			if len(ws) == 0 && r.rpc() {
				m.checkf(!m.past(s.alone.Add(m.cfg.NoWorkerWait)), "#%d waits for a worker for too long", r.serial)
			}
			for _, p := range ws {
				m.checkf(s.paused || !p.worker.free(), "#%d waits, but worker %d is free", r.serial, p.n)
			}
		case modelJoined:
			m.checkf(!over, "#%d waits for a run after its deadline", r.serial)
			m.checkf(r.run.run != nil, "#%d waits for a run that is over", r.serial)
			m.checkf(r.callerOK, "#%d waits for a run, but its caller is gone", r.serial)
		case modelRunning:
			m.checkf(!over, "#%d runs after its deadline", r.serial)
			m.checkf(r.worker.worker != nil && r.worker.worker.slots[r.address] == r, "#%d runs at a worker that is lost", r.serial)
			m.checkf(r.peer == nil || r.callerOK || r.run != nil, "#%d runs, but its caller is gone", r.serial)
		case modelAbandoned:
			m.checkf(!m.past(r.until), "#%d keeps its slot for too long", r.serial)
		case modelDone:
			m.checkf(r.outcomes == 1, "#%d is done with %d outcomes", r.serial, r.outcomes)
			m.checkf(!r.rpc() || !r.callerOK || r.told == 1, "#%d: its caller was told %d times", r.serial, r.told)
		}
	}
	for _, p := range m.peers {
		m.checkf(p.answers == 0, "peer %d waits for %d answers", p.n, p.answers)
		if p.gone {
			continue
		}
		if p.pinged {
			m.checkf(!m.silentTooLong(p, m.expiry()) || p.worker != nil && !m.silentTooLong(p, m.patience(p)), "peer %d is silent for too long", p.n)
		}
		if w := p.worker; w != nil {
			m.checkf(!m.silentTooLong(p, m.patience(p)), "worker %d is silent for too long", p.n)
			m.checkf(!w.ready || !m.past(w.sent.Add(m.cfg.HeartbeatInterval)), "worker %d was sent nothing for an interval", p.n)
			m.checkf(!m.drained, "worker %d after the drain", p.n)
		}
	}
	m.checkf(m.drained || !m.draining || !m.idle(), "the drain doesn't end")
}

// idle says whether nobody waits for anything.
func (m *brokerModel) idle() bool {
	return len(m.all(modelWaiting))+len(m.all(modelJoined))+len(m.all(modelRunning)) == 0
}

// compare checks the broker's own numbers.
func (m *brokerModel) compare(b *Broker) {
	s := b.Snapshot()
	keys := 0
	for range m.keys {
		keys++
	}
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"queued", s.Queued, len(m.all(modelWaiting))},
		{"joined", b.waits.requests - b.queued, len(m.all(modelJoined))},
		{"running", s.Running, len(m.all(modelRunning))},
		{"keys", s.Keyed, keys},
	} {
		m.checkf(c.got == c.want, "snapshot says %d %s, not %d", c.got, c.what, c.want)
	}
	// Those that outlive their time may have lost their slots.
	most, least := 0, 0
	for _, r := range m.all(modelAbandoned) {
		most++
		if !m.outlived(r) {
			least++
		}
	}
	m.checkf(s.Abandoned >= least && s.Abandoned <= most, "snapshot says %d abandoned, not %d to %d", s.Abandoned, least, most)
}

// err returns the faults found.
func (m *brokerModel) err() error {
	if len(m.faults) == 0 {
		return nil
	}
	return errors.New(strings.Join(m.faults, "\n"))
}
