package mesh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// badInputBed is a broker that is sent frames as any program could send them.
type badInputBed struct {
	t      *testing.T
	net    *inproc.Network
	broker *mesh.Broker
	log    badInputLog
	before mesh.Counts
}

// badInputLog is a log that is read while it is written.
type badInputLog struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *badInputLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take returns what was logged since it was called last.
func (l *badInputLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

// badInputPeer is a connection on which any frames can be sent.
type badInputPeer struct {
	bed  *badInputBed
	conn transport.Conn

	mu  sync.Mutex // guards got
	got [][]string
}

// badInputCase is a row of the table in docs/protocol.md "Bad input".
type badInputCase struct {
	name string
	cfg  mesh.BrokerConfig
	run  func(t *testing.T, b *badInputBed)
}

// badInputRun runs each case against a broker of its own, in virtual time. The
// broker has been up for long enough to say at once that nobody offers a service.
func badInputRun(t *testing.T, cases []badInputCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &badInputBed{t: t, net: inproc.New(inproc.Config{})}
				c.cfg.Logger = slog.New(slog.NewTextHandler(&b.log, nil))
				broker, err := mesh.NewBroker(c.cfg)
				require.NoError(t, err)
				b.broker = broker
				listener, err := b.net.Listen(t.Context(), "inproc://broker")
				require.NoError(t, err)
				served := make(chan error, 1)
				go func() { served <- broker.Serve(t.Context(), listener) }()
				t.Cleanup(func() { require.ErrorIs(t, <-served, context.Canceled) })
				<-time.After(time.Minute)
				c.run(t, b)
				b.dial().alive()
			})
		})
	}
}

func (b *badInputBed) dial() *badInputPeer {
	conn, err := b.net.Dial(b.t.Context(), b.endpoint())
	require.NoError(b.t, err)
	p := &badInputPeer{bed: b, conn: conn}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = conn.Serve(b.t.Context(), p.receive) // it ends with the test, or as a case wants it to
	}()
	b.t.Cleanup(func() { <-ended })
	return p
}

func (b *badInputBed) endpoint() transport.Endpoint {
	return transport.Endpoint{Addr: "inproc://broker"}
}

// counted returns what the broker counted since it was asked last.
func (b *badInputBed) counted() mesh.Counts {
	s, err := b.broker.Snapshot(b.t.Context())
	require.NoError(b.t, err)
	now, before := s.Counts, b.before
	b.before = now
	return mesh.Counts{
		Received: now.Received - before.Received, Replied: now.Replied - before.Replied, Failed: now.Failed - before.Failed,
		TimedOut: now.TimedOut - before.TimedOut, Cancelled: now.Cancelled - before.Cancelled,
		Quarantined: now.Quarantined - before.Quarantined, Requeued: now.Requeued - before.Requeued,
		Overloaded: now.Overloaded - before.Overloaded, Repeats: now.Repeats - before.Repeats, Late: now.Late - before.Late,
		Strays: now.Strays - before.Strays, Invalid: now.Invalid - before.Invalid, Unexpected: now.Unexpected - before.Unexpected,
	}
}

func (p *badInputPeer) receive(batch []transport.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range batch {
		message := make([]string, len(m))
		for i, frame := range m {
			message[i] = string(frame)
		}
		p.got = append(p.got, message)
	}
}

// says sends a message and returns what p has received when nothing moves any
// more.
func (p *badInputPeer) says(frames ...string) [][]string {
	message := make(transport.Message, len(frames))
	for i, f := range frames {
		message[i] = []byte(f)
	}
	require.NoError(p.bed.t, p.conn.Send(message))
	p.conn.Flush()
	return p.heard()
}

// heard returns what p received since it was asked last.
func (p *badInputPeer) heard() [][]string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// asks sends a client's REQUEST of MDP/0.2.
func (p *badInputPeer) asks(service string, body ...string) [][]string {
	return p.says(append([]string{"MDPC02", "\x01", service}, body...)...)
}

// calls sends a JSON-RPC request of the method of the service tea, and requires
// that it is answered at once, and with what code; 0: a result.
func (p *badInputPeer) calls(method, rest string, code int) badInputReply {
	got := p.asks("tea", `{"jsonrpc":"2.0","id":1,"method":"`+method+`"`+rest+`}`)
	require.Len(p.bed.t, got, 1)
	return p.bed.reply(got[0], code)
}

// alive requires that the connection is served on.
func (p *badInputPeer) alive() {
	require.Equal(p.bed.t, [][]string{{"MDPC02", "\x03", "mmi.ping", "200"}}, p.asks("mmi.ping", "?"))
}

// works makes p a plain worker of the service tea.
func (p *badInputPeer) works() *badInputPeer {
	require.Empty(p.bed.t, p.says("MDPW02", "\x01", "tea"))
	return p
}

// registers makes p a registered worker of the service tea.
func (p *badInputPeer) registers() *badInputPeer {
	got := p.asks("mmi.register", `{"jsonrpc":"2.0","id":1,"method":"mmi.register","params":{"capacity":4,"cancel":true,"credit":true,`+
		`"services":[{"name":"tea","methods":[{"name":"brew"}]}]}}`)
	require.Len(p.bed.t, got, 1)
	p.bed.reply(got[0], 0)
	return p.works()
}

// handed requires that p was handed one request, and returns its address.
func (p *badInputPeer) handed() string {
	got := p.heard()
	require.Len(p.bed.t, got, 1)
	require.Equal(p.bed.t, []string{"MDPW02", "\x02"}, got[0][:2])
	return got[0][2]
}

// finishes sends a FINAL.
func (p *badInputPeer) finishes(address, body string) [][]string {
	return p.says("MDPW02", "\x04", address, "", body)
}

var badInputDisconnect = [][]string{{"MDPW02", "\x06"}}

// badInputReply is a JSON-RPC reply.
type badInputReply struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    struct {
			HandedOver   *bool        `json:"handed_over"`
			RetryAfterMS int64        `json:"retry_after_ms"`
			Faults       []mesh.Fault `json:"faults"`
		} `json:"data"`
	} `json:"error"`
}

// reply reads a client's FINAL that must hold an error with the code, or a result
// if that is 0.
func (b *badInputBed) reply(message []string, code int) badInputReply {
	require.Len(b.t, message, 4)
	require.Equal(b.t, []string{"MDPC02", "\x03"}, message[:2])
	var r badInputReply
	require.NoError(b.t, json.Unmarshal([]byte(message[3]), &r))
	require.Equal(b.t, code, r.Error.Code, message[3])
	return r
}

// refusal requires an error that the broker said of a request, with what it says
// of whether a worker had it.
func (b *badInputBed) refusal(got [][]string, code int, handedOver bool) badInputReply {
	require.Len(b.t, got, 1)
	r := b.reply(got[0], code)
	require.NotNil(b.t, r.Error.Data.HandedOver)
	require.Equal(b.t, handedOver, *r.Error.Data.HandedOver)
	return r
}
