package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// ledger writes down what callers were told, which handlers ran and what was on the
// wire, and finds promises broken. It knows the protocol, and nothing of what is
// inside the engines: this file is about callers and handlers, wire.go about brokers.
type ledger struct {
	w   *World
	err error // the first promise that was broken

	errands []*errand // by id, from 1
	calls   []*call
	runs    []*run
	open    map[*clientNode][]*call // not done
	keys    map[string][]*errand    // keyed ones that were begun last, by the callers' name

	workers  map[*workerNode]*workerLife
	brokers  map[*brokerNode]*brokerBook
	expected []expectation

	cancelled []outRequest // what clients cancelled since the last call that was given up

	messages int
	instant  int  // events since time went on
	resting  bool // nothing but heartbeats may be on the wire
}

// deed is what the ledger knows of an errand.
type deed struct {
	calls  []*call
	sends  int // requests that clients sent
	came   int // requests that reached brokers
	handed int // to workers, without those that they gave back untouched
	ever   int // likewise, with them
	runs   []*run
	denied *call // whose caller was told that no worker had it
}

// callState is what the ledger knows of a call.
type callState struct {
	done     bool
	replied  bool
	gaveUp   bool
	unread   int // parts
	got      int
	from     *run // of its parts
	failure  int
	out      []outRequest
	doneAt   time.Duration
	orphaned bool // its client ended before it did
}

// outRequest is a request whose reply hasn't come, as its client sees it.
type outRequest struct {
	at *end
	id string
}

// run is one run of a handler.
type run struct {
	id        int
	errand    *errand
	worker    *workerNode
	given     *given
	parts     int
	over      bool
	code      int
	cancelled bool
}

// given is a request that reached a worker.
type given struct {
	errand  *errand
	from    *end
	address string
	until   time.Duration // by the worker's clock; 0: no deadline
	run     *run
}

// workerLife is what the ledger knows of one run of a worker.
type workerLife struct {
	given   []*given // without those that were replied to
	running int
}

// expectation is something that has to happen in the same step.
type expectation struct {
	promise string
	what    string
	met     func() bool
}

func newLedger(w *World) *ledger {
	return &ledger{
		w: w, open: make(map[*clientNode][]*call), keys: make(map[string][]*errand),
		workers: make(map[*workerNode]*workerLife), brokers: make(map[*brokerNode]*brokerBook),
	}
}

// The promises of docs/design.md, in a few words each.
const (
	promiseOutcome    = "every call has exactly one outcome"
	promiseTrue       = "a reply is one of the call's own handler"
	promiseReason     = "a failure has its reason"
	promiseDeadline   = "a call ends at its deadline"
	promiseNotLost    = "what was not handed over isn't lost with a worker"
	promiseOnce       = "what isn't idempotent runs at most once"
	promiseAttempts   = "an idempotent request is handed over as often as its contract allows, at most"
	promiseKey        = "a keyed request doesn't run twice at one run of a broker"
	promiseInTime     = "nothing starts after its deadline"
	promiseCancel     = "a cancel reaches the handler"
	promiseHandedOver = "handed_over is true"
	promiseCapacity   = "a worker has no more than its capacity"
	promiseQueues     = "queues are bounded"
	promiseBarrier    = "a worker that drains gets nothing new after the answer"
	promiseDrain      = "what drains ends"
	promiseStream     = "a stream is whole and in order, and no further than its reader allows"
	promiseRest       = "at rest nothing is left"
	promiseRecovery   = "what was healed works again"
)

// breakf notes that a promise was broken. The first counts.
func (l *ledger) breakf(promise, format string, args ...any) {
	if l.err != nil {
		return
	}
	what := fmt.Sprintf(format, args...)
	l.w.tracef("LEDGER", "broken: %s: %s", promise, what)
	l.err = fmt.Errorf("at %v: broken: %s: %s", l.w.now, promise, what)
}

// strict says whether everything is promised. On a wire that loses, doubles and
// reorders messages within a connection less is.
func (l *ledger) strict() bool { return !l.w.plan.Network.wild }

