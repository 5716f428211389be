package beacon

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files")

var (
	clusterKey = []byte("0123456789abcdef0123456789abcdef")
	otherKey   = []byte("fedcba9876543210fedcba9876543210")
	noon       = time.UnixMilli(1_800_000_000_000)
)

// serverKey returns a key that stands for a broker's.
func serverKey(fill byte) (k Key) {
	for i := range k {
		k[i] = fill
	}
	return k
}

// sample returns a beacon.
func sample() Beacon {
	return Beacon{
		Cluster: "tea", Broker: "b1", Incarnation: "0123456789abcdef", Started: noon.Add(-time.Hour), Sent: noon,
		Sequence: 7, Expiry: 5 * time.Second, Endpoints: []string{"tcp://127.0.0.1:5555"},
	}
}

func encode(t testing.TB, b Beacon, key []byte) []byte {
	t.Helper()
	datagram, err := b.Append(nil, key)
	require.NoError(t, err)
	return datagram
}

// The golden files hold the bytes that other implementations read (testdata/README.md).
func TestGolden(t *testing.T) {
	t.Parallel()
	keyed, leaving, full := sample(), sample(), sample()
	keyed.ServerKey = serverKey(0x42)
	leaving.Leaving, leaving.Sequence, leaving.Endpoints = true, 8, nil
	full.ServerKey = serverKey(0x42)
	full.Endpoints = []string{"tcp://192.0.2.7:5555", "tcp://[2001:db8::7]:5555", "tcp://[fe80::7]:5555", "tcp://broker-1.example.com:5556"}
	probe := Beacon{Cluster: "tea", Broker: "doctor", Incarnation: "x", Sent: noon, Started: noon, Sequence: 1, Expiry: time.Second, Probe: true}
	for _, c := range []struct {
		name   string
		beacon Beacon
		key    []byte
	}{
		{"signed", sample(), clusterKey}, {"unsigned", sample(), nil}, {"server-key", keyed, nil},
		{"leaving", leaving, clusterKey}, {"full", full, clusterKey}, {"probe", probe, clusterKey},
	} {
		path := filepath.Join("testdata", c.name+".hex")
		datagram := encode(t, c.beacon, c.key)
		if *update {
			require.NoError(t, os.WriteFile(path, []byte(hex.Dump(datagram)), 0o600))
		}
		golden, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(golden), hex.Dump(datagram), c.name)

		got, err := Decode(datagram)
		require.NoError(t, err)
		want := c.beacon
		want.Signed = c.key != nil
		require.Equal(t, want, got, c.name)
		if c.key != nil {
			require.True(t, Verify(datagram, clusterKey))
			require.False(t, Verify(datagram, otherKey))
		}
	}
}

