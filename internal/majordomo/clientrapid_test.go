package majordomo

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// TestClientPromises drives sessions through random lives with several brokers, which
// crash, drain, come back as other runs, and are found and lost; the bed holds the
// sessions to their promises at every step.
func TestClientPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &clientWorld{random: rapid.Uint64().Draw(t, "seed")}
		for range clientEndpoints {
			w.runs = append(w.runs, clientRun{})
		}
		w.clientBed = newLonelyClient(t, ClientConfig{
			Brokers:           rapid.IntRange(0, 3).Draw(t, "brokers"),
			MaxBrokers:        rapid.IntRange(1, 4).Draw(t, "places"),
			Speak:             rapid.SampledFrom([]Speak{SpeakMesh, SpeakMesh, SpeakMesh, SpeakMDP02, SpeakMDP01}).Draw(t, "speak"),
			Opaque:            rapid.IntRange(0, 4).Draw(t, "opaque") == 0,
			HeartbeatInterval: time.Second,
			MaxPending:        rapid.IntRange(1, 12).Draw(t, "pending"),
			RetryReserve:      rapid.IntRange(1, 8).Draw(t, "reserve"),
			RedialMax:         time.Second,
			Random:            w.next,
		})
		t.Repeat(map[string]func(*rapid.T){
			"":        w.invariants,
			"call":    w.makeCall,
			"call 2":  w.makeCall,
			"abort":   w.abortCall,
			"credit":  w.giveCredit,
			"connect": w.connect,
			"serve":   w.connectAll,
			"answer":  w.answer,
			"unsent":  w.takeNot,
			"untold":  w.takeNotOwn,
			"cut":     w.cutOne,
			"crash":   w.crash,
			"drain":   w.drain,
			"brokers": w.change,
			"noise":   w.noise,
			"time":    w.passTime,
			"stall":   w.stall,
		})
		w.step(&ClientEvent{Kind: ClientClose})
		for _, r := range w.calls {
			require.True(t, r.done, "a call without an end")
		}
		for n, c := range w.conns {
			require.True(t, c.over, "connection %d is left", n)
		}
		w.nothingLeft(t)
	})
}

// clientEndpoints are the endpoints of the brokers of a clientWorld: the last one
// leads to the first broker.
const clientEndpoints = 6

// clientRun is the present run of a broker.
type clientRun struct {
	incarnation int
	draining    bool
}

// clientWorld makes up what happens to a session.
type clientWorld struct {
	*clientBed
	random uint64
	runs   []clientRun // of the brokers by number
	made   []*Call
}

