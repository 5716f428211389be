package jsonrpc_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// with returns the reading of an envelope of that kind after set was applied.
func with(kind jsonrpc.Kind, set func(r *reading)) reading {
	r := opaque()
	r.Kind = kind
	set(&r)
	return r
}

// envelopes are bodies that are understood. They also seed the fuzz targets.
var envelopes = []struct {
	name string
	body string
	want reading
}{
	{
		"request as mesh writes it",
		`{"jsonrpc":"2.0","id":7,"method":"tea.brew","meta":{"timeout_ms":1500,"key":"k-1","attempt":2,"window":0},"params":{"n":1}}`,
		with(jsonrpc.Request, func(r *reading) {
			r.ID, r.Method, r.Params = "7", "tea.brew", `{"n":1}`
			r.Meta = `{"timeout_ms":1500,"key":"k-1","attempt":2,"window":0}`
			r.TimeoutMS, r.Key, r.Attempt, r.Window = 1500, "k-1", 2, 0
		}),
	},
	{
		"members in another order, with white space",
		" {\r\n\t\"params\" : [ 1 , 2 ] ,\n\"meta\" : { } , \"method\" : \"tea.brew\" , \"id\" : \"a\" , \"jsonrpc\" : \"2.0\" } \n",
		with(jsonrpc.Request, func(r *reading) {
			r.ID, r.Method, r.Params, r.Meta = `"a"`, "tea.brew", "[ 1 , 2 ]", "{ }"
		}),
	},
	{
		"no params",
		`{"jsonrpc":"2.0","id":7,"method":"tea.brew"}`,
		with(jsonrpc.Request, func(r *reading) { r.ID, r.Method = "7", "tea.brew" }),
	},
	{
		"null is an id",
		`{"jsonrpc":"2.0","id":null,"method":"m"}`,
		with(jsonrpc.Request, func(r *reading) { r.ID, r.Method = "null", "m" }),
	},
	{
		"an id stays as it was written",
		`{"jsonrpc":"2.0","id":-1.50E+3,"method":"m"}`,
		with(jsonrpc.Request, func(r *reading) { r.ID, r.Method = "-1.50E+3", "m" }),
	},
	{
		"an id of escapes, halves of surrogates among them",
		`{"jsonrpc":"2.0","id":"\u0061\ud800","method":"m"}`,
		with(jsonrpc.Request, func(r *reading) { r.ID, r.Method = `"\u0061\ud800"`, "m" }),
	},
	{
		"notification",
		`{"jsonrpc":"2.0","method":"rpc.cancel","meta":{},"params":{}}`,
		with(jsonrpc.Notification, func(r *reading) { r.Method, r.Meta, r.Params = "rpc.cancel", "{}", "{}" }),
	},
	{
		"empty method",
		`{"jsonrpc":"2.0","method":""}`,
		with(jsonrpc.Notification, func(r *reading) { r.Method = "" }),
	},
	{
		"result",
		`{"jsonrpc":"2.0","id":7,"result":{"cup":true}}`,
		with(jsonrpc.Result, func(r *reading) { r.ID, r.Result = "7", `{"cup":true}` }),
	},
	{
		"result null, in front of the id",
		`{"result":null,"id":7,"jsonrpc":"2.0"}`,
		with(jsonrpc.Result, func(r *reading) { r.ID, r.Result = "7", "null" }),
	},
	{
		"result with meta behind it",
		`{"jsonrpc":"2.0","id":7,"result":1,"meta":{"caller":"tea"}}`,
		with(jsonrpc.Result, func(r *reading) {
			r.ID, r.Result, r.Meta, r.Caller = "7", "1", `{"caller":"tea"}`, "tea"
		}),
	},
	{
		"failure",
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse error"}}`,
		with(jsonrpc.Failure, func(r *reading) { r.ID, r.Error = "null", `{"code":-32700,"message":"parse error"}` }),
	},
	{
		"escapes in names and values",
		`{"\u006asonrpc":"\u0032.0","i\u0064":1,"m\u0065thod":"tea.\"br\u00E9w\ud83c\udf75\n","meta":{"\u006bey":"\/\\\b\f\r\t"}}`,
		with(jsonrpc.Request, func(r *reading) {
			r.ID, r.Method, r.Key = "1", "tea.\"br\u00e9w\U0001f375\n", "/\\\b\f\r\t"
			r.Meta = `{"\u006bey":"\/\\\b\f\r\t"}`
		}),
	},
	{
		"strings that look like structure",
		`{"jsonrpc":"2.0","id":"}{","method":"m","params":{"method":"x","a":"}\",\"id\":1","id":[{"jsonrpc":1}]}}`,
		with(jsonrpc.Request, func(r *reading) {
			r.ID, r.Method, r.Params = `"}{"`, "m", `{"method":"x","a":"}\",\"id\":1","id":[{"jsonrpc":1}]}`
		}),
	},
	{
		"unknown members, alike in letters or twice",
		`{"jsonrpc":"2.0","id":1,"method":"m","ID":2,"Method":3,"x":true,"x":[false,null,{}],"":0,"\ud800":1,"meta\u0000":[]}`,
		with(jsonrpc.Request, func(r *reading) { r.ID, r.Method, r.Ambiguous = "1", "m", true }),
	},
	{
		"meta in full",
		`{"jsonrpc":"2.0","method":"m","meta":{"tenant":"a","traceparent":"00-1-2-01","tracestate":"v=1","caller":"shop","n":1,"tenant":"b","\u0078":"\ud800"}}`,
		with(jsonrpc.Notification, func(r *reading) {
			r.Method = "m"
			r.Meta = `{"tenant":"a","traceparent":"00-1-2-01","tracestate":"v=1","caller":"shop","n":1,"tenant":"b","\u0078":"\ud800"}`
			r.TraceParent, r.TraceState, r.Caller = "00-1-2-01", "v=1", "shop"
			r.Strings = map[string]string{"tenant": "b", "x": "\uFFFD"}
		}),
	},
	{
		"meta of largest numbers",
		`{"jsonrpc":"2.0","method":"m","meta":{"timeout_ms":9223372036854,"attempt":2147483647,"window":2147483647}}`,
		with(jsonrpc.Notification, func(r *reading) {
			r.Method = "m"
			r.Meta = `{"timeout_ms":9223372036854,"attempt":2147483647,"window":2147483647}`
			r.TimeoutMS, r.Attempt, r.Window = 9223372036854, 2147483647, 2147483647
		}),
	},
	{
		"huge numbers",
		`{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"m","params":[1e999999,-0,0.10,9E-0]}`,
		with(jsonrpc.Request, func(r *reading) {
			r.ID, r.Method, r.Params = "123456789012345678901234567890", "m", "[1e999999,-0,0.10,9E-0]"
		}),
	},
	{
		"text beyond ASCII",
		"{\"jsonrpc\":\"2.0\",\"id\":\"\u00e4\",\"method\":\"\u8336.\u6ce1\",\"params\":[\"\U0001f375\u2028\ufeff\"]}",
		with(jsonrpc.Request, func(r *reading) {
			r.ID, r.Method, r.Params = "\"\u00e4\"", "\u8336.\u6ce1", "[\"\U0001f375\u2028\ufeff\"]"
		}),
	},
}

