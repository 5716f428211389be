package jsonrpc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// What stands in the path of every message allocates nothing. Not parallel:
// AllocsPerRun counts for the whole program.
func TestAllocs(t *testing.T) {
	head := jsonrpc.RequestHead{
		ID: 7, Method: "tea.brew", TimeoutMS: 1500, Key: "k", Attempt: 1, Window: 32, TraceParent: "00-1-2-01", TraceState: "v=1", Caller: "shop",
		Strings: map[string]string{"tenant": "a", "region": "b"},
	}
	params := []byte(`{"n":[1,2.5e3,"three",{"four":null}]}`)
	call := jsonrpc.AppendRequest(nil, &head, params)
	result := jsonrpc.AppendResult(nil, []byte("7"), params)
	failed := jsonrpc.AppendFailure(nil, []byte("7"), jsonrpc.CodeExpired, "expired", nil)
	junk := []byte(`{"jsonrpc":"2.0","id":7,"method":"tea.brew","id":8}`)
	buf := make([]byte, 0, 1024)
	var e, read jsonrpc.Envelope
	jsonrpc.Scan(call, &read)

	paths := []struct {
		name string
		run  func()
	}{
		{"Scan of a request", func() { jsonrpc.Scan(call, &e) }},
		{"ScanHead of a request", func() { jsonrpc.ScanHead(call, &e) }},
		{"Scan of a result", func() { jsonrpc.Scan(result, &e) }},
		{"ScanHead of a result", func() { jsonrpc.ScanHead(result, &e) }},
		{"Scan of a failure", func() { jsonrpc.Scan(failed, &e) }},
		{"Scan of an opaque body", func() { jsonrpc.Scan(junk, &e) }},
		{"SplitMethod", func() { jsonrpc.SplitMethod(read.Method) }},
		{"AppendRequest", func() { buf = jsonrpc.AppendRequest(buf[:0], &head, params) }},
		{"AppendResult", func() { buf = jsonrpc.AppendResult(buf[:0], read.ID, params) }},
		{"AppendFailure", func() { buf = jsonrpc.AppendFailure(buf[:0], read.ID, jsonrpc.CodeExpired, "expired \"now\"", params) }},
		{"ReplaceID", func() { buf = jsonrpc.ReplaceID(buf[:0], call, &read, []byte(`"other"`)) }},
	}
	for _, path := range paths {
		require.Zero(t, testing.AllocsPerRun(100, path.run), path.name)
	}
}
