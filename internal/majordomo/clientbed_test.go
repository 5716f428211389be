package majordomo

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

var (
	errClientCut  = errors.New("cut")
	errClientFull = errors.New("full")
)

// clientTimeoutError is an error like that of a context whose deadline passed.
type clientTimeoutError struct{}

func (clientTimeoutError) Error() string { return "deadline exceeded" }
func (clientTimeoutError) Timeout() bool { return true }

// clientBed drives a session, plays its brokers, and holds the session to its
// promises at every step.
type clientBed struct {
	t     require.TestingT
	s     *ClientSession
	cfg   ClientConfig
	now   time.Time
	calls map[*Call]*clientRecord
	conns map[uint64]*clientConn
	ids   map[string]bool // of requests that were sent
	last  uint64          // the connection that was dialled last

	takesNothing bool // connections don't say that they took a notification
}

// clientRecord is what the bed saw of one call.
type clientRecord struct {
	sends   int
	refused int // sends that were answered with handed_over: false
	parts   []string
	done    bool
	result  string
	body    [][]byte
	failure *Failure
	id      string // of its request that was sent last
	conn    uint64
	legs    map[uint64]string // ids of the requests that may be out, by connection
	home    string            // identity of the broker that had the request first, unless refused
}

// untouched notes that the last send reached no worker.
func (r *clientRecord) untouched() {
	r.refused++
	if r.sends == r.refused {
		r.home = ""
	}
}

// clientConn is what the bed knows of one connection.
type clientConn struct {
	broker   int
	up       bool
	over     bool
	identity string   // of the run of a broker that answered
	pings    []string // ids that aren't answered
	present  int      // how often it was told who the client is
	joins    bool     // it takes a frame in pieces
}

func newClientBed(t require.TestingT, cfg ClientConfig) *clientBed {
	if cfg.Brokers == 0 {
		cfg.Brokers = 1
	}
	return newLonelyClient(t, cfg)
}

// newLonelyClient is newClientBed where no broker may be known.
func newLonelyClient(t require.TestingT, cfg ClientConfig) *clientBed {
	if cfg.Random == nil {
		cfg.Random = func() uint64 { return 7 } // hardly any wait
	}
	now := time.Unix(1_000_000, 0)
	s, err := NewClientSession(cfg, now)
	require.NoError(t, err)
	full, err := cfg.withDefaults()
	require.NoError(t, err)
	return &clientBed{
		t: t, s: s, cfg: full, now: now, calls: make(map[*Call]*clientRecord), conns: make(map[uint64]*clientConn),
		ids: make(map[string]bool),
	}
}

// newServedClient returns a bed whose session is connected to its first broker, which
// answered the ping as "b0/1"; others are dialled.
func newServedClient(t require.TestingT, cfg ClientConfig) *clientBed {
	b := newClientBed(t, cfg)
	b.wake()
	b.serveOn(1, "1")
	return b
}

// newFullClient is newServedClient where all brokers have answered, with the
// incarnation "1".
func newFullClient(t require.TestingT, cfg ClientConfig) *clientBed {
	b := newClientBed(t, cfg)
	b.wake()
	for conn := range b.last {
		b.serveOn(conn+1, "1")
	}
	return b
}

// serve connects the connection that was dialled last to a run of its broker.
func (b *clientBed) serve(incarnation string) []ClientAction { return b.serveOn(b.last, incarnation) }

func (b *clientBed) serveOn(conn uint64, incarnation string) []ClientAction {
	a := b.dialed(conn)
	if b.cfg.Speak != SpeakMesh {
		return a
	}
	return b.pong(conn, incarnation, false)
}

// to returns the connection to a broker that was dialled last, whether it is over or
// not.
func (b *clientBed) to(broker int) uint64 {
	for conn := b.last; conn > 0; conn-- {
		if b.conns[conn].broker == broker {
			return conn
		}
	}
	require.Fail(b.t, "the broker was never dialled")
	return 0
}

// brokersAre tells the session which brokers there are.
func (b *clientBed) brokersAre(numbers ...int) []ClientAction {
	return b.step(&ClientEvent{Kind: ClientBrokers, Brokers: numbers})
}

