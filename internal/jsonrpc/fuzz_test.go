package jsonrpc_test

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// FuzzScan holds Scan to a full decoder, ScanHead to Scan, and the body with its
// id replaced to the body.
func FuzzScan(f *testing.F) {
	for _, seed := range envelopes {
		f.Add([]byte(seed.body))
	}
	for _, seeds := range opaques {
		for _, body := range seeds.bodies {
			if len(body) < 1000 {
				f.Add([]byte(body))
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) { checkScan(t, body) })
}

// TestScanGenerated does the same with bodies that are nearly envelopes, which
// random bytes seldom are.
func TestScanGenerated(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { checkScan(t, []byte(bodies().Draw(t, "body"))) })
}

// bodies generates objects of members that a scanner has to tell apart, some of
// them cut or with a byte changed.
func bodies() *rapid.Generator[string] {
	name := oneOrEscaped("jsonrpc", "id", "method", "params", "result", "error", "meta", "ID", "x")
	metaName := oneOrEscaped("timeout_ms", "key", "attempt", "window", "traceparent", "tracestate", "caller", "tenant", "")
	metaValue := rapid.OneOf(
		rapid.SampledFrom([]string{"0", "1", "30000", "-1", "1.5", "2147483648", "null", "[]", `{"key":1}`}),
		rapid.Map(rapid.StringN(0, 12, -1), quote),
		rapid.SampledFrom([]string{`"\ud800"`, `"\ud83c\udf75"`, `"a\/b"`, `"\u0000"`}),
	)
	meta := objects(metaName, metaValue, 4)
	value := rapid.OneOf(
		rapid.SampledFrom([]string{`"2.0"`, "1", "null", "{}", "[]", "true", "-0.1e+7", `"tea.brew"`, `"\ud800"`, `[{"id":[1,"}"]}]`}),
		rapid.Map(rapid.StringN(0, 24, -1), quote),
		meta,
	)
	envelope := rapid.Custom(func(t *rapid.T) string {
		members := []string{`"jsonrpc":"2.0"`, `"id":` + rapid.SampledFrom([]string{"1", `"a"`, "null"}).Draw(t, "id")}
		if rapid.Bool().Draw(t, "reply") {
			members = append(members, `"result":`+value.Draw(t, "result"))
		} else {
			members = append(members, `"method":"tea.brew"`, `"params":{"n":1}`, `"meta":`+meta.Draw(t, "meta"))
		}
		for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "others") {
			members = append(members, quoteName(name.Draw(t, "name"))+":"+value.Draw(t, "value"))
		}
		return "{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), ",") + "}"
	})
	return rapid.Custom(func(t *rapid.T) string {
		body := rapid.OneOf(envelope, envelope, objects(name, value, 7)).Draw(t, "object")
		i := rapid.IntRange(0, len(body)-1).Draw(t, "at")
		switch rapid.SampledFrom([]string{"", "", "", "", "cut", "change", "space", "append"}).Draw(t, "damage") {
		case "cut":
			body = body[:i]
		case "change":
			body = body[:i] + string([]byte{rapid.Byte().Draw(t, "byte")}) + body[i+1:]
		case "space":
			body = body[:i] + " \r\n\t" + body[i:]
		case "append":
			body += rapid.SampledFrom([]string{" ", "\n", "}", ",", "\x00"}).Draw(t, "more")
		}
		return body
	})
}

// oneOrEscaped generates one of these names, at times with an escape for its
// first character.
func oneOrEscaped(names ...string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		name := rapid.SampledFrom(names).Draw(t, "plain")
		if name == "" || rapid.IntRange(0, 3).Draw(t, "escaped") > 0 {
			return name
		}
		const hex = "0123456789abcdef"
		return `\u00` + string([]byte{hex[name[0]>>4], hex[name[0]&15]}) + name[1:]
	})
}

// objects generates JSON objects of up to n members.
func objects(name, value *rapid.Generator[string], n int) *rapid.Generator[string] {
	member := rapid.Custom(func(t *rapid.T) string {
		return quoteName(name.Draw(t, "name")) + ":" + value.Draw(t, "value")
	})
	return rapid.Map(rapid.SliceOfN(member, 0, n), func(members []string) string {
		return "{" + strings.Join(members, ",") + "}"
	})
}

func quote(s string) string { return string(jsonrpc.AppendString(nil, s)) }

// quoteName puts quotes around a name whose escapes stay as they are.
func quoteName(name string) string { return `"` + name + `"` }

// FuzzAppendRequest reads back what was written.
func FuzzAppendRequest(f *testing.F) {
	f.Add(uint64(7), false, "tea.brew", int64(1500), "k", 1, 32, "00-1-2-01", "v=1", "shop", "tenant", "a")
	f.Add(uint64(1<<64-1), true, "", int64(-1), "\x00\xff\"\\", -1, math.MaxInt, "\ufffd", "\u2028", "<&>", "k\x7fy", "\xed\xa0\x80")
	f.Add(uint64(0), false, "\xff", int64(1<<62), "", 0, 0, "", "", "", "key", "never written")
	f.Fuzz(func(t *testing.T, id uint64, notify bool, method string, timeout int64, key string, attempt, window int,
		parent, state, caller, name, value string,
	) {
		head := jsonrpc.RequestHead{
			ID: id, Notify: notify, Method: method, TimeoutMS: timeout, Key: key, Attempt: attempt, Window: window,
			TraceParent: parent, TraceState: state, Caller: caller, Strings: map[string]string{name: value, "b": "2", "a": "1"},
		}
		body := jsonrpc.AppendRequest(nil, &head, []byte(`{"n":1}`))
		require.True(t, utf8.Valid(body))
		checkScan(t, body)
		checkHead(t, body, &head)
	})
}

// FuzzAppendString reads back what was written.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "tea", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "caf\u00e9 \U0001f375 \u2028", "\xff\xc0\x80\xed\xa0\x80", "<script>&", "\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted := jsonrpc.AppendString([]byte("before"), s)
		require.Equal(t, "before", string(quoted[:6]))
		decoded, err := str(string(quoted[6:]))
		require.NoError(t, err)
		require.Equal(t, string([]rune(s)), decoded)
	})
}

// FuzzParseError holds ParseError to a full decoder.
func FuzzParseError(f *testing.F) {
	for _, test := range failures {
		f.Add([]byte(test.raw))
	}
	for _, test := range badFailures {
		f.Add([]byte(test.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		code, message, data, err := jsonrpc.ParseError(raw)
		want, wantErr := decodeFailure(raw)
		require.Equal(t, wantErr == nil, err == nil, "%q: %v, %v", raw, err, wantErr)
		require.Equal(t, want, failure{string(raw), code, message, text(data)})
	})
}