// expect has something checked when the step is over.
func (l *ledger) expect(promise, what string, met func() bool) {
	l.expected = append(l.expected, expectation{promise, what, met})
}

// settle is told that a step of somebody is over.
func (l *ledger) settle(who *node) {
	for _, x := range l.expected {
		if !x.met() {
			l.breakf(x.promise, "%s: %s", who.name, x.what)
		}
	}
	l.expected = l.expected[:0]
}

// called is told of a call before its client is.
func (l *ledger) called(k *call) {
	l.calls = append(l.calls, k)
	k.id = len(l.calls)
	k.errand.calls = append(k.errand.calls, k)
	l.open[k.client] = append(l.open[k.client], k)
}

// rememberKey makes an errand one that others may repeat.
func (l *ledger) rememberKey(caller string, e *errand) {
	const most = 8
	l.keys[caller] = append(l.keys[caller], e)
	if n := len(l.keys[caller]); n > most {
		l.keys[caller] = l.keys[caller][n-most:]
	}
}

// aborted is told that a call is given up, before its client is: what is out of it
// has to be cancelled.
func (l *ledger) aborted(k *call) {
	k.gaveUp = true
	if !l.strict() || k.client.plan.speak != majordomo.SpeakMesh || k.client.plan.opaque || k.errand.notify {
		return
	}
	out := slices.Clone(k.out)
	l.cancelled = l.cancelled[:0]
	l.expect(promiseCancel, fmt.Sprintf("call %d was given up, and the broker that has it isn't told", k.id), func() bool {
		return !slices.ContainsFunc(out, func(o outRequest) bool { return !slices.Contains(l.cancelled, o) })
	})
}

// clientSays is told what a client sends.
func (l *ledger) clientSays(c *clientNode, e *end, a *majordomo.ClientAction, err error) {
	if a.Call != nil {
		k := a.Call.Data.(*call)
		if k.done {
			l.breakf(promiseOutcome, "call %d is sent after its outcome", k.id)
		}
		if err != nil {
			return
		}
		k.errand.sends++
		if !c.plan.opaque && !k.errand.notify {
			env := envelope(a.Message[len(a.Message)-1:])
			k.out = append(k.out, outRequest{e, string(env.ID)})
		}
		if k.request.NoRetry && len(k.errand.calls) == 1 && k.errand.sends > 1 {
			l.breakf(promiseAttempts, "call %d is sent again and was not to be", k.id)
		}
		return
	}
	if id, ok := cancels(toBroker, a.Message); ok {
		l.cancelled = append(l.cancelled, outRequest{e, id})
	}
}

func (k *callState) forget(o outRequest) {
	k.out = slices.DeleteFunc(k.out, func(other outRequest) bool { return other == o })
}

// clientHears is told what reaches a client, before the client is.
func (l *ledger) clientHears(c *clientNode, e *end, frames [][]byte) {
	cmd, err := parse(toClient, frames)
	if err != nil || c.plan.opaque {
		return
	}
	env := envelope(cmd.Body)
	for _, k := range l.open[c] {
		k.forget(outRequest{e, string(env.ID)}) // a part, too: the rest may be on its way
	}
}

// clientLoses is told that a client's connection is over.
func (l *ledger) clientLoses(c *clientNode, e *end) {
	for _, k := range l.open[c] {
		k.out = slices.DeleteFunc(k.out, func(o outRequest) bool { return o.at == e })
	}
}

func (l *ledger) clientBegins(c *clientNode) { l.open[c] = nil }

// clientEnds is told that a client crashed. Its callers died with it.
func (l *ledger) clientEnds(c *clientNode) {
	for _, k := range l.open[c] {
		k.done, k.orphaned = true, true
	}
	l.open[c] = nil
}

// clientClosed is told that a client was closed, which ends all its calls.
func (l *ledger) clientClosed(c *clientNode) {
	for _, k := range l.open[c] {
		l.breakf(promiseOutcome, "call %d has none when its client is closed", k.id)
	}
}

