package majordomo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// TestClientRefused says after which failures a call is sent again.
func TestClientRefused(t *testing.T) {
	t.Parallel()
	const handed, silent = `{"handed_over":true}`, ``
	tests := map[string]struct {
		code  int
		data  string
		call  Call
		again bool
	}{
		"overloaded":                          {jsonrpc.CodeOverloaded, clientUntouched, Call{}, true},
		"overloaded, keyed":                   {jsonrpc.CodeOverloaded, clientUntouched, Call{Key: "k"}, true},
		"overloaded, a stream":                {jsonrpc.CodeOverloaded, clientUntouched, Call{Window: 4}, true},
		"overloaded, never again":             {jsonrpc.CodeOverloaded, clientUntouched, Call{NoRetry: true}, false},
		"overloaded, says nothing":            {jsonrpc.CodeOverloaded, silent, Call{}, false},
		"overloaded, handed over":             {jsonrpc.CodeOverloaded, handed, Call{}, false},
		"overloaded, handed over, idempotent": {jsonrpc.CodeOverloaded, handed, Call{Idempotent: true}, false},
		"no worker":                           {jsonrpc.CodeNoWorker, clientUntouched, Call{}, true},
		"draining":                            {jsonrpc.CodeDraining, clientUntouched, Call{}, true},
		"draining, never again":               {jsonrpc.CodeDraining, clientUntouched, Call{NoRetry: true}, false},
		"draining, handed over":               {jsonrpc.CodeDraining, handed, Call{}, false},
		"no service":                          {jsonrpc.CodeNoService, clientUntouched, Call{}, false},
		"not permitted":                       {jsonrpc.CodeNotPermitted, clientUntouched, Call{}, false},
		"expired":                             {jsonrpc.CodeExpired, clientUntouched, Call{}, false},
		"worker lost":                         {jsonrpc.CodeWorkerLost, handed, Call{}, false},
		"worker lost, idempotent":             {jsonrpc.CodeWorkerLost, handed, Call{Idempotent: true}, false},
		"outcome unknown":                     {jsonrpc.CodeOutcomeUnknown, clientUntouched, Call{Key: "k"}, false},
		"of the application":                  {12, clientUntouched, Call{}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newServedClient(t, ClientConfig{})
			c := test.call
			b.call(&c)
			b.refuse(&c, test.code, test.data)
			b.pass(time.Second)
			if b.last == 2 {
				b.serve("x")
			}
			if test.again {
				require.Equal(t, 2, b.calls[&c].sends)
				b.result(&c, "1")
				b.succeeded(&c, "1")
				return
			}
			require.Equal(t, 1, b.calls[&c].sends)
			require.False(t, b.failed(&c, test.code).Local)
		})
	}
}

func TestClientBackoff(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{Random: func() uint64 { return 1<<64 - 1 }, Speak: SpeakMDP02})
	c := &Call{}
	b.call(c)
	// The longest waits that full jitter can give: just under 20, 40 and 80 ms.
	for sends, ceiling := range []time.Duration{20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond} {
		b.refuse(c, jsonrpc.CodeNoWorker, clientUntouched)
		require.Equal(t, 1+sends, b.calls[c].sends)
		at := b.s.now + backoff(b.cfg.RetryMin, b.cfg.RetryMax, sends, b.cfg.Random)
		require.Less(t, at-b.s.now, ceiling)
		b.pass(at - b.s.now - time.Millisecond)
		require.Equal(t, 1+sends, b.calls[c].sends)
		b.pass(2 * time.Millisecond)
		require.Equal(t, 2+sends, b.calls[c].sends)
	}
	b.refuse(c, jsonrpc.CodeNoWorker, clientUntouched)
	b.failed(c, jsonrpc.CodeNoWorker)
	require.EqualValues(t, 3, b.s.counts.Retries)
	require.EqualValues(t, 4, b.s.counts.Sent)
}

func TestClientRetryAfter(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{Speak: SpeakMDP02})
	const data = `{"handed_over":false,"retry_after_ms":3000}`
	c := &Call{}
	b.call(c)
	b.refuse(c, jsonrpc.CodeOverloaded, data)
	b.pass(2999 * time.Millisecond)
	require.Equal(t, 1, b.calls[c].sends)
	b.pass(2 * time.Millisecond)
	require.Equal(t, 2, b.calls[c].sends)

	hurried := &Call{Deadline: b.now.Add(2 * time.Second)}
	b.call(hurried)
	b.refuse(hurried, jsonrpc.CodeOverloaded, data)
	require.False(t, b.failed(hurried, jsonrpc.CodeOverloaded).Local, "to wait would be in vain")

	putOff := &Call{}
	b.call(putOff)
	b.refuse(putOff, jsonrpc.CodeOverloaded, `{"handed_over":false,"retry_after_ms":9223372036854775807}`)
	b.failed(putOff, jsonrpc.CodeOverloaded)

	expiring := &Call{Deadline: b.now.Add(4 * time.Second)}
	b.call(expiring)
	b.refuse(expiring, jsonrpc.CodeOverloaded, data)
	b.cut(1)
	b.pass(5 * time.Second)
	require.Equal(t, HandedNo, b.failed(expiring, jsonrpc.CodeExpired).HandedOver)
}

