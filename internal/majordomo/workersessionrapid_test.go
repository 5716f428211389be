package majordomo

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// TestWorkerSessionPromises drives sessions through random lives with brokers that
// do whatever comes to their minds; the bed holds them to their promises at every
// step.
func TestWorkerSessionPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := &workerLife{}
		l.workerBed = newIdleWorker(t, WorkerConfig{
			Brokers:           rapid.SampledFrom([]int{-1, 1, 1, 2, 3}).Draw(t, "brokers"),
			Speak:             rapid.SampledFrom([]Speak{SpeakMesh, SpeakMesh, SpeakMesh, SpeakMDP02, SpeakMDP01}).Draw(t, "speak"),
			HeartbeatInterval: time.Second,
			BusyLimit:         20 * time.Second,
			MaxBrokers:        rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "places"),
			RedialMax:         time.Second,
			MaxPartialBytes:   3,
			Registration:      Registration{Capacity: rapid.IntRange(1, 9).Draw(t, "capacity")},
			Random:            workerRandom(rapid.Uint64().Draw(t, "seed")),
		})
		if rapid.IntRange(0, 9).Draw(t, "early") > 0 {
			l.step(&WorkerEvent{Kind: WorkerStart})
		}
		t.Repeat(map[string]func(*rapid.T){
			"":        l.invariants,
			"turn":    l.turn,
			"turns":   l.turn,
			"brokers": l.discover,
			"connect": l.connect,
			"answer":  l.register,
			"ask":     l.request,
			"control": l.word,
			"part":    l.sendPart,
			"reply":   l.finishJob,
			"unsent":  l.turnDown,
			"broker":  l.say,
			"cut":     l.cutOff,
			"noise":   l.noise,
			"time":    l.passTime,
			"end":     l.end,
		})
		l.stop()
		require.Equal(t, 1, l.finished)
		for _, j := range l.running() {
			require.Empty(t, l.reply(j, true, "x"))
		}
		require.Zero(t, l.s.NextWake())
		require.Zero(t, l.s.running)
	})
}

// workerLife makes up what happens to a session.
type workerLife struct {
	*workerBed
	tokens  uint64
	jobList []*Job // those that were run, the same job more than once
}

// open says whether the session talks on the last connection.
func (l *workerLife) open() bool {
	c := l.conns[l.last]
	return c != nil && c.up && !c.over
}

// running returns the jobs that the driver has, in the order in which they were
// run.
func (l *workerLife) running() (jobs []*Job) {
	for _, j := range l.jobList {
		if _, ok := l.jobs[j]; ok && !slices.Contains(jobs, j) {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

func (l *workerLife) pick(t *rapid.T) *Job {
	jobs := l.running()
	if len(jobs) == 0 {
		t.Skip("nothing runs")
	}
	return rapid.SampledFrom(jobs).Draw(t, "job")
}

// turn turns to another connection.
func (l *workerLife) turn(t *rapid.T) {
	var alive []uint64
	for conn := uint64(1); conn <= l.dials; conn++ {
		if !l.conns[conn].over {
			alive = append(alive, conn)
		}
	}
	if len(alive) == 0 {
		t.Skip("no connection")
	}
	l.last = rapid.SampledFrom(alive).Draw(t, "conn")
}

// discover changes the set of brokers.
func (l *workerLife) discover(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "change") > 0 {
		t.Skip("all stays as it is")
	}
	l.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: rapid.SliceOfDistinct(rapid.IntRange(0, 4), rapid.ID).Draw(t, "brokers")})
}

func (l *workerLife) connect(t *rapid.T) {
	c := l.conns[l.last]
	if c == nil || c.up || c.over {
		t.Skip("nothing is dialled")
	}
	if rapid.IntRange(0, 3).Draw(t, "luck") == 0 {
		l.dialFailed(l.last)
		return
	}
	l.dialed(l.last)
}

// register has the broker answer mmi.register, or say something like it unasked.
func (l *workerLife) register(t *rapid.T) {
	if !l.open() || l.cfg.Speak != SpeakMesh {
		t.Skip("nobody to answer")
	}
	if l.s.find(l.last).state == workerProbing {
		l.answerProbe(t)
		return
	}
	switch rapid.IntRange(0, 9).Draw(t, "answer") {
	case 0:
		l.mmi("501")
	case 1:
		l.refuse(rapid.SampledFrom([]int{-32601, -32007}).Draw(t, "code"))
	case 2:
		l.answer(l.last, workerRefusals(rapid.SliceOfDistinct(rapid.SampledFrom([]string{"tea", "coffee"}), rapid.ID).Draw(t, "refused")...))
	default:
		l.answer(l.last, &Registered{
			Broker: rapid.SampledFrom([]string{"", "a", "a", "b", "c"}).Draw(t, "id"), Incarnation: "1", HeartbeatMS: rapid.SampledFrom([]int64{0, 500, 3000}).Draw(t, "heartbeat"), Liveness: 3,
			Draining: rapid.IntRange(0, 9).Draw(t, "drained") == 0,
		})
	}
}

