package beacon

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	lo  = Path{Index: 1, Name: "lo", Loopback: true}
	eth = Path{Index: 2, Name: "eth0"}
	ip6 = Path{Index: 2, Name: "eth0", IPv6: true}
)

func rules() Rules {
	return Rules{Cluster: "tea", Keys: [][]byte{clusterKey}, Window: time.Minute, MaxBrokers: 3}
}

// hearing is a table with a clock.
type hearing struct {
	t     *testing.T
	table *Table
	now   time.Time
}

func hear(t *testing.T) *hearing {
	t.Helper()
	return &hearing{t, NewTable(rules()), noon}
}

// says has a beacon come, sent now, and requires what is made of it.
func (h *hearing) says(want Verdict, changed bool, on Path, change func(*Beacon)) []byte {
	h.t.Helper()
	b := sample()
	b.Sent = h.now
	change(&b)
	datagram := encode(h.t, b, clusterKey)
	h.comes(want, changed, on, datagram)
	return datagram
}

func (h *hearing) comes(want Verdict, changed bool, on Path, datagram []byte) {
	h.t.Helper()
	before := h.table.Brokers()
	got, _, didChange := h.table.Hear(h.now, on, datagram)
	require.Equal(h.t, want.String(), got.String())
	require.Equal(h.t, changed, didChange)
	if want != Accepted {
		require.Equal(h.t, before, h.table.Brokers(), "what is refused changes nothing")
	}
}

// there requires which addresses are known.
func (h *hearing) there(want ...string) {
	h.t.Helper()
	var got []string
	for _, b := range h.table.Brokers() {
		got = append(got, b.Addr)
	}
	require.Equal(h.t, want, got)
}

func number(n uint64) func(*Beacon) { return func(b *Beacon) { b.Sequence = n } }

func TestRefusals(t *testing.T) {
	t.Parallel()
	pinned := rules()
	pinned.Keys, pinned.Pins = nil, []Key{serverKey(1), serverKey(2)}
	both := rules()
	both.Pins = pinned.Pins
	open := rules()
	open.Keys = nil
	for name, c := range map[string]struct {
		rules  Rules
		key    []byte
		change func(*Beacon)
		want   Verdict
	}{
		"signed":                    {rules(), clusterKey, func(*Beacon) {}, Accepted},
		"signed by another":         {rules(), otherKey, func(*Beacon) {}, WrongMAC},
		"not signed":                {rules(), nil, func(*Beacon) {}, WrongMAC},
		"not signed, but with key":  {rules(), nil, func(b *Beacon) { b.ServerKey = serverKey(1) }, WrongMAC},
		"foreign":                   {rules(), clusterKey, func(b *Beacon) { b.Cluster = "coffee" }, Foreign},
		"foreign, signed by others": {rules(), otherKey, func(b *Beacon) { b.Cluster = "coffee" }, Foreign},
		"probe":                     {rules(), clusterKey, func(b *Beacon) { b.Probe = true }, Probed},
		"forged probe":              {rules(), otherKey, func(b *Beacon) { b.Probe = true }, WrongMAC},
		"old":                       {rules(), clusterKey, func(b *Beacon) { b.Sent = noon.Add(-time.Minute - time.Millisecond) }, Expired},
		"as old as may be":          {rules(), clusterKey, func(b *Beacon) { b.Sent = noon.Add(-time.Minute) }, Accepted},
		"from the future":           {rules(), clusterKey, func(b *Beacon) { b.Sent = noon.Add(time.Minute + time.Millisecond) }, Early},
		"pinned":                    {pinned, nil, func(b *Beacon) { b.ServerKey = serverKey(2) }, Accepted},
		"pinned, signed by others":  {pinned, otherKey, func(b *Beacon) { b.ServerKey = serverKey(2) }, Accepted},
		"not pinned":                {pinned, clusterKey, func(b *Beacon) { b.ServerKey = serverKey(3) }, Unpinned},
		"no key":                    {pinned, clusterKey, func(*Beacon) {}, Unpinned},
		"both":                      {both, clusterKey, func(b *Beacon) { b.ServerKey = serverKey(1) }, Accepted},
		"both, not signed":          {both, nil, func(b *Beacon) { b.ServerKey = serverKey(1) }, WrongMAC},
		"both, not pinned":          {both, clusterKey, func(*Beacon) {}, Unpinned},
		"anybody":                   {open, otherKey, func(*Beacon) {}, Accepted},
		"anybody, foreign":          {open, nil, func(b *Beacon) { b.Cluster = "coffee" }, Foreign},
		"loopback of another":       {rules(), clusterKey, func(b *Beacon) { b.Endpoints = []string{"tcp://127.0.0.1:1", "tcp://localhost:1"} }, Misdirected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := sample()
			b.Endpoints = []string{"tcp://192.0.2.7:5555"}
			c.change(&b)
			table := NewTable(c.rules)
			v, said, changed := table.Hear(noon, eth, encode(t, b, c.key))
			require.Equal(t, c.want.String(), v.String())
			require.Equal(t, b.Broker, said.Broker)
			require.Equal(t, c.want == Accepted, changed)
			require.Len(t, table.Brokers(), truth(changed))
		})
	}
	table := NewTable(rules())
	for want, datagram := range map[Verdict][]byte{Oversized: make([]byte, MaxSize+1), Malformed: []byte("hello"), OtherVersion: []byte("MSHB\x09")} {
		v, _, changed := table.Hear(noon, lo, datagram)
		require.Equal(t, want.String(), v.String())
		require.False(t, changed)
	}
}

