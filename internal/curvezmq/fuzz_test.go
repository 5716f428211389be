package curvezmq_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/curvezmq"
)

// FuzzServer gives a server two commands.
func FuzzServer(f *testing.F) {
	right := newBed(f, done)
	f.Add(right.hello, right.initiate)
	f.Add(right.hello, right.ready)
	f.Add(right.initiate, right.hello)
	f.Add([]byte("\x05ERROR\x03400"), []byte{})
	start := newBed(f, 0)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		b := start.again()
		welcome, err := b.server.Hello(bytes.Clone(first))
		requireSafe(t, err)
		if err == nil {
			require.Equal(t, right.welcome, welcome)
			require.Equal(t, right.hello, first, "another HELLO is taken")
		}
		key, _, err := b.server.Initiate(bytes.Clone(second))
		requireSafe(t, err)
		if err == nil {
			require.Equal(t, right.initiate, second, "another INITIATE is taken")
			require.Equal(t, b.own.Public, key)
			return
		}
		_, _, err = b.server.Ready(nil)
		requireRefused(t, err, "READY", curvezmq.ErrOrder)
	})
}

// FuzzClient gives a client two commands.
func FuzzClient(f *testing.F) {
	right := newBed(f, done)
	f.Add(right.welcome, right.ready)
	f.Add(right.ready, right.welcome)
	f.Add([]byte("\x05ERROR\x03400"), []byte{})
	f.Add(right.welcome, []byte("\x05ERROR\x03400"))
	start := newBed(f, 1)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		b := start.again()
		initiate, err := b.client.Welcome(bytes.Clone(first), clientMetadata)
		requireSafe(t, err)
		if err == nil {
			require.Equal(t, right.welcome, first, "another WELCOME is taken")
			require.Equal(t, right.initiate, initiate)
		}
		session, metadata, err := b.client.Ready(bytes.Clone(second))
		requireSafe(t, err)
		if err == nil {
			require.Equal(t, right.ready, second, "another READY is taken")
			require.Equal(t, serverMetadata, metadata)
			return
		}
		require.Nil(t, session)
	})
}

// FuzzOpen gives a server's session two commands.
func FuzzOpen(f *testing.F) {
	right := newBed(f, done)
	one, two := right.sealed(), right.sealed()
	f.Add(one, two)
	f.Add(two, one)
	f.Add(one[:33], one)
	start := newBed(f, done)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		b := start.again()
		var last int
		for _, body := range [][]byte{first, second} {
			before := bytes.Clone(body)
			flags, payload, err := b.serverSession.Open(body, make([]byte, 0, 64))
			requireSafe(t, err)
			require.Equal(t, before, body)
			if err != nil {
				require.Nil(t, payload)
				continue
			}
			number := 1 + bytes.Index(append(bytes.Clone(one), two...), body)/len(one)
			require.Contains(t, [][]byte{one, two}, body, "another MESSAGE is taken")
			require.Greater(t, number, last, "a replay is taken")
			last = number
			require.Equal(t, curvezmq.More, flags)
			require.Equal(t, "one cup of tea", string(payload))
		}
	})
}

// FuzzSeal sends any frame through both ends.
func FuzzSeal(f *testing.F) {
	f.Add([]byte("tea"), byte(1))
	f.Add([]byte{}, byte(0))
	start := newBed(f, done)
	f.Fuzz(func(t *testing.T, payload []byte, flags byte) {
		flags %= 3
		b := start.again()
		for _, way := range [][2]*curvezmq.Session{{b.clientSession, b.serverSession}, {b.serverSession, b.clientSession}} {
			body, err := way[0].Seal(nil, flags, payload)
			require.NoError(t, err)
			got, opened, err := way[1].Open(body, nil)
			require.NoError(t, err)
			require.Equal(t, flags, got)
			require.True(t, bytes.Equal(payload, opened))
		}
	})
}

// requireSafe checks that an error can stand in a log.
func requireSafe(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		require.False(t, strings.ContainsFunc(err.Error(), func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }), "%q", err.Error())
	}
}
