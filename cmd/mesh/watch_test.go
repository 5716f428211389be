package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// watched is a command with --watch that runs.
type watched struct {
	out, err <-chan string // what it writes at a time
	end      func() int    // ends it, and returns its exit code
}

func startWatch(t *testing.T, broker string, args ...string) *watched {
	t.Helper()
	const plenty = 1000 // so that it never waits for the test
	out, errs := make(chan string, plenty), make(chan string, plenty)
	to := func(texts chan<- string) io.Writer {
		return writerFunc(func(p []byte) {
			if len(p) > 0 {
				texts <- string(p)
			}
		})
	}
	c := console{strings.NewReader(""), to(out), to(errs), environment{"MESH_BROKER": broker}.get}
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- run(ctx, args, c) }()
	ended := false
	end := func() int {
		if ended {
			return 0
		}
		ended = true
		cancel()
		return await(t, code)
	}
	t.Cleanup(func() { end() })
	return &watched{out, errs, end}
}

// until waits until what is written has a text in it, and returns all of that.
func until(t *testing.T, texts <-chan string, text string) string {
	t.Helper()
	for {
		if got := await(t, texts); strings.Contains(got, text) {
			return got
		}
	}
}

// In a pipe each look stands below the one before.
func TestWatch(t *testing.T) {
	t.Parallel()
	addr := serve(t)
	w := startWatch(t, addr, "services", "--watch=100ms")
	require.Equal(t, noServices, await(t, w.out))
	require.Equal(t, "\n"+noServices, await(t, w.out))
	newRoom().work(t, zmtp.Config{}, transport.Endpoint{Addr: addr})
	require.Regexp(t, `^\nSERVICE .*\ntea .*\n$`, until(t, w.out, "tea"))
	require.Zero(t, w.end())
	require.Empty(t, w.err)

	b := startOperable(t)
	for command, want := range map[string]string{"status": "b1 at ", "peers": "BROKER "} {
		w = startWatch(t, b.addr, command, "--watch=100ms")
		require.True(t, strings.HasPrefix(await(t, w.out), want))
		require.True(t, strings.HasPrefix(await(t, w.out), "\n"+want))
		require.Zero(t, w.end())
	}
}

// Each look is a document of its own.
func TestWatchJSON(t *testing.T) {
	t.Parallel()
	b := startOperable(t)
	w := startWatch(t, b.addr, "status", "--json", "--watch=100ms")
	text := await(t, w.out) + await(t, w.out)
	require.Zero(t, w.end())
	read := json.NewDecoder(strings.NewReader(text))
	for range 2 {
		var all []statusReport
		require.NoError(t, read.Decode(&all))
		require.Equal(t, "b1", all[0].Broker)
	}
	require.False(t, read.More())
}

// What fails is said each time, and may come right.
func TestWatchGoesOn(t *testing.T) {
	t.Parallel()
	addr := closedPort(t)
	w := startWatch(t, addr, "peers", "--watch=100ms")
	for range 2 {
		require.Regexp(t, `^mesh: no broker can be reached: .*\n$`, await(t, w.err))
	}
	l, err := zmtp.New(zmtp.Config{}).Listen(t.Context(), addr)
	require.NoError(t, err)
	broker, err := mesh.NewBroker(mesh.BrokerConfig{ID: "b1"})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- broker.Serve(context.Background(), l) }()
	require.Contains(t, await(t, w.out), "\nb1 ")
	require.Zero(t, w.end())
	require.NoError(t, broker.Shutdown(t.Context()))
	require.NoError(t, <-served)
}

func TestWatchUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"status", "--watch=99ms"}, "mesh: --watch must be at least 100ms\n"},
		{[]string{"status", "--watch=0"}, "mesh: --watch must be at least 100ms\n"},
		{[]string{"peers", "--watch", "5s"}, "mesh: 1 argument where the form is: mesh peers [flags]\n"},
		{[]string{"services", "--watch", "--server-key", "x"}, "mesh: --server-key needs --curve-keyfile"},
	} {
		got := command(t, nil, "", c.args...)
		require.Equal(t, exitUsage, got.code)
		require.True(t, strings.HasPrefix(got.err, c.want), got.err)
	}
	require.Contains(t, command(t, nil, "", "peers", "--help").out, "--watch duration[=2s]")
}
