package jsonrpc_test

import (
	"maps"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

var requests = []struct {
	name   string
	head   jsonrpc.RequestHead
	params string
	want   string
}{
	{
		"call",
		jsonrpc.RequestHead{ID: 7, Method: "tea.brew", TimeoutMS: 1500}, `{"n":1}`,
		`{"jsonrpc":"2.0","id":7,"method":"tea.brew","meta":{"timeout_ms":1500},"params":{"n":1}}`,
	},
	{
		"notification",
		jsonrpc.RequestHead{ID: 7, Notify: true, Method: "rpc.cancel"}, "",
		`{"jsonrpc":"2.0","method":"rpc.cancel","meta":{}}`,
	},
	{
		"everything",
		jsonrpc.RequestHead{
			ID: 1<<64 - 1, Method: "tea.brew", TimeoutMS: 1, Key: "k", Attempt: 2, Window: 32, TraceParent: "00-1-2-01", TraceState: "v=1", Caller: "shop",
			Strings: map[string]string{"tenant": "a", "": "empty", "b\n": "c\"", "key": "left out", "timeout_ms": "left out"},
		}, "[]",
		`{"jsonrpc":"2.0","id":18446744073709551615,"method":"tea.brew","meta":{"timeout_ms":1,"key":"k","attempt":2,"window":32,` +
			`"traceparent":"00-1-2-01","tracestate":"v=1","caller":"shop","":"empty","b\n":"c\"","tenant":"a"},"params":[]}`,
	},
	{
		"numbers out of range",
		jsonrpc.RequestHead{Method: "m", TimeoutMS: 1<<63 - 1, Attempt: math.MaxInt, Window: -1}, "",
		`{"jsonrpc":"2.0","id":0,"method":"m","meta":{"timeout_ms":9223372036854,"attempt":2147483647}}`,
	},
	{
		"a method that needs escapes",
		jsonrpc.RequestHead{Method: "caf\u00e9.\"\xff"}, "",
		"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"caf\u00e9.\\\"\ufffd\",\"meta\":{}}",
	},
}

func TestAppendRequest(t *testing.T) {
	t.Parallel()
	for _, test := range requests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			body := jsonrpc.AppendRequest([]byte("before"), &test.head, []byte(test.params))
			require.Equal(t, "before"+test.want, string(body))
			checkScan(t, body[6:])
			checkHead(t, body[6:], &test.head)
			if test.params != "" {
				head := jsonrpc.AppendRequestHead([]byte("before"), &test.head)
				require.Equal(t, "before"+test.want, string(head)+test.params+jsonrpc.Closing)
			}
		})
	}
}

// checkHead reads back a request that was written with h.
func checkHead(t require.TestingT, body []byte, h *jsonrpc.RequestHead) {
	var e jsonrpc.Envelope
	jsonrpc.Scan(body, &e)
	require.Empty(t, e.Reason)
	got := read(&e)

	optional := func(s string) string {
		if s == "" {
			return absent
		}
		return string([]rune(s)) // with U+FFFD for what isn't UTF-8
	}
	require.Equal(t, string([]rune(h.Method)), got.Method)
	require.Equal(t, optional(h.Key), got.Key)
	require.Equal(t, optional(h.TraceParent), got.TraceParent)
	require.Equal(t, optional(h.TraceState), got.TraceState)
	require.Equal(t, optional(h.Caller), got.Caller)
	require.Equal(t, min(max(h.Attempt, 0), jsonrpc.MaxCount), got.Attempt)
	if h.TimeoutMS > 0 {
		require.Equal(t, min(h.TimeoutMS, jsonrpc.MaxTimeoutMS), got.TimeoutMS)
	} else {
		require.Equal(t, int64(-1), got.TimeoutMS)
	}
	if h.Window > 0 {
		require.Equal(t, min(h.Window, jsonrpc.MaxCount), got.Window)
	} else {
		require.Equal(t, -1, got.Window)
	}
	strings := maps.Clone(h.Strings)
	for _, name := range []string{"timeout_ms", "key", "attempt", "window", "traceparent", "tracestate", "caller"} {
		delete(strings, name)
	}
	require.Len(t, got.Strings, len(strings))
	for name, value := range strings {
		require.Equal(t, string([]rune(value)), got.Strings[string([]rune(name))])
	}

	// A reader of the head learns all but the params.
	var head jsonrpc.Envelope
	jsonrpc.ScanHead(body, &head)
	require.Equal(t, h.Notify || e.Params == nil, head.Complete)
	require.Equal(t, e.Meta, head.Meta)
}

