package majordomo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// clientHedged returns a bed in which a call is out at two brokers, and its
// connections.
func clientHedged(t *testing.T, cfg ClientConfig) (b *clientBed, c *Call, first, second uint64) {
	t.Helper()
	cfg.Brokers, cfg.Random = 2, clientDice()
	b = newFullClient(t, cfg)
	c = &Call{Idempotent: true, Hedge: 10 * time.Millisecond}
	b.call(c)
	first = b.calls[c].conn
	require.Empty(t, clientKinds(b.pass(9*time.Millisecond)))
	require.Equal(t, []string{"send"}, clientKinds(b.pass(time.Millisecond)))
	second = b.calls[c].conn
	require.NotEqual(t, first, second)
	require.EqualValues(t, 1, b.s.counts.Hedges)
	require.EqualValues(t, 1, b.s.counts.Retries)
	require.Empty(t, clientKinds(b.pass(time.Second)), "once")
	return b, c, first, second
}

// requireSettled requires that nothing of a call is left.
func (b *clientBed) requireSettled(c *Call) {
	require.True(b.t, b.calls[c].done)
	require.Zero(b.t, b.s.pending)
	require.Len(b.t, b.s.unused, len(b.s.slots)-1)
	for _, l := range b.s.links {
		require.Zero(b.t, l.out.n)
	}
}

func TestClientHedge(t *testing.T) {
	t.Parallel()
	// cancelled requires that the only thing that was sent is a cancel of c on conn.
	cancelled := func(t *testing.T, b *clientBed, a []ClientAction, c *Call, conn uint64) {
		t.Helper()
		require.Equal(t, []string{"send", "done"}, clientKinds(a))
		require.Equal(t, conn, a[0].Conn)
		require.Equal(t, `{"jsonrpc":"2.0","method":"mmi.cancel","params":{"id":`+b.calls[c].legs[conn]+`}}`, b.sent(a))
		b.requireSettled(c)
	}
	t.Run("the first wins", func(t *testing.T) {
		t.Parallel()
		b, c, first, second := clientHedged(t, ClientConfig{})
		cancelled(t, b, b.resultOn(first, c, "1"), c, second)
		b.succeeded(c, "1")
		require.Empty(t, b.resultOn(second, c, "2"))
		require.EqualValues(t, 1, b.s.counts.Late)
	})
	t.Run("the second wins", func(t *testing.T) {
		t.Parallel()
		b, c, first, second := clientHedged(t, ClientConfig{})
		cancelled(t, b, b.resultOn(second, c, "2"), c, first)
		b.succeeded(c, "2")
	})
	t.Run("an error of the application is an outcome", func(t *testing.T) {
		t.Parallel()
		b, c, first, second := clientHedged(t, ClientConfig{})
		cancelled(t, b, b.refuseOn(first, c, 12, "null"), c, second)
		b.failed(c, 12)
	})
	for name, code := range map[string]int{
		"no worker": jsonrpc.CodeNoWorker, "draining": jsonrpc.CodeDraining, "worker lost": jsonrpc.CodeWorkerLost, "expired": jsonrpc.CodeExpired,
	} {
		t.Run("one broker says "+name, func(t *testing.T) {
			t.Parallel()
			for at := range 2 {
				b, c, first, second := clientHedged(t, ClientConfig{})
				conns := []uint64{first, second}
				b.refuseOn(conns[at], c, code, clientUntouched)
				require.False(t, b.calls[c].done)
				require.Equal(t, 2, b.calls[c].sends)
				b.resultOn(conns[1-at], c, "1")
				b.succeeded(c, "1")
				b.requireSettled(c)
			}
		})
	}
	t.Run("both brokers have no worker", func(t *testing.T) {
		t.Parallel()
		b, c, first, second := clientHedged(t, ClientConfig{})
		b.refuseOn(first, c, jsonrpc.CodeNoWorker, clientUntouched)
		b.refuseOn(second, c, jsonrpc.CodeNoWorker, clientUntouched)
		b.pass(time.Second)
		require.Equal(t, 3, b.calls[c].sends)
		b.result(c, "1")
		b.succeeded(c, "1")
	})
	t.Run("connections are lost", func(t *testing.T) {
		t.Parallel()
		for at := range 2 {
			b, c, first, second := clientHedged(t, ClientConfig{})
			conns := []uint64{first, second}
			b.cut(conns[at])
			require.False(t, b.calls[c].done)
			require.Equal(t, 2, b.calls[c].sends, "the other has it")
			b.cut(conns[1-at])
			b.pass(200 * time.Millisecond)
			b.serve("2")
			require.Equal(t, 3, b.calls[c].sends)
			b.result(c, "1")
			b.succeeded(c, "1")
			b.requireSettled(c)
		}
	})
	t.Run("given up", func(t *testing.T) {
		t.Parallel()
		b, c, _, _ := clientHedged(t, ClientConfig{})
		a := b.abort(c, errClientCut)
		require.Equal(t, []string{"send", "send", "done"}, clientKinds(a))
		for _, sent := range a[:2] {
			require.Equal(t, mdp.MMICancel, string(sent.Message[2]))
		}
		b.requireSettled(c)
	})
	t.Run("not taken by a connection", func(t *testing.T) {
		t.Parallel()
		b, c, first, second := clientHedged(t, ClientConfig{})
		b.unsent(second, c, Failure{Code: jsonrpc.CodeOverloaded, Text: "full"})
		require.False(t, b.calls[c].done)
		b.resultOn(first, c, "1")
		b.succeeded(c, "1")
	})
	t.Run("closed", func(t *testing.T) {
		t.Parallel()
		b, c, _, _ := clientHedged(t, ClientConfig{})
		b.step(&ClientEvent{Kind: ClientClose})
		b.failed(c, jsonrpc.CodeCancelled)
		b.requireSettled(c)
		require.Zero(t, b.s.NextWake())
	})
	t.Run("plain brokers aren't told", func(t *testing.T) {
		t.Parallel()
		b, c, first, _ := clientHedged(t, ClientConfig{Speak: SpeakMDP02})
		require.Equal(t, []string{"done"}, clientKinds(b.resultOn(first, c, "1")))
	})
}

