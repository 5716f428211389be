package curvezmq

// These tests make commands that no client or server of this package sends, so they
// are within it.

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/nacl/box"
)

// zeros is no randomness at all.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	b[0] = 1
	return len(b), nil
}

func testPair(t *testing.T, seed byte) keyPair {
	t.Helper()
	p, err := newKeyPair(bytes.NewReader(bytes.Repeat([]byte{seed}, KeySize)))
	require.NoError(t, err)
	return p
}

// greet returns a client and a server after WELCOME.
func greet(t *testing.T) (client *Client, server *Server, welcome []byte) {
	t.Helper()
	c, s := testPair(t, 1), testPair(t, 2)
	client, err := NewClient(s.Public, c.Public, c.Secret, zeros{})
	require.NoError(t, err)
	server, err = NewServer(s.Public, s.Secret, zeros{})
	require.NoError(t, err)
	hello, err := client.Hello()
	require.NoError(t, err)
	welcome, err = server.Hello(hello)
	require.NoError(t, err)
	return client, server, welcome
}

func requireCase(t *testing.T, err, want error) {
	t.Helper()
	require.ErrorIs(t, err, want)
}

// forge returns an INITIATE with a vouch of other contents, by another number.
func forge(t *testing.T, c *Client, welcome, vouched []byte, own keyPair, number uint64) []byte {
	t.Helper()
	content, ok := c.hello.open(welcome[welcomeBoxAt:], longNonceOf(welcomePrefix, welcome[welcomeNonceAt:welcomeBoxAt]))
	require.True(t, ok)
	server := Key(content[:KeySize])
	session, ok := agree(&c.transient.Secret, &server)
	require.True(t, ok)
	vouchKey, ok := agree(&own.Secret, &server)
	require.True(t, ok)
	plain := append([]byte(nil), own.Public[:]...)
	plain = append(plain, make([]byte, longNonce)...)
	plain = vouchKey.seal(plain, vouched, longNonceOf(vouchPrefix, make([]byte, longNonce)))
	body := append([]byte(initiateName), content[KeySize:]...)
	body = binary.BigEndian.AppendUint64(body, number)
	return session.seal(body, plain, shortNonceOf(initiatePrefix, number))
}

func TestVouch(t *testing.T) {
	t.Parallel()
	c, s, welcome := greet(t)
	right := slices.Concat(c.transient.Public[:], c.server[:])
	key, _, err := s.Initiate(forge(t, c, welcome, right, c.own, 2))
	require.NoError(t, err)
	require.Equal(t, c.own.Public, key)

	thief := testPair(t, 9)
	for name, forged := range map[string]struct {
		vouched []byte
		own     keyPair
		want    error
	}{
		"another connection":  {slices.Concat(thief.Public[:], c.server[:]), c.own, ErrVouch},
		"another server":      {slices.Concat(c.transient.Public[:], thief.Public[:]), c.own, ErrVouch},
		"nothing":             {make([]byte, 64), c.own, ErrVouch},
		"somebody else's key": {right, keyPair{Public: c.own.Public, Secret: thief.Secret}, ErrBox},
		"a key of low order":  {right, keyPair{Secret: c.own.Secret}, ErrKey},
		"a key spelled wrong": {right, keyPair{Public: twin(c.own.Public), Secret: c.own.Secret}, ErrKey},
	} {
		_, s, welcome := greet(t)
		_, _, err := s.Initiate(forge(t, c, welcome, forged.vouched, forged.own, 2))
		requireCase(t, err, forged.want)
		_, _, err = s.Ready(nil)
		require.ErrorIs(t, err, ErrOrder, name)
	}
}

// twin returns other bytes that Curve25519 takes for the same key.
func twin(k Key) Key {
	k[KeySize-1] |= 0x80
	return k
}

func TestNumberOfInitiate(t *testing.T) {
	t.Parallel()
	for number, want := range map[uint64]error{0: ErrReplay, 1: ErrReplay, 2: nil, 3: nil, math.MaxUint64: nil} {
		c, s, welcome := greet(t)
		right := slices.Concat(c.transient.Public[:], c.server[:])
		_, _, err := s.Initiate(forge(t, c, welcome, right, c.own, number))
		require.ErrorIs(t, err, want)
	}
}