func TestClientAbortWhileBackingOff(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{Speak: SpeakMDP02})
	c := &Call{}
	b.call(c)
	b.refuse(c, jsonrpc.CodeNoWorker, clientUntouched)
	require.Equal(t, []string{"done"}, clientKinds(b.abort(c, errClientCut)))
	require.Empty(t, b.pass(time.Minute))
}

func TestClientRetryBudget(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{RetryReserve: 2, RetryBudget: 0.5, Speak: SpeakMDP02})
	refused := func() *Call {
		c := &Call{}
		b.call(c)
		b.refuse(c, jsonrpc.CodeOverloaded, clientUntouched)
		return c
	}
	first, second, third := refused(), refused(), refused()
	require.False(t, b.calls[first].done)
	require.False(t, b.calls[second].done)
	// 2 saved up, less 1 and 1, and 0.5 earned by the second and the third.
	require.False(t, b.calls[third].done)
	b.failed(refused(), jsonrpc.CodeOverloaded)
	require.False(t, b.calls[refused()].done, "two sends earn a retry")
}

// TestClientLostConnection says what becomes of calls that were out on a
// connection that ended.
func TestClientLostConnection(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		call  Call
		parts int
		after string // incarnation of the broker that is connected next
		code  int    // 0: the call is sent again
	}{
		"plain":                        {Call{}, 0, "1", jsonrpc.CodeBrokerLost},
		"idempotent":                   {Call{Idempotent: true}, 0, "2", 0},
		"idempotent, never again":      {Call{Idempotent: true, NoRetry: true}, 0, "1", jsonrpc.CodeBrokerLost},
		"keyed, the same broker":       {Call{Key: "k"}, 0, "1", 0},
		"keyed, another run":           {Call{Key: "k"}, 0, "2", jsonrpc.CodeOutcomeUnknown},
		"keyed, nobody in particular":  {Call{Key: "k"}, 0, "", jsonrpc.CodeOutcomeUnknown},
		"keyed, idempotent":            {Call{Key: "k", Idempotent: true}, 0, "2", 0},
		"keyed, a stream":              {Call{Key: "k", Window: 8}, 0, "1", jsonrpc.CodeBrokerLost},
		"an idempotent stream":         {Call{Idempotent: true, Window: 8}, 0, "2", 0},
		"an idempotent stream, begun":  {Call{Idempotent: true, Window: 8}, 1, "2", jsonrpc.CodeBrokerLost},
		"an idempotent call with part": {Call{Idempotent: true}, 1, "2", jsonrpc.CodeBrokerLost},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newServedClient(t, ClientConfig{})
			c := test.call
			b.call(&c)
			for range test.parts {
				b.partial(&c, "0")
			}
			b.cut(1)
			b.pass(time.Second)
			b.serve(test.after)
			if test.code != 0 {
				f := b.failed(&c, test.code)
				require.True(t, f.Local)
				require.Equal(t, HandedMaybe, f.HandedOver)
				return
			}
			require.Equal(t, 2, b.calls[&c].sends)
			b.result(&c, "1")
			b.succeeded(&c, "1")
		})
	}
}

func TestClientKeyedAtPlainBroker(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{Speak: SpeakMDP02})
	c := &Call{Key: "k"}
	b.call(c)
	b.cut(1)
	require.ErrorIs(t, b.failed(c, jsonrpc.CodeBrokerLost).Cause, errClientCut, "it knows no keys")
}

func TestClientKeyedAtNamelessBroker(t *testing.T) {
	t.Parallel()
	b := newClientBed(t, ClientConfig{})
	b.wake()
	b.serve("")
	c := &Call{Key: "k"}
	b.call(c)
	b.cut(1)
	b.failed(c, jsonrpc.CodeBrokerLost)
}