// clientSettled is told that a step of a client is over.
func (l *ledger) clientSettled(c *clientNode) {
	const slack = 2 * time.Millisecond // timers have ticks of one
	for _, k := range l.open[c] {
		if k.deadline > 0 && c.elapsed() > k.deadline+slack {
			l.breakf(promiseDeadline, "call %d goes on %v after it", k.id, c.elapsed()-k.deadline)
		}
	}
	l.settle(&c.node)
}

// callerGets is told that a caller gets a part.
func (l *ledger) callerGets(k *call, a *majordomo.ClientAction) {
	if k.done {
		l.breakf(promiseOutcome, "call %d gets a part after its outcome", k.id)
		return
	}
	if k.errand.service.opaque {
		return
	}
	k.unread++
	k.got++
	r := l.runOf(k, a.Result)
	if r == nil || !l.strict() {
		return
	}
	if k.from == nil {
		k.from = r
	}
	part := number(a.Result, inPart)
	switch {
	case r != k.from:
		l.breakf(promiseStream, "call %d gets parts of runs %d and %d", k.id, k.from.id, r.id)
	case part != k.got:
		l.breakf(promiseStream, "call %d gets part %d, not %d", k.id, part, k.got)
	case k.unread > k.request.Window && !k.errand.service.plain && k.client.plan.speak == majordomo.SpeakMesh:
		l.breakf(promiseStream, "call %d has %d parts unread with a window of %d", k.id, k.unread, k.request.Window)
	}
}

// runOf returns the run that a reply says it is of.
func (l *ledger) runOf(k *call, result []byte) *run {
	n, id := number(result, inErrand), number(result, inRun)
	if k.errand.service.opaque {
		n, id = number(result, inOpaque), number(result, inOpaqueR)
	}
	switch {
	case k.errand.service.opaque && !l.strict(): // nothing tells the replies of two requests apart
	case n != k.errand.id:
		l.breakf(promiseTrue, "call %d of errand %d gets %q", k.id, k.errand.id, result)
	case id < 1 || id > len(l.runs) || l.runs[id-1].errand != k.errand:
		l.breakf(promiseTrue, "call %d gets a reply of run %d, which is none of its errand", k.id, id)
	default:
		return l.runs[id-1]
	}
	return nil
}

// callerDone is told of a call's outcome.
func (l *ledger) callerDone(k *call, a *majordomo.ClientAction) {
	if k.done {
		l.breakf(promiseOutcome, "call %d has a second one", k.id)
		return
	}
	k.done, k.doneAt, k.out = true, l.w.now, nil
	l.open[k.client] = slices.DeleteFunc(l.open[k.client], func(other *call) bool { return other == k })
	if a.Failure != nil {
		l.w.tracef(k.client.name, "call %d fails: %d %s, handed over: %d, local %v", k.id, a.Failure.Code, a.Failure.Text, a.Failure.HandedOver, a.Failure.Local)
		k.failure = a.Failure.Code
		l.failed(k, a.Failure)
		return
	}
	k.replied = true
	if k.errand.notify {
		return
	}
	result := a.Result
	if k.errand.service.opaque {
		result = a.Body[len(a.Body)-1]
	}
	l.w.tracef(k.client.name, "call %d gets %s", k.id, result)
	r := l.runOf(k, result)
	switch {
	case r == nil:
	case !r.over || r.code != 0 && !k.errand.service.opaque: // MDP has no errors
		l.breakf(promiseTrue, "call %d gets a result of run %d, which had none", k.id, r.id)
	case l.strict() && k.request.Window > 0 && k.got != r.parts:
		l.breakf(promiseStream, "call %d gets %d parts, and run %d sent %d", k.id, k.got, r.id, r.parts)
	}
}

