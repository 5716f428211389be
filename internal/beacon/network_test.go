package beacon

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// loopback returns the loopback interface, or fails the test where the machine has none.
func loopback(t *testing.T) net.Interface {
	t.Helper()
	all, err := net.Interfaces()
	require.NoError(t, err)
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			return i
		}
	}
	require.FailNow(t, "this machine has no loopback interface that is up, and discovery can't be tested without one")
	return net.Interface{}
}

// quiet returns a network of the loopback interface on a port that nobody else uses.
func quiet(t *testing.T) Network {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer c.Close()
	return Network{
		Port: c.LocalAddr().(*net.UDPAddr).Port, Groups: []netip.Addr{netip.MustParseAddr("239.255.109.101")},
		TTL: 1, Interfaces: []string{loopback(t).Name}, Rescan: 20 * time.Millisecond,
	}
}

// ear is a listener that runs.
type ear struct {
	*Listener
	changed chan []Broker
	noted   chan Arrival
}

func listen(t *testing.T, n Network, table *Table) *ear {
	t.Helper()
	e := &ear{changed: make(chan []Broker, 1000), noted: make(chan Arrival, 1000)}
	e.Listener = &Listener{
		Network: n, Counts: new(Counts), Changed: func(all []Broker) { e.changed <- all }, Note: func(a Arrival) { e.noted <- a },
		Failed: func(on Path, err error) { t.Errorf("%s: %v", on.Name, err) },
	}
	ready := make(chan struct{})
	e.Ready = func() { close(ready) }
	runs(t, func(ctx context.Context) error { return e.Run(ctx, table) })
	next(t, ready)
	require.Len(t, e.Traffic(), 1, "it joined the group")
	return e
}

// runs has something run until the test ends, or until stop is called.
func runs(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			require.ErrorIs(t, <-ended, context.Canceled)
		})
	}
	t.Cleanup(stop)
	return stop
}

func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(10 * time.Second):
		require.FailNow(t, "nothing was heard over multicast on the loopback interface; does this machine allow it?")
		panic("unreachable")
	}
}

func speaker(n Network, broker string) *Speaker {
	return &Speaker{
		Network: n, Key: clusterKey, Interval: 50 * time.Millisecond, Addrs: []string{"tcp://*:5555"},
		Beacon: Beacon{Cluster: "tea", Broker: broker, Incarnation: "x", Started: time.Now(), Expiry: time.Second},
	}
}

// Over real sockets: several listeners of a machine hear a broker that comes, and that
// it leaves.
func TestNetworkSeveralListeners(t *testing.T) {
	t.Parallel()
	n := quiet(t)
	ears := []*ear{listen(t, n, NewTable(rules())), listen(t, n, NewTable(rules())), listen(t, n, NewTable(rules()))}
	s := speaker(n, "b1")
	stop := runs(t, s.Run)
	for _, e := range ears {
		all := next(t, e.changed)
		require.Len(t, all, 1)
		require.Equal(t, "b1", all[0].ID)
		require.Equal(t, "tcp://127.0.0.1:5555", all[0].Addr, "the wildcard is the interface's address")
		require.True(t, all[0].Paths[0].Loopback)
	}
	for range 3 {
		require.Equal(t, Accepted, next(t, ears[0].noted).Verdict)
	}
	stop()
	for _, e := range ears {
		require.Empty(t, next(t, e.changed))
		require.Zero(t, e.Counts.Lapsed.Load(), "it left, and didn't fall silent")
	}
	require.Len(t, s.Traffic(), 1)
	require.GreaterOrEqual(t, s.Traffic()[0].Sent, uint64(4))
	require.GreaterOrEqual(t, ears[0].Traffic()[0].Heard, uint64(4))
}

// A broker that falls silent is dropped after its expiry.
func TestNetworkExpiry(t *testing.T) {
	t.Parallel()
	n := quiet(t)
	e := listen(t, n, NewTable(rules()))
	b := sample()
	b.Sent, b.Expiry = time.Now(), 100*time.Millisecond
	send(t, n, encode(t, b, clusterKey))
	require.Len(t, next(t, e.changed), 1)
	heard := next(t, e.noted).At
	require.Empty(t, next(t, e.changed))
	require.GreaterOrEqual(t, time.Since(heard), b.Expiry)
	require.Equal(t, uint64(1), e.Counts.Lapsed.Load())
}

// send sends datagrams to the group over loopback.
func send(t *testing.T, n Network, datagrams ...[]byte) {
	t.Helper()
	out, err := n.speaking(t.Context(), n.Groups[0])
	require.NoError(t, err)
	defer out.Close()
	i := loopback(t)
	for _, d := range datagrams {
		require.NoError(t, out.write(&i, d))
	}
}

