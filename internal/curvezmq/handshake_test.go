package curvezmq_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/curvezmq"
	"github.com/mdpmesh/mesh/transport/curve"
)

func TestHandshake(t *testing.T) {
	t.Parallel()
	b := newBed(t, done)
	require.Len(t, b.hello, 200)
	require.Len(t, b.welcome, 168)
	require.Len(t, b.initiate, 257+len(clientMetadata))
	require.Len(t, b.ready, 30+len(serverMetadata))
	for _, body := range [][]byte{b.hello, b.welcome, b.initiate, b.ready} {
		// RFC 26: who the client is, nobody sees on the wire.
		require.NotContains(t, string(body), string(b.own.Public[:]))
		require.NotContains(t, string(body), "metadata")
	}
}

func TestHandshakeWithoutMetadata(t *testing.T) {
	t.Parallel()
	b := newBed(t, 2)
	initiate, err := b.client.Welcome(b.welcome, nil)
	require.NoError(t, err)
	require.Len(t, initiate, 257)
	_, metadata, err := b.server.Initiate(initiate)
	require.NoError(t, err)
	require.Empty(t, metadata)
	_, ready, err := b.server.Ready(nil)
	require.NoError(t, err)
	require.Len(t, ready, 30)
	_, metadata, err = b.client.Ready(ready)
	require.NoError(t, err)
	require.Empty(t, metadata)
}

// No byte of any command may be another one, and a machine that saw it is done.
func TestTampering(t *testing.T) {
	t.Parallel()
	for _, r := range receivers {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			bed := newBed(t, r.steps)
			for at, original := range r.command(bed.again()) {
				b := bed.again()
				body := bytes.Clone(r.command(b))
				require.Equal(t, original, body[at])
				// Each bit has its turn; the highest one of the key in HELLO, which
				// Curve25519 ignores, is among them.
				body[at] ^= 1 << (at % 8)
				requireRefused(t, r.read(b, body), r.name, curvezmq.ErrUnexpected, curvezmq.ErrVersion, curvezmq.ErrMalformed, curvezmq.ErrKey,
					curvezmq.ErrBox, curvezmq.ErrReplay)
				if r.name != "MESSAGE" {
					// The machine doesn't take the right command any more.
					requireRefused(t, r.read(b, r.command(b)), r.name, curvezmq.ErrOrder)
				}
			}
		})
	}
}

func TestTruncation(t *testing.T) {
	t.Parallel()
	for _, r := range receivers {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			bed := newBed(t, r.steps)
			whole := r.command(bed.again())
			for n := range whole {
				want := []error{curvezmq.ErrSize, curvezmq.ErrBox}
				if n < 1+len(r.name) {
					want = []error{curvezmq.ErrUnexpected}
				}
				requireRefused(t, r.read(bed.again(), whole[:n]), r.name, want...)
			}
			longer := append(bytes.Clone(whole), 0)
			requireRefused(t, r.read(bed.again(), longer), r.name, curvezmq.ErrSize, curvezmq.ErrBox)
		})
	}
}

// Each command in the place of each other one is refused, and named.
func TestUnexpectedCommands(t *testing.T) {
	t.Parallel()
	all := newBed(t, done)
	for _, r := range receivers {
		bed := newBed(t, r.steps)
		for _, other := range receivers {
			if r.name == other.name {
				continue
			}
			err := r.read(bed.again(), other.command(all))
			requireRefused(t, err, r.name, curvezmq.ErrUnexpected)
			require.EqualError(t, err, "curve: "+r.name+": not the command that is due: got "+other.name)
		}
		err := r.read(bed.again(), []byte("\x04PING\x00\x00"))
		require.EqualError(t, err, "curve: "+r.name+": not the command that is due: got 7 bytes that are no command of CURVE")
	}
}

func TestCallsOutOfOrder(t *testing.T) {
	t.Parallel()
	b := newBed(t, 0)
	_, err := b.client.Welcome(nil, nil)
	requireRefused(t, err, "WELCOME", curvezmq.ErrOrder)
	_, _, err = b.client.Ready(nil)
	requireRefused(t, err, "READY", curvezmq.ErrOrder)
	_, _, err = b.server.Initiate(nil)
	requireRefused(t, err, "INITIATE", curvezmq.ErrOrder)
	_, _, err = b.server.Ready(nil)
	requireRefused(t, err, "READY", curvezmq.ErrOrder)

	// No client gets in whose INITIATE wasn't read.
	b = newBed(t, 2)
	_, _, err = b.server.Ready(nil)
	requireRefused(t, err, "READY", curvezmq.ErrOrder)

	// Nothing happens twice.
	b = newBed(t, done)
	_, err = b.client.Hello()
	requireRefused(t, err, "HELLO", curvezmq.ErrOrder)
	_, err = b.server.Hello(b.hello)
	requireRefused(t, err, "HELLO", curvezmq.ErrOrder)
	_, err = b.client.Welcome(b.welcome, nil)
	requireRefused(t, err, "WELCOME", curvezmq.ErrOrder)
	_, _, err = b.server.Initiate(b.initiate)
	requireRefused(t, err, "INITIATE", curvezmq.ErrOrder)
	_, _, err = b.server.Ready(nil)
	requireRefused(t, err, "READY", curvezmq.ErrOrder)
	_, _, err = b.client.Ready(b.ready)
	requireRefused(t, err, "READY", curvezmq.ErrOrder)
}

