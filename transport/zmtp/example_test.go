package zmtp_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// With keys everything is encrypted, nobody gets in whose key isn't known, and who
// gets in has the name that goes with the key.
func Example_curve() {
	ctx := context.Background()
	var keys [3]curve.KeyPair
	for i := range keys {
		var err error
		if keys[i], err = curve.Generate(rand.Reader); err != nil {
			fmt.Println(err)
			return
		}
	}
	server, ada, stranger := keys[0], keys[1], keys[2]

	tcp := zmtp.New(zmtp.Config{
		Keys:         &server,
		Authenticate: func(key curve.Key) (string, bool) { return "ada", key == ada.Public },
	})
	listener, err := tcp.Listen(ctx, "tcp://127.0.0.1:*")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() {
		served <- listener.Serve(ctx, func(p transport.Peer) transport.Receiver {
			fmt.Println("let in:", p.Identity().Name)
			return nil // enough was seen of it
		})
	}()

	to := transport.Endpoint{Addr: listener.Addr(), ServerKey: server.Public.String()}
	_, err = zmtp.New(zmtp.Config{Keys: &stranger}).Dial(ctx, to)
	fmt.Println("refused:", errors.Is(err, transport.ErrRefused))
	conn, err := zmtp.New(zmtp.Config{Keys: &ada}).Dial(ctx, to)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(conn.Serve(ctx, func([]transport.Message) {}))
	_ = listener.Close()
	fmt.Println(<-served)
	// Output:
	// refused: true
	// let in: ada
	// transport: closed by peer
	// transport: closed
}
