package jsonrpc_test

import (
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// failure is an error member and what it says.
type failure struct {
	raw     string
	code    int
	message string
	data    string
}

var failures = []failure{
	{`{"code":-32004,"message":"worker lost","data":{"handed_over":true}}`, -32004, "worker lost", `{"handed_over":true}`},
	{`{ "data" : null , "message" : "" , "code" : 2147483647 } `, 2147483647, "", "null"},
	{`{"code":-2147483648}`, -2147483648, "", absent},
	{`{"c\u006fde":1,"message":"\u0022\ud83c\udf75","x":{},"x":1}`, 1, "\"\U0001f375", absent},
}

var badFailures = []struct{ raw, err string }{
	{"", "jsonrpc: error is not a JSON object"},
	{"null", "jsonrpc: error is not a JSON object"},
	{`{"code":1`, "jsonrpc: error is not a JSON object"},
	{`{"code":1}}`, "jsonrpc: error is not a JSON object"},
	{`{"code":1,}`, "jsonrpc: error is not a JSON object"},
	{`{"code":1,"data":tru}`, "jsonrpc: error is not a JSON object"},
	{`{}`, "jsonrpc: error has no code"},
	{`{"message":"m"}`, "jsonrpc: error has no code"},
	{`{"code":"1"}`, "jsonrpc: error.code is not an integer of 32 bits"},
	{`{"code":1.0}`, "jsonrpc: error.code is not an integer of 32 bits"},
	{`{"code":1e3}`, "jsonrpc: error.code is not an integer of 32 bits"},
	{`{"code":2147483648}`, "jsonrpc: error.code is not an integer of 32 bits"},
	{`{"code":null}`, "jsonrpc: error.code is not an integer of 32 bits"},
	{`{"code":1,"message":1}`, "jsonrpc: error.message is not a string"},
	{`{"code":1,"message":null}`, "jsonrpc: error.message is not a string"},
	{`{"code":1,"message":"\ud800"}`, "jsonrpc: error.message is not a string"},
	{`{"code":1,"code":1}`, "jsonrpc: error has a duplicate member"},
	{`{"code":1,"data":null,"d\u0061ta":2}`, "jsonrpc: error has a duplicate member"},
}

func TestParseError(t *testing.T) {
	t.Parallel()
	for _, want := range failures {
		code, message, data, err := jsonrpc.ParseError([]byte(want.raw))
		require.NoError(t, err, want.raw)
		require.Equal(t, want, failure{want.raw, code, message, text(data)})
	}
	for _, test := range badFailures {
		code, message, data, err := jsonrpc.ParseError([]byte(test.raw))
		require.EqualError(t, err, test.err, test.raw)
		require.Equal(t, failure{test.raw, 0, "", absent}, failure{test.raw, code, message, text(data)})
	}
}

// decodeFailure reads an error member with a full decoder.
func decodeFailure(raw []byte) (failure, error) {
	none := failure{string(raw), 0, "", absent}
	members, err := object(raw)
	if err != nil || raw[0] != '{' || !utf8.Valid(raw) {
		return none, errOpaque
	}
	f, code := none, absent
	if _, err := assign(members, map[string]func(raw string) error{
		"code":    into(&code, oneOf("-0123456789")),
		"message": into(&f.message, str),
		"data":    into(&f.data, func(raw string) (string, error) { return raw, nil }),
	}); err != nil {
		return none, err
	}
	n, err := strconv.ParseInt(code, 10, 32)
	if err != nil {
		return none, err
	}
	f.code = int(n)
	return f, nil
}

func TestCodeName(t *testing.T) {
	t.Parallel()
	codes := []int{-32700, -32600, -32601, -32602, -32603}
	for code := -32015; code <= -32000; code++ {
		codes = append(codes, code)
	}
	seen := map[string]int{}
	for _, code := range codes {
		name := jsonrpc.CodeName(code)
		require.NotEmpty(t, name, code)
		require.NotContains(t, seen, name, "%d and %d have one name", code, seen[name])
		seen[name] = code
	}
	require.Equal(t, "worker lost", jsonrpc.CodeName(jsonrpc.CodeWorkerLost))
	for _, code := range []int{0, 1, -1, -31999, -32016, -32604, -32768} {
		require.Empty(t, jsonrpc.CodeName(code))
	}
}
