package transporttest

import (
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// patience is how long an event may take before a case fails. It is no part of
// what is tested.
const patience = 30 * time.Second

// bed is what one case runs on.
type bed struct {
	Fixture
	t      *testing.T
	bubble bool
}

// listen opens a listener that isn't served.
func (b *bed) listen() transport.Listener {
	b.t.Helper()
	return b.listenAt(b.Addr())
}

func (b *bed) listenAt(addr string) transport.Listener {
	b.t.Helper()
	l, err := b.Transport.Listen(b.t.Context(), addr)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = l.Close() })
	return l
}

func (b *bed) endpoint(addr string) transport.Endpoint {
	if b.Endpoint == nil {
		return transport.Endpoint{Addr: addr}
	}
	return b.Endpoint(addr)
}

// broker is a listener that is served. It records what each peer sends.
type broker struct {
	transport.Listener
	t        *testing.T
	cancel   context.CancelFunc
	accepted chan *remote
	served   chan error
	// welcome, if set, is called for a new peer before its receiver is returned;
	// false turns it away.
	welcome func(*remote) bool
}

// remote is a peer with what it sent.
type remote struct {
	transport.Peer
	*recorder
}

// serve starts serving l.
func (b *bed) serve(l transport.Listener) *broker {
	b.t.Helper()
	return b.serveWith(l, nil)
}

func (b *bed) serveWith(l transport.Listener, welcome func(*remote) bool) *broker {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	br := &broker{
		Listener: l,
		t:        b.t,
		cancel:   cancel,
		accepted: make(chan *remote, 1024),
		served:   make(chan error, 1),
		welcome:  welcome,
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		br.served <- l.Serve(ctx, br.accept)
	}()
	b.t.Cleanup(func() {
		cancel()
		await(b.t, ended, "the end of Listener.Serve")
	})
	return br
}

func (br *broker) accept(p transport.Peer) transport.Receiver {
	r := &remote{Peer: p, recorder: newRecorder(br.t)}
	if br.welcome != nil && !br.welcome(r) {
		return nil
	}
	br.accepted <- r
	return r.recorder
}

// next returns the next peer that was accepted.
func (br *broker) next() *remote {
	br.t.Helper()
	return await(br.t, br.accepted, "a peer")
}

// echo makes a peer's messages go back to it.
func echo(r *remote) bool {
	r.on = func(batch []transport.Message) {
		for _, m := range batch {
			_ = r.Send(m)
		}
		r.Flush()
	}
	return true
}

// local is a connection with what it received.
type local struct {
	transport.Conn
	*recorder
	cancel context.CancelFunc
	served chan error
}

// dial connects to addr. The connection isn't served.
func (b *bed) dial(addr string) *local {
	b.t.Helper()
	c, err := b.Transport.Dial(b.t.Context(), b.endpoint(addr))
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = c.Close() })
	return &local{Conn: c, recorder: newRecorder(b.t)}
}

// start serves the connection until stop, or until it ends.
func (c *local) start() *local {
	ctx, cancel := context.WithCancel(context.Background())
	served, ended := make(chan error, 1), make(chan struct{})
	c.cancel, c.served = cancel, served
	go func() {
		defer close(ended)
		served <- c.Serve(ctx, c.Receive)
	}()
	c.t.Cleanup(func() {
		cancel()
		await(c.t, ended, "the end of Conn.Serve")
	})
	return c
}

// stop ends the serving of the connection and returns what Serve did.
func (c *local) stop() error {
	c.t.Helper()
	c.cancel()
	return c.wait()
}

// wait returns what Serve returned.
func (c *local) wait() error {
	c.t.Helper()
	return await(c.t, c.served, "the end of Conn.Serve")
}

// connect opens a served listener and a served connection to it.
func (b *bed) connect() (*broker, *local, *remote) {
	b.t.Helper()
	br := b.serve(b.listen())
	c := b.dial(br.Addr()).start()
	send(b.t, c, text("hello"))
	r := br.next()
	r.want(text("hello"))
	return br, c, r
}

// settle returns once what was under way has arrived, as far as that can be
// known.
func (b *bed) settle() {
	b.t.Helper()
	if b.bubble {
		synctest.Wait()
		return
	}
	br := b.serveWith(b.listen(), echo)
	c := b.dial(br.Addr()).start()
	for range 10 {
		send(b.t, c, text("settle"))
		c.want(text("settle"))
	}
	_ = c.Close()
	_ = br.Close()
}

// cut makes c vanish.
func (b *bed) cut(c transport.Conn) {
	if b.Cut != nil {
		b.Cut(c)
		return
	}
	_ = c.Close()
}

// send sends and flushes messages that must be taken.
func send(t testing.TB, to transport.Link, messages ...transport.Message) {
	t.Helper()
	for _, m := range messages {
		require.NoError(t, to.Send(m))
	}
	to.Flush()
}

// text returns a message of one frame for each string.
func text(frames ...string) transport.Message {
	m := make(transport.Message, len(frames))
	for i, f := range frames {
		m[i] = []byte(f)
	}
	return m
}

// number returns a message that carries n, with more frames behind it.
func number(n int, more ...[]byte) transport.Message {
	return append(transport.Message{binary.BigEndian.AppendUint64(nil, uint64(n))}, more...)
}

// numberIn returns what number put into m.
func numberIn(t testing.TB, m transport.Message) int {
	t.Helper()
	require.Len(t, m[0], 8)
	return int(binary.BigEndian.Uint64(m[0]))
}

// await returns what ch gives, the zero value once it is closed, and fails the
// case where neither comes.
func await[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case v := <-ch:
		return v
	case <-timeout.C:
		require.FailNow(t, "waited in vain for "+what)
		panic("unreachable")
	}
}
