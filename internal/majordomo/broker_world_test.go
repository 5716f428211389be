package majordomo

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// brokerWorld is a broker among peers whose doings somebody chooses, with a
// model that watches.
type brokerWorld struct {
	b      *Broker
	m      *brokerModel
	choose func(n int) int // 0 to n-1
	sent   int             // requests
	log    []string
}

// brokerWorlds are the configurations that worlds are made with: roomy, and tight.
var brokerWorlds = []Config{
	{HeartbeatInterval: time.Second, BusyLimit: 6 * time.Second, QueueTimeout: 5 * time.Second, NoWorkerWait: 2 * time.Second, WindowAge: 20 * time.Second},
	{
		HeartbeatInterval: time.Second, BusyLimit: 6 * time.Second, QueueTimeout: 2 * time.Second, NoWorkerWait: time.Second, WindowAge: 20 * time.Second,
		MaxQueued: 6, MaxCallerQueued: 3, Service: ServiceConfig{MaxQueued: 4}, MaxQuarantined: 2,
	},
}

func newBrokerWorld(choose func(n int) int) *brokerWorld {
	cfg := brokerWorlds[choose(len(brokerWorlds))]
	cfg.Observe, cfg.Operate = true, true
	cfg.Services = map[string]ServiceConfig{"b": {Idempotent: true, Attempts: 2}}
	now := time.Unix(1_000_000, 0)
	b, err := NewBroker(cfg, now)
	if err != nil {
		panic(err)
	}
	return &brokerWorld{b: b, m: newBrokerModel(cfg, now), choose: choose}
}

// pick returns one of list, which isn't empty.
func pick[T any](w *brokerWorld, list ...T) T { return list[w.choose(len(list))] }

func (w *brokerWorld) tracef(format string, args ...any) {
	w.log = append(w.log, w.m.now.Sub(w.m.start).String()+" "+fmt.Sprintf(format, args...))
}

// step gives the broker one event, whose meaning stands in the model's cause, and
// has everything checked.
func (w *brokerWorld) step(ev *Event) error {
	actions := w.b.Step(w.m.now, ev)
	w.m.step(actions, w.b.Observed())
	err := w.m.err()
	if err == nil {
		err = w.b.invariants()
	}
	if err == nil {
		w.m.compare(w.b)
		err = w.m.err()
	}
	w.m.cause = newModelCause()
	return err
}

// settle wakes the broker until it wants nothing more at this time.
func (w *brokerWorld) settle() error {
	for n := 0; ; n++ {
		at := w.b.NextWake()
		if at.IsZero() || at.After(w.m.now) {
			break
		}
		if n > 1000 {
			return errors.New("the broker always wants to be woken")
		}
		if err := w.step(&Event{Kind: Wake}); err != nil {
			return err
		}
	}
	for _, r := range w.m.all(modelAbandoned) {
		if w.m.outlived(r) {
			w.m.outlive(r)
		}
	}
	w.m.settleBooks()
	w.m.drainOver = w.m.drainTimeUp() && w.m.past(w.m.drainEnd)
	w.m.settledDown()
	w.m.compare(w.b)
	return w.m.err()
}

// send gives the broker a message of p.
func (w *brokerWorld) send(p *modelPeer, c *mdp.Command) error {
	var ev Event
	ev.Received(p.peer, c.AppendTo(nil), false)
	if ev.Err != nil {
		return fmt.Errorf("the test sends %q: %w", c.AppendTo(nil), ev.Err)
	}
	p.heard = w.m.now
	return w.step(&ev)
}

// connect returns a new peer.
func (w *brokerWorld) connect(name string) *modelPeer {
	p := &modelPeer{n: len(w.m.peers), name: name, serials: make(map[string]*modelRequest), heard: w.m.now}
	p.peer = NewPeer(Identity{Name: name, Addr: strconv.Itoa(p.n)}, nil)
	w.m.peers = append(w.m.peers, p)
	return p
}