// next is a generator of its own (SplitMix64), so that what the session draws
// doesn't shift what the test draws.
func (w *clientWorld) next() uint64 {
	w.random += 0x9e3779b97f4a7c15
	z := w.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (w *clientWorld) makeCall(t *rapid.T) {
	c := &Call{
		Idempotent: rapid.Bool().Draw(t, "idempotent"),
		NoRetry:    rapid.IntRange(0, 9).Draw(t, "once") == 0,
		Window:     rapid.SampledFrom([]int{0, 0, 1, 8}).Draw(t, "window"),
	}
	if w.cfg.Opaque {
		c.Body = [][]byte{[]byte("x")}
	} else {
		c.Key = rapid.SampledFrom([]string{"", "", "k"}).Draw(t, "key")
		c.Notify = rapid.IntRange(0, 9).Draw(t, "notify") == 0
		if n := rapid.SampledFrom([]int{0, 0, 1, JoinFrom}).Draw(t, "params"); n > 0 {
			c.Params = []byte(`["` + strings.Repeat("x", n) + `"]`)
		}
	}
	if c.mayHedge() && rapid.Bool().Draw(t, "hedge") {
		c.Hedge = 10 * time.Millisecond
	}
	if rapid.Bool().Draw(t, "bounded") {
		c.Deadline = w.now.Add(time.Duration(rapid.IntRange(-1, 3000).Draw(t, "ms")) * time.Millisecond)
	}
	w.made = append(w.made, c)
	w.call(c)
}

// pick returns one of the calls that aren't done, or skips.
func (w *clientWorld) pick(t *rapid.T, out bool) *Call {
	var open []*Call
	for _, c := range w.made {
		if r := w.calls[c]; !r.done && (!out || c.progress.state == callOut) {
			open = append(open, c)
		}
	}
	if len(open) == 0 {
		t.Skip("no call is open")
	}
	return rapid.SampledFrom(open).Draw(t, "call")
}

func (w *clientWorld) abortCall(t *rapid.T) {
	why := rapid.SampledFrom([]error{errClientCut, clientTimeoutError{}}).Draw(t, "why")
	c := w.pick(t, false)
	w.abort(c, why)
	require.True(t, w.calls[c].done, "an aborted call ends at once")
}

func (w *clientWorld) giveCredit(t *rapid.T) {
	w.step(&ClientEvent{Kind: ClientCredit, Call: w.pick(t, true), N: rapid.IntRange(1, 9).Draw(t, "n")})
}

// connect lets a dial end, or answers a ping.
func (w *clientWorld) connect(t *rapid.T) {
	if len(w.s.links) == 0 {
		t.Skip("nothing is dialled")
	}
	l := rapid.SampledFrom(w.s.links).Draw(t, "link")
	switch {
	case l.state == linkDialing && rapid.IntRange(0, 3).Draw(t, "luck") == 0:
		w.dialFailed(l.conn)
	case l.state == linkDialing:
		w.dialed(l.conn)
	case len(w.conns[l.conn].pings) == 0:
		t.Skip("no ping is open")
	case l.state == linkProbing && rapid.IntRange(0, 9).Draw(t, "plain") == 0:
		w.conns[l.conn].pings = nil
		w.reply(l.conn, mdp.ClientFinal, mdp.MMIPing, "501")
	case l.plain:
		w.conns[l.conn].pings = nil // nobody knows them
	default:
		w.pongNow(l)
	}
}

// connectAll has everything connected that is dialled.
func (w *clientWorld) connectAll(*rapid.T) {
	for range 2 {
		for _, l := range slices.Clone(w.s.links) {
			switch l.state {
			case linkDialing:
				w.dialed(l.conn)
			case linkProbing:
				w.pongNow(l)
			}
		}
	}
}

// pongNow has the broker at l say who it is: the run that took the connection, which
// says once more and once more the same.
func (w *clientWorld) pongNow(l *clientLink) {
	at := l.broker.number % (clientEndpoints - 1)
	run := w.runs[at]
	w.pongOf(l.conn, "b"+clientNumber(uint64(at)), clientNumber(uint64(run.incarnation)), run.draining)
}

// crash ends a run of a broker with all its connections. The next begins.
func (w *clientWorld) crash(t *rapid.T) {
	at := rapid.IntRange(0, clientEndpoints-2).Draw(t, "broker")
	w.runs[at] = clientRun{incarnation: w.runs[at].incarnation + 1}
	for n := uint64(1); n <= w.last; n++ {
		if c := w.conns[n]; c.up && !c.over && c.broker%(clientEndpoints-1) == at {
			w.cut(n)
		}
	}
}

func (w *clientWorld) drain(t *rapid.T) {
	w.runs[rapid.IntRange(0, clientEndpoints-2).Draw(t, "broker")].draining = true
}

// change tells of other brokers, or that none can be found.
func (w *clientWorld) change(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "trouble") == 0 {
		w.step(&ClientEvent{Kind: ClientBrokers, Err: errClientCut})
		require.ErrorIs(t, w.s.finding, errClientCut)
		return
	}
	w.brokersAre(rapid.SliceOfN(rapid.IntRange(0, clientEndpoints-1), 0, clientEndpoints).Draw(t, "numbers")...)
}

// takeNot has a connection not take the request of a call.
func (w *clientWorld) takeNot(t *rapid.T) {
	c := w.pick(t, true)
	conn := w.legOf(t, c)
	if rapid.Bool().Draw(t, "ended") {
		w.unsent(conn, c, Failure{})
		w.wake()
		return
	}
	w.unsent(conn, c, Failure{Code: jsonrpc.CodeTooLarge, Text: "large"})
}

// takeNotOwn has a connection not take what the session itself has to say.
func (w *clientWorld) takeNotOwn(t *rapid.T) {
	conn := rapid.Uint64Range(0, w.last+1).Draw(t, "conn")
	if c := w.conns[conn]; c == nil || !c.up || c.over {
		t.Skip("it isn't connected")
	}
	full := Failure{Code: jsonrpc.CodeOverloaded, Text: "full", Cause: errClientFull}
	w.step(&ClientEvent{Kind: ClientUnsent, Conn: conn, Failure: full})
	require.True(t, w.conns[conn].over)
}