// Any of the keys will do, so that they can be changed.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	r := rules()
	r.Keys = [][]byte{otherKey, clusterKey}
	table := NewTable(r)
	v, _, _ := table.Hear(noon, lo, encode(t, sample(), clusterKey))
	require.Equal(t, Accepted, v)
	b := sample()
	b.Sequence++
	v, _, _ = table.Hear(noon, lo, encode(t, b, otherKey))
	require.Equal(t, Accepted, v)
}

func TestReplays(t *testing.T) {
	t.Parallel()
	h := hear(t)
	first := h.says(Accepted, true, lo, number(1))
	h.comes(Replayed, false, lo, first)
	h.now = h.now.Add(time.Second)
	second := h.says(Accepted, false, lo, number(2))
	h.comes(Replayed, false, lo, first)
	h.comes(Replayed, false, lo, second)
	h.comes(Replayed, false, eth, first) // on another path, too
	h.says(Accepted, false, lo, number(9))

	// A second run under the same id.
	h.now = h.now.Add(time.Second)
	restarted := func(b *Beacon) {
		b.Incarnation, b.Started, b.Sequence = "second", noon, 1
		b.Endpoints = []string{"tcp://127.0.0.1:6666"}
	}
	h.says(Accepted, true, lo, restarted)
	h.comes(Replayed, false, lo, second)
	h.says(Replayed, false, lo, number(1_000))
	h.says(Replayed, false, lo, func(b *Beacon) { b.Incarnation, b.Started = "third", noon })
	h.there("tcp://127.0.0.1:6666")
}

