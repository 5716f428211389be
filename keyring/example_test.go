package keyring_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/keyring"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
)

func Example() {
	dir, err := os.MkdirTemp("", "keyring")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "keys.toml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			panic(err)
		}
	}

	write(`
[peer.web]
key = "xk3H>NZ.-nD>^z6Jv(h(G=vNXoMLQFybuj9)VQJG"
call = ["tea.brew", "till.*"]
`)
	keys, err := keyring.Load(path)
	if err != nil {
		panic(err)
	}
	// A broker asks for what its peers may do.
	if _, err := mesh.NewBroker(mesh.BrokerConfig{Authorizer: keys}); err != nil {
		panic(err)
	}

	// A transport asks for the name of whoever has proved to have a key.
	key, err := curve.ParseKey("xk3H>NZ.-nD>^z6Jv(h(G=vNXoMLQFybuj9)VQJG")
	if err != nil {
		panic(err)
	}
	name, _ := keys.Authenticate(key)
	web := transport.Identity{Name: name}
	brew := func() bool { return keys.Allow(web, mesh.RightCall, []byte("tea"), []byte("tea.brew")) }
	fmt.Println(name, "may brew:", brew())

	write(`
[peer.web]
key = "xk3H>NZ.-nD>^z6Jv(h(G=vNXoMLQFybuj9)VQJG"
call = ["till.*"]
`)
	if err := keys.Reload(); err != nil {
		panic(err)
	}
	fmt.Println(name, "may brew:", brew())
	// Output:
	// web may brew: true
	// web may brew: false
}