// failed looks at a failure that a caller is told.
func (l *ledger) failed(k *call, f *majordomo.Failure) {
	e := k.errand
	shared := len(e.calls) > 1
	switch f.Code {
	case codeHandler:
		l.runOf(k, f.Data)
	case jsonrpc.CodeNoService, jsonrpc.CodeNoWorker, jsonrpc.CodeOverloaded, jsonrpc.CodeExpired, jsonrpc.CodeDraining,
		jsonrpc.CodeOutcomeUnknown, jsonrpc.CodeBrokerLost, jsonrpc.CodeWorkerLost, jsonrpc.CodeQuarantined:
	case jsonrpc.CodeCancelled:
		if !k.gaveUp && !k.client.closed && !shared {
			l.breakf(promiseReason, "call %d was cancelled, and nobody wanted that", k.id)
		}
	default:
		if l.strict() { // otherwise a worker may have lost its registration alone
			l.breakf(promiseReason, "call %d fails with %d, %s", k.id, f.Code, f.Text)
		}
	}
	if !l.strict() {
		return
	}
	switch {
	case (f.Code == jsonrpc.CodeWorkerLost || f.Code == jsonrpc.CodeQuarantined) && e.ever == 0:
		l.breakf(promiseNotLost, "call %d fails with %q, and no worker had it", k.id, jsonrpc.CodeName(f.Code))
	case f.HandedOver == majordomo.HandedYes && e.ever == 0:
		l.breakf(promiseHandedOver, "call %d was handed over, its caller hears, and it was not", k.id)
	case f.HandedOver == majordomo.HandedNo && !shared:
		if e.handed > 0 {
			l.breakf(promiseHandedOver, "call %d was not handed over, its caller hears, and it was (%d %s)", k.id, f.Code, f.Text)
		}
		e.denied = k
	}
}

func (l *ledger) workerBegins(n *workerNode) { l.workers[n] = &workerLife{} }

func (l *ledger) workerEnds(n *workerNode) { l.workers[n] = &workerLife{} }

// workerHears is told what reaches a worker, before the worker is.
func (l *ledger) workerHears(n *workerNode, from *end, frames [][]byte) {
	cmd, err := parse(toWorker, frames)
	if err != nil || len(cmd.Address) == 0 {
		return
	}
	life := l.workers[n]
	if isControl(cmd.Body) {
		for _, g := range life.given {
			if g.from != from || g.address != string(cmd.Address) || g.run == nil || g.run.over {
				continue
			}
			if r := g.run; l.strict() && string(envelope(cmd.Body).Method) == "rpc.cancel" {
				l.expect(promiseCancel, fmt.Sprintf("run %d isn't cancelled", r.id), func() bool { return r.cancelled || r.over })
			}
		}
		return
	}
	g := &given{errand: l.errandOf(cmd.Body), from: from, address: string(cmd.Address)}
	if left := remaining(&cmd); left >= 0 {
		g.until = n.elapsed() + left
	}
	life.given = append(life.given, g)
}

// workerSays is told what a worker sends: it may refuse what it was given.
func (l *ledger) workerSays(n *workerNode, to *end, frames [][]byte) {
	cmd, err := parse(toBroker, frames)
	if err != nil || cmd.Kind != mdp.WorkerFinal {
		return
	}
	life := l.workers[n]
	life.given = slices.DeleteFunc(life.given, func(g *given) bool {
		return g.run == nil && g.from == to && g.address == string(cmd.Address)
	})
}

// handlerBegins is told that a handler starts, with what it was given.
func (l *ledger) handlerBegins(n *workerNode, body [][]byte) *run {
	life := l.workers[n]
	r := &run{id: len(l.runs) + 1, errand: l.errandOf(body), worker: n}
	l.runs = append(l.runs, r)
	if r.errand == nil {
		l.breakf(promiseTrue, "%s runs what nobody asked for: %q", n.name, body)
		return r
	}
	e := r.errand
	for _, g := range slices.Backward(life.given) { // the last: one before may have been refused
		if g.errand == e && g.run == nil {
			g.run, r.given = r, g
			break
		}
	}
	e.runs = append(e.runs, r)
	life.running++
	l.w.tracef(n.name, "run %d of errand %d begins", r.id, e.id)
	if !l.strict() {
		return r
	}
	switch {
	case r.given == nil:
		l.breakf(promiseOnce, "run %d of errand %d at %s is of a request that ran before, or never came", r.id, e.id, n.name)
	case !e.idempotent && len(e.runs) > 1 && !l.mayRunAgain(e):
		l.breakf(promiseOnce, "errand %d has run %d after run %d", e.id, r.id, e.runs[0].id)
	case r.given.until > 0 && n.elapsed() >= r.given.until:
		l.breakf(promiseInTime, "run %d of errand %d begins %v after it", r.id, e.id, n.elapsed()-r.given.until)
	case life.running > n.plan.capacity:
		l.breakf(promiseCapacity, "%s runs %d at once, its capacity is %d", n.name, life.running, n.plan.capacity)
	}
	return r
}

