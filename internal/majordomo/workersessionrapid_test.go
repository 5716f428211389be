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
			Brokers:           rapid.IntRange(1, 3).Draw(t, "brokers"),
			Speak:             rapid.SampledFrom([]Speak{SpeakMesh, SpeakMesh, SpeakMesh, SpeakMDP02, SpeakMDP01}).Draw(t, "speak"),
			HeartbeatInterval: time.Second,
			BusyLimit:         20 * time.Second,
			RedialMax:         time.Second,
			MaxPartialBytes:   3,
			Registration:      Registration{Capacity: rapid.IntRange(1, 4).Draw(t, "capacity")},
			Random:            workerRandom(rapid.Uint64().Draw(t, "seed")),
		})
		if rapid.IntRange(0, 9).Draw(t, "early") > 0 {
			l.step(&WorkerEvent{Kind: WorkerStart})
		}
		t.Repeat(map[string]func(*rapid.T){
			"":        l.invariants,
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
	switch rapid.IntRange(0, 9).Draw(t, "answer") {
	case 0:
		l.mmi("501")
	case 1:
		l.refuse(rapid.SampledFrom([]int{-32601, -32007}).Draw(t, "code"))
	case 2:
		l.answer(l.last, workerRefusals(rapid.SliceOfDistinct(rapid.SampledFrom([]string{"tea", "coffee"}), rapid.ID).Draw(t, "refused")...))
	default:
		l.answer(l.last, &Registered{
			Incarnation: "1", HeartbeatMS: rapid.SampledFrom([]int64{0, 500, 3000}).Draw(t, "heartbeat"), Liveness: 3,
		})
	}
}

func (l *workerLife) request(t *rapid.T) {
	if !l.open() {
		t.Skip("no connection")
	}
	l.tokens++
	a := l.ask(workerAsk{
		token:   l.tokens,
		body:    rapid.SampledFrom([]string{"", "", "", workerNotification, "opaque"}).Draw(t, "body"),
		expired: rapid.IntRange(0, 9).Draw(t, "expired") == 0,
		plain:   l.s.plain,
	})
	for i := range a {
		if a[i].Kind == WorkerRun {
			l.jobList = append(l.jobList, a[i].Job)
		}
	}
	if !l.conns[l.last].over {
		require.NotEmpty(t, a, "a request is run or answered")
	}
}

func (l *workerLife) word(t *rapid.T) {
	if !l.open() || l.s.plain {
		t.Skip("no connection to a broker that has such words")
	}
	l.control(rapid.Uint64Range(0, l.tokens+1).Draw(t, "token"), rapid.SampledFrom([]string{
		`{"jsonrpc":"2.0","method":"rpc.cancel"}`, `{"jsonrpc":"2.0","method":"rpc.credit","params":{"n":3}}`,
	}).Draw(t, "word"))
}

func (l *workerLife) sendPart(t *rapid.T) { l.reply(l.pick(t), false, "p") }

func (l *workerLife) finishJob(t *rapid.T) {
	j := l.pick(t)
	waited := l.conns[l.last] != nil && l.conns[l.last].owed[string(j.address)] && l.jobs[j].conn == l.last && l.open()
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
	if !l.open() || l.lastSend().Kind != mdp.WorkerFinal && l.lastSend().Kind != mdp.WorkerPartial {
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
	conn := rapid.Uint64Range(0, l.last+1).Draw(t, "conn")
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
		require.Empty(t, l.step(&WorkerEvent{Kind: WorkerDialFailed, Conn: l.last + 1, Err: errWorkerCut}))
		if l.last > 0 {
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
	waited, indexed := 0, 0
	for j, r := range l.jobs {
		if !j.waited.linked() {
			require.Error(t, r.cancelled, "a job that nobody waits for, and nobody said so")
			require.False(t, j.indexed)
			continue
		}
		waited++
		require.Equal(t, l.last, r.conn)
		require.True(t, l.open(), "a job without a connection")
		require.True(t, l.conns[l.last].owed[string(j.address)])
		require.Equal(t, j.cancelled, r.cancelled != nil)
		if j.indexed {
			indexed++
			require.Same(t, j, s.byToken[j.token])
		}
	}
	require.Equal(t, waited, s.jobs.n)
	require.Len(t, s.byToken, indexed)
	for _, j := range s.free {
		require.Equal(t, Job{Data: j.Data}, *j)
	}
	if c := l.conns[l.last]; l.open() && c.goodbye == false {
		require.Len(t, c.owed, waited, "each request has a job or a FINAL")
	}
	switch {
	case l.finished > 0:
		require.Zero(t, s.NextWake())
		require.Equal(t, workerOver, s.state)
	case l.last > 0 || s.state != workerIdle:
		require.NotZero(t, s.NextWake(), "it never moves again")
	}
	if s.held && s.state == workerServing {
		require.NotEmpty(t, l.jobs, "the broker holds back for nothing")
	}
	if s.draining && s.state == workerLastJobs {
		require.Positive(t, s.jobs.n, "it waits for nothing")
	}
}

// TestWorkerSessionKeepsPromisesWithBrokers lets random things happen to sessions
// and brokers that are wired together. In the end each request has had exactly
// one outcome, and the brokers know of as much room as there is.
func TestWorkerSessionKeepsPromisesWithBrokers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{HeartbeatInterval: time.Second, BusyLimit: 30 * time.Second, QueueTimeout: 20 * time.Second}
		w := &workerChaos{workerWorld: newWorkerWorld(t, cfg, cfg), asks: make(map[string]int)}
		for range rapid.IntRange(1, 3).Draw(t, "workers") {
			w.add(WorkerConfig{
				Speak:             rapid.SampledFrom([]Speak{SpeakMesh, SpeakMesh, SpeakMDP02, SpeakMDP01}).Draw(t, "speak"),
				HeartbeatInterval: time.Second, RedialMax: time.Second, BusyLimit: 30 * time.Second,
				Registration: Registration{Capacity: rapid.IntRange(1, 3).Draw(t, "capacity")},
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
	p := n.pipes[n.conn()]
	if p.peer == nil || p.over {
		t.Skip("it isn't connected")
	}
	n.cut(n.conn())
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
	room := 0
	for _, n := range w.workers {
		require.Empty(t, n.running)
		require.Equal(t, n.s.draining, n.finished, "a drain ends")
		switch {
		case n.finished:
			require.Zero(t, n.s.NextWake())
		case n.s.plain:
			room++
		default:
			room += n.s.cfg.Registration.Capacity
		}
		require.True(t, n.finished || n.s.state == workerServing)
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
	require.Equal(t, room, known, "brokers know of all the room that there is")
}
