package jsonrpc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

func TestReadParams(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{}`: `{}`, `[]`: `[]`, " \t\r\n{\"a\":[1,{}]} \n": `{"a":[1,{}]}`, `null`: "", " null ": "",
	} {
		params, err := jsonrpc.ReadParams([]byte(raw))
		require.NoError(t, err, "%q", raw)
		require.Equal(t, want, string(params), "%q", raw)
	}
	params, err := jsonrpc.ReadParams(nil)
	require.NoError(t, err)
	require.Nil(t, params)

	for _, raw := range []string{``, ` `, `1`, `"a"`, `true`, `nul`, `{`, `{"a":}`, `{}}`, `[] []`, "\uFEFF{}", "{\"a\":\"\xff\"}"} {
		_, err := jsonrpc.ReadParams([]byte(raw))
		require.Error(t, err, "%q", raw)
	}
}

// FuzzReadParams holds that what is taken as params makes a request that can be
// read, and what isn't would not.
func FuzzReadParams(f *testing.F) {
	for _, raw := range []string{`{}`, ` [1] `, `null`, `1`, `{"a":`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}", `{},"id":2`, ``} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		params, err := jsonrpc.ReadParams(raw)
		if raw == nil || err == nil && params == nil {
			return
		}
		var e jsonrpc.Envelope
		jsonrpc.Scan([]byte(`{"jsonrpc":"2.0","id":1,"method":"m","params":`+string(raw)+`}`), &e)
		if err != nil {
			require.False(t, e.Kind == jsonrpc.Request && string(e.Params) == string(raw))
			return
		}
		require.Equal(t, jsonrpc.Request, e.Kind, e.Reason)
		require.Equal(t, string(params), string(e.Params))
	})
}
