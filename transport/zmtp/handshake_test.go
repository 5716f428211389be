package zmtp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

// logBuffer is a log that a test reads.
type logBuffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// patience is how long an event may take before a test fails.
const patience = 20 * time.Second

// echoing is a listener whose peers get back what they send.
type echoing struct {
	transport.Listener
	transport *Transport
	log       *logBuffer
	gone      chan error // why peers ended
}

// receiver echoes to one peer.
type receiver struct {
	peer transport.Peer
	gone chan error
}

func (r *receiver) Receive(batch []transport.Message) {
	for _, m := range batch {
		if r.peer.Send(m) != nil {
			return
		}
	}
	r.peer.Flush()
}

func (r *receiver) Gone(why error) { r.gone <- why }

// listenEcho starts one that ends with the test.
func listenEcho(t testing.TB, cfg Config) *echoing {
	t.Helper()
	e := &echoing{log: new(logBuffer), gone: make(chan error, 100_000)}
	cfg.Logger = e.log.logger()
	e.transport = New(cfg)
	l, err := e.transport.Listen(context.Background(), "tcp://127.0.0.1:*")
	require.NoError(t, err)
	e.Listener = l
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = l.Serve(context.Background(), func(p transport.Peer) transport.Receiver { return &receiver{p, e.gone} })
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		<-served
	})
	return e
}

// dialEcho returns a connection over which everything comes back.
func dialEcho(t *testing.T) *conn {
	t.Helper()
	return dialled(t, Config{}, transport.Endpoint{Addr: listenEcho(t, Config{}).Addr()})
}

// dialCurveEcho is dialEcho with CURVE.
func dialCurveEcho(t *testing.T) *conn {
	t.Helper()
	server, client := newKeys(t), newKeys(t)
	e := listenEcho(t, Config{Keys: server, Authenticate: allow(client, "tea")})
	return dialled(t, Config{Keys: client}, transport.Endpoint{Addr: e.Addr(), ServerKey: server.Public.String()})
}

func dialled(t *testing.T, cfg Config, to transport.Endpoint) *conn {
	t.Helper()
	c, err := New(cfg).Dial(t.Context(), to)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c.(*conn)
}

// raw opens a connection that speaks nothing yet.
func (e *echoing) raw(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(e.Addr(), sockets.TCP))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

// eventually waits for something that comes by itself.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, patience, time.Millisecond, what)
}

// counts waits until the listener's transport has counted just that.
func (e *echoing) counts(t testing.TB, want Stats) {
	t.Helper()
	eventually(t, "the counts", func() bool { return e.transport.Stats() == want })
}

func greeting(v wire.Version, m wire.Mechanism) []byte {
	g := wire.Greeting{Version: v, Mechanism: m}
	return g.AppendTo(nil)
}

func command(body []byte) []byte {
	return append(wire.AppendHeader(nil, wire.Command, len(body)), body...)
}

func ready(socketType wire.SocketType) []byte {
	m := wire.Metadata{SocketType: socketType}
	return command(m.AppendTo(wire.AppendCommand(nil, wire.Ready)))
}

func message(frames ...string) []byte {
	var b []byte
	for i, f := range frames {
		flags := wire.More
		if i == len(frames)-1 {
			flags = 0
		}
		b = append(wire.AppendHeader(b, flags, len(f)), f...)
	}
	return b
}