// Who is gone isn't brought back by what it said, as long as that could pass the window.
func TestTheGoneStayGone(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(h *hearing){
		"left": func(h *hearing) {
			leaving := h.says(Accepted, true, lo, func(b *Beacon) { b.Leaving, b.Sequence = true, 3 })
			h.comes(Accepted, false, eth, leaving) // it came over another path as well
		},
		"silent": func(h *hearing) {
			h.now = h.now.Add(5 * time.Second)
			lapsed, changed := h.table.Expire(h.now)
			require.True(h.t, changed)
			require.Equal(h.t, 1, lapsed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hear(t)
			first := h.says(Accepted, true, lo, number(1))
			last := h.says(Accepted, false, lo, number(2))
			end(h)
			h.there()
			for range 200 {
				for _, on := range []Path{lo, eth} {
					v, _, changed := h.table.Hear(h.now, on, first)
					require.Contains(t, []Verdict{Replayed, Expired, Misdirected}, v)
					require.False(t, changed)
					v, _, changed = h.table.Hear(h.now, on, last)
					require.Contains(t, []Verdict{Replayed, Expired, Misdirected}, v)
					require.False(t, changed)
				}
				h.now = h.now.Add(time.Second)
				h.table.Expire(h.now)
			}
			require.Empty(t, h.table.brokers, "it is forgotten in the end")
			require.Zero(t, h.table.Next())
			h.says(Accepted, true, lo, number(4)) // and welcome again
		})
	}
}

// A run that said that it leaves, or that wasn't heard for a while, and speaks on is there.
func TestComesBack(t *testing.T) {
	t.Parallel()
	h := hear(t)
	h.says(Accepted, true, lo, number(1))
	h.says(Accepted, true, lo, func(b *Beacon) { b.Leaving, b.Sequence = true, 2 })
	h.says(Accepted, true, lo, number(3))
	h.now = h.now.Add(time.Hour)
	h.table.Expire(h.now)
	h.there()
	h.says(Accepted, true, lo, number(4))
	h.there("tcp://127.0.0.1:5555")
}

// Nobody is remembered for having left without having come.
func TestUnknownLeaves(t *testing.T) {
	t.Parallel()
	h := hear(t)
	h.says(Accepted, false, lo, func(b *Beacon) { b.Leaving = true })
	require.Empty(t, h.table.brokers)
}

// The window is for those that aren't known: a clock that jumps loses no broker.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	h := hear(t)
	h.says(Accepted, true, lo, number(1))
	h.says(Accepted, false, lo, func(b *Beacon) { b.Sequence, b.Sent = 2, noon.Add(24*time.Hour) })
	h.says(Accepted, false, lo, func(b *Beacon) { b.Sequence, b.Sent = 3, noon.Add(-24*time.Hour) })
	h.says(Early, false, lo, func(b *Beacon) {
		b.Incarnation, b.Started, b.Sent = "second", noon, noon.Add(24*time.Hour)
	})
}

func TestCrowd(t *testing.T) {
	t.Parallel()
	h := hear(t)
	named := func(n int) func(*Beacon) {
		return func(b *Beacon) {
			b.Broker, b.Endpoints = fmt.Sprint("b", n), []string{fmt.Sprint("tcp://127.0.0.1:", n)}
		}
	}
	for _, n := range []int{3, 1, 2} {
		h.says(Accepted, true, lo, named(n))
	}
	h.says(Crowded, false, lo, named(4))
	h.there("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3")
	h.now = h.now.Add(10 * time.Minute)
	h.table.Expire(h.now)
	h.table.Expire(h.now)
	h.says(Accepted, true, lo, named(4))
}