func TestHelloOfOtherContents(t *testing.T) {
	t.Parallel()
	for name, forged := range map[string]struct {
		public  func(Key) Key
		content []byte
		want    error
	}{
		"right":             {func(k Key) Key { return k }, make([]byte, helloZeros), nil},
		"signature of ones": {func(k Key) Key { return k }, bytes.Repeat([]byte{1}, helloZeros), ErrMalformed},
		"key spelled wrong": {twin, make([]byte, helloZeros), ErrKey},
		"key of low order":  {func(Key) Key { return Key{1} }, make([]byte, helloZeros), ErrKey},
	} {
		own, peer := testPair(t, 1), testPair(t, 2)
		c, err := NewClient(peer.Public, own.Public, own.Secret, zeros{})
		require.NoError(t, err)
		s, err := NewServer(peer.Public, peer.Secret, zeros{})
		require.NoError(t, err)
		hello, err := c.Hello()
		require.NoError(t, err)
		public := forged.public(c.transient.Public)
		copy(hello[helloClientAt:], public[:])
		hello = c.hello.seal(hello[:helloBoxAt], forged.content, shortNonceOf(helloPrefix, 1))
		_, err = s.Hello(hello)
		require.ErrorIs(t, err, forged.want, name)
	}
}

// A server's key for the connection that is no secret ends the handshake.
func TestWelcomeWithABadKey(t *testing.T) {
	t.Parallel()
	c, _, welcome := greet(t)
	nonce := longNonceOf(welcomePrefix, welcome[welcomeNonceAt:welcomeBoxAt])
	content, ok := c.hello.open(welcome[welcomeBoxAt:], nonce)
	require.True(t, ok)
	clear(content[:KeySize])
	_, err := c.Welcome(c.hello.seal(welcome[:welcomeBoxAt], content, nonce), nil)
	requireCase(t, err, ErrKey)
}

// The keys of low order that are canonical, from the order 1 to 8, and what NaCl
// makes of all.
func TestKeysOfLowOrder(t *testing.T) {
	t.Parallel()
	secret := testPair(t, 3).Secret
	for _, k := range []Key{
		{},
		{1},
		{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
		{0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
		{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	} {
		_, ok := agree(&secret, &k)
		require.False(t, ok, "%x", k[:])
		var nacl [32]byte
		box.Precompute(&nacl, (*[32]byte)(&k), (*[32]byte)(&secret))
		require.Equal(t, [32]byte(known), nacl)
	}
}

func TestExhaustion(t *testing.T) {
	t.Parallel()
	key := &sharedKey{1}
	client := newSession(key, clientPrefix, math.MaxUint64-1, serverPrefix, 0)
	server := newSession(key, serverPrefix, 1, clientPrefix, 0)
	for range 2 {
		body, err := client.Seal(nil, 0, []byte("tea"))
		require.NoError(t, err)
		_, _, err = server.Open(body, nil)
		require.NoError(t, err)
	}
	for range 2 {
		dst, err := client.Seal([]byte("kept"), 0, []byte("tea"))
		requireCase(t, err, ErrExhausted)
		require.Equal(t, "kept", string(dst))
	}
	_, _, err := server.Open(append([]byte(messageName), make([]byte, 25)...), nil)
	requireCase(t, err, ErrReplay)
}

func TestReservedFlags(t *testing.T) {
	t.Parallel()
	key := &sharedKey{1}
	s := newSession(key, serverPrefix, 1, clientPrefix, 0)
	for flags := range 256 {
		number := uint64(flags) + 1
		body := append([]byte(messageName), make([]byte, shortNonce)...)
		binary.BigEndian.PutUint64(body[messageNonceAt:], number)
		body = key.seal(body, []byte{byte(flags), 't'}, shortNonceOf(clientPrefix, number))
		got, payload, err := s.Open(body, nil)
		if flags > 2 {
			requireCase(t, err, ErrMalformed)
			require.Nil(t, payload)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, byte(flags), got)
		require.Equal(t, "t", string(payload))
	}
}

// RFC 26: the server keeps no secret of the connection between WELCOME and INITIATE.
func TestServerForgetsItsKey(t *testing.T) {
	t.Parallel()
	_, s, _ := greet(t)
	require.Nil(t, s.session)
	require.NotZero(t, s.cookieKey)
	_, _, err := s.Initiate(nil)
	require.Error(t, err)
	require.Zero(t, s.cookieKey)
}
