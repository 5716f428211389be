package majordomo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// TestClientPromises drives sessions through random lives; the bed holds them to
// their promises at every step.
func TestClientPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &clientWorld{random: rapid.Uint64().Draw(t, "seed")}
		w.clientBed = newClientBed(t, ClientConfig{
			Brokers:           rapid.IntRange(1, 3).Draw(t, "brokers"),
			Speak:             rapid.SampledFrom([]Speak{SpeakMesh, SpeakMesh, SpeakMDP02, SpeakMDP01}).Draw(t, "speak"),
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
			"abort":   w.abortCall,
			"credit":  w.giveCredit,
			"connect": w.connect,
			"answer":  w.answer,
			"cut":     w.cutOne,
			"noise":   w.noise,
			"time":    w.passTime,
		})
		w.step(&ClientEvent{Kind: ClientClose})
		for _, r := range w.calls {
			require.True(t, r.done, "a call without an end")
		}
		for n, c := range w.conns {
			require.True(t, c.over, "connection %d is left", n)
		}
		require.Zero(t, w.s.NextWake())
	})
}

// clientWorld makes up what happens to a session.
type clientWorld struct {
	*clientBed
	random uint64
	run    int // of the broker whose incarnation is told next
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
	l := w.s.current
	if l == nil {
		t.Skip("nothing is dialled")
	}
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
	default:
		incarnation := w.conns[l.conn].incarnation
		if incarnation == "" {
			w.run += rapid.IntRange(0, 1).Draw(t, "restarted")
			incarnation = string(rune('A'+l.broker)) + clientNumber(uint64(w.run))
		}
		w.pong(l.conn, incarnation, rapid.IntRange(0, 5).Draw(t, "draining") == 0)
	}
}

// answer has a broker reply to a call that is out.
func (w *clientWorld) answer(t *rapid.T) {
	c := w.pick(t, true)
	r := w.calls[c]
	if w.cfg.Opaque {
		kind := rapid.SampledFrom([]mdp.Kind{mdp.ClientFinal, mdp.ClientPartial}).Draw(t, "kind")
		if w.cfg.Speak == SpeakMDP01 {
			kind = mdp.ClientFinal
		}
		w.reply(c.progress.link.conn, kind, string(c.Service), "x")
		return
	}
	switch rapid.IntRange(0, 5).Draw(t, "answer") {
	case 0, 1:
		w.result(c, "1")
		w.succeeded(c, "1")
	case 2:
		if w.cfg.Speak != SpeakMDP01 {
			w.partial(c, "1")
		}
	case 3:
		w.refuse(c, jsonrpc.CodeWorkerLost, `{"handed_over":true}`)
		require.True(t, r.done)
	default:
		code := rapid.SampledFrom([]int{
			jsonrpc.CodeDraining, jsonrpc.CodeOverloaded, jsonrpc.CodeNoWorker, jsonrpc.CodeNoService,
		}).Draw(t, "code")
		w.refuse(c, code, clientUntouched)
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

// invariants holds the session's books to one another.
func (w *clientWorld) invariants(t *rapid.T) {
	s := w.s
	pending, bytes, out := 0, int64(0), 0
	for c, r := range w.calls {
		if r.done {
			require.Equal(t, callProgress{}, c.progress)
			continue
		}
		pending++
		bytes += int64(c.progress.size)
		require.NotEqual(t, callIdle, c.progress.state)
		require.True(t, c.progress.place.linked())
		if c.progress.state == callOut {
			out++
		}
		if !c.Deadline.IsZero() {
			require.True(t, c.Deadline.Add(time.Millisecond).After(w.now), "a call that outlived its deadline")
		}
	}
	require.Equal(t, pending, s.pending)
	require.LessOrEqual(t, pending, w.cfg.MaxPending)
	require.Equal(t, bytes, s.pendingBytes)
	onLinks := 0
	for _, l := range s.retiring {
		onLinks += l.out.n
		require.Positive(t, l.out.n, "a retired connection that is kept for nothing")
	}
	if l := s.current; l != nil {
		onLinks += l.out.n
		if l.state == linkServing {
			require.Zero(t, s.pinned.n)
			require.True(t, s.waiting.n == 0 || w.cfg.Opaque && l.out.n > 0, "calls wait for nothing")
		}
	}
	require.Equal(t, out, onLinks)
	require.Equal(t, pending-out, s.waiting.n+s.pinned.n+s.backing.n)
	if !w.cfg.Opaque {
		require.Len(t, s.unused, len(s.slots)-1-out)
	}
	require.False(t, s.current == nil && !s.redialing.pending() && w.last > 0, "nothing is dialled ever again")
	require.True(t, s.tokens >= 0 && s.tokens <= float64(w.cfg.RetryReserve))
}