// Whatever a stranger says, it is turned away and counted, the log says what was
// wrong with it and nothing of what it sent, and the next one is served.
func TestHandshakeRefused(t *testing.T) {
	t.Parallel()
	hello := greeting(wire.V31, wire.Null)
	for name, test := range map[string]struct {
		send  []byte
		hint  string
		close bool // the stranger closes its end after sending
	}{
		"HTTP":                         {send: []byte("GET / HTTP/1.1\r\nHost: secret\r\n\r\n"), hint: "HTTP"},
		"TLS":                          {send: append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 80)...), hint: "zmtp: greeting"},
		"ZMTP 2.0":                     {send: append([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1, 5, 0, 0}, make([]byte, 60)...), hint: "2.0"},
		"another mechanism":            {send: greeting(wire.V31, wire.Curve), hint: "the peer wants the mechanism CURVE"},
		"PLAIN":                        {send: greeting(wire.V31, wire.Plain), hint: "the peer wants the mechanism PLAIN"},
		"a mechanism of rubbish":       {send: bytes.Replace(hello, []byte("NULL"), []byte("nu\x00x"), 1), hint: "zmtp: greeting"},
		"half a greeting, then nobody": {send: hello[:30], close: true, hint: "closed by peer"},
		"nothing, then nobody":         {close: true, hint: "closed by peer"},
		"nothing":                      {hint: "no handshake within 100ms"},
		"a greeting and nothing":       {send: hello, hint: "no handshake within 100ms"},
		"a message at once":            {send: append(bytes.Clone(hello), message("secret")...), hint: "a message during the handshake"},
		"a command of 2^63 bytes":      {send: append(bytes.Clone(hello), 6, 0x80, 0, 0, 0, 0, 0, 0, 0), hint: "zmtp: frame"},
		"a command too large":          {send: append(bytes.Clone(hello), 6, 0, 0, 0, 0, 0x40, 0, 0, 0), hint: "at most 8192 allowed"},
		"reserved flags":               {send: append(bytes.Clone(hello), 0x84, 5), hint: "reserved"},
		"a command without a name":     {send: append(bytes.Clone(hello), 4, 0), hint: "zmtp: command"},
		"another command":              {send: append(bytes.Clone(hello), command(wire.AppendCommand(nil, "HELLO"))...), hint: "HELLO where READY was due"},
		"an error":                     {send: append(bytes.Clone(hello), command(wire.AppendError(nil, "no\ngood"))...), hint: "the peer refused the connection: no?good"},
		"metadata that are cut off":    {send: append(bytes.Clone(hello), command(append(wire.AppendCommand(nil, wire.Ready), 11, 'S', 'o'))...), hint: "zmtp: metadata"},
		"no socket type":               {send: append(bytes.Clone(hello), command(wire.AppendCommand(nil, wire.Ready))...), hint: "zmtp: socket type"},
		"a SUB socket":                 {send: append(bytes.Clone(hello), ready("SUB")...), hint: "SUB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := patience
			if strings.Contains(test.hint, "100ms") {
				timeout = 100 * time.Millisecond
			}
			e := listenEcho(t, Config{HandshakeTimeout: timeout})
			c := e.raw(t)
			_, err := c.Write(test.send)
			require.NoError(t, err)
			if test.close {
				require.NoError(t, c.(*net.TCPConn).CloseWrite())
			}
			_, _ = io.Copy(io.Discard, c) // ends with the connection
			eventually(t, "the count", func() bool { return e.transport.Stats().Failed == 1 })
			eventually(t, "the log", func() bool { return strings.Contains(e.log.String(), test.hint) })
			require.NotContains(t, e.log.String(), "secret")
			e.serves(t)
			e.counts(t, Stats{Accepted: 2, Greeted: 1, Failed: 1})
		})
	}
}

// serves requires that a new connection is served.
func (e *echoing) serves(t testing.TB) {
	t.Helper()
	c, err := e.transport.Dial(t.Context(), transport.Endpoint{Addr: e.Addr()})
	require.NoError(t, err)
	defer c.Close()
	got := make(chan transport.Message, 1)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(ended)
		_ = c.Serve(ctx, func(batch []transport.Message) { got <- batch[0] })
	}()
	require.NoError(t, c.Send(transport.Message{[]byte("hello")}))
	c.Flush()
	select {
	case m := <-got:
		require.Equal(t, transport.Message{[]byte("hello")}, m)
	case <-time.After(patience):
		require.FailNow(t, "no echo")
	}
	cancel()
	<-ended
}

// What a peer sends after the handshake is held to the rules, too.
func TestPeerBreaksRules(t *testing.T) {
	t.Parallel()
	many := strings.Split(strings.Repeat("x", 11), "")
	for name, test := range map[string]struct {
		send []byte
		hint string
	}{
		"a frame above the limit":          {append([]byte{2}, 0, 0, 0, 0, 0, 1, 0, 1), "at most 65536 allowed"},
		"frames above the limit in all":    {message(strings.Repeat("a", 40_000), strings.Repeat("b", 40_000)), "a message of more than 65536 bytes"},
		"small frames above it in all":     {message(strings.Repeat("a", 60_000), strings.Repeat("b", 6_000)), "a message of more than 65536 bytes"},
		"too many frames":                  {message(many...), "a message of more than 10 frames"},
		"reserved flags":                   {[]byte{0x40, 0}, "reserved"},
		"a command with MORE":              {[]byte{5, 1, 0}, "zmtp: frame"},
		"a command above the limit":        {append([]byte{6, 0, 0, 0, 0, 0, 0, 0x20, 0}, make([]byte, 8192)...), "a command of 8192 bytes"},
		"a PING without a time to live":    {command(wire.AppendCommand(nil, wire.Ping)), "zmtp: PING"},
		"a PING with too much context":     {command(append(wire.AppendCommand(nil, wire.Ping), make([]byte, 19)...)), "zmtp: PING"},
		"an ERROR whose reason is cut off": {command(append(wire.AppendCommand(nil, wire.Error), 9, 'x')), "zmtp: ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := listenEcho(t, Config{MaxMessageBytes: 1 << 16, MaxFrames: 10})
			c := e.greeted(t)
			_, err := c.Write(append(message("before"), test.send...))
			require.NoError(t, err)
			got := make([]byte, 8)
			_, err = io.ReadFull(c, got)
			require.NoError(t, err)
			require.Equal(t, message("before"), got, "what came before the fault is served")
			why := <-e.gone
			require.ErrorIs(t, why, ErrProtocol)
			require.ErrorContains(t, why, test.hint)
			eventually(t, "the log", func() bool { return strings.Contains(e.log.String(), test.hint) })
			e.serves(t)
			e.counts(t, Stats{Accepted: 2, Greeted: 2, Violated: 1})
		})
	}
}

