package main

import (
	"context"
	"log"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUnknownSide(t *testing.T) {
	t.Parallel()
	require.EqualError(t, run([]string{"guest"}), "tea guest: there is a worker and a client")
}

func Example() {
	if err := run(nil); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Thandi wants tea.
	//   Here you are: tea with 1 sugar for Thandi.
	// Jan wants coffee.
	//   Sorry: mesh: code 1001: coffee is sold out.
	// Amina wants water.
	//   50 ml
	//   100 ml
	//   150 ml
	//   200 ml
	//   220 ml
	//   The glass is full.
}

// The same over a real socket.
func Example_network() {
	ctx, leave := context.WithCancel(context.Background())
	listener, err := zmtp.New(zmtp.Config{}).Listen(ctx, "tcp://127.0.0.1:*")
	must(err)
	broker, err := mesh.NewBroker(mesh.BrokerConfig{})
	must(err)
	served, worked := make(chan error, 1), make(chan error, 1)
	go func() { served <- broker.Serve(context.Background(), listener) }()
	go func() { worked <- worker(ctx, listener.Addr()) }()

	must(overNetwork("client", []string{"--broker", listener.Addr()}))

	leave() // as SIGTERM does
	must(<-worked)
	must(broker.Shutdown(context.Background()))
	must(<-served)
	// Output:
	// Thandi wants tea.
	//   Here you are: tea with 1 sugar for Thandi.
	// Jan wants coffee.
	//   Sorry: mesh: code 1001: coffee is sold out.
	// Amina wants water.
	//   50 ml
	//   100 ml
	//   150 ml
	//   200 ml
	//   220 ml
	//   The glass is full.
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
