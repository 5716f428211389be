package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// peer is a connection on which a test says what it likes.
type peer struct {
	t *testing.T
	transport.Conn
	got chan transport.Message
}

func newPeer(t *testing.T, addr string) peer {
	t.Helper()
	c, err := zmtp.New(zmtp.Config{}).Dial(within(t), transport.Endpoint{Addr: addr})
	require.NoError(t, err)
	p, served := peer{t, c, make(chan transport.Message, 1000)}, make(chan struct{})
	go func() {
		defer close(served)
		_ = c.Serve(context.Background(), func(batch []transport.Message) {
			for _, m := range batch {
				p.got <- m
			}
		})
	}()
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		<-served
	})
	return p
}

func (p peer) say(frames ...string) {
	p.t.Helper()
	m := make(transport.Message, len(frames))
	for i, f := range frames {
		m[i] = []byte(f)
	}
	require.NoError(p.t, p.Send(m))
	p.Flush()
}

// hear returns the next REQUEST to a worker or PARTIAL to a client, which have one command
// byte in MDP/0.2, and its last frame.
func (p peer) hear() (transport.Message, string) {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case m := <-p.got:
			if string(m[1]) == "\x02" {
				return m, string(m[len(m)-1])
			}
		case <-timeout:
			require.FailNow(p.t, "nothing was heard")
		}
	}
}

// Clients that call methods which belong to the protocol are answered, however they
// spell them, and take no place of a worker for good.
func TestReservedMethods(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
		l.start(t, b.addr, "tea", 1)
		b.joined("tea")
		c := newClient(t, b.addr, mesh.ClientConfig{})
		for _, body := range []string{
			`{"jsonrpc":"2.0","id":1,"method":"rpc.cancel"}`,
			`{"jsonrpc":"2.0","id":1,"method":"rpc.credit","params":{"n":1}}`,
			`{"jsonrpc":"2.0","method":"tea.echo","method":"rpc.cancel"}`, // what the broker takes for opaque
		} {
			_, err := c.Request(within(t), "tea", [][]byte{[]byte(body)})
			require.NoError(t, err, body)
			_, err = raw(t, c, "tea.echo", `{}`)
			require.NoError(t, err, body)
		}
	})
}

// A client may give more credit than it could ever use.
func TestCreditWithoutEnd(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
		l.start(t, b.addr, "tea", 2)
		b.joined("tea")
		p := newPeer(t, b.addr)
		p.say("MDPC02", "\x01", "tea", `{"jsonrpc":"2.0","id":1,"method":"tea.count","meta":{"window":1},"params":{"n":3}}`)
		p.hear()
		p.say("MDPC02", "\x01", "mmi.credit", `{"jsonrpc":"2.0","method":"mmi.credit","params":{"id":1,"n":4611686018427387904}}`)
		p.hear()
		p.hear()
		_, err := raw(t, newClient(t, b.addr, mesh.ClientConfig{}), "tea.echo", `{}`)
		require.NoError(t, err)
	})
}

// Whatever a worker replies, a client's other calls go on over its connection.
func TestHostileReplies(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
		other := newWorker(t, b.addr, "go", mesh.WorkerConfig{})
		w := newPeer(t, b.addr)
		w.say("MDPW02", "\x01", "tea")
		b.joined("go", "tea")
		c := l.client(t, b.addr)
		call := func(method string) int {
			return c.post(command{Do: "call", Method: method, Params: none, Timeout: int(patience.Milliseconds())})
		}
		held := call("go.hold")
		<-other.held
		for _, reply := range []string{
			`{"jsonrpc":"2.0","id":"ping","error":null}`, `{"jsonrpc":"2.0","id":"ping"}`, `{"id":[]}`, `{"id":{}}`, `{"id":null}`, `[]`, `7`, ``,
			`{"jsonrpc":"2.0","id":%d,"result":{},"error":null}`,
			`{"jsonrpc":"2.0","id":%d,"error":"no object"}`,
			`{"jsonrpc":"2.0","id":%d,"error":{"code":"x","message":[]}}`,
			`{"jsonrpc":"2.0","id":%d,"error":{"code":-32001,"message":"","data":{"handed_over":true,"retry_after_ms":"x"}}}`,
		} {
			n := call("tea.brew")
			request, body := w.hear()
			if !strings.Contains(reply, "%d") { // it is nobody's, and nobody waits for it here
				w.say("MDPW02", "\x04", string(request[2]), "", reply)
				continue
			}
			var asked struct{ ID int }
			require.NoError(t, json.Unmarshal([]byte(body), &asked))
			w.say("MDPW02", "\x04", string(request[2]), "", fmt.Sprintf(reply, asked.ID))
			c.outcome(n)
		}
		close(other.free)
		c.outcome(held).result(t, `{"by":"go go"}`)
		c.outcome(call("go.echo")).result(t, `{}`)
	})
}

// What a client gave up while there was no broker isn't sent to the next one.
func TestNothingStale(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		away := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
		away.crash()
		c := of("", false, l.client(t, away.addr))
		c.ask(command{Do: "call", Method: "once.echo", Params: none, Timeout: 100}).failed(t, mesh.CodeTimeout)
		b := open(t, away.addr, mesh.BrokerConfig{}, zmtp.Config{})
		newWorker(t, b.addr, "once", mesh.WorkerConfig{})
		b.joined("once")
		c.call("once.echo", none).result(t, `{}`)
		received, _ := b.count(mesh.EventReceived, "once")
		require.Equal(t, 1, received)
	})
}