// greeted opens a connection by hand and does the handshake of a DEALER.
func (e *echoing) greeted(t testing.TB) net.Conn {
	t.Helper()
	c := e.raw(t)
	_, err := c.Write(append(greeting(wire.V31, wire.Null), ready(wire.DEALER)...))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, wire.GreetingSize+len(ready(wire.ROUTER))))
	require.NoError(t, err)
	return c
}

// Byte by byte, or all at once with messages behind it, is all the same; and so are
// versions from 3.0 on and unknown commands.
func TestHandshakeInPieces(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		send  []byte
		piece int
	}{
		"at once":          {append(append(greeting(wire.V31, wire.Null), ready(wire.DEALER)...), message("a", "", "b")...), 1000},
		"byte by byte":     {append(append(greeting(wire.V30, wire.Null), ready(wire.REQ)...), message("a", "", "b")...), 1},
		"a later version":  {append(append(greeting(wire.Version{Major: 4, Minor: 2}, wire.Null), ready(wire.DEALER)...), message("a", "", "b")...), 7},
		"unknown commands": {append(append(append(greeting(wire.V31, wire.Null), ready(wire.DEALER)...), command(wire.AppendCommand(nil, "HUGO"))...), message("a", "", "b")...), 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := listenEcho(t, Config{})
			c := e.raw(t)
			for rest := test.send; len(rest) > 0; {
				n := min(test.piece, len(rest))
				_, err := c.Write(rest[:n])
				require.NoError(t, err)
				rest = rest[n:]
			}
			all := make([]byte, wire.GreetingSize+len(ready(wire.ROUTER))+len(message("a", "", "b")))
			_, err := io.ReadFull(c, all)
			require.NoError(t, err)
			require.True(t, bytes.HasSuffix(all, message("a", "", "b")))
		})
	}
}

// Dial says what is wrong with the other side.
func TestDialRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		say  []byte
		want error
		hint string
	}{
		"nothing, then the end": {nil, transport.ErrRefused, "closed the connection during the handshake"},
		"HTTP":                  {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n" + strings.Repeat(" ", 64)), ErrProtocol, "zmtp: greeting"},
		"CURVE":                 {greeting(wire.V31, wire.Curve), ErrMechanism, "the peer wants the mechanism CURVE, this side NULL"},
		"an error": {
			append(greeting(wire.V31, wire.Null), command(wire.AppendError(nil, "go away"))...), transport.ErrRefused, "go away",
		},
		"a PUB socket": {append(greeting(wire.V31, wire.Null), ready("PUB")...), ErrProtocol, "PUB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write(test.say)
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
			t.Cleanup(func() {
				_ = l.Close()
				<-ended
			})
			_, err = New(Config{}).Dial(t.Context(), transport.Endpoint{Addr: sockets.TCP + l.Addr().String()})
			require.ErrorIs(t, err, test.want)
			require.ErrorContains(t, err, test.hint)
		})
	}
}

// A connection that is reset, as where the other side has no room for it, was refused.
func TestDialReset(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.ReadFull(c, make([]byte, 1)) // the dialler waits for an answer now
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	_, err = New(Config{}).Dial(t.Context(), transport.Endpoint{Addr: sockets.TCP + l.Addr().String()})
	require.ErrorIs(t, err, transport.ErrRefused)
	require.ErrorContains(t, err, "closed the connection during the handshake")
}

// A dial to somebody who accepts and says nothing ends with its context, or with the
// limit of the handshake.
func TestDialSilence(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	to := transport.Endpoint{Addr: sockets.TCP + l.Addr().String()}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = New(Config{}).Dial(ctx, to)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	// The limit is of all that a dial does. A busy machine may take as long for the
	// connection alone, and then gets more time.
	for limit := 50 * time.Millisecond; ; limit *= 2 {
		_, err = New(Config{HandshakeTimeout: limit}).Dial(t.Context(), to)
		require.ErrorIs(t, err, transport.ErrRefused)
		if !strings.Contains(err.Error(), "no answer in time") {
			require.ErrorContains(t, err, fmt.Sprintf("no handshake within %v", limit))
			return
		}
		require.Less(t, limit, time.Minute)
	}
}

// late is a context whose time is over before it has noticed.
type late struct{ context.Context } //nolint:containedctx // it is one

func (late) Deadline() (time.Time, bool) { return time.Now(), true }

func TestDialErrorOfALateContext(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, dialError(late{t.Context()}, os.ErrDeadlineExceeded), context.DeadlineExceeded)
	require.ErrorIs(t, dialError(t.Context(), os.ErrDeadlineExceeded), transport.ErrRefused)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	one, two := newKeys(t), newKeys(t)
	for want, cfg := range map[string]Config{
		"zmtp: Config.MaxFrames is negative": {MaxFrames: -1},
		"zmtp: Config.Keys: ":                {Keys: &curve.KeyPair{Public: one.Public, Secret: two.Secret}},
	} {
		z := New(cfg)
		_, err := z.Listen(t.Context(), "tcp://127.0.0.1:0")
		require.ErrorContains(t, err, want)
		_, err = z.Dial(t.Context(), transport.Endpoint{Addr: "tcp://127.0.0.1:1"})
		require.ErrorContains(t, err, want)
	}
}
