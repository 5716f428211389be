//go:build cgo && unix

package zmq_test

import (
	"context"
	"fmt"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmq"
)

// greeter answers each message with a greeting.
type greeter struct{ peer transport.Peer }

func (g greeter) Receive(batch []transport.Message) {
	for _, m := range batch {
		_ = g.peer.Send(transport.Message{[]byte("hello, "), m[0]})
	}
	g.peer.Flush()
}

func (g greeter) Gone(error) {}

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tcp := zmq.New(zmq.Config{})

	listener, err := tcp.Listen(ctx, "tcp://127.0.0.1:*")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() {
		served <- listener.Serve(ctx, func(p transport.Peer) transport.Receiver { return greeter{p} })
	}()

	conn, err := tcp.Dial(ctx, transport.Endpoint{Addr: listener.Addr()})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = conn.Send(transport.Message{[]byte("ada")})
	conn.Flush()
	err = conn.Serve(ctx, func(batch []transport.Message) {
		for _, m := range batch {
			fmt.Printf("%s%s\n", m[0], m[1])
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
