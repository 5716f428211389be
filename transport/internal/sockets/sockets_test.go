package sockets

import (
	"crypto/rand"
	"net"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	t.Parallel()
	long := string(make([]byte, maxPath+1))
	for _, test := range []struct {
		addr         string
		listen, dial string // as package net takes it; empty: it can't be used
		hint         string
	}{
		{addr: "tcp://127.0.0.1:5555", listen: "127.0.0.1:5555", dial: "127.0.0.1:5555"},
		{addr: "tcp://[::1]:5555", listen: "[::1]:5555", dial: "[::1]:5555"},
		{addr: "tcp://[fe80::1%eth0]:5555", listen: "[fe80::1%eth0]:5555", dial: "[fe80::1%eth0]:5555"},
		{addr: "tcp://broker.example:65535", listen: "broker.example:65535", dial: "broker.example:65535"},
		{addr: "tcp://*:5555", listen: ":5555", hint: "no host to dial"},
		{addr: "tcp://:5555", listen: ":5555", hint: "no host to dial"},
		{addr: "tcp://localhost:*", listen: "localhost:0", hint: "no port to dial"},
		{addr: "tcp://localhost:0", listen: "localhost:0", hint: "no port to dial"},
		{addr: "tcp://", hint: "want tcp://host:port"},
		{addr: "tcp://127.0.0.1", hint: "want tcp://host:port"},
		{addr: "tcp://::1:5555", hint: "an IPv6 address in brackets"},
		{addr: "tcp://localhost:", hint: `the port "" is no number`},
		{addr: "tcp://localhost:http", hint: `the port "http" is no number`},
		{addr: "tcp://localhost:65536", hint: `the port "65536" is no number`},
		{addr: "tcp://localhost:-1", hint: `the port "-1" is no number`},
		{addr: "tcp://a b:1", hint: `"a b" is no host`},
		{addr: "tcp://a/b:1", hint: `"a/b" is no host`},
		{addr: "tcp://a\x00b:1", hint: "is no host"},
		{addr: "ipc:///run/mesh", listen: "/run/mesh", dial: "/run/mesh"},
		{addr: "ipc://@mesh", listen: "@mesh", dial: "@mesh"},
		{addr: "ipc://*", listen: "*", hint: "a wildcard can't be dialled"},
		{addr: "ipc://", hint: "the path is empty"},
		{addr: "ipc://a\x00b", hint: "a NUL in the path"},
		{addr: "ipc://" + long, hint: "the path has 104 bytes, more than 103"},
		{addr: "inproc://mesh", hint: "want tcp://host:port or ipc://path"},
		{addr: "localhost:5555", hint: "want tcp://host:port or ipc://path"},
		{addr: "", hint: "want tcp://host:port or ipc://path"},
	} {
		for _, use := range []struct {
			listen bool
			want   string
		}{{true, test.listen}, {false, test.dial}} {
			got, err := Parse(test.addr, use.listen)
			if use.want == "" {
				require.ErrorIs(t, err, transport.ErrAddress, "%q", test.addr)
				require.ErrorContains(t, err, test.hint, "%q", test.addr)
				continue
			}
			require.NoError(t, err, "%q", test.addr)
			require.Equal(t, use.want, got.String())
		}
	}
}

func TestCensus(t *testing.T) {
	t.Parallel()
	c := NewCensus(3, 2)
	require.NoError(t, c.Enter("10.0.0.1"))
	require.NoError(t, c.Enter("10.0.0.1"))
	require.EqualError(t, c.Enter("10.0.0.1"), "2 connections of one host (Config.MaxConnectionsPerHost)")
	require.NoError(t, c.Enter(""), "what has no host counts only among all")
	require.EqualError(t, c.Enter("10.0.0.2"), "3 connections (Config.MaxConnections)")
	require.Equal(t, 3, c.Total)
	c.Leave("10.0.0.1")
	require.NoError(t, c.Enter("10.0.0.2"))
	for _, host := range []string{"10.0.0.1", "", "10.0.0.2"} {
		c.Leave(host)
	}
	require.Zero(t, c.Total)
	require.Empty(t, c.hosts, "those that are gone aren't remembered")
	for range 3 {
		require.NoError(t, c.Enter(""))
	}
}

