package keyring

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
)

// Public keys, whose secret ones nobody has kept, and the secret key that the
// manual of libzmq has.
const (
	keyA   = `xk3H>NZ.-nD>^z6Jv(h(G=vNXoMLQFybuj9)VQJG`
	keyB   = `*9^f{wHi*E2QHn{Fz0E&4R/J??t8.mZckU@Aik%r`
	keyC   = `zmPo#S$DZDUf0%/!sDR8kz9E.]5Rs?WuY&e0%+C8`
	secret = `D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs` //nolint:gosec // everybody knows it
)

// withKeys puts the keys A, B and C and the secret S where a text has $A, $B, $C
// and $S.
func withKeys(text string) string {
	return strings.NewReplacer("$A", keyA, "$B", keyB, "$C", keyC, "$S", secret).Replace(text)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(withKeys(text)), 0o600))
}

// load loads a file of the text.
func load(t testing.TB, text string) *Keyring {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.toml")
	write(t, path, text)
	k, err := Load(path)
	require.NoError(t, err)
	return k
}

// may says whether a peer from elsewhere may do something.
func may(k *Keyring, name string, right mesh.Right, service, method string) bool {
	return k.Allow(transport.Identity{Name: name, Addr: "tcp://192.0.2.1:5555"}, right, []byte(service), []byte(method))
}

// webMayCall says whether the peer "web" may call something.
func webMayCall(k *Keyring, service, method string) bool {
	return may(k, "web", mesh.RightCall, service, method)
}

// named returns the name that a key stands for, "" for none.
func named(k *Keyring, text string) string {
	key, err := curve.ParseKey(text)
	if err != nil {
		panic(err)
	}
	name, _ := k.Authenticate(key)
	return name
}
