package inproc_test

import (
	"context"
	"fmt"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// greeter answers each message with a greeting.
type greeter struct{ peer transport.Peer }

func (g greeter) Receive(batch []transport.Message) {
	for range batch {
		_ = g.peer.Send(transport.Message{[]byte("hello, " + g.peer.Identity().Name)})
	}
	g.peer.Flush()
}

func (g greeter) Gone(error) {}

// Both ends are in this process. Whoever holds the network vouches for the names of
// those that dial.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	network := inproc.New(inproc.Config{})

	listener, err := network.Listen(ctx, "inproc://greeter")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() {
		served <- listener.Serve(ctx, func(p transport.Peer) transport.Receiver { return greeter{p} })
	}()

	conn, err := network.As("ada").Dial(ctx, transport.Endpoint{Addr: listener.Addr()})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = conn.Send(transport.Message{[]byte("good morning")})
	conn.Flush()
	err = conn.Serve(ctx, func(batch []transport.Message) {
		for _, m := range batch {
			fmt.Printf("%s\n", m[0])
		}
		_ = conn.Close()
	})
	fmt.Println(err)
	_ = listener.Close()
	fmt.Println(<-served)
	// Output:
	// hello, ada
	// transport: closed
	// transport: closed
}