// legOf returns a connection on which c is out.
func (w *clientWorld) legOf(t *rapid.T, c *Call) uint64 {
	legs := []uint64{c.progress.main.link.conn}
	if h := c.progress.hedge; h != nil {
		legs = append(legs, h.link.conn)
	}
	return rapid.SampledFrom(legs).Draw(t, "leg")
}

// answer has a broker reply to a call that is out.
func (w *clientWorld) answer(t *rapid.T) {
	c := w.pick(t, true)
	r := w.calls[c]
	conn := w.legOf(t, c)
	if w.cfg.Opaque {
		kind := rapid.SampledFrom([]mdp.Kind{mdp.ClientFinal, mdp.ClientPartial}).Draw(t, "kind")
		if w.cfg.Speak == SpeakMDP01 {
			kind = mdp.ClientFinal
		}
		w.reply(conn, kind, string(c.Service), "x")
		return
	}
	switch rapid.IntRange(0, 5).Draw(t, "answer") {
	case 0, 1:
		w.resultOn(conn, c, "1")
		w.succeeded(c, "1")
	case 2:
		if w.cfg.Speak != SpeakMDP01 {
			w.reply(conn, mdp.ClientPartial, string(c.Service), `{"jsonrpc":"2.0","id":`+r.legs[conn]+`,"result":1}`)
		}
	case 3:
		hedged := c.progress.hedge != nil
		w.refuseOn(conn, c, jsonrpc.CodeWorkerLost, `{"handed_over":true}`)
		require.NotEqual(t, hedged, r.done, "the other of two decides")
	default:
		code := rapid.SampledFrom([]int{
			jsonrpc.CodeDraining, jsonrpc.CodeOverloaded, jsonrpc.CodeNoWorker, jsonrpc.CodeNoService,
		}).Draw(t, "code")
		w.refuseOn(conn, c, code, clientUntouched)
	}
}

// cutOne ends a connection.
func (w *clientWorld) cutOne(t *rapid.T) {
	var up []uint64
	for n := uint64(1); n <= w.last; n++ {
		if c := w.conns[n]; c.up && !c.over {
			up = append(up, n)
		}
	}
	if len(up) == 0 {
		t.Skip("nothing is connected")
	}
	w.cut(rapid.SampledFrom(up).Draw(t, "conn"))
}

// noise is what a session has to cope with, and makes nothing of.
func (w *clientWorld) noise(t *rapid.T) {
	conn := rapid.Uint64Range(0, w.last+1).Draw(t, "conn")
	done := w.doneCalls()
	switch rapid.IntRange(0, 4).Draw(t, "noise") {
	case 0:
		w.message(conn, []byte("rubbish"))
	case 1:
		w.reply(conn, mdp.ClientFinal, "tea", `{"jsonrpc":"2.0","id":3,"result":1}`)
	case 2: // late events of connections that were given up
		if c := w.conns[conn]; c != nil && c.over {
			w.step(&ClientEvent{Kind: ClientLost, Conn: conn, Err: errClientCut})
			w.step(&ClientEvent{Kind: ClientDialed, Conn: conn})
		}
	case 3: // a reply that comes twice, and an abort that comes too late
		for _, c := range w.made {
			if r := w.calls[c]; r.done && r.id != "" && !w.cfg.Opaque {
				w.result(c, "2")
				w.abort(c, errClientCut)
				w.step(&ClientEvent{Kind: ClientCredit, Call: c, N: 3})
				break
			}
		}
	case 4:
		w.wake()
	}
	if !w.cfg.Opaque {
		require.GreaterOrEqual(t, w.doneCalls(), done)
	}
}

func (w *clientWorld) doneCalls() (n int) {
	for _, r := range w.calls {
		if r.done {
			n++
		}
	}
	return n
}

func (w *clientWorld) passTime(t *rapid.T) {
	w.pass(time.Duration(rapid.SampledFrom([]int{1, 20, 300, 5000}).Draw(t, "ms")) * time.Millisecond)
}

// stall stops the session's process for a while.
func (w *clientWorld) stall(t *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "s")) * time.Second)
	w.wake()
}

