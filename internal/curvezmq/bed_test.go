package curvezmq_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/curvezmq"
	"github.com/mdpmesh/mesh/transport/curve"
)

// stream is endless randomness that is the same each time.
type stream struct {
	seed string
	n    uint64
	left []byte
}

func (s *stream) Read(b []byte) (int, error) {
	for len(s.left) < len(b) {
		block := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(s.seed), s.n))
		s.left = append(s.left, block[:]...)
		s.n++
	}
	n := copy(b, s.left)
	s.left = s.left[n:]
	return n, nil
}

// pair is a peer's keys for good.
type pair = curve.KeyPair

var (
	clientPair = sync.OnceValue(func() pair { return seeded("client") })
	serverPair = sync.OnceValue(func() pair { return seeded("server") })
)

func seeded(seed string) pair {
	p, err := curve.Generate(&stream{seed: seed})
	if err != nil {
		panic(err)
	}
	return p
}

// bed is a client and a server that know each other, with all that they said. The
// same steps give the same bytes each time.
type bed struct {
	own, peer                       pair // the client's and the server's keys
	client                          *curvezmq.Client
	server                          *curvezmq.Server
	hello, welcome, initiate, ready []byte
	clientSession, serverSession    *curvezmq.Session
	// The randomness of both, and how far it was when the bed was made.
	clientRandom, serverRandom *stream
	clientMark, serverMark     stream
}

var (
	clientMetadata = []byte("the client's metadata")
	serverMetadata = []byte("the server's")
)

// newBed returns a client and a server that did the first steps of the handshake:
// 1 is HELLO, and after 4 all is done.
func newBed(t testing.TB, steps int) *bed {
	t.Helper()
	b := &bed{
		own:          clientPair(),
		peer:         serverPair(),
		clientRandom: &stream{seed: "client's connection"},
		serverRandom: &stream{seed: "server's connection"},
	}
	var err error
	b.client, err = curvezmq.NewClient(b.peer.Public, b.own.Public, b.own.Secret, b.clientRandom)
	require.NoError(t, err)
	b.server, err = curvezmq.NewServer(b.peer.Public, b.peer.Secret, b.serverRandom)
	require.NoError(t, err)
	for step := range steps {
		switch step {
		case 0:
			b.hello, err = b.client.Hello()
		case 1:
			b.welcome, err = b.server.Hello(b.hello)
		case 2:
			b.initiate, err = b.client.Welcome(b.welcome, clientMetadata)
		case 3:
			var key curve.Key
			var metadata []byte
			key, metadata, err = b.server.Initiate(b.initiate)
			require.NoError(t, err)
			require.Equal(t, b.own.Public, key)
			require.Equal(t, clientMetadata, metadata)
			b.serverSession, b.ready, err = b.server.Ready(serverMetadata)
		case 4:
			var metadata []byte
			b.clientSession, metadata, err = b.client.Ready(b.ready)
			require.NoError(t, err)
			require.Equal(t, serverMetadata, metadata)
		}
		require.NoError(t, err)
	}
	b.clientMark, b.serverMark = *b.clientRandom, *b.serverRandom
	return b
}

// again returns the bed as newBed made it, to be used until the next call of again.
// A handshake for each byte that a test changes would take long.
func (b *bed) again() *bed {
	*b.clientRandom, *b.serverRandom = b.clientMark, b.serverMark
	fresh := *b
	client, server := *b.client, *b.server
	fresh.client, fresh.server = &client, &server
	if b.clientSession != nil {
		clientSession, serverSession := *b.clientSession, *b.serverSession
		fresh.clientSession, fresh.serverSession = &clientSession, &serverSession
	}
	return &fresh
}

// done is the number of steps of a whole handshake.
const done = 5

// receivers are the commands and who reads them. command returns the bytes of one
// after the steps that make it, and read lets its receiver read other bytes.
var receivers = []struct {
	name    string
	steps   int
	command func(*bed) []byte
	read    func(*bed, []byte) error
}{
	{"HELLO", 1, func(b *bed) []byte { return b.hello }, func(b *bed, body []byte) error {
		_, err := b.server.Hello(body)
		return err
	}},
	{"WELCOME", 2, func(b *bed) []byte { return b.welcome }, func(b *bed, body []byte) error {
		_, err := b.client.Welcome(body, nil)
		return err
	}},
	{"INITIATE", 3, func(b *bed) []byte { return b.initiate }, func(b *bed, body []byte) error {
		_, _, err := b.server.Initiate(body)
		return err
	}},
	{"READY", 4, func(b *bed) []byte { return b.ready }, func(b *bed, body []byte) error {
		_, _, err := b.client.Ready(body)
		return err
	}},
	{"MESSAGE", done, func(b *bed) []byte { return b.sealed() }, func(b *bed, body []byte) error {
		_, _, err := b.serverSession.Open(body, nil)
		return err
	}},
}

// sealed is a MESSAGE of the client.
func (b *bed) sealed() []byte {
	body, err := b.clientSession.Seal(nil, curvezmq.More, []byte("one cup of tea"))
	if err != nil {
		panic(err)
	}
	return body
}

// requireRefused checks that an error is the command's and one of the cases.
func requireRefused(t testing.TB, err error, command string, cases ...error) {
	t.Helper()
	var commandErr *curvezmq.CommandError
	require.ErrorAs(t, err, &commandErr)
	require.Equal(t, command, commandErr.Command)
	require.Contains(t, cases, commandErr.Err)
	require.ErrorIs(t, err, commandErr.Err)
}

var _ io.Reader = (*stream)(nil)

func TestStreamIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	a, b := make([]byte, 100), make([]byte, 100)
	_, _ = (&stream{seed: "a"}).Read(a)
	_, _ = (&stream{seed: "a"}).Read(b)
	require.True(t, bytes.Equal(a, b))
}
