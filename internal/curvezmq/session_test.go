package curvezmq_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/curvezmq"
)

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	b := newBed(t, done)
	for _, way := range []struct {
		name     string
		from, to *curvezmq.Session
	}{{"client to server", b.clientSession, b.serverSession}, {"server to client", b.serverSession, b.clientSession}} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{0, 1, 30, 31, 32, 33, 63, 64, 65, 255, 1 << 16} {
				for _, flags := range []byte{0, curvezmq.More, curvezmq.Command} {
					payload := make([]byte, size)
					_, _ = (&stream{seed: "payload"}).Read(payload)
					before := bytes.Clone(payload)
					body, err := way.from.Seal([]byte("kept"), flags, payload)
					require.NoError(t, err)
					require.Equal(t, before, payload)
					require.Equal(t, "kept\x07MESSAGE", string(body[:12]))
					body = body[4:]
					require.Len(t, body, curvezmq.SealedSize(size))
					require.Equal(t, size, curvezmq.OpenedSize(len(body)))

					sealed := bytes.Clone(body)
					got, opened, err := way.to.Open(body, []byte("kept"))
					require.NoError(t, err)
					require.Equal(t, flags, got)
					require.True(t, bytes.Equal(payload, opened))
					require.Len(t, opened, cap(opened))
					require.Equal(t, sealed, body)
				}
			}
		})
	}
}

func TestReplayOfMessages(t *testing.T) {
	t.Parallel()
	b := newBed(t, done)
	var bodies [][]byte
	for range 3 {
		bodies = append(bodies, b.sealed())
	}
	open := func(s *curvezmq.Session, body []byte) error {
		_, _, err := s.Open(body, nil)
		return err
	}
	require.NoError(t, open(b.serverSession, bodies[1]))
	requireRefused(t, open(b.serverSession, bodies[1]), "MESSAGE", curvezmq.ErrReplay)
	requireRefused(t, open(b.serverSession, bodies[0]), "MESSAGE", curvezmq.ErrReplay)
	// A bad one doesn't move the number that the next has to be above.
	forged := bytes.Clone(bodies[2])
	forged[8] = 0xff
	requireRefused(t, open(b.serverSession, forged), "MESSAGE", curvezmq.ErrBox)
	require.NoError(t, open(b.serverSession, bodies[2]))
	// What a peer sent doesn't come back as the other's, and is of no other session.
	for range 5 {
		requireRefused(t, open(b.clientSession, b.sealed()), "MESSAGE", curvezmq.ErrBox)
	}
	client, err := curvezmq.NewClient(b.peer.Public, b.own.Public, b.own.Secret, &stream{seed: "other"})
	require.NoError(t, err)
	hello, err := client.Hello()
	require.NoError(t, err)
	server, err := curvezmq.NewServer(b.peer.Public, b.peer.Secret, &stream{seed: "other"})
	require.NoError(t, err)
	welcome, err := server.Hello(hello)
	require.NoError(t, err)
	initiate, err := client.Welcome(welcome, nil)
	require.NoError(t, err)
	_, _, err = server.Initiate(initiate)
	require.NoError(t, err)
	other, _, err := server.Ready(nil)
	require.NoError(t, err)
	requireRefused(t, open(other, b.sealed()), "MESSAGE", curvezmq.ErrBox)
}

func TestUnknownFlagsAreAMistake(t *testing.T) {
	t.Parallel()
	b := newBed(t, done)
	for _, flags := range []byte{curvezmq.More | curvezmq.Command, 4, 0x80} {
		require.Panics(t, func() { _, _ = b.clientSession.Seal(nil, flags, nil) })
	}
}

// Seal leaves no plain text behind in the room that it used.
func TestSealClears(t *testing.T) {
	t.Parallel()
	b := newBed(t, done)
	payload := []byte("one cup of tea, and nobody knows")
	dst := make([]byte, 0, 512)
	_, err := b.clientSession.Seal(dst, 0, payload)
	require.NoError(t, err)
	require.NotContains(t, string(dst[:cap(dst)]), "tea")
}

func TestSealAndOpenDoNotAllocate(t *testing.T) {
	b := newBed(t, done)
	for _, size := range []int{0, 128, 1 << 16} {
		payload := make([]byte, size)
		sealed := make([]byte, 0, curvezmq.SealedSize(size)+1+size)
		opened := make([]byte, 0, size+1)
		require.Zero(t, testing.AllocsPerRun(20, func() {
			body, err := b.clientSession.Seal(sealed, curvezmq.More, payload)
			if err != nil {
				panic(err)
			}
			if flags, _, err := b.serverSession.Open(body, opened); err != nil || flags != curvezmq.More {
				panic("not opened")
			}
		}))
	}
}