// answerProbe has the broker say who it is.
func (l *workerLife) answerProbe(t *rapid.T) {
	if rapid.IntRange(0, 4).Draw(t, "pong") == 0 {
		l.ponged(rapid.SampledFrom([]string{"501", "200", `{"jsonrpc":"2.0","id":0,"result":{}}`}).Draw(t, "odd"))
		return
	}
	l.pong(l.last, &Pong{Broker: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "id"), Incarnation: "1"})
}

func (l *workerLife) request(t *rapid.T) {
	if !l.open() {
		t.Skip("no connection")
	}
	c := l.conns[l.last]
	if c.drained || len(c.may) == 0 || len(c.owed) >= slices.Max(c.may) {
		if rapid.IntRange(0, 9).Draw(t, "greedy") > 0 {
			t.Skip("it may not hand over more")
		}
		l.greedy = true
	}
	l.tokens++
	a := l.ask(workerAsk{
		token:   l.tokens,
		body:    rapid.SampledFrom([]string{"", "", "", workerNotification, "opaque"}).Draw(t, "body"),
		expired: rapid.IntRange(0, 9).Draw(t, "expired") == 0,
		plain:   l.s.find(l.last).plain,
	})
	for i := range a {
		if a[i].Kind == WorkerRun {
			l.jobList = append(l.jobList, a[i].Job)
		}
	}
	if !c.over && len(c.may) > 0 {
		require.NotEmpty(t, a, "a request is run or answered")
	}
}

func (l *workerLife) word(t *rapid.T) {
	if !l.open() || l.s.find(l.last).plain {
		t.Skip("no connection to a broker that has such words")
	}
	l.control(rapid.Uint64Range(0, l.tokens+1).Draw(t, "token"), rapid.SampledFrom([]string{
		`{"jsonrpc":"2.0","method":"rpc.cancel"}`, `{"jsonrpc":"2.0","method":"rpc.credit","params":{"n":3}}`,
	}).Draw(t, "word"))
}

func (l *workerLife) sendPart(t *rapid.T) { l.reply(l.pick(t), false, "p") }

func (l *workerLife) finishJob(t *rapid.T) {
	j := l.pick(t)
	c := l.conns[l.jobs[j].conn]
	waited := c.up && !c.over && c.owed[string(j.address)]
	a := l.reply(j, true, "x")
	kinds := workerKinds(a)
	if waited {
		require.Equal(t, "worker final", kinds[0], "its FINAL is sent")
	} else {
		require.NotContains(t, kinds, "worker final", "nobody waits for it")
	}
}

// turnDown has the connection refuse what was sent last.
func (l *workerLife) turnDown(t *rapid.T) {
	if !l.open() || len(l.conns[l.last].sends) == 0 || l.lastSend().Kind != mdp.WorkerFinal && l.lastSend().Kind != mdp.WorkerPartial {
		t.Skip("no reply was sent")
	}
	c := l.lastSend()
	if c.Kind == mdp.WorkerFinal {
		l.conns[l.last].owed[string(c.Address)] = true
	}
	l.step(&WorkerEvent{Kind: WorkerUnsent, Conn: l.last, Message: c.AppendTo(nil), Err: errWorkerCut})
}

func (l *workerLife) say(t *rapid.T) {
	if !l.open() {
		t.Skip("no connection")
	}
	if rapid.IntRange(0, 9).Draw(t, "angry") == 0 {
		l.command(mdp.Command{Kind: mdp.Disconnect})
		require.True(t, l.conns[l.last].over || !l.conns[l.last].up, "DISCONNECT ends a connection")
		return
	}
	l.heartbeat()
}

func (l *workerLife) cutOff(t *rapid.T) {
	if !l.open() {
		t.Skip("no connection")
	}
	l.cut(l.last)
}

