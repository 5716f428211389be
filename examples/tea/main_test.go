package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
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
	go func() { worked <- worker(ctx, mesh.Static(transport.Endpoint{Addr: listener.Addr()})) }()

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

// Room and guests find the broker, and nobody has its address.
func Example_discover() {
	dir, err := os.MkdirTemp("", "tea")
	must(err)
	defer func() { _ = os.RemoveAll(dir) }()
	key := filepath.Join(dir, "mesh.key")
	must(os.WriteFile(key, []byte(strings.Repeat("7e", 32)), 0o600))
	args := []string{"--discover", "--cluster-keyfile", key, "--beacon-interface", loopback(), "--beacon-port", freePort()}
	var l lookout
	flags := flag.NewFlagSet("tea", flag.ContinueOnError)
	l.flags(flags)
	must(flags.Parse(args))
	found, err := l.brokers()
	must(err)

	ctx, leave := context.WithCancel(context.Background())
	listener, err := zmtp.New(zmtp.Config{}).Listen(ctx, "tcp://127.0.0.1:*")
	must(err)
	broker, err := mesh.NewBroker(mesh.BrokerConfig{Announce: found.(mesh.Announcer)})
	must(err)
	served, worked := make(chan error, 1), make(chan error, 1)
	go func() { worked <- worker(ctx, found) }() // before there is a broker
	go func() { served <- broker.Serve(context.Background(), listener) }()

	must(overNetwork("client", args))

	leave()
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

// loopback returns the name of the interface that stays on this machine.
func loopback() string {
	all, err := net.Interfaces()
	must(err)
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			return i.Name
		}
	}
	panic("this machine has no loopback interface that is up")
}

// freePort returns a UDP port for beacons that nobody else hears.
func freePort() string {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(err)
	defer func() { must(c.Close()) }()
	_, port, err := net.SplitHostPort(c.LocalAddr().String())
	must(err)
	return port
}

func TestDiscoverNeedsAKey(t *testing.T) {
	t.Setenv("MESH_CLUSTER_KEYFILE", "")
	require.EqualError(t, run([]string{"worker", "--discover"}),
		"tea: --discover needs --cluster-keyfile, so that nobody else can pose as a broker")
	t.Setenv("MESH_CLUSTER_KEYFILE", filepath.Join(t.TempDir(), "missing"))
	require.ErrorIs(t, run([]string{"client", "--discover"}), os.ErrNotExist)
}

// Each command of the tutorial is one that this program understands.
func TestTutorial(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/tutorial.md")
	require.NoError(t, err)
	commands := regexp.MustCompile(`(?m)^go run ./examples/tea (\w+) (.*)$`).FindAllStringSubmatch(string(text), -1)
	discovering := 0
	for _, c := range commands {
		require.Contains(t, []string{"worker", "client"}, c[1], c[0])
		var l lookout
		flags := flag.NewFlagSet("tea", flag.ContinueOnError)
		l.flags(flags)
		require.NoError(t, flags.Parse(strings.Fields(c[2])), c[0])
		require.Zero(t, flags.NArg(), c[0])
		if l.discover {
			discovering++
		}
	}
	require.GreaterOrEqual(t, len(commands), 5)
	require.Equal(t, 2, discovering, "the room and its guests")
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