// living returns the peers that are there and that keep says yes to.
func (w *brokerWorld) living(keep func(*modelPeer) bool) []*modelPeer {
	var ps []*modelPeer
	for _, p := range w.m.peers {
		if !p.gone && keep(p) {
			ps = append(ps, p)
		}
	}
	return ps
}

func (w *brokerWorld) clients() []*modelPeer {
	return w.living(func(p *modelPeer) bool { return p.worker == nil })
}

func (w *brokerWorld) workers() []*modelPeer {
	return w.living(func(p *modelPeer) bool { return p.worker != nil && p.worker.ready })
}

// held returns what a worker has in its slots, oldest first.
func (w *brokerWorld) heldBy(p *modelPeer) []*modelRequest {
	var rs []*modelRequest
	for _, r := range p.worker.slots {
		rs = append(rs, r)
	}
	slices.SortFunc(rs, func(a, b *modelRequest) int { return int(a.serial) - int(b.serial) })
	return rs
}

// brokerOps are the things that can happen, by name.
var brokerOps = map[string]func(*brokerWorld) error{
	"request":    (*brokerWorld).opRequest,
	"requests":   (*brokerWorld).opRequests,
	"client":     (*brokerWorld).opClient,
	"worker":     (*brokerWorld).opWorker,
	"register":   (*brokerWorld).opRegister,
	"final":      (*brokerWorld).opFinal,
	"finals":     (*brokerWorld).opFinals,
	"partial":    (*brokerWorld).opPartial,
	"stray":      (*brokerWorld).opStray,
	"heartbeat":  (*brokerWorld).opHeartbeat,
	"heartbeats": (*brokerWorld).opHeartbeats,
	"disconnect": (*brokerWorld).opDisconnect,
	"gone":       (*brokerWorld).opGone,
	"cancel":     (*brokerWorld).opCancel,
	"ping":       (*brokerWorld).opPing,
	"pause":      (*brokerWorld).opPause,
	"operate":    (*brokerWorld).opOperate,
	"junk":       (*brokerWorld).opJunk,
	"wait":       (*brokerWorld).opWait,
	"drain":      (*brokerWorld).opDrain,
	"stall":      (*brokerWorld).opStall,
	"stop":       (*brokerWorld).opStop,
}

// brokerOpNames are the names in a fixed order, for choices that must stay what
// they are in recorded inputs.
var brokerOpNames = []string{
	"request", "requests", "client", "worker", "register", "final", "finals", "partial", "stray", "heartbeat", "heartbeats",
	"disconnect", "gone", "cancel", "ping", "pause", "operate", "junk", "wait", "drain", "stall", "stop",
}

// run lets one thing happen.
func (w *brokerWorld) run(op string) error {
	w.tracef("%s", op)
	w.m.cause = newModelCause()
	if err := brokerOps[op](w); err != nil {
		return err
	}
	if w.choose(8) == 7 {
		return nil // the driver is late
	}
	return w.settle()
}

func (w *brokerWorld) opClient() error {
	if len(w.clients()) < 6 {
		w.connect(pick(w, "", "", "alice", "bob"))
	}
	return nil
}

func (w *brokerWorld) opRequest() error {
	clients := w.clients()
	if len(clients) == 0 {
		return nil
	}
	p := pick(w, clients...)
	service := pick(w, "a", "b", "c")
	r := &modelRequest{
		peer: p, caller: p.account(), name: p.name, service: service, window: -1, version: pick(w, mdp.V02, mdp.V02, mdp.V01),
		method: service + "." + pick(w, "run", "again"), params: `{"p":1}`,
	}
	w.sent++
	tag := strconv.Itoa(w.sent)
	kind := w.choose(8)
	if kind == 0 {
		r.body, r.method = []byte("opaque "+tag), ""
	} else {
		w.fill(r, tag, kind)
	}
	w.tracef("  peer %d: %s", p.n, r.body)
	if r.rpc() {
		p.serials[r.id] = r
	}
	w.m.cause.request = r
	return w.send(p, &mdp.Command{Version: r.version, Kind: mdp.ClientRequest, Service: []byte(service), Body: [][]byte{r.body}})
}

