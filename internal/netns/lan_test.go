//go:build linux

package netns

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// lan is a network: hosts on a bridge, which stands in the namespace of the test.
type lan struct {
	t     *testing.T
	relay bool // links are relays of the test's own, since the kernel has no netem
}

// hub is the test's own address on the bridge.
const hub = "10.77.0.254"

// netem reports whether this kernel can lose and delay packets by itself.
var netem = sync.OnceValue(func() bool {
	err := exec.Command("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms").Run()
	if err != nil {
		return false
	}
	return exec.Command("tc", "qdisc", "del", "dev", "lo", "root").Run() == nil
})

// newLAN makes a bridge. Where lossy is set, links can lose and delay packets.
func newLAN(t *testing.T, lossy bool) *lan {
	t.Helper()
	n := &lan{t: t, relay: lossy && !netem()}
	switch {
	case n.relay:
		t.Log("links: relays between tap devices, as this kernel has no tc netem")
	case lossy:
		t.Log("links: veth with tc netem")
	default:
		t.Log("links: veth")
	}
	n.ip(nil, "link set lo up",
		"link add br0 type bridge stp_state 0 mcast_snooping 0",
		"addr add "+hub+"/24 dev br0",
		"link set br0 up")
	t.Cleanup(func() { n.ip(nil, "link del br0") })
	return n
}

// host is a machine on the network: a network namespace and its link to the bridge.
type host struct {
	lan   *lan
	name  string
	addr  string
	space *os.File // its network namespace, which lives as long as this is open
	port  string   // the bridge's end of the link
	wire  *wire    // the link, where it is a relay
}

// host adds a host.
func (n *lan) host(name, addr string) *host {
	n.t.Helper()
	h := &host{lan: n, name: name, addr: addr, port: "port-" + name}
	require.NoError(n.t, apart(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			h.space, err = os.Open("/proc/thread-self/ns/net")
		}
		return err
	}))
	n.t.Cleanup(func() { require.NoError(n.t, h.space.Close()) })
	if n.relay {
		h.wire = newWire(n.t, h.port, "wire-"+name)
		n.ip(h.space, "link set wire-"+name+" netns /proc/self/fd/3 name eth0")
	} else {
		n.ip(h.space, "link add "+h.port+" type veth peer name eth0 netns /proc/self/fd/3")
		n.t.Cleanup(func() { n.ip(nil, "link del "+h.port) }) // the namespace's own end comes late
	}
	n.ip(nil, "link set "+h.port+" master br0 up")
	h.run("link set lo up", "addr add "+addr+"/24 dev eth0", "link set eth0 up")
	return h
}

// apart runs f on a thread that is thrown away, since f moves it to another network
// namespace.
func apart(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // without its counterpart: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

// inside runs f on a thread in the host's network namespace. A process that f starts
// is in there, too.
func (h *host) inside(f func() error) error {
	return apart(func() error {
		if err := unix.Setns(int(h.space.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// ip has the program ip carry out commands in the namespace of the test. The file, if
// there is one, is its descriptor 3.
func (n *lan) ip(file *os.File, commands ...string) {
	n.t.Helper()
	require.NoError(n.t, batch(file, commands...))
}

// run has the program ip carry out commands at the host.
func (h *host) run(commands ...string) {
	h.lan.t.Helper()
	require.NoError(h.lan.t, h.inside(func() error { return batch(nil, commands...) }))
}

func batch(file *os.File, commands ...string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if file != nil {
		cmd.ExtraFiles = []*os.File{file}
	}
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ip: %w: %s\n%s", err, text.Bytes(), strings.Join(commands, "\n"))
	}
	return nil
}

// cut takes the link away, both ways.
func (h *host) cut() { h.lan.t.Helper(); h.lan.ip(nil, "link set "+h.port+" down") }

// join gives the link back.
func (h *host) join() { h.lan.t.Helper(); h.lan.ip(nil, "link set "+h.port+" up") }

// direction is a way on a link.
type direction uint8

const (
	toHost direction = 1 << iota
	fromHost
	bothWays = toHost | fromHost
)

// weather is what a link does to packets.
type weather struct {
	loss  int // percent of the packets
	delay time.Duration
}

// impair sets the weather on the link. It needs a lan that can be lossy.
func (h *host) impair(ways direction, w weather) {
	h.lan.t.Helper()
	if h.wire != nil {
		h.wire.set(ways, w)
		return
	}
	if ways&toHost != 0 {
		require.NoError(h.lan.t, qdisc(h.port, w))
	}
	if ways&fromHost != 0 {
		require.NoError(h.lan.t, h.inside(func() error { return qdisc("eth0", w) }))
	}
}

// qdisc sets the weather for what leaves by a device.
func qdisc(device string, w weather) error {
	text, err := exec.Command("tc", "qdisc", "replace", "dev", device, "root", "netem", "limit", "100000", //nolint:gosec // it ends by itself, and the words are the test's own
		"delay", fmt.Sprintf("%dus", w.delay.Microseconds()), "loss", fmt.Sprintf("%d%%", w.loss)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("tc: %w: %s", err, text)
	}
	return nil
}
