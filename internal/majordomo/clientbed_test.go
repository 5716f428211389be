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

var errClientCut = errors.New("cut")

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
	last  uint64 // the connection that was dialled last

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
	id      string // of its request that is out
	conn    uint64
	home    string // incarnation of the broker that had the request first, unless refused
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
	broker      int
	up          bool
	over        bool
	incarnation string
	pings       []string // ids that aren't answered
}

func newClientBed(t require.TestingT, cfg ClientConfig) *clientBed {
	if cfg.Brokers == 0 {
		cfg.Brokers = 1
	}
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
	}
}

// newServedClient returns a bed whose session is connected to a broker that
// answered its ping as "b0/1".
func newServedClient(t require.TestingT, cfg ClientConfig) *clientBed {
	b := newClientBed(t, cfg)
	b.wake()
	b.serve("1")
	return b
}

// serve connects the connection that was dialled last to a run of its broker.
func (b *clientBed) serve(incarnation string) []ClientAction {
	a := b.dialed(b.last)
	if b.cfg.Speak != SpeakMesh {
		return a
	}
	return b.pong(b.last, incarnation, false)
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
		require.Less(t, a.Broker, b.cfg.Brokers)
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
	cmd, err := mdp.ParseBroker(a.Message)
	require.NoError(t, err)
	require.Equal(t, mdp.ClientRequest, cmd.Kind)
	require.Equal(t, b.cfg.Speak.version(), cmd.Version)
	var env jsonrpc.Envelope
	jsonrpc.Scan(cmd.Body[0], &env)
	if a.Call == nil {
		require.Equal(t, SpeakMesh, b.cfg.Speak, "a plain broker was sent mesh's own requests")
		if env.Kind == jsonrpc.Request {
			conn.pings = append(conn.pings, string(env.ID))
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
		require.Equal(t, 1+r.sends-r.refused, env.Meta.Attempt)
		for other, o := range b.calls {
			require.False(t, other != a.Call && !o.done && o.id != "" && o.id == string(env.ID), "an id is used twice")
		}
	}
	if untouched := r.sends == r.refused; !untouched && !a.Call.Idempotent {
		require.NotEmpty(t, a.Call.Key, "a call that may have run is sent again")
		require.Equal(t, r.home, conn.incarnation, "a keyed call is sent to a broker that doesn't know it")
	}
	if a.Call.NoRetry || a.Call.Notify {
		require.Zero(t, r.sends)
	}
	r.sends++
	r.id, r.conn = string(env.ID), a.Conn
	if r.home == "" {
		r.home = conn.incarnation
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
		c.up = true
	}
	return b.step(&ClientEvent{Kind: ClientDialed, Conn: conn})
}

func (b *clientBed) dialFailed(conn uint64) []ClientAction {
	b.conns[conn].over = true
	return b.step(&ClientEvent{Kind: ClientDialFailed, Conn: conn, Err: errClientCut})
}

func (b *clientBed) cut(conn uint64) []ClientAction {
	b.conns[conn].over = true
	return b.step(&ClientEvent{Kind: ClientLost, Conn: conn, Err: errClientCut})
}

func (b *clientBed) message(conn uint64, frames ...[]byte) []ClientAction {
	var ev ClientEvent
	ev.Received(conn, frames)
	if ev.Failure.HandedOver == HandedNo {
		for _, r := range b.calls {
			if !r.done && r.conn == conn && r.id == string(ev.Envelope.ID) {
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
	return b.ponged(conn, fmt.Sprintf(`{"broker":"b","incarnation":%q,"draining":%t}`, incarnation, draining), incarnation)
}

func (b *clientBed) ponged(conn uint64, result, incarnation string) []ClientAction {
	c := b.conns[conn]
	require.NotEmpty(b.t, c.pings, "no ping is open")
	id := c.pings[0]
	c.pings = c.pings[1:]
	c.incarnation = incarnation
	return b.reply(conn, mdp.ClientFinal, mdp.MMIPing, `{"jsonrpc":"2.0","id":`+id+`,"result":`+result+`}`)
}

// result answers c's last request.
func (b *clientBed) result(c *Call, result string) []ClientAction {
	r := b.calls[c]
	return b.reply(r.conn, mdp.ClientFinal, string(c.Service), `{"jsonrpc":"2.0","id":`+r.id+`,"result":`+result+`}`)
}

func (b *clientBed) partial(c *Call, result string) []ClientAction {
	r := b.calls[c]
	return b.reply(r.conn, mdp.ClientPartial, string(c.Service), `{"jsonrpc":"2.0","id":`+r.id+`,"result":`+result+`}`)
}

// refuse answers c's last request with an error of the broker.
func (b *clientBed) refuse(c *Call, code int, data string) []ClientAction {
	r := b.calls[c]
	body := jsonrpc.AppendFailure(nil, []byte(r.id), code, "no", []byte(data))
	return b.reply(r.conn, mdp.ClientFinal, string(c.Service), string(body))
}

const clientUntouched = `{"handed_over":false}`

// sent returns the JSON-RPC body of the one request that is in actions.
func (b *clientBed) sent(actions []ClientAction) string {
	var bodies []string
	for i := range actions {
		if actions[i].Kind == ClientSend {
			bodies = append(bodies, string(actions[i].Message[len(actions[i].Message)-1]))
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