// What an observer recorded is of no use on another connection.
func TestReplayOnAnotherConnection(t *testing.T) {
	t.Parallel()
	recorded := newBed(t, done)
	server, err := curvezmq.NewServer(recorded.peer.Public, recorded.peer.Secret, &stream{seed: "another connection"})
	require.NoError(t, err)
	_, err = server.Hello(recorded.hello) // this is nobody's yet
	require.NoError(t, err)
	_, _, err = server.Initiate(recorded.initiate)
	require.EqualError(t, err, "curve: INITIATE: box does not open: the cookie is not of this connection")

	client, err := curvezmq.NewClient(recorded.peer.Public, recorded.own.Public, recorded.own.Secret, &stream{seed: "another connection"})
	require.NoError(t, err)
	_, err = client.Hello()
	require.NoError(t, err)
	_, err = client.Welcome(recorded.welcome, nil)
	requireRefused(t, err, "WELCOME", curvezmq.ErrBox)
}

func TestWrongServerKey(t *testing.T) {
	t.Parallel()
	b := newBed(t, 0)
	client, err := curvezmq.NewClient(seeded("another server").Public, b.own.Public, b.own.Secret, &stream{seed: "c"})
	require.NoError(t, err)
	hello, err := client.Hello()
	require.NoError(t, err)
	_, err = b.server.Hello(hello)
	require.EqualError(t, err, "curve: HELLO: box does not open: does the client have another key for this server?")

	// A server that would say WELCOME all the same can't.
	other := newBed(t, 2)
	_, err = client.Welcome(other.welcome, nil)
	require.EqualError(t, err, "curve: WELCOME: box does not open: has the server another key than the client was given?")
}

func TestKeysOfTheProgram(t *testing.T) {
	t.Parallel()
	a, b := seeded("a"), seeded("b")
	_, err := curvezmq.NewServer(a.Public, b.Secret, &stream{})
	require.EqualError(t, err, "curve: the public key does not belong to the secret key")
	_, err = curvezmq.NewServer(a.Public, curve.SecretKey{}, &stream{})
	require.EqualError(t, err, "curve: no secret key")
	_, err = curvezmq.NewClient(b.Public, a.Public, b.Secret, &stream{})
	require.EqualError(t, err, "curve: the public key does not belong to the secret key")
	_, err = curvezmq.NewClient(curve.Key{}, a.Public, a.Secret, &stream{})
	require.EqualError(t, err, "curve: the server's public key is none that a secret key has; is it missing?")
	bad := b.Public
	bad[31] |= 0x80
	_, err = curvezmq.NewClient(bad, a.Public, a.Secret, &stream{})
	require.Error(t, err)
}

func TestNoRandomness(t *testing.T) {
	t.Parallel()
	a, b := seeded("a"), seeded("b")
	broken := errors.New("broken")
	for _, n := range []int{0, 1, 31, 32, 33, 47} {
		short := io.MultiReader(io.LimitReader(&stream{}, int64(n)), iotest.ErrReader(broken))
		client, err := curvezmq.NewClient(b.Public, a.Public, a.Secret, short)
		if n >= 32 {
			require.NoError(t, err)
			hello, err := client.Hello()
			require.NoError(t, err)
			server, err := curvezmq.NewServer(b.Public, b.Secret, &stream{})
			require.NoError(t, err)
			welcome, err := server.Hello(hello)
			require.NoError(t, err)
			_, err = client.Welcome(welcome, nil)
			require.ErrorIs(t, err, broken)
			continue
		}
		require.ErrorIs(t, err, broken)
	}
	hello := newBed(t, 1).hello
	for _, n := range []int{0, 31, 32, 63, 64, 79, 80, 95} {
		peer := seeded("server")
		server, err := curvezmq.NewServer(peer.Public, peer.Secret, io.MultiReader(io.LimitReader(&stream{}, int64(n)), iotest.ErrReader(broken)))
		require.NoError(t, err)
		_, err = server.Hello(hello)
		require.ErrorIs(t, err, broken)
	}
	_, err := curve.Generate(strings.NewReader(""))
	require.EqualError(t, err, "curve: no randomness: EOF")
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	b := newBed(t, 3)
	_, _, err := b.server.Initiate(b.initiate)
	require.NoError(t, err)
	body := b.server.Refuse("400")
	require.Equal(t, "\x05ERROR\x03400", string(body))
	_, _, err = b.server.Ready(nil)
	requireRefused(t, err, "READY", curvezmq.ErrOrder)

	_, _, err = b.client.Ready(body)
	var refused *curvezmq.RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "400", refused.Reason)
	require.EqualError(t, err, `curve: the server refused this client: "400"`)

	// In the place of WELCOME too.
	_, err = newBed(t, 1).client.Welcome(body, nil)
	require.ErrorAs(t, err, &refused)

	// What it says may stand in a log.
	require.Equal(t, "\x05ERROR\x04no?!", string(b.server.Refuse("no\n!")))
	require.Len(t, b.server.Refuse(strings.Repeat("a", 300)), 7+255)
	_, err = newBed(t, 1).client.Welcome([]byte("\x05ERROR\x03a\n\xff"), nil)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "a??", refused.Reason)
	for _, bad := range []string{"\x05ERROR", "\x05ERROR\x01", "\x05ERROR\x04400", "\x05ERROR\x02400"} {
		_, err := newBed(t, 1).client.Welcome([]byte(bad), nil)
		requireRefused(t, err, "ERROR", curvezmq.ErrSize)
	}
	// A client never says ERROR.
	_, err = newBed(t, 0).server.Hello(body)
	require.EqualError(t, err, "curve: HELLO: not the command that is due: got ERROR")
}