func (b *clientBed) step(ev *ClientEvent) []ClientAction {
	actions := append([]ClientAction(nil), b.s.Step(b.now, ev)...)
	for i := range actions {
		b.check(&actions[i])
	}
	for i := range actions {
		if a := &actions[i]; a.Kind == ClientSend && a.Call != nil && a.Call.Notify && !b.takesNothing {
			actions = append(actions, b.step(&ClientEvent{Kind: ClientSent, Conn: a.Conn, Call: a.Call})...)
		}
	}
	if at := b.s.NextWake(); !at.IsZero() {
		require.Greater(b.t, at.Sub(b.now), -time.Millisecond, "a timer that was due was left")
	}
	return actions
}

// check holds one action to what must always be so.
func (b *clientBed) check(a *ClientAction) {
	t := b.t
	switch a.Kind {
	case ClientDial:
		require.Greater(t, a.Conn, b.last)
		for n, other := range b.conns {
			l := b.s.link(n)
			require.False(t, other.broker == a.Broker && !other.over && l != nil && l.state != linkRetiring, "two connections to one endpoint")
		}
		b.last = a.Conn
		b.conns[a.Conn] = &clientConn{broker: a.Broker}
	case ClientHangup:
		require.Contains(t, b.conns, a.Conn)
		b.conns[a.Conn].over = true
	case ClientSend:
		conn := b.conns[a.Conn]
		require.NotNil(t, conn)
		require.True(t, conn.up && !conn.over, "sent on a connection that isn't there")
		b.checkSend(conn, a)
	case ClientPart:
		r := b.calls[a.Call]
		require.NotNil(t, r)
		require.False(t, r.done, "a part after the end")
		r.parts = append(r.parts, string(a.Result))
	case ClientDone:
		r := b.calls[a.Call]
		require.NotNil(t, r, "the end of a call that was never made")
		require.False(t, r.done, "a second end")
		require.Equal(t, callIdle, a.Call.progress.state)
		r.done, r.result, r.body, r.failure = true, string(a.Result), a.Body, a.Failure
		if a.Failure != nil {
			require.NotZero(t, a.Failure.Code)
			require.NotEmpty(t, a.Failure.Text)
		}
	case ClientNote:
		require.NotEmpty(t, a.Text)
	default:
		require.Fail(t, "unknown action", "%+v", a)
	}
}

func (b *clientBed) checkSend(conn *clientConn, a *ClientAction) {
	t := b.t
	require.True(t, a.Joined == 0 || conn.joins, "pieces on a connection that takes none")
	cmd, err := mdp.ParseBroker(joinFrames(a.Message, a.Joined))
	require.NoError(t, err)
	require.Equal(t, mdp.ClientRequest, cmd.Kind)
	require.Equal(t, b.cfg.Speak.version(), cmd.Version)
	var env jsonrpc.Envelope
	jsonrpc.Scan(cmd.Body[0], &env)
	if a.Call == nil {
		require.Equal(t, SpeakMesh, b.cfg.Speak, "a plain broker was sent mesh's own requests")
		if env.Kind == jsonrpc.Request {
			conn.pings = append(conn.pings, string(env.ID))
			if env.Params != nil {
				require.JSONEq(t, string(b.cfg.Presence), string(env.Params))
				conn.present++
			}
		}
		return
	}
	r := b.calls[a.Call]
	require.NotNil(t, r)
	require.False(t, r.done, "sent a call that had ended")
	require.Equal(t, string(a.Call.Service), string(cmd.Service))
	if !b.cfg.Opaque {
		want := jsonrpc.Request
		if a.Call.Notify {
			want = jsonrpc.Notification
		}
		require.Equal(t, want, env.Kind, env.Reason)
		require.Equal(t, string(a.Call.Params), string(env.Params))
		require.Equal(t, conn.joins && len(env.Params) >= JoinFrom, a.Joined > 0)
		require.Equal(t, 1+r.sends-r.refused, env.Meta.Attempt)
		require.False(t, b.ids[string(env.ID)], "an id is used twice")
		b.ids[string(env.ID)] = want == jsonrpc.Request
	}
	if untouched := r.sends == r.refused; !untouched && !a.Call.Idempotent {
		require.NotEmpty(t, a.Call.Key, "a call that may have run is sent again")
		require.Equal(t, r.home, conn.identity, "a keyed call is sent to a broker that doesn't know it")
	}
	if a.Call.NoRetry || a.Call.Notify {
		require.Zero(t, r.sends)
	}
	r.sends++
	r.id, r.conn = string(env.ID), a.Conn
	if r.legs == nil {
		r.legs = make(map[uint64]string)
	}
	r.legs[a.Conn] = r.id
	out := 0
	for other := range r.legs {
		if l := b.s.link(other); l != nil && a.Call.leg(l) != nil {
			out++
		}
	}
	require.LessOrEqual(t, out, 2, "more than two requests of one call")
	require.True(t, out < 2 || a.Call.mayHedge(), "two requests of a call that may not be hedged")
	if r.home == "" {
		r.home = conn.identity
	}
	require.LessOrEqual(t, r.sends, b.cfg.MaxAttempts)
}

