package sockets

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// These tests listen on loopback, so they need sockets and real time.
func TestListen(t *testing.T) {
	t.Parallel()
	addrs := []string{"tcp://127.0.0.1:*", "tcp://localhost:0", "ipc://*", "ipc://" + filepath.Join(shortDir(t), "socket")}
	if runtime.GOOS == "linux" {
		addrs = append(addrs, "ipc://@mesh-sockets-test")
	}
	for _, addr := range addrs {
		l, err := Listen(t.Context(), addr, nil)
		require.NoError(t, err, addr)
		done, taken, over := make(chan struct{}), make(chan net.Conn, 2), make(chan struct{})
		go func() {
			defer close(over)
			l.Accept(done, func(c net.Conn) { taken <- c })
		}()
		at, err := Parse(l.Addr, false)
		require.NoError(t, err, "the address can be dialled")
		dialled, err := net.Dial(at.Network, at.String())
		require.NoError(t, err)
		opened := <-taken
		_, err = Listen(t.Context(), l.Addr, nil)
		require.ErrorIs(t, err, transport.ErrAddress)
		require.ErrorContains(t, err, "already in use")
		if addr != "ipc://*" && at.Network == "unix" {
			require.Equal(t, addr, l.Addr)
		}

		close(done)
		l.Close()
		<-over
		close(taken)
		for c := range taken { // the second Listen asked whether somebody is there
			require.NoError(t, c.Close())
		}
		_, err = net.Dial(at.Network, at.String())
		require.Error(t, err, "the address is free")
		if addr == "ipc://*" {
			require.NoDirExists(t, filepath.Dir(at.Host))
		}
		_, err = opened.Write([]byte("x"))
		require.NoError(t, err, "what was accepted lives on")
		require.NoError(t, opened.Close())
		require.NoError(t, dialled.Close())
	}
}

// shortDir returns a directory whose name is short enough for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mesh-test-") //nolint:usetesting // the test's own would have the name of the test in it
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// The socket of a listener that is no more is replaced, and nothing else is.
func TestListenWhereSomethingIs(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	stale := filepath.Join(dir, "stale")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	require.NoError(t, err)
	left.SetUnlinkOnClose(false)
	require.NoError(t, left.Close())
	l, err := Listen(t.Context(), IPC+stale, nil)
	require.NoError(t, err)
	l.Close()
	require.NoFileExists(t, stale)

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("kept"), 0o600))
	for _, path := range []string{file, filepath.Join(file, "below"), filepath.Join(dir, "missing", "socket")} {
		_, err = Listen(t.Context(), IPC+path, nil)
		require.ErrorIs(t, err, transport.ErrAddress, path)
	}
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "kept", string(kept))
}

func TestListenFails(t *testing.T) {
	t.Parallel()
	_, err := Listen(t.Context(), "tcp://", nil)
	require.ErrorIs(t, err, transport.ErrAddress)
	_, err = Listen(t.Context(), "tcp://192.0.2.1:*", nil)
	require.ErrorIs(t, err, transport.ErrAddress, "no interface has it")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Listen(ctx, "tcp://127.0.0.1:*", nil)
	require.ErrorIs(t, err, context.Canceled)

	for _, address := range []error{syscall.EACCES, &net.DNSError{Err: "no such host"}, &net.AddrError{Err: "unexpected"}} {
		require.ErrorIs(t, listenError(&net.OpError{Err: address}), transport.ErrAddress)
	}
	for _, other := range []error{syscall.EMFILE, context.DeadlineExceeded} {
		require.NotErrorIs(t, listenError(&net.OpError{Err: other}), transport.ErrAddress)
		require.ErrorIs(t, listenError(&net.OpError{Err: other}), other)
	}
}

// failing is a listener at which nothing can be accepted but what it is given.
type failing struct {
	net.Listener
	next  chan net.Conn
	tries chan time.Time
}

func (f failing) Accept() (net.Conn, error) {
	f.tries <- time.Now()
	select {
	case c := <-f.next:
		return c, nil
	default:
		return nil, syscall.EMFILE
	}
}

// Where nothing can be accepted it is tried again, ever more seldom and at least once
// a second, the log hears of it once a second, and closing doesn't wait for the next
// time.
func TestAcceptAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		f := failing{next: make(chan net.Conn, 1), tries: make(chan time.Time, 100)}
		l := &Listener{Addr: "tcp://here", net: f, log: slog.New(slog.NewTextHandler(&text, nil))}
		done, over, taken := make(chan struct{}), make(chan struct{}), 0
		start := time.Now()
		go func() {
			defer close(over)
			l.Accept(done, func(net.Conn) { taken++ })
		}()
		waits := func(ms ...int) {
			t.Helper()
			last := <-f.tries
			for _, want := range ms {
				at := <-f.tries
				require.Equal(t, time.Duration(want)*time.Millisecond, at.Sub(last))
				last = at
			}
		}
		waits(5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000)
		f.next <- nil
		<-f.tries // accepted a second later
		waits(5, 10)
		close(done)
		closed := time.Now()
		<-over
		require.Equal(t, closed, time.Now())
		require.Equal(t, 1, taken)
		seconds := int(closed.Sub(start) / time.Second)
		require.Contains(t, text.String(), `msg="connection not accepted" listener=tcp://here peer="" error="`+syscall.EMFILE.Error())
		require.LessOrEqual(t, strings.Count(text.String(), "\n"), seconds+1)
		require.GreaterOrEqual(t, strings.Count(text.String(), "\n"), 3)
	})
}

// The log hears of one connection a second.
func TestNote(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		l := &Listener{Addr: "tcp://here", log: slog.New(slog.NewTextHandler(&text, nil))}
		err := errors.New("no tea")
		l.Note("first", "tcp://there", err)
		l.Note("second", "tcp://there", err)
		<-time.After(time.Second)
		l.Note("third", "tcp://there", err)
		require.Contains(t, text.String(), `msg=first listener=tcp://here peer=tcp://there error="no tea"`)
		require.NotContains(t, text.String(), "second")
		require.Contains(t, text.String(), "third")
	})
}