// fill makes r JSON-RPC.
func (w *brokerWorld) fill(r *modelRequest, tag string, kind int) {
	r.kind = jsonrpc.Request
	words := []string{"tag=" + tag}
	if kind == 1 {
		r.kind = jsonrpc.Notification
	} else {
		r.id = tag
	}
	switch w.choose(5) {
	case 0:
		words = append(words, "timeout=1s")
		r.deadline = w.m.now.Add(time.Second)
	case 1:
		words = append(words, "timeout=3500ms")
		r.deadline = w.m.now.Add(3500 * time.Millisecond)
	case 2:
		if w.choose(4) == 0 {
			words = append(words, "timeout=0s")
			r.deadline = w.m.now
		}
	}
	if key := w.choose(6); key < 3 {
		r.key = strconv.Itoa(key)
		words = append(words, "key="+r.key)
		r.attempt = w.choose(4)
		if r.attempt > 0 {
			words = append(words, "attempt="+strconv.Itoa(r.attempt))
		}
		if w.choose(12) == 0 {
			r.params = `{"p":2}`
		}
	}
	if w.choose(6) == 0 {
		r.window = 4
		words = append(words, "window=4")
	}
	words = append(words, "params="+r.params)
	r.body = brokerRequest(r.id, r.method, words)
}

func (w *brokerWorld) opRequests() error {
	for range 2 + w.choose(4) {
		w.m.cause = newModelCause()
		if err := w.opRequest(); err != nil {
			return err
		}
	}
	return nil
}

func (w *brokerWorld) opWorker() error {
	if len(w.workers()) >= 4 {
		return nil
	}
	p := w.connect("")
	if w.choose(2) == 0 {
		return w.join(p, pick(w, mdp.V01, mdp.V02), pick(w, "a", "b"))
	}
	if err := w.register(p, 1+w.choose(3)); err != nil || p.worker == nil {
		return err
	}
	names := make([]string, 0, 3)
	for _, name := range []string{"a", "b", "c"} {
		if _, ok := p.worker.offers[name]; ok {
			names = append(names, name)
		}
	}
	w.m.cause = newModelCause()
	p.worker.ready, p.worker.sent = true, w.m.now
	return w.send(p, &mdp.Command{Version: mdp.V02, Kind: mdp.Ready, Service: []byte(pick(w, names...))})
}

// join has p say READY as a plain worker.
func (w *brokerWorld) join(p *modelPeer, v mdp.Version, service string) error {
	w.tracef("  peer %d is a plain worker of %s, %v", p.n, service, v)
	if w.m.drained || p.refused {
		w.m.cause.loseOK[p] = true
	} else {
		p.worker = &modelWorker{
			ready: true, version: v, capacity: 1, offers: map[string]modelOffer{service: {}}, sent: w.m.now,
			slots: make(map[string]*modelRequest), issued: make(map[string]bool), passed: make(map[string]map[*modelPeer]bool),
		}
		w.m.service(service).known = true
	}
	return w.send(p, &mdp.Command{Version: v, Kind: mdp.Ready, Service: []byte(service)})
}