// noise is what a session has to cope with, and makes nothing of.
func (l *workerLife) noise(t *rapid.T) {
	conn := rapid.Uint64Range(0, l.dials+1).Draw(t, "conn")
	switch rapid.IntRange(0, 4).Draw(t, "noise") {
	case 0:
		require.Empty(t, workerKinds(l.message(conn, []byte("rubbish"))))
	case 1:
		l.wake()
	case 2: // late events of connections that were given up
		if c := l.conns[conn]; c != nil && c.over {
			require.Empty(t, l.step(&WorkerEvent{Kind: WorkerLost, Conn: conn, Err: errWorkerCut}))
			require.Empty(t, l.message(conn, []byte("MDPW02"), []byte{6}))
			if l.finished == 0 {
				require.Equal(t, []string{"hangup"}, workerKinds(l.dialed(conn)))
			}
		}
	case 3: // what is said twice
		require.Empty(t, l.step(&WorkerEvent{Kind: WorkerDialFailed, Conn: l.dials + 1, Err: errWorkerCut}))
		if l.dials > 0 {
			require.Empty(t, l.step(&WorkerEvent{Kind: WorkerStart}))
		}
	case 4:
		if l.open() {
			require.Empty(t, workerKinds(l.command(mdp.Command{Kind: mdp.ClientFinal, Service: []byte("mmi.status"), Body: frames("200")})))
		}
	}
}

func (l *workerLife) passTime(t *rapid.T) {
	l.pass(time.Duration(rapid.SampledFrom([]int{1, 100, 900, 2500, 30_000}).Draw(t, "ms")) * time.Millisecond)
}

// end begins the end, sometimes.
func (l *workerLife) end(t *rapid.T) {
	switch rapid.IntRange(0, 29).Draw(t, "end") {
	case 0:
		l.stop()
		require.Equal(t, 1, l.finished)
	case 1, 2:
		l.beginDrain()
	}
}

// invariants holds the session's books to one another.
func (l *workerLife) invariants(t *rapid.T) {
	s := l.s
	require.Equal(t, len(l.jobs), s.running)
	waited, orphans, indexed := make(map[*workerLink]int), 0, make(map[*workerLink]int)
	for j, r := range l.jobs {
		if j.link == nil {
			require.Error(t, r.cancelled, "a job that nobody waits for, and nobody said so")
			require.False(t, j.indexed || j.waited.linked())
			orphans++
			continue
		}
		waited[j.link]++
		require.Equal(t, j.link.conn, r.conn)
		c := l.conns[r.conn]
		require.True(t, c.up && !c.over, "a job without a connection")
		require.True(t, c.owed[string(j.address)])
		require.Equal(t, j.cancelled, r.cancelled != nil)
		if j.indexed {
			indexed[j.link]++
			require.Same(t, j, j.link.byToken[j.token])
		}
	}
	require.Equal(t, orphans, s.orphans)
	for _, j := range s.free {
		require.Equal(t, Job{Data: j.Data}, *j)
	}
	var books division
	connected := 0
	for _, w := range s.links {
		l.linkInvariants(t, w)
		require.Equal(t, waited[w], w.jobs.n)
		require.Len(t, w.byToken, indexed[w])
		if c := l.conns[w.conn]; w.talks() && w.state != workerConnected && !c.goodbye && !l.greedy {
			require.Len(t, c.owed, waited[w], "each request has a job or a FINAL")
		}
		for _, count := range []struct {
			is bool
			n  *int
		}{{w.share.full, &books.full}, {w.share.held, &books.held}, {w.share.kept, &books.kept}} {
			if count.is {
				*count.n++
			}
		}
		if w.state == workerDialing || w.state == workerProbing || w.talks() {
			connected++
		}
	}
	require.Len(t, s.conns, connected)
	require.GreaterOrEqual(t, s.places(), 0)
	for _, w := range s.spares {
		require.Zero(t, s.places(), "a place is free")
		require.True(t, w.known && !w.placed && !w.armed && !w.talks() && w.state != workerDialing && w.state != workerProbing)
		require.True(t, w.twin == nil || slices.Contains(s.links, w.twin))
	}
	require.Equal(t, []int{books.full, books.held, books.kept}, []int{s.shares.full, s.shares.held, s.shares.kept})
	require.LessOrEqual(t, s.shares.kept, s.cfg.Registration.Capacity)
	if l.finished > 0 {
		require.Zero(t, s.NextWake())
		require.Empty(t, s.links)
	}
}