// A broker that is heard on several paths is told once, and where it was told first as
// long as it is heard there.
func TestPaths(t *testing.T) {
	t.Parallel()
	h := hear(t)
	outside := func(n uint64) func(*Beacon) {
		return func(b *Beacon) { b.Sequence, b.Endpoints = n, []string{"tcp://127.0.0.1:5555", "tcp://192.0.2.7:5555"} }
	}
	h.says(Accepted, true, eth, outside(1))
	h.there("tcp://192.0.2.7:5555")
	h.says(Accepted, false, lo, number(1))
	h.says(Accepted, false, ip6, func(b *Beacon) { b.Sequence, b.Endpoints = 1, []string{"tcp://[fe80::7]:5555"} })
	h.there("tcp://192.0.2.7:5555")
	require.Equal(t, []Path{eth, lo, ip6}, h.table.Brokers()[0].Paths)
	require.Equal(t, h.now.Add(5*time.Second), h.table.Next())

	h.now = h.now.Add(4 * time.Second)
	h.says(Accepted, false, lo, number(2))
	h.says(Accepted, false, ip6, func(b *Beacon) { b.Sequence, b.Endpoints = 2, []string{"tcp://[fe80::7]:5555"} })
	h.now = h.now.Add(time.Second)
	lapsed, changed := h.table.Expire(h.now)
	require.Zero(t, lapsed)
	require.True(t, changed)
	h.there("tcp://127.0.0.1:5555") // loopback comes first
	h.says(Accepted, false, ip6, func(b *Beacon) { b.Sequence, b.Endpoints = 3, []string{"tcp://[fe80::7]:5555"} })
	h.now = h.now.Add(4 * time.Second)
	_, changed = h.table.Expire(h.now)
	require.True(t, changed)
	h.there("tcp://[fe80::7%eth0]:5555") // with the receiver's zone

	// A new address on the path is told.
	h.says(Accepted, true, ip6, func(b *Beacon) { b.Sequence, b.Endpoints = 4, []string{"tcp://[2001:db8::8]:5555"} })
	h.there("tcp://[2001:db8::8]:5555")
	h.says(Accepted, true, ip6, func(b *Beacon) {
		b.Sequence, b.Endpoints, b.ServerKey = 5, []string{"tcp://[2001:db8::8]:5555"}, serverKey(1)
	})
	require.Equal(t, serverKey(1).String(), h.table.Brokers()[0].ServerKey)
}

func TestAnnounced(t *testing.T) {
	t.Parallel()
	own4, own6, link := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("fe80::7%eth0")
	for _, c := range []struct {
		addr string
		on   Path
		own  netip.Addr
		want string
	}{
		{"tcp://0.0.0.0:1", eth, own4, "tcp://192.0.2.7:1"},
		{"tcp://0.0.0.0:1", ip6, own6, ""},
		{"tcp://[::]:1", eth, own4, "tcp://192.0.2.7:1"},
		{"tcp://[::]:1", ip6, own6, "tcp://[2001:db8::7]:1"},
		{"tcp://*:1", ip6, link, "tcp://[fe80::7]:1"},
		{"tcp://:1", lo, netip.MustParseAddr("127.0.0.1"), "tcp://127.0.0.1:1"},
		{"tcp://*:1", eth, netip.Addr{}, ""},
		{"tcp://127.0.0.1:1", lo, own4, "tcp://127.0.0.1:1"},
		{"tcp://127.0.0.1:1", eth, own4, ""},
		{"tcp://[::1]:1", eth, own4, ""},
		{"tcp://localhost:1", eth, own4, ""},
		{"tcp://192.0.2.9:1", eth, own4, "tcp://192.0.2.9:1"},
		{"tcp://192.0.2.9:1", lo, own4, "tcp://192.0.2.9:1"},
		{"tcp://broker.example.com:1", eth, own4, "tcp://broker.example.com:1"},
		{"tcp://[fe80::9%eth0]:1", ip6, own6, "tcp://[fe80::9]:1"},
		{"tcp://[fe80::9%2]:1", eth, own4, "tcp://[fe80::9]:1"},
		{"tcp://[fe80::9%eth1]:1", ip6, own6, ""},
		{"tcp://192.0.2.9:0", eth, own4, ""},
		{"tcp://192.0.2.9", eth, own4, ""},
		{"ipc:///run/mesh.sock", lo, own4, ""},
		{"inproc://mesh", lo, own4, ""},
	} {
		got := Announced([]string{c.addr}, c.on, c.own)
		if c.want == "" {
			require.Empty(t, got, c.addr)
			continue
		}
		require.Equal(t, []string{c.want}, got, c.addr)
	}
	require.Len(t, Announced([]string{"tcp://a:1", "tcp://a:2", "tcp://a:3", "tcp://a:4", "tcp://a:5"}, eth, own4), MaxEndpoints)
	require.True(t, Announceable("tcp://*:1"))
	require.False(t, Announceable("ipc://x"))
}
