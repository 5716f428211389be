//go:build linux

package netns

import (
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const tunDevice = "/dev/net/tun"

// wire is a link that the test itself relays: two tap devices, what one of them sends
// being what the other receives. One of them stands at the bridge; the other is moved
// to its host.
type wire struct {
	mu sync.Mutex // guards what follows
	// weather is by direction: what goes to the host, and what comes from it.
	weather map[direction]weather
	dice    *rand.Rand
}

// newWire makes the devices of these names, which end with the test.
func newWire(t *testing.T, port, far string) *wire {
	t.Helper()
	w := &wire{weather: make(map[direction]weather), dice: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // it is for losing packets
	near, other := tap(t, port), tap(t, far)
	var running sync.WaitGroup
	running.Go(func() { w.relay(toHost, near, other) })
	running.Go(func() { w.relay(fromHost, other, near) })
	t.Cleanup(func() {
		_ = near.Close() // the readers end by that
		_ = other.Close()
		running.Wait()
	})
	return w
}

// tap makes a tap device, which is there as long as the file is open.
func tap(t *testing.T, name string) *os.File {
	t.Helper()
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	request, err := unix.NewIfreq(name)
	require.NoError(t, err)
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	require.NoError(t, unix.IoctlIfreq(fd, unix.TUNSETIFF, request))
	return os.NewFile(uintptr(fd), name)
}

// set sets the weather.
func (w *wire) set(ways direction, to weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, way := range []direction{toHost, fromHost} {
		if ways&way != 0 {
			w.weather[way] = to
		}
	}
}

// fate says when a packet arrives, if it does.
func (w *wire) fate(way direction) (after time.Duration, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.weather[way]
	return now.delay, w.dice.IntN(100) < now.loss
}

// packet is one that is on its way.
type packet struct {
	due   time.Time
	frame []byte
}

// relay carries what comes from one device to the other, until it is closed. Packets
// stay in their order, as they do on a wire.
func (w *wire) relay(way direction, from, to *os.File) {
	const underway = 10_000 // more are lost, as in any queue
	packets := make(chan packet, underway)
	var writer sync.WaitGroup
	writer.Go(func() {
		for p := range packets {
			if wait := time.Until(p.due); wait > 0 {
				<-time.After(wait)
			}
			_, _ = to.Write(p.frame) // a device that is down takes nothing, as a cable that is out
		}
	})
	defer writer.Wait()
	defer close(packets)
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		after, lost := w.fate(way)
		if lost {
			continue
		}
		select {
		case packets <- packet{time.Now().Add(after), append([]byte(nil), buffer[:n]...)}:
		default:
		}
	}
}