// mayRunAgain says whether an errand that isn't idempotent may run more than once:
// when callers made several calls about it, a key keeps it from that at one run of a
// broker only (wire.go looks at that).
func (l *ledger) mayRunAgain(e *errand) bool { return e.key != "" && len(e.calls) > 1 }

func (l *ledger) handlerCancelled(r *run) { r.cancelled = true }

// handlerEnds is told that a handler replies its last.
func (l *ledger) handlerEnds(r *run, code int) {
	r.over, r.code = true, code
	life := l.workers[r.worker]
	life.running--
	life.given = slices.DeleteFunc(life.given, func(g *given) bool { return g == r.given })
	l.w.tracef(r.worker.name, "run %d of errand %d ends, code %d", r.id, r.errand.id, code)
}

// errandOf returns the errand that a request is about, or nil.
func (l *ledger) errandOf(body [][]byte) *errand {
	last := body[len(body)-1]
	n := number(last, inErrand)
	if n == 0 {
		n = number(last, inOpaque)
	}
	if n < 1 || n > len(l.errands) {
		return nil
	}
	return l.errands[n-1]
}

// checkProbes looks at the calls that were made when all had been healed. Where each
// broker has a worker of the service they must have succeeded.
func (l *ledger) checkProbes() {
	served := make(map[string]int)
	for _, b := range l.w.brokers {
		for _, s := range b.core.Snapshot().Services {
			if s.Workers > 0 {
				served[s.Name]++
			}
		}
	}
	for _, k := range l.calls {
		switch {
		case !k.probe:
		case !k.done:
			l.breakf(promiseOutcome, "the probe, call %d, has none", k.id)
		case !k.replied && k.failure != codeHandler && served[k.errand.service.name] == len(l.w.brokers) && !l.tight():
			l.breakf(promiseRecovery, "the probe, call %d, fails with %d, though every broker has workers", k.id, k.failure)
		}
	}
}

// tight says whether probes may meet full queues.
func (l *ledger) tight() bool { return l.w.plan.Broker.MaxQueued > 0 || l.w.plan.Network.queue < 1000 }

// checkQuiet looks at everybody when nothing is to be done any more.
func (l *ledger) checkQuiet() {
	for _, k := range l.calls {
		if !k.done {
			l.breakf(promiseOutcome, "call %d of %s has none", k.id, k.client.name)
		}
	}
	for _, n := range l.w.workers {
		if running := l.workers[n].running; running > 0 {
			l.breakf(promiseRest, "%s still runs %d", n.name, running)
		}
	}
	for _, b := range l.w.brokers {
		l.checkBroker(b)
	}
}

func (l *ledger) checkWorkersEnded() {
	for _, n := range l.w.workers {
		if n.up {
			l.breakf(promiseDrain, "%s has nothing to do, and doesn't end", n.name)
		}
	}
}

func (l *ledger) checkBrokersEnded() {
	for _, b := range l.w.brokers {
		if b.up {
			l.breakf(promiseDrain, "%s has nothing to do, and doesn't end", b.name)
		}
	}
}

func (l *ledger) checkAllDone() {
	for _, k := range l.calls {
		if !k.done {
			l.breakf(promiseOutcome, "call %d has none in the end", k.id)
		}
	}
}

func (l *ledger) report() Report {
	r := Report{
		Calls: len(l.calls), Runs: len(l.runs), Messages: l.messages, Events: l.w.events, Virtual: l.w.now, Failures: make(map[int]int),
	}
	for _, k := range l.calls {
		switch {
		case k.replied:
			r.Replied++
		case k.failure != 0:
			r.Failed++
			r.Failures[k.failure]++
		}
	}
	return r
}