// A keyed call that may have run waits for the run of the broker that knows its key,
// and for no longer than that can come back.
func TestClientReturnsForKeys(t *testing.T) {
	t.Parallel()
	lost := func(t *testing.T) (*clientBed, *Call) {
		t.Helper()
		b := newServedClient(t, ClientConfig{Brokers: 2, HeartbeatInterval: time.Second})
		keyed := &Call{Key: "k"}
		b.call(keyed)
		b.cut(1)
		b.serveOn(2, "1")
		require.Equal(t, 1, b.calls[keyed].sends, "only the same broker knows the key")
		b.pass(time.Millisecond)
		require.Equal(t, 0, b.conns[3].broker)
		return b, keyed
	}
	t.Run("it is back", func(t *testing.T) {
		t.Parallel()
		b, keyed := lost(t)
		b.serveOn(3, "1")
		require.Equal(t, 2, b.calls[keyed].sends)
		b.result(keyed, "1")
		b.succeeded(keyed, "1")
		require.Zero(t, b.s.known[0].pinned.n)
	})
	t.Run("again and again", func(t *testing.T) {
		t.Parallel()
		b, keyed := lost(t)
		b.serveOn(3, "1")
		b.cut(3)
		b.pass(2 * time.Millisecond)
		b.serveOn(4, "1")
		require.Equal(t, 3, b.calls[keyed].sends)
		b.pass(time.Second)
		require.False(t, b.calls[keyed].done)
	})
	t.Run("it was restarted", func(t *testing.T) {
		t.Parallel()
		b, keyed := lost(t)
		b.serveOn(3, "2")
		b.failed(keyed, jsonrpc.CodeOutcomeUnknown)
	})
	t.Run("it was restarted, and is known by another endpoint", func(t *testing.T) {
		t.Parallel()
		b, keyed := lost(t)
		b.brokersAre(0, 1, 2)
		b.dialed(b.to(2))
		b.pongOf(b.to(2), "b0", "2", false)
		b.failed(keyed, jsonrpc.CodeOutcomeUnknown)
	})
	t.Run("it is back by another endpoint", func(t *testing.T) {
		t.Parallel()
		b, keyed := lost(t)
		b.brokersAre(0, 1, 2)
		b.dialed(b.to(2))
		b.pongOf(b.to(2), "b0", "1", false)
		require.Equal(t, 2, b.calls[keyed].sends)
	})
	t.Run("it drains", func(t *testing.T) {
		t.Parallel()
		b, keyed := lost(t)
		b.dialed(3)
		b.pong(3, "1", true)
		b.failed(keyed, jsonrpc.CodeOutcomeUnknown)
	})
	t.Run("it drains, and doesn't know the key any more", func(t *testing.T) {
		t.Parallel()
		b, keyed := lost(t)
		b.serveOn(3, "1")
		b.refuse(keyed, jsonrpc.CodeDraining, clientUntouched)
		b.failed(keyed, jsonrpc.CodeOutcomeUnknown)
	})
	t.Run("it doesn't come back", func(t *testing.T) {
		t.Parallel()
		b, keyed := lost(t)
		b.dialFailed(3)
		b.pass(2900 * time.Millisecond)
		require.False(t, b.calls[keyed].done)
		b.pass(100 * time.Millisecond)
		f := b.failed(keyed, jsonrpc.CodeOutcomeUnknown)
		require.Equal(t, HandedMaybe, f.HandedOver)
	})
	t.Run("the deadline comes before", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, ClientConfig{HeartbeatInterval: time.Second})
		keyed := &Call{Key: "k", Deadline: b.now.Add(time.Second)}
		b.call(keyed)
		b.cut(1)
		b.pass(time.Second + time.Millisecond)
		b.failed(keyed, jsonrpc.CodeExpired)
	})
	t.Run("it is gone for good", func(t *testing.T) {
		t.Parallel()
		b, keyed := lost(t)
		b.dialFailed(3)
		b.brokersAre(1)
		b.failed(keyed, jsonrpc.CodeOutcomeUnknown)
	})
	t.Run("it was gone for good before", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, ClientConfig{Brokers: 2})
		b.brokersAre(1)
		keyed := &Call{Key: "k"}
		b.call(keyed)
		b.cut(1)
		b.failed(keyed, jsonrpc.CodeOutcomeUnknown)
	})
}

func TestClientKeyedComesBackRefused(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{})
	c := &Call{Key: "k"}
	b.call(c)
	b.cut(1)
	b.pass(time.Second)
	b.serve("1")
	b.refuse(c, jsonrpc.CodeOverloaded, clientUntouched)
	b.cut(2)
	b.pass(time.Second)
	require.False(t, b.calls[c].done, "it waits for its broker")
	b.serve("2")
	b.failed(c, jsonrpc.CodeOutcomeUnknown)
}

func TestClientFailoverIsFreeOnce(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{RetryReserve: 1, RetryBudget: 0.01})
	var calls []*Call
	for range 100 {
		c := &Call{Idempotent: true}
		calls = append(calls, c)
		b.call(c)
	}
	b.cut(1)
	b.pass(time.Second)
	b.serve("2")
	for _, c := range calls {
		require.Equal(t, 2, b.calls[c].sends, "a lost broker's load moves")
	}
	b.cut(2)
	b.pass(time.Second)
	b.serve("3")
	again := 0
	for _, c := range calls {
		if b.calls[c].sends == 3 {
			again++
			continue
		}
		b.failed(c, jsonrpc.CodeBrokerLost)
	}
	require.Equal(t, 1, again, "but not from one to the next without end")
}

func TestClientMaxAttempts(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{MaxAttempts: 2})
	c := &Call{Idempotent: true}
	b.call(c)
	b.cut(1)
	b.pass(time.Second)
	b.serve("1")
	b.cut(2)
	f := b.failed(c, jsonrpc.CodeBrokerLost)
	require.ErrorIs(t, f.Cause, errClientCut)
	require.Contains(t, f.Text, "cut")
}
