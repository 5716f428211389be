package wire_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

func FuzzGreeting(f *testing.F) {
	for _, g := range golden[goldenGreeting](f, "greetings.json") {
		f.Add([]byte(g.Bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		g, complete, err := wire.ParseGreeting(b)
		require.Equal(t, before, b)
		requireSafe(t, err)
		if err != nil || !complete {
			require.Zero(t, g)
			require.False(t, complete)
			if err == nil {
				require.Less(t, len(b), wire.GreetingSize)
			}
			return
		}
		require.GreaterOrEqual(t, len(b), wire.GreetingSize)
		require.True(t, g.Version.AtLeast(wire.V30))
		again, complete, err := wire.ParseGreeting(g.AppendTo(nil))
		require.NoError(t, err)
		require.True(t, complete)
		require.Equal(t, g, again)
		// All but padding and filler is what a writer would write.
		mine := g.AppendTo(nil)
		require.Equal(t, mine[9:33], b[9:33])
		// However the bytes come, no part of them is refused.
		for n := range wire.GreetingSize {
			_, complete, err := wire.ParseGreeting(b[:n])
			require.NoError(t, err)
			require.False(t, complete)
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, g := range golden[goldenFrame](f, "frames.json") {
		f.Add([]byte(g.Bytes), limit)
		f.Add([]byte(g.Bytes), 0)
	}
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		h, n, err := wire.ParseHeader(b, limit)
		requireSafe(t, err)
		want, wantSize, ok := slowHeader(b, limit)
		require.Equal(t, ok, err == nil)
		require.Equal(t, wantSize, n)
		require.Equal(t, want, h)
		if n == 0 {
			return
		}
		again, _, err := wire.ParseHeader(wire.AppendHeader(nil, h.Flags, h.Size), limit)
		require.NoError(t, err)
		require.Equal(t, h, again)
	})
}

// slowHeader reads a header in the order of the specification's text.
func slowHeader(b []byte, limit int) (wire.Header, int, bool) {
	if len(b) == 0 {
		return wire.Header{}, 0, true
	}
	more, long, command := b[0]&1 != 0, b[0]&2 != 0, b[0]&4 != 0
	if b[0] >= 8 || more && command {
		return wire.Header{}, 0, false
	}
	n := 2
	if long {
		n = 9
	}
	if len(b) < n {
		return wire.Header{}, 0, true
	}
	size := uint64(b[1])
	if long {
		size = binary.BigEndian.Uint64(b[1:9])
	}
	if size > math.MaxInt64 || size > 0 && (limit < 0 || size > uint64(limit)) {
		return wire.Header{}, 0, false
	}
	return wire.Header{Flags: wire.Flags(b[0] & 5), Size: int(size)}, n, true
}

func FuzzCommand(f *testing.F) {
	for _, g := range golden[goldenCommand](f, "commands.json") {
		f.Add([]byte(g.Bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		name, data, err := wire.ParseCommand(b)
		requireSafe(t, err)
		if err != nil {
			require.Nil(t, name)
			require.Nil(t, data)
			return
		}
		require.Equal(t, b, append(wire.AppendCommand(nil, string(name)), data...))

		ttl, context, err := wire.ParsePing(data)
		requireSafe(t, err)
		if err == nil {
			require.Equal(t, data, wire.AppendPing(nil, ttl, context)[len("\x04PING"):])
		}
		context, err = wire.ParsePong(data)
		requireSafe(t, err)
		if err == nil {
			require.Equal(t, data, wire.AppendPong(nil, context)[len("\x04PONG"):])
		}
		reason, err := wire.ParseReason(data)
		requireSafe(t, err)
		if err == nil {
			require.True(t, printable(reason))
			require.Len(t, wire.AppendError(nil, reason), len("\x05ERROR")+len(data))
		}
		require.Equal(t, before, b)
	})
}

func FuzzMetadata(f *testing.F) {
	for _, g := range golden[goldenMetadata](f, "metadata.json") {
		f.Add([]byte(g.Bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m, err := wire.ParseMetadata(b)
		require.Equal(t, before, b)
		requireSafe(t, err)
		if err != nil {
			require.Zero(t, m)
			return
		}
		requireSafe(t, wire.ROUTER.Accepts(m.SocketType))
		for _, p := range m.Others {
			value, ok := m.Other(strings.ToUpper(string(p.Name)))
			require.True(t, ok)
			require.Equal(t, p.Value, value)
		}
		again, err := wire.ParseMetadata(m.AppendTo(nil))
		if len(m.Others) < wire.MaxProperties-3 { // the writer may add two that are empty
			require.NoError(t, err)
			require.Equal(t, m.SocketType, again.SocketType)
			require.Equal(t, string(m.Identity), string(again.Identity))
			require.Equal(t, m.Resource, again.Resource)
			require.Equal(t, m.Others, again.Others)
		}
	})
}

// requireSafe checks that an error can stand in a log.
func requireSafe(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		require.True(t, printable(err.Error()), "%q", err.Error())
		require.Less(t, len(err.Error()), 400)
	}
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) })
}