// register has p register, for the first time or again.
func (w *brokerWorld) register(p *modelPeer, capacity int) error {
	reg := Registration{Instance: "w" + strconv.Itoa(w.choose(3)), Capacity: capacity, Cancel: w.choose(2) == 0, Credit: w.choose(2) == 0}
	offers := make(map[string]modelOffer)
	for _, name := range []string{"c", "b", "a"} {
		if w.choose(3) == 0 && name != "a" {
			continue
		}
		again := MethodDoc{Name: "again", Idempotent: true, Attempts: w.choose(3)}
		offers[name] = modelOffer{index: len(reg.Services), methods: map[string]int{"again": again.Attempts}}
		reg.Services = append(reg.Services, ServiceDoc{Name: name, Methods: []MethodDoc{{Name: "run"}, again}})
	}
	w.tracef("  peer %d registers %+v", p.n, reg)
	taken := !w.m.draining || capacity == 0 || p.worker != nil && capacity <= p.worker.capacity
	if p.refused = !taken && p.worker == nil; taken {
		worker := p.worker
		if worker == nil {
			worker = &modelWorker{
				registered: true, version: mdp.V02, drained: p.drained, slots: make(map[string]*modelRequest), issued: make(map[string]bool),
			}
			p.worker = worker
		}
		before := worker.offers
		worker.offers, worker.capacity, worker.held = offers, capacity, false
		worker.cancels, worker.credits, worker.instance = reg.Cancel, reg.Credit, reg.Instance
		worker.passed = make(map[string]map[*modelPeer]bool)
		for name := range offers {
			w.m.service(name).known = true
		}
		for name := range before {
			if len(w.m.workers(name)) == 0 {
				w.m.service(name).alone = w.m.now
			}
		}
	}
	return w.manage(p, mdp.MMIRegister, reg)
}

// manage has p ask for something in JSON-RPC.
func (w *brokerWorld) manage(p *modelPeer, method string, params any) error {
	raw, err := json.Marshal(params)
	if err != nil {
		return err
	}
	p.answers++
	body := brokerRequest(`"ask"`, method, []string{"params=" + string(raw)})
	return w.send(p, &mdp.Command{Version: mdp.V02, Kind: mdp.ClientRequest, Service: []byte(method), Body: [][]byte{body}})
}

func (w *brokerWorld) opRegister() error {
	registered := w.living(func(p *modelPeer) bool { return p.worker != nil && p.worker.registered })
	if len(registered) == 0 {
		return nil
	}
	return w.register(pick(w, registered...), w.choose(4))
}

// busy returns the workers that have something in their slots.
func (w *brokerWorld) busy() []*modelPeer {
	return w.living(func(p *modelPeer) bool { return p.worker != nil && len(p.worker.slots) > 0 })
}

func (w *brokerWorld) opFinal() error {
	busy := w.busy()
	if len(busy) == 0 {
		return nil
	}
	p := pick(w, busy...)
	return w.reply(p, pick(w, w.heldBy(p)...), w.choose(6))
}

func (w *brokerWorld) opFinals() error {
	for range 1 + w.choose(4) {
		w.m.cause = newModelCause()
		if err := w.opFinal(); err != nil {
			return err
		}
	}
	return nil
}

// reply has p say its last word on r.
func (w *brokerWorld) reply(p *modelPeer, r *modelRequest, how int) error {
	id := []byte(r.id)
	body := jsonrpc.AppendResult(nil, id, []byte(strconv.FormatUint(r.serial, 10)))
	notStarted := false
	switch how {
	case 0:
		body = jsonrpc.AppendFailure(nil, id, 7, "no water", nil)
	case 1:
		body = []byte("opaque reply")
	case 2:
		body = jsonrpc.AppendFailure(nil, id, jsonrpc.CodeNotStarted, "busy", nil)
		notStarted = p.worker.registered && r.partials == 0
	}
	w.tracef("  worker %d replies to #%d: %s", p.n, r.serial, body)
	mw := p.worker
	mw.finals++
	mw.strays = 0
	mw.held = notStarted
	w.m.cause.body = [][]byte{body}
	switch r.state {
	case modelAbandoned:
		delete(mw.slots, r.address)
		r.state = modelDone
		if notStarted {
			r.handed--
			r.code = jsonrpc.CodeExpired // so that one that joined runs, or none
			w.m.neverRan(r)
		} else {
			w.m.repliedRun(r)
		}
	default:
		w.m.cause.final = r
	}
	return w.send(p, &mdp.Command{Version: mw.version, Kind: mdp.WorkerFinal, Address: []byte(r.address), Body: w.m.cause.body})
}

