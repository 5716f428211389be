//go:build cgo && unix

package zmq

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport/curve"
)

// The handler lets in who is known, over a connection that the listener expects,
// and nobody else; whatever it is asked, libzmq takes the reply (RFC 27).
func TestZAP(t *testing.T) {
	t.Parallel()
	key := slices.Repeat([]byte{7}, curve.KeySize)
	knows := func(name string) func(curve.Key) (string, bool) {
		return func(k curve.Key) (string, bool) { return name, k == curve.Key(key) }
	}
	ask := func(domain, mechanism string, credentials ...[]byte) [][]byte {
		return append([][]byte{[]byte("1.0"), []byte("1"), []byte(domain), []byte("127.0.0.1"), {}, []byte(mechanism)}, credentials...)
	}
	noncanonical := slices.Clone(key)
	noncanonical[curve.KeySize-1] |= 0x80
	for _, test := range []struct {
		name         string
		authenticate func(curve.Key) (string, bool)
		request      [][]byte
		status       string
	}{
		{"known", knows("tea"), ask("5", "CURVE", key), "200"},
		{"another", knows("tea"), ask("5", "CURVE", make([]byte, curve.KeySize)), "400"},
		{"the same in other bytes", func(curve.Key) (string, bool) { return "tea", true }, ask("5", "CURVE", noncanonical), "400"},
		{"nobody is known", nil, ask("5", "CURVE", key), "400"},
		{"a name that would be cut", knows("tea\x00pot"), ask("5", "CURVE", key), "400"},
		{"another connection", knows("tea"), ask("6", "CURVE", key), "400"},
		{"no domain", knows("tea"), ask("", "CURVE", key), "400"},
		{"a short key", knows("tea"), ask("5", "CURVE", key[1:]), "400"},
		{"another mechanism", knows("tea"), ask("5", "GSSAPI", key), "400"},
		{"PLAIN", knows("tea"), ask("5", "PLAIN", []byte("user"), []byte("password")), "500"},
		{"NULL", knows("tea"), ask("5", "NULL"), "500"},
		{"another version", knows("tea"), append([][]byte{[]byte("2.0")}, ask("5", "CURVE", key)[1:]...), "500"},
		{"one frame", knows("tea"), [][]byte{{}}, "500"},
	} {
		z := &zap{authenticate: test.authenticate, verdicts: make(map[string]verdict)}
		z.expect("5")
		reply := z.answer(test.request)
		require.Len(t, reply, 6, "%s: with the delimiter seven", test.name)
		require.Equal(t, "1.0", reply[0], test.name)
		require.Equal(t, test.status, reply[2], test.name)
		if test.status == "200" {
			require.Equal(t, "tea", reply[4], test.name)
			require.Equal(t, verdict{"tea", true}, z.verdict("5"), test.name)
			z.forget("5")
			require.Equal(t, "400", z.answer(test.request)[2], "once the connection is gone")
		} else {
			require.Empty(t, reply[4], test.name)
			require.False(t, z.verdict("5").ok, test.name)
			require.False(t, z.verdict("6").ok, test.name)
		}
	}
}
