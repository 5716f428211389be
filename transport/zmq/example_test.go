package zmq_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmq"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// The listener is libzmq's, unless the program was built without; the connection's
// ZMTP is Go's. Neither knows the difference.
func Example() {
	ctx := context.Background()
	goOnly := zmtp.New(zmtp.Config{})
	listener, err := zmq.New(zmq.Config{}).Listen(ctx, "tcp://127.0.0.1:*")
	if errors.Is(err, zmq.ErrUnavailable) {
		listener, err = goOnly.Listen(ctx, "tcp://127.0.0.1:*")
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() {
		served <- listener.Serve(ctx, func(p transport.Peer) transport.Receiver {
			_ = p.Send(transport.Message{[]byte("the kettle"), []byte("is broken")})
			p.Flush()
			return nil // after that it is disconnected
		})
	}()

	conn, err := goOnly.Dial(ctx, transport.Endpoint{Addr: listener.Addr()})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(conn.Serve(ctx, func(batch []transport.Message) {
		for _, m := range batch {
			fmt.Printf("%s\n", m)
		}
	}))
	_ = listener.Close()
	fmt.Println(<-served)
	// Output:
	// [the kettle is broken]
	// transport: closed by peer
	// transport: closed
}