// A MAC is one over everything in front of it.
func TestEveryBitIsSigned(t *testing.T) {
	t.Parallel()
	datagram := encode(t, sample(), clusterKey)
	for i := range len(datagram) * 8 {
		bad := bytes.Clone(datagram)
		bad[i/8] ^= 1 << (i % 8)
		if b, err := Decode(bad); err == nil && b.Signed {
			require.False(t, Verify(bad, clusterKey), "bit %d", i)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good := encode(t, sample(), clusterKey)
	change := func(at int, to ...byte) []byte {
		bad := bytes.Clone(good)
		copy(bad[at:], to)
		return bad
	}
	for name, c := range map[string]struct {
		datagram []byte
		want     error
		text     string
	}{
		"nothing":         {nil, ErrMalformed, "begin with MSHB"},
		"magic alone":     {[]byte(magic), ErrMalformed, "begin with MSHB"},
		"of ZRE":          {[]byte("ZRE\x01................\x12\x34"), ErrMalformed, "begin with MSHB"},
		"other version":   {change(4, 2), ErrVersion, ": 2"},
		"unknown flag":    {change(5, 0x80), ErrMalformed, "unknown flags"},
		"no expiry":       {change(6, 0, 0, 0, 0), ErrMalformed, "expiry"},
		"endless":         {change(6, 0xff, 0xff, 0xff, 0xff), ErrMalformed, "expiry"},
		"before 1970":     {change(10, 0xff), ErrMalformed, "before 1970"},
		"sent in no time": {change(18, 0x7f), ErrMalformed, "before 1970"},
		"no cluster":      {change(34, 0), ErrMalformed, ""},
		"not printable":   {change(35, '\n'), ErrMalformed, "printable"},
		"not UTF-8":       {change(35, 0xff), ErrMalformed, "printable"},
		"something more":  {append(bytes.Clone(good), 0), ErrMalformed, "behind it"},
		"too long":        {make([]byte, MaxSize+1), ErrTooLarge, "513"},
		"flag of a key":   {change(5, flagKey|flagSigned), ErrMalformed, ""},
	} {
		_, err := Decode(c.datagram)
		require.ErrorIs(t, err, c.want, name)
		require.ErrorContains(t, err, c.text, name)
	}
	for n := range good {
		_, err := Decode(good[:n])
		require.Error(t, err, "%d bytes of it", n)
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxName+1)
	for name, c := range map[string]struct {
		change func(*Beacon)
		want   string
	}{
		"no broker":      {func(b *Beacon) { b.Broker = "" }, "name of the broker: it is empty"},
		"long cluster":   {func(b *Beacon) { b.Cluster = long }, "name of the cluster: 65 bytes, more than 64"},
		"no endpoint":    {func(b *Beacon) { b.Endpoints = nil }, "no endpoint"},
		"five endpoints": {func(b *Beacon) { b.Endpoints = make([]string, 5) }, "5 endpoints, more than 4"},
		"ipc":            {func(b *Beacon) { b.Endpoints = []string{"ipc:///x"} }, "isn't tcp://"},
		"wildcard":       {func(b *Beacon) { b.Endpoints = []string{"tcp://*:5555"} }, "can't be dialled"},
		"any address":    {func(b *Beacon) { b.Endpoints = []string{"tcp://[::]:5555"} }, "can't be dialled"},
		"a group":        {func(b *Beacon) { b.Endpoints = []string{"tcp://224.0.0.1:5555"} }, "can't be dialled"},
		"a zone":         {func(b *Beacon) { b.Endpoints = []string{"tcp://[fe80::1%eth0]:5555"} }, "can't be dialled"},
		"a bad host":     {func(b *Beacon) { b.Endpoints = []string{"tcp://a b:5555"} }, "can't be dialled"},
		"no port":        {func(b *Beacon) { b.Endpoints = []string{"tcp://tea"} }, "isn't tcp://host:port"},
		"port 0":         {func(b *Beacon) { b.Endpoints = []string{"tcp://tea:0"} }, "port isn't 1 to 65535"},
		"another form":   {func(b *Beacon) { b.Endpoints = []string{"tcp://tea:0555"} }, "plain form"},
		"too large": {func(b *Beacon) {
			long := "tcp://" + strings.Repeat("a", 240) + ":1"
			b.Endpoints = []string{long, long}
		}, "too large: "},
	} {
		b := sample()
		c.change(&b)
		_, err := b.Append(nil, clusterKey)
		require.ErrorContains(t, err, c.want, name)
	}
}

// The largest names, and as many IPv6 addresses as there may be, fit.
func TestLargestFits(t *testing.T) {
	t.Parallel()
	b := sample()
	b.Cluster, b.Broker, b.Incarnation = strings.Repeat("c", MaxName), strings.Repeat("b", MaxName), "0123456789abcdef"
	b.ServerKey = serverKey(1)
	b.Endpoints = nil
	for range 4 {
		b.Endpoints = append(b.Endpoints, "tcp://[2001:db8:1111:2222:3333:4444:5555:6666]:65535")
	}
	require.LessOrEqual(t, len(encode(t, b, clusterKey)), MaxSize)
}

// Whatever is decoded is encoded to the same bytes, so there are no two forms of one
// beacon; and no bytes that weren't signed change what a table knows.
func FuzzDecode(f *testing.F) {
	f.Add(encode(f, sample(), clusterKey))
	f.Add(encode(f, sample(), nil))
	keyed := sample()
	keyed.ServerKey = serverKey(9)
	f.Add(encode(f, keyed, otherKey))
	f.Add([]byte("MSHB\x02"))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		if len(datagram) > 2*MaxSize {
			return
		}
		b, err := Decode(datagram)
		if err == nil {
			body := datagram
			if b.Signed {
				body = datagram[:len(datagram)-macSize]
				again, err := b.Append(nil, clusterKey)
				require.NoError(t, err)
				require.Equal(t, body, again[:len(again)-macSize])
			} else {
				require.Equal(t, body, encode(t, b, nil))
			}
			require.LessOrEqual(t, len(datagram), MaxSize)
		}
		table := NewTable(rules())
		if _, _, changed := table.Hear(noon, lo, datagram); changed {
			require.NoError(t, err)
			require.True(t, Verify(datagram, clusterKey))
		}
		open := rules()
		open.Keys = nil
		table = NewTable(open) // whatever it takes, it holds together
		if v, _, changed := table.Hear(noon, eth, datagram); v == Accepted && changed {
			require.Len(t, table.Brokers(), 1)
			require.True(t, table.Next().After(noon))
			lapsed, changed := table.Expire(noon.Add(MaxExpiry))
			require.True(t, changed)
			require.Equal(t, 1, lapsed)
			require.Empty(t, table.Brokers())
		}
	})
}
