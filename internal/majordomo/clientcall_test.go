package majordomo

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

func TestClientRequestOnTheWire(t *testing.T) {
	t.Parallel()
	call := func(b *clientBed) *Call {
		return &Call{
			Service: []byte("tea"), Method: "tea.brew", Params: []byte(`{"kind":"oolong"}`),
			Deadline: b.now.Add(1500*time.Millisecond + time.Microsecond), Key: "k1", Window: 32,
			TraceParent: "00-1-2-03", TraceState: "a=b", Caller: "me", Strings: map[string]string{"tenant": "t"},
		}
	}
	tests := map[string]struct {
		speak  Speak
		frames []string
		body   string
	}{
		"mesh": {
			SpeakMesh, []string{"MDPC02", "\x01", "tea"},
			`{"jsonrpc":"2.0","id":32769,"method":"tea.brew","meta":{"timeout_ms":1501,"key":"k1","attempt":1,"window":32,` +
				`"traceparent":"00-1-2-03","tracestate":"a=b","caller":"me","tenant":"t"},"params":{"kind":"oolong"}}`,
		},
		"MDP/0.2": {
			SpeakMDP02, []string{"MDPC02", "\x01", "tea"},
			`{"jsonrpc":"2.0","id":32769,"method":"tea.brew","meta":{"timeout_ms":1501,"key":"k1","attempt":1,` +
				`"traceparent":"00-1-2-03","tracestate":"a=b","caller":"me","tenant":"t"},"params":{"kind":"oolong"}}`,
		},
		"MDP/0.1": {
			SpeakMDP01, []string{"", "MDPC01", "tea"},
			`{"jsonrpc":"2.0","id":32769,"method":"tea.brew","meta":{"timeout_ms":1501,"key":"k1","attempt":1,` +
				`"traceparent":"00-1-2-03","tracestate":"a=b","caller":"me","tenant":"t"},"params":{"kind":"oolong"}}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newServedClient(t, ClientConfig{Speak: test.speak})
			c := call(b)
			a := b.call(c)
			require.Equal(t, []string{"send"}, clientKinds(a))
			require.Same(t, c, a[0].Call)
			var got []string
			for _, f := range a[0].Message {
				got = append(got, string(f))
			}
			require.Equal(t, append(test.frames, test.body), got)
			require.LessOrEqual(t, len(test.body), c.length(), "the body is written into one allocation")
			b.result(c, `"cup"`)
			b.succeeded(c, `"cup"`)
			require.Equal(t, c.Service, []byte("tea"))
		})
	}
}

func TestClientRepliesByID(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{})
	first, second := &Call{}, &Call{}
	b.call(first)
	b.call(second)
	b.result(second, "2")
	require.False(t, b.calls[first].done)
	b.result(first, "1")
	b.succeeded(first, "1")
	b.succeeded(second, "2")

	require.Empty(t, b.result(first, "1"), "a second reply")
	third := &Call{}
	b.call(third)
	require.NotEqual(t, b.calls[first].id, b.calls[third].id, "the slot is used again, the id isn't")
	require.Empty(t, b.result(first, "1"))
	require.False(t, b.calls[third].done)
	for _, id := range []string{`"32769"`, "-32769", "1e3", "99999999999999999999", "null", "0", "32768", "4294967297"} {
		require.Empty(t, b.reply(1, mdp.ClientFinal, "tea", `{"jsonrpc":"2.0","id":`+id+`,"result":1}`), id)
	}
	for _, body := range []string{"not json", "[]", "{}", `{"jsonrpc":"2.0","id":` + b.calls[third].id + `,"id":1,"result":1}`} {
		require.Empty(t, b.reply(1, mdp.ClientFinal, "tea", body))
	}
	require.Empty(t, b.reply(1, mdp.ClientFinal, "tea", "a", `{"jsonrpc":"2.0","id":`+b.calls[third].id+`,"result":1}`), "two frames are no JSON-RPC")
	require.EqualValues(t, 15, b.s.counts.Late)
}

func TestClientReplyOnAnotherConnection(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{Brokers: 2, HeartbeatInterval: time.Second})
	c := &Call{}
	b.call(c)
	b.serveOn(2, "1")
	require.Empty(t, b.reply(2, mdp.ClientFinal, "tea", `{"jsonrpc":"2.0","id":`+b.calls[c].id+`,"result":1}`), "ids count on one connection only")
	b.result(c, "1")
	b.succeeded(c, "1")
}

func TestClientReplyThatIsNone(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{})
	c := &Call{}
	a := b.call(c)
	b.message(1, []byte("MDPC02"), []byte{3}, []byte("tea"), a[0].Message[3]) // the worker echoed the request
	f := b.failed(c, jsonrpc.CodeInternal)
	require.True(t, f.Local)
	require.Equal(t, HandedYes, f.HandedOver)
}

func TestClientFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		error string
		want  Failure
	}{
		"of the broker": {
			`{"code":-32003,"message":"late","data":{"handed_over":true}}`,
			Failure{Code: -32003, Text: "late", Data: []byte(`{"handed_over":true}`), HandedOver: HandedYes},
		},
		"with a time": {
			`{"code":-32000,"message":"none","data":{"handed_over":false,"retry_after_ms":250}}`,
			Failure{
				Code: -32000, Text: "none", Data: []byte(`{"handed_over":false,"retry_after_ms":250}`),
				HandedOver: HandedNo, RetryAfter: 250 * time.Millisecond,
			},
		},
		"with an endless time": {
			`{"code":-32002,"message":"full","data":{"retry_after_ms":9223372036854775807}}`,
			Failure{
				Code: -32002, Text: "full", Data: []byte(`{"retry_after_ms":9223372036854775807}`),
				RetryAfter: jsonrpc.MaxTimeoutMS * time.Millisecond,
			},
		},
		"of the application": {
			`{"code":7,"message":"no tea","data":{"handed_over":false}}`,
			Failure{Code: 7, Text: "no tea", Data: []byte(`{"handed_over":false}`)},
		},
		"of the broker, with other data": {`{"code":-32002,"message":"full","data":[1]}`, Failure{Code: -32002, Text: "full", Data: []byte(`[1]`)}},
		"without data":                   {`{"code":-32002,"message":"full"}`, Failure{Code: -32002, Text: "full"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newServedClient(t, ClientConfig{})
			c := &Call{}
			b.call(c)
			b.reply(1, mdp.ClientFinal, "tea", `{"jsonrpc":"2.0","id":`+b.calls[c].id+`,"error":`+test.error+`}`)
			require.Equal(t, &test.want, b.failed(c, test.want.Code))
		})
	}
	b := newServedClient(t, ClientConfig{})
	c := &Call{}
	b.call(c)
	b.reply(1, mdp.ClientFinal, "tea", `{"jsonrpc":"2.0","id":`+b.calls[c].id+`,"error":{"code":"x"}}`)
	require.Error(t, b.failed(c, jsonrpc.CodeInternal).Cause)
}

func TestClientDeadline(t *testing.T) {
	t.Parallel()
	t.Run("over before", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, ClientConfig{})
		c := &Call{Deadline: b.now}
		require.Equal(t, []string{"done"}, clientKinds(b.call(c)))
		require.Equal(t, HandedNo, b.failed(c, jsonrpc.CodeExpired).HandedOver)
	})
	t.Run("while it waits", func(t *testing.T) {
		t.Parallel()
		b := newClientBed(t, ClientConfig{})
		c := &Call{Deadline: b.now.Add(time.Second)}
		b.call(c)
		b.pass(1001 * time.Millisecond)
		f := b.failed(c, jsonrpc.CodeExpired)
		require.Equal(t, HandedNo, f.HandedOver)
		require.ErrorIs(t, f.Cause, errNotConnected)
		require.Equal(t, []string{"send"}, clientKinds(b.dialed(1)))
		require.Empty(t, b.pong(1, "1", false), "nothing is sent any more")
	})
	t.Run("when its turn comes", func(t *testing.T) {
		t.Parallel()
		b := newClientBed(t, ClientConfig{})
		c := &Call{Deadline: b.now.Add(time.Second)}
		b.call(c)
		b.dialed(1)
		b.now = b.now.Add(2 * time.Second) // and the session was never woken
		require.Equal(t, []string{"done"}, clientKinds(b.pong(1, "1", false)))
	})
	t.Run("while it is out", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, ClientConfig{})
		c := &Call{Deadline: b.now.Add(time.Second)}
		b.call(c)
		require.Empty(t, b.pass(999*time.Millisecond))
		a := b.pass(2 * time.Millisecond)
		require.Equal(t, []string{"send", "done"}, clientKinds(a))
		require.Nil(t, a[0].Call)
		require.Equal(t, mdp.MMICancel, string(a[0].Message[2]))
		require.Equal(t, `{"jsonrpc":"2.0","method":"mmi.cancel","params":{"id":`+b.calls[c].id+`}}`, b.sent(a))
		f := b.failed(c, jsonrpc.CodeExpired)
		require.Equal(t, HandedMaybe, f.HandedOver)
		require.True(t, f.Local)
		require.Empty(t, b.reply(1, mdp.ClientFinal, mdp.MMICancel, ""))
		require.Zero(t, b.s.counts.Late)
		require.Empty(t, b.result(c, "1"))
		require.EqualValues(t, 1, b.s.counts.Late)
	})
	t.Run("farther than a timer reaches", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, ClientConfig{Speak: SpeakMDP02})
		c := &Call{Deadline: b.now.Add(3 * 365 * 24 * time.Hour)}
		b.call(c)
		b.pass(2 * 365 * 24 * time.Hour)
		require.False(t, b.calls[c].done)
		b.pass(366 * 24 * time.Hour)
		b.failed(c, jsonrpc.CodeExpired)
	})
}

func TestClientAbort(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{})
	cancelled, timedOut := &Call{}, &Call{}
	b.call(cancelled)
	b.call(timedOut)
	require.Equal(t, []string{"send", "done"}, clientKinds(b.abort(cancelled, errClientCut)))
	f := b.failed(cancelled, jsonrpc.CodeCancelled)
	require.ErrorIs(t, f.Cause, errClientCut)
	require.Equal(t, HandedMaybe, f.HandedOver)
	b.abort(timedOut, clientTimeoutError{})
	b.failed(timedOut, jsonrpc.CodeExpired)
	require.Empty(t, b.abort(timedOut, errClientCut), "done before")

	b.cut(1)
	waiting := &Call{}
	b.call(waiting)
	require.Equal(t, []string{"done"}, clientKinds(b.abort(waiting, errClientCut)))
	require.Equal(t, HandedNo, b.failed(waiting, jsonrpc.CodeCancelled).HandedOver)
}

func TestClientBounds(t *testing.T) {
	t.Parallel()
	b := newClientBed(t, ClientConfig{MaxPending: 3, MaxPendingBytes: 2000})
	calls := []*Call{{}, {}, {}}
	for _, c := range calls {
		b.call(c)
		require.False(t, b.calls[c].done)
	}
	over := &Call{}
	b.call(over)
	f := b.failed(over, jsonrpc.CodeOverloaded)
	require.True(t, f.Local)
	require.Equal(t, HandedNo, f.HandedOver)

	b.abort(calls[0], errClientCut)
	large := &Call{Params: []byte(`["` + strings.Repeat("x", 2000) + `"]`)}
	b.call(large)
	b.failed(large, jsonrpc.CodeOverloaded)
	small := &Call{}
	b.call(small)
	require.False(t, b.calls[small].done)
}

func TestClientUnacceptable(t *testing.T) {
	t.Parallel()
	rpc := newServedClient(t, ClientConfig{})
	opaque := newServedClient(t, ClientConfig{Opaque: true})
	body := [][]byte{[]byte("x")}
	for _, test := range []struct {
		b    *clientBed
		call Call
	}{
		{rpc, Call{Service: []byte{}}},
		{rpc, Call{Service: make([]byte, 256)}},
		{rpc, Call{Body: body}},
		{opaque, Call{}},
		{opaque, Call{Body: body, Method: "tea.brew"}},
		{opaque, Call{Body: body, Notify: true}},
		{opaque, Call{Body: body, Key: "k"}},
	} {
		c := test.call
		require.Equal(t, []string{"done"}, clientKinds(test.b.call(&c)))
		require.True(t, test.b.failed(&c, jsonrpc.CodeInvalidRequest).Local)
	}
	twice := &Call{}
	rpc.call(twice)
	require.Empty(t, rpc.step(&ClientEvent{Kind: ClientCall, Call: twice}))
}

func TestClientNotify(t *testing.T) {
	t.Parallel()
	b := newClientBed(t, ClientConfig{})
	c := &Call{Notify: true, Idempotent: true}
	b.call(c)
	b.dialed(1)
	a := b.pong(1, "1", false)
	require.Equal(t, []string{"send", "done"}, clientKinds(a))
	require.Equal(t, `{"jsonrpc":"2.0","method":"tea.brew","meta":{"attempt":1}}`, b.sent(a))
	b.succeeded(c, "")
	require.Empty(t, b.reply(1, mdp.ClientFinal, "tea", ""), "the broker's acknowledgement")
	require.Zero(t, b.s.counts.Late)

	b.takesNothing = true
	c = &Call{Notify: true}
	require.Equal(t, []string{"send"}, clientKinds(b.call(c)), "it isn't done before it is on its way")
	require.Equal(t, []string{"hangup"}, clientKinds(b.unsent(1, c, Failure{})), "the connection has ended")
	b.pass(time.Second)
	require.Equal(t, []string{"send"}, clientKinds(b.serve("2")))
	require.Equal(t, []string{"done"}, clientKinds(b.step(&ClientEvent{Kind: ClientSent, Conn: 2, Call: c})))
	b.succeeded(c, "")
	require.Empty(t, b.step(&ClientEvent{Kind: ClientSent, Conn: 2, Call: c}))
	c = &Call{Notify: true}
	b.call(c)
	b.step(&ClientEvent{Kind: ClientUnsent, Conn: 2, Call: c, Failure: Failure{Code: jsonrpc.CodeTooLarge, Text: "large"}})
	b.failed(c, jsonrpc.CodeTooLarge)
	call := &Call{}
	b.call(call)
	require.Empty(t, b.step(&ClientEvent{Kind: ClientSent, Conn: 2, Call: call}), "a call waits for its reply")
}

// TestClientOwnUnsent has messages of the session's own that a connection doesn't take.
func TestClientOwnUnsent(t *testing.T) {
	t.Parallel()
	full := Failure{Code: jsonrpc.CodeOverloaded, Text: "full", Cause: errClientFull}
	b := newServedClient(t, ClientConfig{})
	stream, other := &Call{Window: 2}, &Call{}
	b.call(stream)
	b.call(other)
	b.partial(stream, "1")
	a := b.step(&ClientEvent{Kind: ClientCredit, Call: stream, N: 1})
	require.Nil(t, a[0].Call)
	require.Empty(t, b.step(&ClientEvent{Kind: ClientUnsent, Conn: 1}), "it has ended, and ClientLost is to come")
	require.Empty(t, b.step(&ClientEvent{Kind: ClientUnsent, Conn: 2, Failure: full}))
	a = b.step(&ClientEvent{Kind: ClientUnsent, Conn: 1, Failure: full})
	require.Equal(t, []string{"hangup", "done", "done"}, clientKinds(a))
	require.Equal(t, ClientNote, a[3].Kind)
	require.ErrorIs(t, a[3].Err, errClientFull)
	require.ErrorContains(t, a[3].Err, "a message of the client's own")
	for _, c := range []*Call{stream, other} {
		f := b.failed(c, jsonrpc.CodeBrokerLost)
		require.Equal(t, HandedMaybe, f.HandedOver)
		require.ErrorIs(t, f.Cause, errClientFull)
	}
	require.Empty(t, b.step(&ClientEvent{Kind: ClientUnsent, Conn: 1, Failure: full}))
	require.Equal(t, []string{"dial"}, clientKinds(b.pass(time.Second)))
}

func TestClientUnsent(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{})
	c := &Call{Idempotent: true}
	b.call(c)
	unsent := func(conn uint64) []ClientAction {
		return b.step(&ClientEvent{Kind: ClientUnsent, Conn: conn, Call: c, Failure: Failure{Code: jsonrpc.CodeTooLarge, Text: "large"}})
	}
	require.Empty(t, unsent(2))
	require.Equal(t, []string{"done"}, clientKinds(unsent(1)))
	require.Equal(t, &Failure{Code: jsonrpc.CodeTooLarge, Text: "large", HandedOver: HandedNo, Local: true}, b.failed(c, jsonrpc.CodeTooLarge))
	require.Empty(t, unsent(1))

	c = &Call{Idempotent: true}
	b.call(c)
	b.cut(1)
	b.pass(time.Second)
	b.serve("2")
	unsent(2)
	require.Equal(t, HandedMaybe, b.failed(c, jsonrpc.CodeTooLarge).HandedOver, "the first request may have reached a worker")

	b = newServedClient(t, ClientConfig{})
	c, waits := &Call{NoRetry: true}, &Call{}
	b.call(waits)
	b.call(c)
	require.Empty(t, clientKinds(b.unsent(1, c, Failure{})), "the connection has ended, and may have brought replies")
	b.pass(time.Second)
	require.Equal(t, []string{"send"}, clientKinds(b.serve("2")), "it never left, so it is safe to send")
	b.result(waits, "1")
	b.succeeded(waits, "1")
	b.result(c, "1")
	b.succeeded(c, "1")

	b = newFullClient(t, ClientConfig{Brokers: 2})
	c = &Call{}
	b.call(c)
	first := b.calls[c].conn
	require.Equal(t, []string{"hangup", "send"}, clientKinds(b.unsent(first, c, Failure{})), "at once elsewhere")
	require.NotEqual(t, first, b.calls[c].conn)
	b.result(c, "1")
	b.succeeded(c, "1")
}

// TestClientUnreadParts has streams whose parts nobody reads, and which credit holds
// back or not.
func TestClientUnreadParts(t *testing.T) {
	t.Parallel()
	const size = 1000 // of a part
	part := `"` + strings.Repeat("x", size-2) + `"`
	fits := 10 // parts
	limit := int64(fits * (size + partOverhead))
	credit := func(b *clientBed, c *Call, n int) {
		b.step(&ClientEvent{Kind: ClientCredit, Call: c, N: n, Bytes: n * size})
	}
	t.Run("beyond the window", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, ClientConfig{MaxUnreadBytes: limit})
		c := &Call{Window: 2}
		b.call(c)
		for range 3 {
			for range fits {
				require.Equal(t, []string{"part"}, clientKinds(b.partial(c, part)))
			}
			credit(b, c, fits)
		}
		for range fits {
			b.partial(c, part)
		}
		credit(b, c, 1)
		b.partial(c, part)
		a := b.partial(c, part)
		require.Equal(t, []string{"send", "done"}, clientKinds(a))
		require.Equal(t, mdp.MMICancel, string(a[0].Message[2]))
		f := b.failed(c, jsonrpc.CodeTooLarge)
		require.Equal(t, HandedYes, f.HandedOver)
		require.True(t, f.Local)
		require.Contains(t, f.Text, "10 parts")
		require.Len(t, b.calls[c].parts, 4*fits+1)
		require.Empty(t, b.partial(c, part), "it is over")
	})
	t.Run("within the window", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, ClientConfig{MaxUnreadBytes: limit})
		c := &Call{Window: 3 * fits}
		b.call(c)
		for range 3 * fits {
			require.Equal(t, []string{"part"}, clientKinds(b.partial(c, part)))
		}
		b.result(c, "null")
		b.succeeded(c, "null")
	})
	t.Run("of a plain broker", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, ClientConfig{Speak: SpeakMDP02, MaxUnreadBytes: limit})
		c, other := &Call{Window: 2}, &Call{}
		b.call(c)
		b.call(other)
		for range 3 * fits {
			require.Equal(t, []string{"part"}, clientKinds(b.partial(c, part)))
			credit(b, c, 1)
		}
		for range fits {
			b.partial(c, part)
		}
		require.Equal(t, []string{"done"}, clientKinds(b.partial(c, part)), "it doesn't know mmi.cancel")
		b.failed(c, jsonrpc.CodeTooLarge)
		b.result(other, "1")
		b.succeeded(other, "1")
	})
	t.Run("opaque", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, ClientConfig{Speak: SpeakMDP02, Opaque: true, MaxUnreadBytes: limit})
		c := &Call{Window: 1, Body: frames("x")}
		b.call(c)
		for range fits {
			require.Equal(t, []string{"part"}, clientKinds(b.reply(1, mdp.ClientPartial, "tea", part)))
		}
		a := b.reply(1, mdp.ClientPartial, "tea", part)
		require.Equal(t, []string{"hangup", "done", "dial"}, clientKinds(a), "nothing else ends its reply")
		b.failed(c, jsonrpc.CodeTooLarge)
	})
}

func TestClientStream(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{})
	c := &Call{Window: 8}
	require.Contains(t, b.sent(b.call(c)), `"window":8`)
	for _, v := range []string{"1", "2", "3"} {
		require.Equal(t, []string{"part"}, clientKinds(b.partial(c, v)))
	}
	require.Equal(t, []string{"1", "2", "3"}, b.calls[c].parts)
	require.Empty(t, b.step(&ClientEvent{Kind: ClientCredit, Call: c, N: 3}), "less than half a window")
	require.Empty(t, b.step(&ClientEvent{Kind: ClientCredit, Call: c, N: -3}))
	a := b.step(&ClientEvent{Kind: ClientCredit, Call: c, N: 2})
	require.Equal(t, mdp.MMICredit, string(a[0].Message[2]))
	require.Equal(t, `{"jsonrpc":"2.0","method":"mmi.credit","params":{"id":`+b.calls[c].id+`,"n":5}}`, b.sent(a))
	require.Empty(t, b.reply(1, mdp.ClientPartial, "tea", `{"jsonrpc":"2.0","id":`+b.calls[c].id+`,"error":{"code":1}}`)[1:], "a part is a result")
	require.Len(t, b.calls[c].parts, 3)
	b.result(c, "null")
	b.succeeded(c, "null")
	require.Empty(t, b.partial(c, "4"))
	require.Empty(t, b.step(&ClientEvent{Kind: ClientCredit, Call: c, N: 5}))

	single := &Call{Window: 1}
	b.call(single)
	b.partial(single, "1")
	require.Equal(t, []string{"send"}, clientKinds(b.step(&ClientEvent{Kind: ClientCredit, Call: single, N: 1})))

	plain := &Call{}
	b.call(plain)
	require.Empty(t, b.partial(plain, "1"), "who asks for one value gets the last")
	b.result(plain, "2")
	b.succeeded(plain, "2")
}

func TestClientStreamOverMDP01(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{Speak: SpeakMDP01})
	c := &Call{Window: 8}
	b.call(c)
	id := b.calls[c].id
	value := func(v string) string { return `{"jsonrpc":"2.0","id":` + id + `,"result":` + v + `}` }
	a := b.reply(1, mdp.ClientFinal, "tea", value("1"), "rubbish", value("2"), value("3"))
	require.Equal(t, []string{"part", "part", "done"}, clientKinds(a))
	require.Equal(t, []string{"1", "2"}, b.calls[c].parts)
	b.succeeded(c, "3")
	require.Len(t, b.calls[c].body, 1)
}

func TestClientManagementOfPlainBroker(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{Speak: SpeakMDP01})
	c := &Call{Service: []byte(mdp.MMIStatus), Method: mdp.MMIStatus}
	require.Equal(t, []string{"done"}, clientKinds(b.call(c)))
	require.True(t, b.failed(c, jsonrpc.CodeMethodNotFound).Local)

	b = newServedClient(t, ClientConfig{})
	c = &Call{Service: []byte(mdp.MMIPing), Method: mdp.MMIPing}
	b.call(c)
	b.result(c, `{"broker":"b"}`)
	b.succeeded(c, `{"broker":"b"}`)
}

func TestClientOpaque(t *testing.T) {
	t.Parallel()
	body := [][]byte{[]byte("two"), []byte("frames")}
	b := newServedClient(t, ClientConfig{Opaque: true})
	first, second, third := &Call{Body: body}, &Call{Body: body, Window: 1}, &Call{Body: body}
	a := b.call(first)
	require.Equal(t, [][]byte{[]byte("MDPC02"), {1}, []byte("tea"), []byte("two"), []byte("frames")}, a[0].Message)
	require.Empty(t, b.call(second), "one at a time")
	require.Empty(t, b.call(third))
	require.Empty(t, b.reply(1, mdp.ClientFinal, "coffee", "x"), "the reply to nothing")
	require.Empty(t, b.reply(1, mdp.ClientPartial, "tea", "x"), "nobody asked for parts")
	require.Equal(t, []string{"done", "send"}, clientKinds(b.reply(1, mdp.ClientFinal, "tea", "re", "ply")))
	require.Equal(t, [][]byte{[]byte("re"), []byte("ply")}, b.calls[first].body)
	require.Nil(t, b.calls[first].failure)

	a = b.reply(1, mdp.ClientPartial, "tea", "part")
	require.Equal(t, []string{"part"}, clientKinds(a))
	require.Equal(t, [][]byte{[]byte("part")}, a[0].Body)
	require.Equal(t, []string{"hangup", "done", "dial"}, clientKinds(b.abort(second, errClientCut)), "its reply would be taken for the next one's")
	require.Equal(t, []string{"send"}, clientKinds(b.serve("1")))
	b.reply(2, mdp.ClientFinal, "tea", "")
	require.True(t, b.calls[third].done)

	idempotent := &Call{Body: body, Idempotent: true}
	b.call(idempotent)
	b.cut(2)
	b.pass(time.Second)
	require.Equal(t, []string{"send"}, clientKinds(b.serve("2")))
	b.cut(3)
	b.pass(time.Second)
	b.serve("2")
	status := &Call{Service: []byte(mdp.MMIService), Body: [][]byte{[]byte("tea")}}
	b.reply(4, mdp.ClientFinal, "tea", "done")
	b.call(status)
	b.reply(4, mdp.ClientFinal, mdp.MMIService, "200")
	require.Equal(t, [][]byte{[]byte("200")}, b.calls[status].body)
}

func TestClientOpaqueExpiresInLine(t *testing.T) {
	t.Parallel()
	body := [][]byte{[]byte("x")}
	b := newServedClient(t, ClientConfig{Opaque: true})
	b.call(&Call{Body: body})
	c := &Call{Body: body, Deadline: b.now.Add(time.Second)}
	b.call(c)
	b.pass(1001 * time.Millisecond)
	f := b.failed(c, jsonrpc.CodeExpired)
	require.NoError(t, f.Cause, "there is a connection, but it is in use")
	require.Equal(t, HandedNo, f.HandedOver)
}

func TestClientOpaqueGivenUp(t *testing.T) {
	t.Parallel()
	body := [][]byte{[]byte("x")}
	b := newServedClient(t, ClientConfig{Opaque: true, Speak: SpeakMDP01, Brokers: 2})
	dead := &Call{Body: body, Deadline: b.now.Add(time.Second)}
	b.call(dead)
	b.pass(1000 * time.Millisecond)
	b.failed(dead, jsonrpc.CodeExpired)
	require.ErrorIs(t, b.s.known[0].trouble, ErrBrokerSilent, "a plain broker that never said anything")
	require.Equal(t, 1, b.s.known[0].redial.failures)
	b.serveOn(2, "")
	alive := &Call{Body: body}
	b.call(alive)
	b.reply(2, mdp.ClientFinal, "tea", "1")
	slow := &Call{Body: body, Deadline: b.now.Add(time.Second)}
	b.call(slow)
	require.Equal(t, []string{"dial", "hangup", "done", "dial"}, clientKinds(b.pass(1000*time.Millisecond)))
	b.failed(slow, jsonrpc.CodeExpired)
	require.Equal(t, 1, b.conns[b.last].broker, "one that has answered is dialled at once")

	drained := newServedClient(t, ClientConfig{Opaque: true, Brokers: 2, HeartbeatInterval: time.Second})
	c := &Call{Body: body}
	drained.call(c)
	drained.pass(1500 * time.Millisecond)
	drained.pong(1, "1", true)
	next := &Call{Body: body}
	drained.call(next)
	drained.serveOn(2, "1")
	require.EqualValues(t, 2, drained.calls[next].conn)
	require.Equal(t, []string{"hangup", "done"}, clientKinds(drained.abort(c, errClientCut)), "the other connection goes on")
}