// nothingLeft requires that a session that was closed holds nothing any more.
func (w *clientWorld) nothingLeft(t *rapid.T) {
	s := w.s
	require.Zero(t, s.NextWake())
	require.Zero(t, s.wheel.n, "timers")
	require.Empty(t, s.links)
	require.Empty(t, s.serving)
	require.Zero(t, s.pending)
	require.Zero(t, s.pendingBytes)
	require.Zero(t, s.waiting.n+s.backing.n)
	require.Len(t, s.unused, len(s.slots)-1)
	for _, b := range s.brokers {
		require.Zero(t, b.pinned.n)
	}
	for i := range s.slots {
		require.Nil(t, s.slots[i].call)
	}
}

// invariants holds the session's books to one another.
func (w *clientWorld) invariants(t *rapid.T) {
	s := w.s
	pending, bytes, legs, out, pinned := 0, int64(0), 0, 0, 0
	for c, r := range w.calls {
		p := &c.progress
		if r.done {
			require.Equal(t, callProgress{}, *p)
			continue
		}
		pending++
		bytes += int64(p.size)
		require.NotEqual(t, callIdle, p.state)
		require.True(t, p.main.place.linked())
		require.Equal(t, p.state == callOut, p.main.link != nil)
		if p.state == callOut {
			out++
			legs++
		}
		if h := p.hedge; h != nil {
			legs++
			require.True(t, c.mayHedge() && p.state == callOut && h.link != p.main.link && h.place.linked())
		}
		if p.state == callPinned {
			require.Nil(t, s.servingAs(p.home), "a keyed call waits for nothing")
			require.Same(t, p.homeAt, s.known[p.homeAt.number])
			require.True(t, p.timer.pending())
		}
		if !c.Deadline.IsZero() {
			require.True(t, c.Deadline.Add(time.Millisecond).After(w.now), "a call that outlived its deadline")
		}
	}
	require.Equal(t, pending, s.pending)
	require.LessOrEqual(t, pending, w.cfg.MaxPending)
	require.Equal(t, bytes, s.pendingBytes)
	if !w.cfg.Opaque {
		require.Len(t, s.unused, len(s.slots)-1-legs)
	}
	for _, b := range s.brokers {
		pinned += b.pinned.n
	}
	require.Equal(t, pending-out, s.waiting.n+pinned+s.backing.n)
	require.True(t, s.tokens >= 0 && s.tokens <= float64(w.cfg.RetryReserve))
	require.Equal(t, legs, w.linkInvariants(t))
	w.brokerInvariants(t)
}

// linkInvariants holds connections to what must be so, and returns how many requests
// are out on them.
func (w *clientWorld) linkInvariants(t *rapid.T) (legs int) {
	s := w.s
	serving := 0
	runs := make(map[brokerIdentity]bool)
	for _, l := range s.links {
		legs += l.out.n
		require.True(t, l.timer.pending() || l.plain, "nobody watches a connection")
		switch l.state {
		case linkServing:
			serving++
			require.Contains(t, s.serving, l)
			require.Same(t, l, l.broker.link)
			require.False(t, l.identity.known() && runs[l.identity], "two connections to one broker")
			runs[l.identity] = true
			require.True(t, s.waiting.n == 0 || w.cfg.Opaque && l.out.n > 0, "calls wait for nothing")
			require.True(t, !w.cfg.Opaque || l.out.n <= 1)
		case linkRetiring:
			require.NotSame(t, l, l.broker.link)
			require.Positive(t, l.out.n, "a retired connection that is kept for nothing")
		default:
			require.Same(t, l, l.broker.link)
			require.Zero(t, l.out.n)
		}
	}
	require.Len(t, s.serving, serving)
	require.LessOrEqual(t, serving, w.cfg.MaxBrokers)
	return legs
}

func (w *clientWorld) brokerInvariants(t *rapid.T) {
	s := w.s
	placed, spare := 0, 0
	require.Len(t, s.known, len(s.brokers))
	for _, b := range s.brokers {
		require.Same(t, b, s.known[b.number])
		require.Equal(t, b.placed && b.link == nil, b.timer.pending(), "broker %d", b.number)
		switch {
		case b.placed:
			placed++
			require.True(t, b.known)
		case b.known:
			spare++
		default:
			require.NotNil(t, b.link, "it is neither known nor connected")
		}
	}
	require.Equal(t, placed, s.placed)
	require.LessOrEqual(t, placed, w.cfg.MaxBrokers)
	require.True(t, spare == 0 || placed == w.cfg.MaxBrokers, "a place is free")
}
