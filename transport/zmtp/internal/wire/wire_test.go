package wire_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

func TestErrorsAreTyped(t *testing.T) {
	t.Parallel()
	_, _, err := wire.ParseGreeting([]byte("GET / HTTP/1.1\r\n"))
	var parseErr *wire.ParseError
	require.ErrorAs(t, err, &parseErr)
	require.Equal(t, "greeting", parseErr.What)

	_, _, err = wire.ParseHeader(wire.AppendHeader(nil, 0, 300), 255)
	var sizeErr *wire.SizeError
	require.ErrorAs(t, err, &sizeErr)
	require.Equal(t, &wire.SizeError{Size: 300, Limit: 255}, sizeErr)
}

func TestVersions(t *testing.T) {
	t.Parallel()
	require.True(t, wire.V31.AtLeast(wire.V30))
	require.True(t, wire.V31.AtLeast(wire.V31))
	require.False(t, wire.V30.AtLeast(wire.V31))
	require.True(t, wire.Version{Major: 4}.AtLeast(wire.V31))
}

func TestHeaderLimits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		size, limit int
		fits        bool
	}{
		{0, 0, true}, {1, 0, false}, {0, -1, true}, {1, -1, false}, {255, 255, true}, {255, 254, false}, {256, 256, true}, {256, 255, false},
	} {
		for _, flags := range []wire.Flags{0, wire.More, wire.Command} {
			_, n, err := wire.ParseHeader(wire.AppendHeader(nil, flags, tt.size), tt.limit)
			if tt.size == 0 || tt.fits {
				require.NoError(t, err)
				require.NotZero(t, n)
			} else {
				var sizeErr *wire.SizeError
				require.ErrorAs(t, err, &sizeErr)
			}
		}
	}
}

// Every first byte is either taken, or refused at once.
func TestEveryFirstByteOfAFrame(t *testing.T) {
	t.Parallel()
	for b := range 256 {
		short, _, err := wire.ParseHeader([]byte{byte(b)}, limit)
		require.Zero(t, short)
		allowed := b < 8 && b&5 != 5
		require.Equal(t, allowed, err == nil, "0x%02x", b)
		_, n, err := wire.ParseHeader([]byte{byte(b), 0, 0, 0, 0, 0, 0, 0, 1}, limit)
		require.Equal(t, allowed, err == nil, "0x%02x", b)
		require.Equal(t, allowed, n > 0, "0x%02x", b)
	}
}

func TestPingRoundsItsTTL(t *testing.T) {
	t.Parallel()
	for ttl, want := range map[time.Duration]time.Duration{
		-time.Second:            0,
		0:                       0,
		time.Nanosecond:         100 * time.Millisecond,
		time.Second:             time.Second,
		1001 * time.Millisecond: 1100 * time.Millisecond,
		wire.MaxTTL:             wire.MaxTTL,
		wire.MaxTTL + 1:         wire.MaxTTL,
		1<<63 - 1:               wire.MaxTTL,
	} {
		_, data, err := wire.ParseCommand(wire.AppendPing(nil, ttl, nil))
		require.NoError(t, err)
		got, _, err := wire.ParsePing(data)
		require.NoError(t, err)
		require.Equal(t, want, got, ttl)
	}
}

func TestReasonsAreMadeSafe(t *testing.T) {
	t.Parallel()
	_, data, err := wire.ParseCommand(wire.AppendError(nil, "bad\nkey\x1b[0m é"))
	require.NoError(t, err)
	require.Equal(t, "\x0ebad?key?[0m ??", string(data))
	reason, err := wire.ParseReason([]byte("\x05a\nb\xffc"))
	require.NoError(t, err)
	require.Equal(t, "a?b?c", reason)

	_, data, err = wire.ParseCommand(wire.AppendError(nil, strings.Repeat("a", 300)))
	require.NoError(t, err)
	reason, err = wire.ParseReason(data)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("a", 255), reason)
}

func TestManyProperties(t *testing.T) {
	t.Parallel()
	var b []byte
	for i := range wire.MaxProperties {
		b = wire.AppendProperty(b, "X-"+strings.Repeat("a", i+1), "")
	}
	m, err := wire.ParseMetadata(b)
	require.NoError(t, err)
	require.Len(t, m.Others, wire.MaxProperties)
	_, err = wire.ParseMetadata(wire.AppendProperty(b, "X-b", ""))
	require.EqualError(t, err, "zmtp: metadata: more than 64 properties")
}

func TestOtherProperty(t *testing.T) {
	t.Parallel()
	m, err := wire.ParseMetadata(wire.AppendProperty(nil, "X-Tea", "green"))
	require.NoError(t, err)
	value, ok := m.Other("x-TEA")
	require.True(t, ok)
	require.Equal(t, "green", string(value))
	// Letters differ from their upper case in one bit, and so do other bytes.
	_, ok = m.Other("X\rTea")
	require.False(t, ok)
	_, ok = m.Other("X-Te")
	require.False(t, ok)
}