func (b *clientBed) wake() []ClientAction { return b.step(&ClientEvent{Kind: ClientWake}) }

// pass lets time pass, waking the session whenever it asks for it.
func (b *clientBed) pass(d time.Duration) []ClientAction {
	var all []ClientAction
	end := b.now.Add(d)
	for i := 0; ; i++ {
		require.Less(b.t, i, 100_000, "the session never rests")
		at := b.s.NextWake()
		if at.IsZero() || at.After(end) {
			b.now = end
			return all
		}
		if at.After(b.now) {
			b.now = at
		}
		all = append(all, b.wake()...)
	}
}

func (b *clientBed) call(c *Call) []ClientAction {
	if c.Service == nil {
		c.Service = []byte("tea")
	}
	if c.Method == "" && !b.cfg.Opaque {
		c.Method = "tea.brew"
	}
	b.calls[c] = &clientRecord{}
	return b.step(&ClientEvent{Kind: ClientCall, Call: c})
}

func (b *clientBed) abort(c *Call, why error) []ClientAction {
	return b.step(&ClientEvent{Kind: ClientAbort, Call: c, Err: why})
}

func (b *clientBed) dialed(conn uint64) []ClientAction {
	if c := b.conns[conn]; c != nil {
		c.up, c.joins = true, conn%2 == 1
	}
	return b.step(&ClientEvent{Kind: ClientDialed, Conn: conn, Joins: conn%2 == 1})
}

func (b *clientBed) dialFailed(conn uint64) []ClientAction {
	b.conns[conn].over = true
	return b.step(&ClientEvent{Kind: ClientDialFailed, Conn: conn, Err: errClientCut})
}

func (b *clientBed) cut(conn uint64) []ClientAction {
	b.conns[conn].over = true
	return b.step(&ClientEvent{Kind: ClientLost, Conn: conn, Err: errClientCut})
}

// unsent says that a connection didn't take c's request: for how, or where that is
// zero, since it has ended.
func (b *clientBed) unsent(conn uint64, c *Call, how Failure) []ClientAction {
	r := b.calls[c]
	if _, out := r.legs[conn]; out {
		delete(r.legs, conn)
		r.sends--
		if r.sends == r.refused {
			r.home = ""
		}
	}
	return b.step(&ClientEvent{Kind: ClientUnsent, Conn: conn, Call: c, Failure: how, Err: errClientCut})
}

func (b *clientBed) message(conn uint64, frames ...[]byte) []ClientAction {
	var ev ClientEvent
	ev.Received(conn, frames)
	if ev.Failure.HandedOver == HandedNo {
		for _, r := range b.calls {
			if !r.done && r.legs[conn] == string(ev.Envelope.ID) && r.legs[conn] != "" {
				delete(r.legs, conn)
				r.untouched()
			}
		}
	}
	return b.step(&ev)
}

// reply has the broker at conn send a command about service.
func (b *clientBed) reply(conn uint64, kind mdp.Kind, service string, body ...string) []ClientAction {
	cmd := mdp.Command{Version: b.cfg.Speak.version(), Kind: kind, Service: []byte(service)}
	for _, f := range body {
		cmd.Body = append(cmd.Body, []byte(f))
	}
	return b.message(conn, cmd.AppendTo(nil)...)
}

