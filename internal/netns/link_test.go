//go:build linux

package netns

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The network does what the scenarios make it do, whichever way links are made.
func TestLinks(t *testing.T) {
	need(t)
	for _, lossy := range []bool{false, true} {
		t.Run(fmt.Sprintf("lossy %v", lossy), func(t *testing.T) { testLink(t, lossy) })
	}
}

func testLink(t *testing.T, lossy bool) {
	t.Helper()
	h := newLAN(t, lossy).host("h1", "10.77.0.1")
	e := newEcho(t)
	var conn net.Conn
	require.NoError(t, h.inside(func() (err error) {
		conn, err = net.Dial("udp", e.addr)
		return err
	}))
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	up := func() bool { return trip(conn, time.Second) > 0 }
	require.Eventually(t, up, patience, time.Millisecond)
	require.Less(t, trip(conn, time.Second), time.Second/2)
	h.cut()
	require.Zero(t, trip(conn, time.Second/10))
	h.join()
	require.Eventually(t, up, patience, time.Millisecond)
	if !lossy {
		return
	}
	h.impair(bothWays, weather{delay: 50 * time.Millisecond})
	require.GreaterOrEqual(t, trip(conn, time.Second), 100*time.Millisecond)
	h.impair(bothWays, weather{})
	heard := e.count()
	h.impair(toHost, weather{loss: 100})
	require.Zero(t, trip(conn, time.Second/10))
	require.Equal(t, heard+1, e.count(), "the other way is open")
	h.impair(toHost, weather{})
	h.impair(fromHost, weather{loss: 100})
	require.Zero(t, trip(conn, time.Second/10))
	require.Equal(t, heard+1, e.count())
	h.impair(fromHost, weather{loss: 50})
	came := 0
	for range 100 {
		if trip(conn, 20*time.Millisecond) > 0 {
			came++
		}
	}
	require.Greater(t, came, 20)
	require.Less(t, came, 80)
}

// echo sends back what it hears.
type echo struct {
	addr  string
	mu    sync.Mutex // guards what follows
	heard int
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	conn, err := net.ListenPacket("udp", hub+":0")
	require.NoError(t, err)
	e := &echo{addr: conn.LocalAddr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		buffer := make([]byte, 100)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			e.mu.Lock()
			e.heard++
			e.mu.Unlock()
			_, _ = conn.WriteTo(buffer[:n], from) // what is lost is lost
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		running.Wait()
	})
	return e
}

func (e *echo) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard
}

// trip returns how long a packet takes there and back, zero where it doesn't come back
// in time.
func trip(conn net.Conn, within time.Duration) time.Duration {
	start := time.Now()
	if conn.SetDeadline(start.Add(within)) != nil {
		return 0
	}
	sent := []byte(start.String())
	if _, err := conn.Write(sent); err != nil {
		return 0
	}
	for got := make([]byte, 100); ; {
		n, err := conn.Read(got)
		if err != nil {
			return 0
		}
		if string(got[:n]) == string(sent) { // not an earlier one that was late
			return time.Since(start)
		}
	}
}