func TestSocketTypes(t *testing.T) {
	t.Parallel()
	types := []wire.SocketType{wire.REQ, wire.REP, wire.DEALER, wire.ROUTER}
	talk := map[wire.SocketType]string{wire.REQ: "REP ROUTER", wire.REP: "REQ DEALER", wire.DEALER: "REP DEALER ROUTER", wire.ROUTER: "REQ DEALER ROUTER"}
	for _, own := range types {
		for _, peer := range append(types, "PUB", "XSUB", "router", "") {
			err := own.Accepts(peer)
			require.Equal(t, peer != "" && strings.Contains(" "+talk[own]+" ", " "+string(peer)+" "), err == nil, "%s with %s", own, peer)
			// It is mutual.
			if err == nil {
				require.NoError(t, peer.Accepts(own))
			}
		}
	}
	require.EqualError(t, wire.ROUTER.Accepts("SUB"),
		`zmtp: socket type: a peer of the type "SUB" connects to a ROUTER, which talks to REQ, DEALER, ROUTER`)
	require.EqualError(t, wire.DEALER.Accepts(""),
		"zmtp: socket type: a peer that doesn't say its type connects to a DEALER, which talks to REP, DEALER, ROUTER")
	require.EqualError(t, wire.ROUTER.Accepts(wire.SocketType(strings.Repeat("a", 1000))),
		"zmtp: socket type: a peer of the type of 1000 bytes connects to a ROUTER, which talks to REQ, DEALER, ROUTER")
}

// What is parsed can't be appended to in place.
func TestResultsAreClipped(t *testing.T) {
	t.Parallel()
	m := wire.Metadata{SocketType: wire.DEALER, Identity: []byte("a"), Resource: []byte("b"), Others: []wire.Property{{Name: []byte("X-c"), Value: []byte("d")}}}
	m, err := wire.ParseMetadata(m.AppendTo(make([]byte, 0, 200)))
	require.NoError(t, err)
	name, data, err := wire.ParseCommand(wire.AppendPing(make([]byte, 0, 200), 0, []byte("c")))
	require.NoError(t, err)
	_, context, err := wire.ParsePing(data)
	require.NoError(t, err)
	for _, b := range [][]byte{m.Identity, m.Resource, m.Others[0].Name, m.Others[0].Value, name, data, context} {
		require.NotEmpty(t, b)
		require.Len(t, b, cap(b))
	}
}

func TestMistakesPanic(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"no mechanism":           func() { wire.Greeting{Version: wire.V31}.AppendTo(nil) },
		"a long mechanism":       func() { wire.Greeting{Mechanism: "A23456789012345678901"}.AppendTo(nil) },
		"reserved flags":         func() { wire.AppendHeader(nil, 8, 0) },
		"a command with more":    func() { wire.AppendHeader(nil, wire.Command|wire.More, 0) },
		"a negative size":        func() { wire.AppendHeader(nil, 0, -1) },
		"a command's bad name":   func() { wire.AppendCommand(nil, "") },
		"a large context":        func() { wire.AppendPing(nil, 0, make([]byte, 17)) },
		"a large answer":         func() { wire.AppendPong(nil, make([]byte, 17)) },
		"a property's bad name":  func() { wire.AppendProperty(nil, "a b", "") },
		"a property's long name": func() { wire.AppendProperty(nil, strings.Repeat("a", 256), "") },
		"a bad identity":         func() { (&wire.Metadata{Identity: []byte{0}}).AppendTo(nil) },
	} {
		require.Panics(t, f, name)
	}
	require.Equal(t, []byte{1, 1}, wire.AppendHeader(nil, wire.More|wire.Long, 1), "Long is ignored")
}

// What crosses the wire all the time doesn't allocate.
func TestHotPathDoesNotAllocate(t *testing.T) {
	greeting := wire.Greeting{Version: wire.V31, Mechanism: wire.Curve}
	metadata := wire.Metadata{SocketType: wire.DEALER, Identity: []byte("ada")}
	context := []byte("0123456789abcdef")
	dst := make([]byte, 0, 256)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for _, flags := range []wire.Flags{0, wire.More, wire.Command} {
			for _, size := range []int{0, 255, 256, limit} {
				b := wire.AppendHeader(dst, flags, size)
				h, n, err := wire.ParseHeader(b, limit)
				if err != nil || n != len(b) || h.Size != size || h.Flags != flags {
					panic("not the same header")
				}
			}
		}
		name, data, err := wire.ParseCommand(wire.AppendPing(dst, time.Second, context))
		if err != nil || string(name) != wire.Ping {
			panic("no PING")
		}
		_, got, err := wire.ParsePing(data)
		if err != nil || !bytes.Equal(got, context) {
			panic("no context")
		}
		if _, data, err = wire.ParseCommand(wire.AppendPong(dst, context)); err != nil {
			panic(err)
		}
		if _, err := wire.ParsePong(data); err != nil {
			panic(err)
		}
		if _, ok, err := wire.ParseGreeting(greeting.AppendTo(dst)); !ok || err != nil {
			panic("no greeting")
		}
		if m, err := wire.ParseMetadata(metadata.AppendTo(dst)); err != nil || wire.ROUTER.Accepts(m.SocketType) != nil {
			panic("no metadata")
		}
	}))
}