func (b *clientBed) pong(conn uint64, incarnation string, draining bool) []ClientAction {
	name := fmt.Sprintf("b%d", b.conns[conn].broker)
	return b.pongOf(conn, name, incarnation, draining)
}

// pongOf has the run of a broker answer a ping.
func (b *clientBed) pongOf(conn uint64, name, incarnation string, draining bool) []ClientAction {
	result := fmt.Sprintf(`{"broker":%q,"incarnation":%q,"draining":%t}`, name, incarnation, draining)
	return b.ponged(conn, result, name+"/"+incarnation)
}

func (b *clientBed) ponged(conn uint64, result, identity string) []ClientAction {
	c := b.conns[conn]
	require.NotEmpty(b.t, c.pings, "no ping is open")
	id := c.pings[0]
	c.pings = c.pings[1:]
	c.identity = identity
	return b.reply(conn, mdp.ClientFinal, mdp.MMIPing, `{"jsonrpc":"2.0","id":`+id+`,"result":`+result+`}`)
}

// result answers c's last request.
func (b *clientBed) result(c *Call, result string) []ClientAction {
	return b.resultOn(b.calls[c].conn, c, result)
}

// resultOn answers c's request on a connection.
func (b *clientBed) resultOn(conn uint64, c *Call, result string) []ClientAction {
	return b.reply(conn, mdp.ClientFinal, string(c.Service), `{"jsonrpc":"2.0","id":`+b.calls[c].legs[conn]+`,"result":`+result+`}`)
}

func (b *clientBed) partial(c *Call, result string) []ClientAction {
	r := b.calls[c]
	return b.reply(r.conn, mdp.ClientPartial, string(c.Service), `{"jsonrpc":"2.0","id":`+r.id+`,"result":`+result+`}`)
}

// refuse answers c's last request with an error of the broker.
func (b *clientBed) refuse(c *Call, code int, data string) []ClientAction {
	return b.refuseOn(b.calls[c].conn, c, code, data)
}

func (b *clientBed) refuseOn(conn uint64, c *Call, code int, data string) []ClientAction {
	body := jsonrpc.AppendFailure(nil, []byte(b.calls[c].legs[conn]), code, "no", []byte(data))
	return b.reply(conn, mdp.ClientFinal, string(c.Service), string(body))
}

const clientUntouched = `{"handed_over":false}`

// sent returns the JSON-RPC body of the one request that is in actions.
func (b *clientBed) sent(actions []ClientAction) string {
	var bodies []string
	for i := range actions {
		if actions[i].Kind == ClientSend {
			m := joinFrames(actions[i].Message, actions[i].Joined)
			bodies = append(bodies, string(m[len(m)-1]))
		}
	}
	require.Len(b.t, bodies, 1)
	return bodies[0]
}

// failed requires that c ended with code and returns how.
func (b *clientBed) failed(c *Call, code int) *Failure {
	r := b.calls[c]
	require.True(b.t, r.done, "the call hasn't ended")
	require.NotNil(b.t, r.failure)
	require.Equal(b.t, code, r.failure.Code, r.failure.Text)
	return r.failure
}

// succeeded requires that c ended with result.
func (b *clientBed) succeeded(c *Call, result string) {
	r := b.calls[c]
	require.True(b.t, r.done, "the call hasn't ended")
	require.Nil(b.t, r.failure)
	require.Equal(b.t, result, r.result)
}

// clientKinds returns the kinds of actions in words, notes left out.
func clientKinds(actions []ClientAction) []string {
	names := map[ClientActionKind]string{
		ClientDial: "dial", ClientSend: "send", ClientHangup: "hangup", ClientPart: "part", ClientDone: "done",
	}
	kinds := []string{}
	for i := range actions {
		if name := names[actions[i].Kind]; name != "" {
			kinds = append(kinds, name)
		}
	}
	return kinds
}

func clientNumber(n uint64) string { return strconv.FormatUint(n, 10) }