// What is no beacon of this cluster is counted by what is wrong, and changes nothing.
func TestNetworkRefusals(t *testing.T) {
	t.Parallel()
	n := quiet(t)
	e := listen(t, n, NewTable(rules()))
	now := sample()
	now.Sent = time.Now()
	foreign, old := now, now
	foreign.Cluster, old.Sent = "coffee", now.Sent.Add(-time.Hour)
	send(t, n,
		[]byte("hello"), make([]byte, 513), make([]byte, 9000), []byte("MSHB\x07"),
		encode(t, foreign, clusterKey), encode(t, now, otherKey), encode(t, now, nil), encode(t, old, clusterKey),
		encode(t, now, clusterKey), encode(t, now, clusterKey))
	for range 10 {
		next(t, e.noted)
	}
	var got [Verdicts]uint64
	for v := range got {
		got[v] = e.Counts.Verdicts[v].Load()
	}
	require.Equal(t, [Verdicts]uint64{Accepted: 1, Malformed: 1, Oversized: 2, OtherVersion: 1, Foreign: 1, WrongMAC: 2, Expired: 1, Replayed: 1}, got)
	require.Len(t, next(t, e.changed), 1)
	require.Empty(t, e.changed)

	// To the port, and not to the group.
	c, err := net.Dial("udp4", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(n.Port)).String())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write(encode(t, now, clusterKey))
	require.NoError(t, err)
	require.Equal(t, Misdirected, next(t, e.noted).Verdict)
}

// A probe is heard by whoever sent it, and says nothing.
func TestNetworkProbe(t *testing.T) {
	t.Parallel()
	n := quiet(t)
	e := listen(t, n, NewTable(rules()))
	s := speaker(n, "doctor")
	s.Probe, s.Addrs = true, nil
	runs(t, s.Run)
	a := next(t, e.noted)
	require.Equal(t, Probed, a.Verdict)
	require.Equal(t, "doctor", a.Beacon.Broker)
	require.Empty(t, e.changed)
}

// A broker that can't be reached on a path says nothing there.
func TestNetworkNothingToSay(t *testing.T) {
	t.Parallel()
	n := quiet(t)
	e := listen(t, n, NewTable(rules()))
	s := speaker(n, "b1")
	s.Addrs = []string{"ipc:///run/mesh.sock"}
	sockets, err := n.open(t.Context(), n.speaking)
	require.NoError(t, err)
	defer sockets[0].Close()
	nics, err := n.scan()
	require.NoError(t, err)
	s.round(sockets, nics)
	send(t, n, []byte("a mark"))
	require.Equal(t, Malformed, next(t, e.noted).Verdict)
	require.Empty(t, s.Traffic())
}

func TestNetworkIsChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Network)
		want   string
	}{
		"no port":       {func(n *Network) { n.Port = 0 }, "port must be 1 to 65535"},
		"no group":      {func(n *Network) { n.Groups = nil }, "groups: want one of IPv4, one of IPv6, or both"},
		"two of a kind": {func(n *Network) { n.Groups = append(n.Groups, n.Groups[0]) }, "groups: want one of IPv4"},
		"no multicast":  {func(n *Network) { n.Groups[0] = netip.MustParseAddr("127.0.0.1") }, "group 127.0.0.1: not a multicast address"},
		"no TTL":        {func(n *Network) { n.TTL = 0 }, "TTL must be 1 to 255"},
	} {
		n := quiet(t)
		c.change(&n)
		require.ErrorContains(t, (&Listener{Network: n}).Run(t.Context(), nil), c.want, name)
		require.ErrorContains(t, speaker(n, "b").Run(t.Context()), c.want, name)
	}
	require.ErrorContains(t, speaker(quiet(t), "").Run(t.Context()), "name of the broker: it is empty")
}

// An interface that doesn't exist yet is waited for.
func TestNetworkWithoutInterfaces(t *testing.T) {
	t.Parallel()
	n := quiet(t)
	n.Interfaces = []string{"nosuch0"}
	l := &Listener{Network: n, Counts: new(Counts), Changed: func([]Broker) {}}
	stop := runs(t, func(ctx context.Context) error { return l.Run(ctx, NewTable(rules())) })
	s := speaker(n, "b1")
	runs(t, s.Run)
	send(t, n, []byte("nobody hears it"))
	stop()
	require.Empty(t, l.Traffic())
	require.Empty(t, s.Traffic())
}

// Interfaces come and go, on some machines all the time: what was counted on those that
// went doesn't pile up.
func TestNetworkForgetsInterfaces(t *testing.T) {
	t.Parallel()
	n := quiet(t)
	gone := Path{Index: 1 << 30, Name: "gone0"}
	e := listen(t, n, NewTable(rules()))
	e.mu.Lock()
	at(e.traffic, gone).Err = net.ErrClosed // it couldn't be joined
	at(e.traffic, Path{}).Heard++           // the system didn't tell
	e.mu.Unlock()
	s := speaker(n, "b1")
	s.wrote(gone, nil)
	stop := runs(t, s.Run)
	for range 3 { // both look at the interfaces meanwhile
		require.Equal(t, Accepted, next(t, e.noted).Verdict)
	}
	stop()
	require.Len(t, e.Traffic(), 2)
	all := s.Traffic()
	require.Len(t, all, 1)
	require.Equal(t, all[0].Sent+1, s.Datagrams(), "what went there still counts")
}