// linkInvariants holds one link to what it is.
func (l *workerLife) linkInvariants(t *rapid.T, w *workerLink) {
	s := l.s
	switch w.state {
	case workerIdle:
		require.True(t, w.armed || !s.started, "it never moves again")
		require.True(t, w.placed && w.known && !s.draining)
	case workerParked:
		require.True(t, slices.Contains(s.links, w.twin), "it stands back for nobody")
		require.True(t, w.twin.state == workerServing && w.twin.twin == nil)
		require.True(t, w.armed, "it never asks who answers")
	case workerConnected:
		require.False(t, s.draining)
		require.Zero(t, w.share.allowed())
	case workerLastJobs:
		require.Positive(t, w.jobs.n, "it waits for nothing")
	default:
		require.True(t, w.armed)
	}
	require.Equal(t, w.talks() || w.state == workerDialing || w.state == workerProbing, s.conns[w.conn] == w)
	if w.share.held && w.state == workerServing && !w.asking {
		require.True(t, s.running+s.shares.kept >= s.cfg.Registration.Capacity || s.shares.deferred, "the broker holds back for nothing")
	}
	require.False(t, w.share.full && (w.state != workerServing || w.plain))
	if w.state == workerServing && !w.plain {
		require.Equal(t, w.divides() && w.jobs.n >= w.share.size, w.share.full)
		require.True(t, w.share.want == w.share.size || w.asking || s.draining || s.shares.deferred || w.share.ebbs ||
			w.share.want > w.share.size && s.spare() <= 0, "a share that stays what it is not to be")
	}
}

// TestWorkerSessionKeepsPromisesWithBrokers lets random things happen to sessions
// and brokers that are wired together. In the end each request has had exactly
// one outcome, and the brokers know of as much room as there is.
func TestWorkerSessionKeepsPromisesWithBrokers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{HeartbeatInterval: time.Second, BusyLimit: 30 * time.Second, QueueTimeout: 20 * time.Second}
		w := &workerChaos{workerWorld: newWorkerWorld(t, slices.Repeat([]Config{cfg}, rapid.IntRange(1, 4).Draw(t, "brokers"))...), asks: make(map[string]int)}
		for range rapid.IntRange(1, 3).Draw(t, "workers") {
			w.add(WorkerConfig{
				Speak:             rapid.SampledFrom([]Speak{SpeakMesh, SpeakMesh, SpeakMDP02, SpeakMDP01}).Draw(t, "speak"),
				HeartbeatInterval: time.Second, RedialMax: time.Second, BusyLimit: 30 * time.Second,
				Registration: Registration{Capacity: rapid.SampledFrom([]int{1, 2, 3, 4, 5, 16}).Draw(t, "capacity")},
			})
		}
		t.Repeat(map[string]func(*rapid.T){
			"ask":   w.request,
			"asks":  w.request,
			"reply": w.finishOne,
			"part":  w.sendPart,
			"word":  w.word,
			"cut":   w.cutOne,
			"crash": w.crashOne,
			"sever": w.sever,
			"drain": w.drainOne,
			"time":  w.passTime,
		})
		w.settle(t)
	})
}

// workerChaos makes up what happens in a world.
type workerChaos struct {
	*workerWorld
	asks map[string]int // requests of brokers that still know of them, by id
}

func (w *workerChaos) request(t *rapid.T) {
	at := rapid.IntRange(0, len(w.brokers)-1).Draw(t, "broker")
	if !w.brokers[at].up {
		t.Skip("the broker is down")
	}
	method := rapid.SampledFrom([]string{"tea.brew", "tea.pour", "coffee.brew"}).Draw(t, "method")
	meta := rapid.SampledFrom([]string{"", `"timeout_ms":1`, `"timeout_ms":3000`, `"window":2`}).Draw(t, "meta")
	w.asks[w.ask(at, method, meta)] = at
}

// pick returns a worker whose handlers run something, and one of the jobs.
func (w *workerChaos) pick(t *rapid.T) (*workerNode, *Job) {
	n := rapid.SampledFrom(w.workers).Draw(t, "worker")
	if len(n.running) == 0 {
		t.Skip("nothing runs")
	}
	return n, n.running[rapid.IntRange(0, len(n.running)-1).Draw(t, "job")]
}

func (w *workerChaos) finishOne(t *rapid.T) {
	n, j := w.pick(t)
	n.reply(j)
}

func (w *workerChaos) sendPart(t *rapid.T) {
	n, j := w.pick(t)
	if j.RPC() {
		n.part(j)
	}
}