func TestClientHedgeLeftOut(t *testing.T) {
	t.Parallel()
	const after = 10 * time.Millisecond
	for name, test := range map[string]struct {
		cfg  ClientConfig
		call Call
		then func(b *clientBed, c *Call)
	}{
		"a reply came":   {call: Call{Hedge: after}, then: func(b *clientBed, c *Call) { b.result(c, "1") }},
		"no budget":      {call: Call{Hedge: after}, then: func(b *clientBed, _ *Call) { b.s.tokens = 0 }},
		"sent once":      {call: Call{Hedge: after, NoRetry: true}},
		"no attempt":     {cfg: ClientConfig{MaxAttempts: 1}, call: Call{Hedge: after}},
		"nobody else":    {cfg: ClientConfig{MaxBrokers: 1}, call: Call{Hedge: after}},
		"wasn't ordered": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.cfg.Brokers, test.cfg.Random = 2, clientDice()
			b := newFullClient(t, test.cfg)
			c := test.call
			c.Idempotent = true
			b.call(&c)
			if test.then != nil {
				test.then(b, &c)
			}
			require.Empty(t, clientKinds(b.pass(time.Second)))
			require.Zero(t, b.s.counts.Hedges)
			require.Equal(t, 1, b.calls[&c].sends)
		})
	}
	t.Run("only a plain broker is left to be asked of the broker itself", func(t *testing.T) {
		t.Parallel()
		b := newClientBed(t, ClientConfig{Brokers: 2, Random: clientDice()})
		b.wake()
		b.dialed(1)
		b.dialed(2)
		b.reply(1, mdp.ClientFinal, mdp.MMIPing, "501")
		b.pong(2, "1", false)
		c := &Call{Service: []byte(mdp.MMIStatus), Method: mdp.MMIStatus, Idempotent: true, Hedge: after}
		b.call(c)
		b.pass(after)
		require.Zero(t, b.s.counts.Hedges)
		require.Equal(t, 1, b.calls[c].sends)
	})
	for name, c := range map[string]Call{
		"not idempotent": {},
		"keyed":          {Idempotent: true, Key: "k"},
		"a stream":       {Idempotent: true, Window: 8},
		"a notification": {Idempotent: true, Notify: true},
	} {
		b := newFullClient(t, ClientConfig{})
		c.Hedge = after
		require.Equal(t, []string{"done"}, clientKinds(b.call(&c)), name)
		require.True(t, b.failed(&c, jsonrpc.CodeInvalidRequest).Local)
	}
}
