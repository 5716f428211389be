package faulty_test

import (
	"context"
	"fmt"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/faulty"
	"github.com/mdpmesh/mesh/transport/inproc"
)

func Example() {
	ctx := context.Background()
	network := faulty.New(inproc.New(inproc.Config{}), faulty.Config{
		Seed: 1,
		Up:   faulty.Faults{Drop: 0.5},
		Trace: func(e faulty.Event) {
			e.At = 0 // real time differs from run to run; in a bubble it does not
			fmt.Println(e)
		},
	})
	defer func() { _ = network.Close() }()

	listener, err := network.Listen(ctx, "inproc://broker")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = listener.Close() }()
	conn, err := network.As("worker").Dial(ctx, transport.Endpoint{Addr: listener.Addr()})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, text := range []string{"one", "two", "three"} {
		_ = conn.Send(transport.Message{[]byte(text)})
	}
	heal := network.Partition("worker", faulty.Any)
	_ = conn.Send(transport.Message{[]byte("four")})
	conn.Flush()
	heal()
	// Output:
	// 0s worker#1 > inproc://broker dialled
	// 0s worker#1 > inproc://broker dropped "one"
	// 0s worker#1 > inproc://broker passed "two"
	// 0s worker#1 > inproc://broker passed "three"
	// 0s worker > * parted
	// 0s * > worker parted
	// 0s worker#1 > inproc://broker held "four"
	// 0s worker > * healed
	// 0s * > worker healed
	// 0s worker#1 > inproc://broker passed "four"
	// 0s worker#1 > inproc://broker closed: transport: closed
}