func TestAppendResult(t *testing.T) {
	t.Parallel()
	tests := []struct{ id, result, want string }{
		{"7", `{"cup":1}`, `{"jsonrpc":"2.0","id":7,"result":{"cup":1}}`},
		{`"a"`, "", `{"jsonrpc":"2.0","id":"a","result":null}`},
		{"", "1", `{"jsonrpc":"2.0","id":null,"result":1}`},
	}
	for _, test := range tests {
		body := jsonrpc.AppendResult([]byte("before"), []byte(test.id), []byte(test.result))
		require.Equal(t, "before"+test.want, string(body))
		var e jsonrpc.Envelope
		jsonrpc.Scan(body[6:], &e)
		require.Equal(t, jsonrpc.Result, e.Kind)
		checkScan(t, body[6:])
		if test.result != "" {
			head := jsonrpc.AppendResultHead([]byte("before"), []byte(test.id))
			require.Equal(t, "before"+test.want, string(head)+test.result+jsonrpc.Closing)
		}
	}
}

func TestAppendFailure(t *testing.T) {
	t.Parallel()
	tests := []struct {
		id      string
		code    int
		message string
		data    string
		want    string
	}{
		{"7", jsonrpc.CodeWorkerLost, "worker lost", `{"handed_over":true}`, `{"jsonrpc":"2.0","id":7,"error":{"code":-32004,"message":"worker lost","data":{"handed_over":true}}}`},
		{"", 0, "", "", `{"jsonrpc":"2.0","id":null,"error":{"code":0,"message":""}}`},
		{`"a"`, 1, "it's \"bad\"\n", "", `{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":"it's \"bad\"\n"}}`},
	}
	for _, test := range tests {
		body := jsonrpc.AppendFailure([]byte("before"), []byte(test.id), test.code, test.message, []byte(test.data))
		require.Equal(t, "before"+test.want, string(body))
		checkScan(t, body[6:])

		var e jsonrpc.Envelope
		jsonrpc.Scan(body[6:], &e)
		require.Equal(t, jsonrpc.Failure, e.Kind)
		code, message, data, err := jsonrpc.ParseError(e.Error)
		require.NoError(t, err)
		require.Equal(t, test.code, code)
		require.Equal(t, test.message, message)
		require.Equal(t, test.data, string(data))
	}
}

func TestAppendString(t *testing.T) {
	t.Parallel()
	tests := []struct{ s, want string }{
		{"", `""`},
		{"tea.brew", `"tea.brew"`},
		{"\"\\/", `"\"\\/"`},
		{"\b\f\n\r\t", `"\b\f\n\r\t"`},
		{"\x00\x1f\x7f", "\"\\u0000\\u001f\x7f\""},
		{"caf\u00e9 \U0001f375 \u2028", "\"caf\u00e9 \U0001f375 \u2028\""},
		{"a\xffb\xed\xa0\x80\xe2\x82", "\"a\ufffdb\ufffd\ufffd\ufffd\ufffd\ufffd\""},
		{"\ufffd", "\"\ufffd\""},
		{"a\nb", `"a\nb"`},
	}
	for _, test := range tests {
		require.Equal(t, "x"+test.want, string(jsonrpc.AppendString([]byte("x"), test.s)), "%q", test.s)
	}
}

func TestReplaceID(t *testing.T) {
	t.Parallel()
	tests := []struct{ body, id, want string }{
		{`{"jsonrpc":"2.0","id":7,"result":{"id":7}}`, `"b"`, `{"jsonrpc":"2.0","id":"b","result":{"id":7}}`},
		{` {"meta":{"id":1}, "result":7, "i\u0064" : "7" , "jsonrpc":"2.0"} `, "123", ` {"meta":{"id":1}, "result":7, "i\u0064" : 123 , "jsonrpc":"2.0"} `},
		{`{"jsonrpc":"2.0","id":null,"error":{}}`, "1", `{"jsonrpc":"2.0","id":1,"error":{}}`},
		{`{"jsonrpc":"2.0","method":"m"}`, "1", `{"jsonrpc":"2.0","method":"m"}`},
		{`{"jsonrpc":"2.0","id":7,"result":1}`, "", `{"jsonrpc":"2.0","id":null,"result":1}`},
		{"junk", "1", "junk"},
	}
	for _, test := range tests {
		for _, scan := range []func([]byte, *jsonrpc.Envelope){jsonrpc.Scan, jsonrpc.ScanHead} {
			var e jsonrpc.Envelope
			scan([]byte(test.body), &e)
			require.Equal(t, "x"+test.want, string(jsonrpc.ReplaceID([]byte("x"), []byte(test.body), &e, []byte(test.id))))
		}
	}
}