func (w *brokerWorld) opPartial() error {
	busy := w.living(func(p *modelPeer) bool {
		return p.worker != nil && p.worker.version == mdp.V02 && len(p.worker.slots) > 0
	})
	if len(busy) == 0 {
		return nil
	}
	p := pick(w, busy...)
	r := pick(w, w.heldBy(p)...)
	w.m.cause.partial = r
	return w.send(p, &mdp.Command{Version: mdp.V02, Kind: mdp.WorkerPartial, Address: []byte(r.address), Body: [][]byte{[]byte("leaf")}})
}

// opStray has a worker say something more of a request that is done, or of one that
// it never had.
func (w *brokerWorld) opStray() error {
	workers := w.workers()
	if len(workers) == 0 {
		return nil
	}
	p := pick(w, workers...)
	mw := p.worker
	var old []string
	for address := range mw.issued {
		if mw.slots[address] == nil {
			old = append(old, address)
		}
	}
	slices.Sort(old)
	address := "7777777777777777"
	if len(old) > 0 && w.choose(8) > 0 {
		address = pick(w, old...)
		mw.strays++
	} else {
		mw.strays = 1000
	}
	if mw.strays > w.m.cfg.MaxStrays {
		w.m.cause.loseOK[p] = true
	} else {
		mw.held = false
	}
	return w.send(p, &mdp.Command{Version: mw.version, Kind: mdp.WorkerFinal, Address: []byte(address), Body: [][]byte{[]byte("more")}})
}

func (w *brokerWorld) opHeartbeat() error {
	workers := w.workers()
	if len(workers) == 0 {
		return nil
	}
	return w.beat(pick(w, workers...))
}

func (w *brokerWorld) opHeartbeats() error {
	for _, p := range w.workers() {
		w.m.cause = newModelCause()
		if err := w.beat(p); err != nil {
			return err
		}
	}
	return nil
}

func (w *brokerWorld) beat(p *modelPeer) error {
	mw := p.worker
	if mw == nil {
		return nil
	}
	if len(mw.slots) > 0 && !w.m.now.Before(mw.busySince.Add(w.m.cfg.HeartbeatInterval)) {
		mw.beatsBusy = true
	}
	return w.send(p, &mdp.Command{Version: mw.version, Kind: mdp.Heartbeat})
}

func (w *brokerWorld) opDisconnect() error {
	workers := w.workers()
	if len(workers) == 0 {
		return nil
	}
	p := pick(w, workers...)
	v := p.worker.version
	kind := mdp.Disconnect
	if w.choose(3) == 0 {
		kind = mdp.Ready // a second one
		w.m.cause.loseOK[p] = true
	} else {
		w.m.loseWorker(p)
	}
	return w.send(p, &mdp.Command{Version: v, Kind: kind, Service: []byte("a")})
}

func (w *brokerWorld) opGone() error {
	all := w.living(func(*modelPeer) bool { return true })
	if len(all) == 0 {
		return nil
	}
	p := pick(w, all...)
	w.tracef("  peer %d", p.n)
	return w.gone(p)
}

func (w *brokerWorld) gone(p *modelPeer) error {
	w.m.cause = newModelCause()
	w.m.leave(p)
	for _, r := range w.m.requests[1:] {
		r.callerOK = r.callerOK && r.peer != p
	}
	return w.step(&Event{Kind: Gone, Peer: p.peer})
}

