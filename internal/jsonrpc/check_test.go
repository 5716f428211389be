package jsonrpc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

func TestCheckValue(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{``, `1`, ` "a" `, `null`, `{"a":[1,{}]}`, "\n[]\t"} {
		require.NoError(t, jsonrpc.CheckValue([]byte(raw)), "%q", raw)
	}
	require.NoError(t, jsonrpc.CheckValue(nil))
	for _, raw := range []string{` `, `nul`, `{`, `{"a":}`, `{}}`, `1,"id":2`, "\uFEFF{}", "\"\xff\"", `01`} {
		require.Error(t, jsonrpc.CheckValue([]byte(raw)), "%q", raw)
	}
}