func newKeys(t *testing.T) *curve.KeyPair {
	t.Helper()
	keys, err := curve.Generate(rand.Reader)
	require.NoError(t, err)
	return &keys
}

// Every number in a Config is checked, and named.
func TestValidate(t *testing.T) {
	t.Parallel()
	keys, other := newKeys(t), newKeys(t)
	require.NoError(t, (&Config{}).Validate("tea"))
	require.NoError(t, (&Config{Keys: keys}).Validate("tea"))
	require.ErrorContains(t, (&Config{Keys: &curve.KeyPair{Public: keys.Public, Secret: other.Secret}}).Validate("tea"), "tea: Config.Keys: ")
	numbers := 0
	for field := range reflect.TypeFor[Config]().Fields() {
		var c Config
		value := reflect.ValueOf(&c).Elem().FieldByIndex(field.Index)
		if !value.CanInt() {
			continue
		}
		numbers++
		value.SetInt(-1)
		require.EqualError(t, c.Validate("tea"), "tea: Config."+field.Name+" is negative")
	}
	require.Equal(t, 11, numbers)
}

func TestCost(t *testing.T) {
	t.Parallel()
	c := Config{MaxFrames: 2, MaxMessageBytes: 10}
	_, err := c.Cost("tea", nil, 0)
	require.ErrorIs(t, err, transport.ErrEmpty)
	cost, err := c.Cost("tea", transport.Message{make([]byte, 4), make([]byte, 6)}, 2)
	require.NoError(t, err)
	require.Equal(t, 10+2*FrameOverhead, cost)
	for _, m := range []transport.Message{{{}, {}, {}}, {make([]byte, 11)}, {make([]byte, 5), make([]byte, 6)}} {
		_, err := c.Cost("tea", m, len(m))
		require.ErrorIs(t, err, transport.ErrTooLarge)
		require.ErrorContains(t, err, "tea: ")
		require.ErrorContains(t, err, "at most 10 in 2 are allowed")
	}
}

// A side that has keys speaks with nobody that hasn't, and the reverse.
func TestServerKey(t *testing.T) {
	t.Parallel()
	keys := newKeys(t)
	plain, secret := transport.Endpoint{}, transport.Endpoint{ServerKey: keys.Public.String()}
	key, err := ServerKey(plain, nil)
	require.NoError(t, err)
	require.Nil(t, key)
	key, err = ServerKey(secret, keys)
	require.NoError(t, err)
	require.Equal(t, &keys.Public, key)
	for hint, test := range map[string]struct {
		to  transport.Endpoint
		own *curve.KeyPair
	}{
		"the endpoint needs the broker's ServerKey": {plain, keys},
		"Config.Keys is needed":                     {secret, nil},
		"ServerKey: ":                               {transport.Endpoint{ServerKey: "short"}, keys},
	} {
		_, err := ServerKey(test.to, test.own)
		require.ErrorIs(t, err, transport.ErrAddress)
		require.ErrorContains(t, err, hint)
	}
}

// remote is a connection from somewhere.
type remote struct {
	net.Conn
	addr net.Addr
}

func (r remote) RemoteAddr() net.Addr { return r.addr }

func TestRemote(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		from       net.Addr
		host, addr string
	}{
		{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 5}, "10.0.0.1", "tcp://10.0.0.1:5"},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:10.0.0.1"), Port: 5}, "10.0.0.1", "tcp://10.0.0.1:5"},
		{&net.TCPAddr{IP: net.IPv6loopback, Port: 5}, "::1", "tcp://[::1]:5"},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8:1:2:3::4"), Port: 5}, "2001:db8:1:2::/64", "tcp://[2001:db8:1:2:3::4]:5"},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8:1:2:ffff::"), Port: 6}, "2001:db8:1:2::/64", "tcp://[2001:db8:1:2:ffff::]:6"},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8:1:3::4"), Port: 5}, "2001:db8:1:3::/64", "tcp://[2001:db8:1:3::4]:5"},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 5}, "fe80::1%eth0", "tcp://[fe80::1%eth0]:5"},
		{&net.UnixAddr{Net: "unix"}, "", ""},
	} {
		host, addr := Remote(remote{addr: test.from})
		require.Equal(t, test.host, host)
		require.Equal(t, test.addr, addr)
	}
}