func (w *brokerWorld) opCancel() error {
	waiting := w.living(func(p *modelPeer) bool { return len(p.serials) > 0 })
	if len(waiting) == 0 {
		return nil
	}
	p := pick(w, waiting...)
	ids := make([]string, 0, len(p.serials))
	for id := range p.serials {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	id := pick(w, ids...)
	if w.choose(3) == 0 {
		return w.manage(p, mdp.MMICredit, map[string]any{"id": json.RawMessage(id), "n": 1 + w.choose(5)})
	}
	w.m.cause.cancel, w.m.cause.of = id, p
	return w.manage(p, mdp.MMICancel, map[string]any{"id": json.RawMessage(id)})
}

func (w *brokerWorld) opPing() error {
	all := w.living(func(*modelPeer) bool { return true })
	if len(all) == 0 {
		return nil
	}
	p := pick(w, all...)
	p.pinged = true
	return w.manage(p, mdp.MMIPing, struct{}{})
}

func (w *brokerWorld) opPause() error {
	p := w.connect("operator")
	name := pick(w, "a", "b")
	s := w.m.service(name)
	method := mdp.MMIPause
	if s.paused {
		method = mdp.MMIResume
	}
	if w.b.services[name] != nil {
		s.paused = !s.paused
	}
	if err := w.manage(p, method, map[string]string{"service": name}); err != nil {
		return err
	}
	return w.gone(p)
}

// opStop has an operator drain a worker, or cancel a request.
func (w *brokerWorld) opStop() error {
	p := w.connect("operator")
	var err error
	if w.choose(3) == 0 {
		instance := "w" + strconv.Itoa(w.choose(3))
		for _, o := range w.m.peers {
			if o.worker != nil && o.worker.instance == instance {
				o.worker.drained, o.drained = true, true
				o.worker.passed = make(map[string]map[*modelPeer]bool)
			}
		}
		err = w.manage(p, mdp.MMIDrain, map[string]string{"worker": instance})
	} else {
		if w.sent > 0 {
			w.m.cause.stopped = uint64(1 + w.choose(len(w.m.requests)))
		}
		err = w.manage(p, mdp.MMICancel, map[string]uint64{"request": max(w.m.cause.stopped, 1)})
	}
	if err != nil {
		return err
	}
	return w.gone(p)
}

// opStall is a process that is stopped and goes on.
func (w *brokerWorld) opStall() error {
	if err := w.settle(); err != nil {
		return err
	}
	w.m.stall(pick(w, 700*time.Millisecond, 1500*time.Millisecond, 2900*time.Millisecond, 5*time.Second))
	return w.settle()
}

// opOperate releases or drops a quarantined request, or disconnects workers.
func (w *brokerWorld) opOperate() error {
	p := w.connect("operator")
	var err error
	held := w.b.Snapshot().Quarantine
	switch {
	case w.choose(4) == 0:
		w.m.cause.operator = "w" + strconv.Itoa(w.choose(3))
		err = w.manage(p, mdp.MMIDisconnect, map[string]string{"worker": w.m.cause.operator})
	case len(held) == 0:
		err = w.manage(p, mdp.MMIRelease, map[string]uint64{"request": 1 << 40})
	case w.choose(3) == 0:
		err = w.manage(p, mdp.MMIDrop, map[string]uint64{"request": held[0].Request})
	default:
		old := w.m.requests[held[0].Request]
		released := &modelRequest{
			caller: "released " + strconv.Itoa(len(w.m.requests)), name: old.name, kind: old.kind, id: old.id, service: old.service, method: old.method,
			window: old.window, version: old.version, body: old.body, linked: old.serial, attempt: old.attempt,
		}
		if old.name != "" && len(w.living(func(p *modelPeer) bool { return p.name == old.name })) > 0 {
			released.caller = old.name
		}
		w.m.cause.request = released
		before := w.b.counts.Received
		raw := map[string]uint64{"request": old.serial}
		if w.m.draining || !w.releasable(released) {
			w.m.cause.request = nil
		}
		err = w.manage(p, mdp.MMIRelease, raw)
		if err == nil && w.b.counts.Received == before && w.m.cause.request != nil {
			err = errors.New("nothing was released")
		}
	}
	if err != nil {
		return err
	}
	return w.gone(p)
}

// releasable says whether there is a worker or room for a released request.
func (w *brokerWorld) releasable(r *modelRequest) bool {
	s := w.b.services[r.service]
	if s == nil {
		return false
	}
	ms := w.m.service(r.service)
	free, waiting := false, 0
	for _, p := range w.m.workers(r.service) {
		free = free || p.worker.free()
	}
	for _, o := range w.m.all(modelWaiting) {
		if o.service == r.service {
			waiting++
		}
	}
	if free && waiting == 0 && !ms.paused {
		return true
	}
	if w.m.roomFor(r) != "" {
		return false
	}
	return len(w.m.workers(r.service)) > 0 || !r.rpc() || w.m.now.Before(ms.alone.Add(w.m.cfg.NoWorkerWait))
}

func (w *brokerWorld) opJunk() error {
	all := w.living(func(*modelPeer) bool { return true })
	if len(all) == 0 {
		return nil
	}
	var ev Event
	ev.Received(pick(w, all...).peer, pick(w, frames("junk"), frames(""), frames("MDPW02", "\x09"), frames("MDPC02", "\x01", "a")), false)
	if ev.Err == nil {
		return errors.New("junk was understood")
	}
	return w.step(&ev)
}

// opWait lets time pass, with a Wake whenever the broker asks for one.
func (w *brokerWorld) opWait() error {
	until := w.m.now.Add(pick(w, time.Millisecond, 100*time.Millisecond, 500*time.Millisecond, 900*time.Millisecond, 1700*time.Microsecond, 2500*time.Millisecond, 8*time.Second))
	return w.wait(until)
}

func (w *brokerWorld) wait(until time.Time) error {
	for {
		if err := w.settle(); err != nil {
			return err
		}
		at := w.b.NextWake()
		if at.IsZero() || at.After(until) {
			break
		}
		w.m.now = at
	}
	w.m.now = until
	return nil
}

func (w *brokerWorld) opDrain() error {
	if w.choose(6) > 0 {
		return nil // seldom: it is the end
	}
	ev := Event{Kind: Drain}
	if !w.m.draining {
		w.m.draining = true
		if w.choose(3) > 0 {
			w.m.drainEnd = w.m.now.Add(time.Duration(w.choose(4)) * time.Second)
			ev.Deadline = w.m.drainEnd
		}
	}
	return w.step(&ev)
}

// end checks that nothing is left in the broker when its peers are gone and time
// has passed, and that every request had its outcome.
func (w *brokerWorld) end() error {
	w.tracef("end")
	for _, p := range w.living(func(*modelPeer) bool { return true }) {
		if err := w.gone(p); err != nil {
			return err
		}
	}
	if err := w.wait(w.m.now.Add(3 * time.Hour)); err != nil {
		return err
	}
	for _, r := range w.m.requests[1:] {
		if r.outcomes != 1 {
			return fmt.Errorf("#%d has %d outcomes", r.serial, r.outcomes)
		}
	}
	return w.b.brokerLeftovers()
}

func (w *brokerWorld) fail(err error) string {
	return err.Error() + "\nafter\n" + strings.Join(w.log, "\n")
}

// TestBrokerModel lets random things happen to a broker and compares what it does
// with the model.
func TestBrokerModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newBrokerWorld(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") })
		actions := make(map[string]func(*rapid.T))
		for name := range brokerOps {
			actions[name] = func(t *rapid.T) {
				if err := w.run(name); err != nil {
					t.Fatal(w.fail(err))
				}
			}
		}
		t.Repeat(actions)
		if err := w.end(); err != nil {
			t.Fatal(w.fail(err))
		}
	})
}

// FuzzBroker takes the choices from bytes.
func FuzzBroker(f *testing.F) {
	for seed := range 16 {
		input := make([]byte, 400)
		x := uint32(seed)*2654435761 + 1
		for i := range input {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			input[i] = byte(x)
		}
		f.Add(input)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		w := newBrokerWorld(func(n int) int {
			if len(input) == 0 {
				return 0
			}
			c := int(input[0]) % n
			input = input[1:]
			return c
		})
		for n := 0; len(input) > 0 && n < 400; n++ {
			if err := w.run(brokerOpNames[w.choose(len(brokerOpNames))]); err != nil {
				t.Fatal(w.fail(err))
			}
		}
		if err := w.end(); err != nil {
			t.Fatal(w.fail(err))
		}
	})
}

func TestBrokerOpNames(t *testing.T) {
	t.Parallel()
	require.Len(t, brokerOpNames, len(brokerOps))
	for _, name := range brokerOpNames {
		require.Contains(t, brokerOps, name)
	}
}