func TestScan(t *testing.T) {
	t.Parallel()
	for _, test := range envelopes {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var e jsonrpc.Envelope
			jsonrpc.Scan([]byte(test.body), &e)
			require.Empty(t, e.Reason)
			require.Equal(t, test.want, read(&e))
			checkScan(t, []byte(test.body))
		})
	}
}

// opaques are bodies that are no envelopes. They also seed the fuzz targets.
var opaques = []struct {
	reason string
	bodies []string
}{
	{"empty body", []string{"", " \n"}},
	{"byte-order mark", []string{"\ufeff{\"jsonrpc\":\"2.0\",\"method\":\"m\"}", " \ufeff{}", "\ufeff"}},
	{"batch array", []string{`[{"jsonrpc":"2.0","method":"m"}]`, "[", " []"}},
	{"not an object", []string{`"tea"`, "null", "1", "tea please", "\x00\x01", "\xff\xfe{", "}", "\xef\xbb"}},
	{"trailing data", []string{
		`{"jsonrpc":"2.0","method":"m"}x`, `{"jsonrpc":"2.0","method":"m"}{}`, "{}\x00", `{},`,
	}},
	{"truncated", []string{
		"{", `{"`, `{"id`, `{"id"`, `{"id":`, `{"id":1`, `{"id":1,`, `{"id":"a`, `{"id":"a\`, `{"id":"a\u12`, `{"id":"a\"`, `{"method":"m`,
		`{"params":[`, `{"params":[1`, `{"params":[1,`, `{"params":{`, `{"params":{"a"`, `{"params":{"a":1`, `{"meta":{`, `{"meta":{"key":"k"`,
		`{"error":{`, `{"jsonrpc":"2.0"`, `{"x":[[]`, `{"x":[ `, `{"x":{ `,
	}},
	{"syntax error", []string{
		`{id:1}`, `{'id':1}`, `{"id" 1}`, `{"id":1 "method":"m"}`, `{"id":1,}`, `{,}`, `{"id":1;}`, `{"id":nul}`, `{"id":null0}`,
		`{"x":}`, `{"x":tru}`, `{"x":True}`, `{"x":NaN}`, `{"x":+1}`, `{"x":.5}`, `{"x":[1,]}`, `{"x":[1 2]}`, `{"x":[,]}`, `{"x":{"a":1,}}`, `{"x":{"a"}}`, `{"x":{1:2}}`,
		`{"x":01}`, `{"x":1a}`, "{\"x\":\v1}", "{\u00a0\"x\":1}", `{"x":[1}`, `{"x":{]}`, `{"x":/**/1}`, `{"id":1]`,
	}},
	{"malformed number", []string{`{"x":-}`, `{"x":1.}`, `{"x":1.e5}`, `{"x":1e}`, `{"x":1e+}`, `{"x":-a}`, `{"x":1E-`, `{"meta":{"window":1.}}`, `{"x":-`, `{"x":--1}`}},
	{"control character in a string", []string{
		"{\"x\":\"a\nb\"}", "{\"x\":\"\x00\"}", "{\"x\":\"\x1f\"}", "{\"x\ty\":1}", "{\"method\":\"12345678901234567890\x1f234567890\"}",
	}},
	{"invalid escape in a string", []string{`{"x":"\x"}`, `{"x":"\u12g4"}`, `{"x":"\u+123"}`, `{"x":"\U0041"}`, `{"\'":1}`, `{"x":"\u00 0"}`}},
	{"invalid UTF-8", []string{
		"{\"x\":\"\xff\"}", "{\"x\":\"\xc0\x80\"}", "{\"x\":\"\xed\xa0\x80\"}", "{\"x\":\"\xf4\x90\x80\x80\"}", "{\"\xe4\":1}", "{\"method\":\"caf\xe9 et tout le reste\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":[\"long enough for words \xe2\x82\"]}", "{\"x\":\"\xe2\\u0041\"}",
	}},
	{"nested too deep", []string{nested("[", "[]", "]", 10_000), nested(`{"a":`, "{}", "}", 10_000), `{"x":` + strings.Repeat("[", 1_000_000)}},
	{"duplicate member", []string{
		`{"jsonrpc":"2.0","jsonrpc":"2.0","method":"m"}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","id":1}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","i\u0064":2}`,
		`{"jsonrpc":"2.0","\u0069d":1,"method":"m","id":2}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{},"method":"n"}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{},"\u006d\u0065\u0074\u0068\u006f\u0064":"n"}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","params":{},"params":{}}`,
		`{"jsonrpc":"2.0","id":1,"method":"m","meta":{},"params":{},"meta":{}}`,
		`{"jsonrpc":"2.0","id":1,"result":1,"result":2}`,
		`{"jsonrpc":"2.0","id":1,"error":{},"error":{}}`,
	}},
	{"duplicate member of meta", []string{`{"meta":{"key":"a","key":"a"}}`, `{"meta":{"key":"a","ke\u0079":"b"}}`, `{"meta":{"window":1,"x":2,"window":1}}`}},
	{"unpaired surrogate", []string{
		`{"method":"\ud800"}`, `{"method":"\udc00\ud800"}`, `{"method":"\ud800\u0041"}`, `{"method":"\ud800x"}`, `{"meta":{"key":"\ud83c\\udf75"}}`, `{"jsonrpc":"\udfff"}`,
	}},
	{`jsonrpc is not "2.0"`, []string{`{"jsonrpc":"1.0","id":1,"method":"m"}`, `{"jsonrpc":2.0,"id":1,"method":"m"}`, `{"jsonrpc":null}`, `{"jsonrpc":"2.0 "}`}},
	{"no jsonrpc member", []string{`{}`, `{"id":1,"method":"m","params":[]}`, `{"id":1,"result":1}`}},
	{"id is neither string, number nor null", []string{`{"id":true}`, `{"id":{}}`, `{"id":[1]}`, `{"id":false}`}},
	{"method is not a string", []string{`{"method":1}`, `{"method":null}`, `{"method":["m"]}`}},
	{"params is neither object nor array", []string{
		`{"params":null}`, `{"params":"x"}`, `{"params":1}`, `{"jsonrpc":"2.0","id":1,"method":"m","meta":{},"params":7}`,
	}},
	{"error is not an object", []string{`{"error":null}`, `{"error":"x"}`, `{"error":[]}`}},
	{"method beside result or error", []string{
		`{"jsonrpc":"2.0","id":1,"method":"m","result":1}`, `{"jsonrpc":"2.0","id":1,"error":{},"method":"m"}`, `{"jsonrpc":"2.0","id":1,"result":1,"method":"m"}`,
	}},
	{"both result and error", []string{`{"jsonrpc":"2.0","id":1,"result":1,"error":{}}`, `{"jsonrpc":"2.0","id":1,"error":{},"result":1}`, `{"result":1,"error":null}`}},
	{"neither method, result nor error", []string{`{"jsonrpc":"2.0"}`, `{"jsonrpc":"2.0","id":1,"params":{}}`}},
	{"reply without id", []string{`{"jsonrpc":"2.0","result":1}`, `{"jsonrpc":"2.0","error":{}}`}},
	{"meta is not an object", []string{`{"meta":null}`, `{"meta":[]}`, `{"meta":"x"}`}},
	{"meta.timeout_ms is not a non-negative integer in range", []string{
		`{"meta":{"timeout_ms":"1"}}`, `{"meta":{"timeout_ms":-1}}`, `{"meta":{"timeout_ms":1.0}}`, `{"meta":{"timeout_ms":1e3}}`, `{"meta":{"timeout_ms":null}}`, `{"meta":{"timeout_ms":-0}}`,
		`{"meta":{"timeout_ms":9223372036855}}`, `{"meta":{"timeout_ms":18446744073709551616}}`, `{"meta":{"timeout_ms":` + strings.Repeat("9", 1000) + `}}`,
	}},
	{"meta.attempt is not a non-negative integer in range", []string{`{"meta":{"attempt":true}}`, `{"meta":{"attempt":2147483648}}`, `{"meta":{"attempt":[]}}`}},
	{"meta.window is not a non-negative integer in range", []string{`{"meta":{"window":-2}}`, `{"meta":{"window":4294967296}}`, `{"meta":{"window":{}}}`}},
	{"meta.key is not a string", []string{`{"meta":{"key":1}}`, `{"meta":{"key":null}}`}},
	{"meta.traceparent is not a string", []string{`{"meta":{"traceparent":{}}}`}},
	{"meta.tracestate is not a string", []string{`{"meta":{"tracestate":[]}}`}},
	{"meta.caller is not a string", []string{`{"meta":{"caller":false}}`}},
}

// nested is a body whose params are depth objects or arrays inside one another.
func nested(open, innermost, shut string, depth int) string {
	return `{"jsonrpc":"2.0","id":1,"method":"m","params":` +
		strings.Repeat(open, depth-1) + innermost + strings.Repeat(shut, depth-1) + "}"
}

func TestScanOpaque(t *testing.T) {
	t.Parallel()
	for _, test := range opaques {
		t.Run(test.reason, func(t *testing.T) {
			t.Parallel()
			for _, body := range test.bodies {
				var e jsonrpc.Envelope
				jsonrpc.Scan([]byte(body), &e)
				require.Equal(t, test.reason, e.Reason, "%.200q", body)
				require.Equal(t, opaque(), read(&e), "%.200q", body)
				checkScan(t, []byte(body))
			}
		})
	}
}

// Every proper prefix of an envelope is opaque, and no suffix of spaces matters.
func TestScanPrefixes(t *testing.T) {
	t.Parallel()
	for _, test := range envelopes {
		trimmed := strings.TrimRight(test.body, " \n")
		for n := range len(trimmed) {
			var e jsonrpc.Envelope
			// The capacity is clipped, so that reading past the end panics.
			jsonrpc.Scan([]byte(trimmed)[:n:n], &e)
			require.Equal(t, jsonrpc.Opaque, e.Kind, "%q", trimmed[:n])
		}
	}
}

func TestScanDeepest(t *testing.T) {
	t.Parallel()
	for _, body := range []string{nested("[", "[]", "]", jsonrpc.MaxDepth-1), nested(`{"a":`, "{}", "}", jsonrpc.MaxDepth-1)} {
		var e jsonrpc.Envelope
		jsonrpc.Scan([]byte(body), &e)
		require.Empty(t, e.Reason)
		require.Equal(t, jsonrpc.Request, e.Kind)
		checkScan(t, []byte(body))
	}
}

func TestScanResets(t *testing.T) {
	t.Parallel()
	for _, scan := range []func([]byte, *jsonrpc.Envelope){jsonrpc.Scan, jsonrpc.ScanHead} {
		for _, after := range []string{`{"jsonrpc":"2.0","id":1,"result":1}`, `{"jsonrpc":"2.0","method":"m"}`, "junk"} {
			var used, fresh jsonrpc.Envelope
			for _, before := range envelopes {
				scan([]byte(before.body), &used)
			}
			scan([]byte(after), &used)
			scan([]byte(after), &fresh)
			require.Equal(t, fresh, used)
		}
	}
}

// What a caller appends to a slice of the envelope never lands in the body.
func TestScanClipsCapacity(t *testing.T) {
	t.Parallel()
	for _, test := range envelopes {
		body := []byte(test.body)
		var e jsonrpc.Envelope
		jsonrpc.Scan(body, &e)
		for _, s := range [][]byte{
			e.ID, e.Method, e.Params, e.Result, e.Error, e.Meta.Raw, e.Meta.Key, e.Meta.TraceParent, e.Meta.TraceState, e.Meta.Caller,
		} {
			_ = append(s, "overwritten"...)
		}
		require.Equal(t, test.body, string(body))
	}
}

func TestScanHeadStops(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		body string
		kind jsonrpc.Kind
	}{
		{"at params", `{"jsonrpc":"2.0","id":1,"method":"m","meta":{"key":"k"},"params":[`, jsonrpc.Request},
		{"at params, whatever the order before", `{"meta":{"key":"k"},"method":"m","x":[],"id":1,"jsonrpc":"2.0","params":{"a":tru`, jsonrpc.Request},
		{"before a duplicate", `{"jsonrpc":"2.0","id":1,"method":"m","meta":{"key":"k"},"params":[],"method":"n"}`, jsonrpc.Request},
		{"at result", `{"jsonrpc":"2.0","id":1,"result":nonsense`, jsonrpc.Result},
		{"before an error", `{"id":1,"jsonrpc":"2.0","result":1,"error":{}}`, jsonrpc.Result},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var e jsonrpc.Envelope
			jsonrpc.ScanHead([]byte(test.body), &e)
			require.Equal(t, test.kind, e.Kind)
			require.False(t, e.Complete)
			require.Empty(t, e.Reason)
			require.Equal(t, "1", string(e.ID))
			require.Nil(t, e.Params)
			require.Nil(t, e.Result)
			if test.kind == jsonrpc.Request {
				require.Equal(t, "m", string(e.Method))
				require.Equal(t, "k", string(e.Meta.Key))
			}
			checkScan(t, []byte(test.body))
		})
	}
}

// Where something that counts may stand behind the payload, the head is the whole.
func TestScanHeadGoesOn(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}`,
		`{"jsonrpc":"2.0","method":"m","meta":{},"params":[1]}`,
		`{"jsonrpc":"2.0","method":"m","meta":{},"params":[1],"id":1}`,
		`{"id":1,"method":"m","meta":{},"params":[1],"jsonrpc":"2.0"}`,
		`{"jsonrpc":"2.0","result":[1],"id":1}`,
		`{"jsonrpc":"2.0","id":1,"error":{"code":1}}`,
	} {
		var full, head jsonrpc.Envelope
		jsonrpc.Scan([]byte(body), &full)
		jsonrpc.ScanHead([]byte(body), &head)
		require.True(t, head.Complete, body)
		require.Equal(t, full, head, body)
		require.NotEqual(t, jsonrpc.Opaque, head.Kind, body)
	}
}

func TestSplitMethod(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method, service, name string
		ok                    bool
	}{
		{"tea.brew", "tea", "brew", true},
		{"shop.tea.brew", "shop.tea", "brew", true},
		{"..brew", ".", "brew", true},
		{"\u8336.\u6ce1", "\u8336", "\u6ce1", true},
		{"brew", "", "", false},
		{".brew", "", "", false},
		{"tea.", "", "", false},
		{".", "", "", false},
		{"", "", "", false},
	}
	for _, test := range tests {
		service, name, ok := jsonrpc.SplitMethod([]byte(test.method))
		require.Equal(t, test.ok, ok, test.method)
		require.Equal(t, test.service, string(service), test.method)
		require.Equal(t, test.name, string(name), test.method)
		require.False(t, ok && cap(service) > len(service), "append to the service would overwrite the method")
	}
	_, _, ok := jsonrpc.SplitMethod(nil)
	require.False(t, ok)
}

func TestKindString(t *testing.T) {
	t.Parallel()
	want := map[jsonrpc.Kind]string{
		jsonrpc.Opaque: "opaque", jsonrpc.Request: "request", jsonrpc.Notification: "notification", jsonrpc.Result: "result",
		jsonrpc.Failure: "failure", 200: "unknown",
	}
	for kind, name := range want {
		require.Equal(t, name, kind.String())
	}
}

func TestStringsOfNoMeta(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "[]", "{", `{"a"`, `{"a":"b`, `{"a":`} {
		m := jsonrpc.Meta{Raw: []byte(raw)}
		require.Empty(t, m.Strings(), raw)
	}
}