func (w *workerChaos) word(t *rapid.T) {
	if w.asked == 0 {
		t.Skip("nothing was asked")
	}
	id := strconv.Itoa(rapid.IntRange(1, w.asked).Draw(t, "id"))
	at, ok := w.asks[id]
	if !ok {
		t.Skip("its broker is gone")
	}
	word := rapid.SampledFrom([]string{mdp.MMICancel, mdp.MMICredit}).Draw(t, "word")
	w.tell(at, word, `{"jsonrpc":"2.0","method":"`+word+`","params":{"id":`+id+`,"n":2}}`)
}

func (w *workerChaos) cutOne(t *rapid.T) {
	n := rapid.SampledFrom(w.workers).Draw(t, "worker")
	conn := n.conns[rapid.IntRange(0, len(w.brokers)-1).Draw(t, "broker")]
	if p := n.pipes[conn]; p == nil || p.peer == nil || p.over {
		t.Skip("it isn't connected")
	}
	n.cut(conn)
}

// crashOne takes a broker away, with its requests, or starts one that was.
func (w *workerChaos) crashOne(t *rapid.T) {
	at := rapid.IntRange(0, len(w.brokers)-1).Draw(t, "broker")
	if !w.brokers[at].up {
		w.boot(at)
		return
	}
	w.crash(at)
	for id, broker := range w.asks {
		if broker == at {
			delete(w.asks, id)
		}
	}
}

// sever has what is sent to and from a broker be lost, or not any more.
func (w *workerChaos) sever(t *rapid.T) {
	b := rapid.SampledFrom(w.brokers).Draw(t, "broker")
	b.cutOff = !b.cutOff
}

// drainOne replaces a worker, sometimes.
func (w *workerChaos) drainOne(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "end") > 0 {
		t.Skip("not yet")
	}
	n := rapid.SampledFrom(w.workers).Draw(t, "worker")
	n.step(&WorkerEvent{Kind: rapid.SampledFrom([]WorkerEventKind{WorkerDrain, WorkerStop}).Draw(t, "how")})
	w.add(WorkerConfig{HeartbeatInterval: time.Second, RedialMax: time.Second})
}

func (w *workerChaos) passTime(t *rapid.T) {
	w.pass(time.Duration(rapid.SampledFrom([]int{1, 5, 50, 1000, 10_000}).Draw(t, "ms")) * time.Millisecond)
}

// settle heals everything, lets everything end, and looks at what came of it.
func (w *workerChaos) settle(t *rapid.T) {
	for at, b := range w.brokers {
		b.cutOff = false
		if !b.up {
			w.boot(at)
		}
	}
	for range 30 {
		w.pass(2 * time.Second)
		for _, n := range w.workers {
			n.replyAll()
		}
	}
	shares := 0
	for _, n := range w.workers {
		require.Empty(t, n.running)
		require.Equal(t, n.s.draining, n.finished, "a drain ends")
		if n.finished {
			require.Zero(t, n.s.NextWake())
			require.Empty(t, n.s.links)
			continue
		}
		require.Len(t, n.s.links, len(w.brokers))
		require.Zero(t, n.s.orphans+n.s.shares.held+n.s.shares.kept)
		sum := 0
		for _, l := range n.s.links {
			if l.plain && l.state == workerConnected {
				require.GreaterOrEqual(t, len(w.brokers), n.s.cfg.Registration.Capacity, "it waits though there is room")
				continue
			}
			require.Equal(t, workerServing, l.state)
			require.Positive(t, l.share.size)
			require.Zero(t, l.share.before)
			sum += l.share.size
		}
		if n.s.shares.over {
			require.LessOrEqual(t, sum, n.s.cfg.Registration.Capacity+len(w.brokers))
		} else {
			require.LessOrEqual(t, sum, n.s.cfg.Registration.Capacity)
		}
		shares += sum
	}
	for id, at := range w.asks {
		b := w.brokers[at]
		ends := 0
		for i, outcome := range b.outcomes[id] {
			if outcome != "part" {
				ends++
				require.Equal(t, i, len(b.outcomes[id])-1, "something after the end")
			}
		}
		require.Equal(t, 1, ends, "request %s: %v", id, b.outcomes[id])
	}
	known := 0
	for at, b := range w.brokers {
		require.Zero(t, b.broker.queued)
		require.Zero(t, b.broker.running)
		require.Zero(t, b.broker.abandoned)
		known += w.freeSlots(at)
	}
	require.Equal(t, shares, known, "brokers know of all the room that they have")
}
