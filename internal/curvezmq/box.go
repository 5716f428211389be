package curvezmq

import (
	"crypto/subtle"
	"encoding/binary"
	"io"

	"golang.org/x/crypto/nacl/box"
	"golang.org/x/crypto/nacl/secretbox"
)

// The prefixes of nonces (RFC 26, CurveZMQ Commands). A short nonce is a number of
// 8 bytes behind 16 of these, a long one 16 random bytes behind 8 of these.
const (
	helloPrefix    = "CurveZMQHELLO---"
	initiatePrefix = "CurveZMQINITIATE"
	readyPrefix    = "CurveZMQREADY---"
	clientPrefix   = "CurveZMQMESSAGEC"
	serverPrefix   = "CurveZMQMESSAGES"
	welcomePrefix  = "WELCOME-"
	cookiePrefix   = "COOKIE--"
	vouchPrefix    = "VOUCH---"
)

const (
	shortNonce = 8
	longNonce  = 16
	overhead   = secretbox.Overhead // by which a box is larger than its content
)

type nonce [24]byte

func shortNonceOf(prefix string, number uint64) *nonce {
	var n nonce
	copy(n[:], prefix)
	binary.BigEndian.PutUint64(n[len(prefix):], number)
	return &n
}

func longNonceOf(prefix string, tail []byte) *nonce {
	var n nonce
	copy(n[:], prefix)
	copy(n[len(prefix):], tail)
	return &n
}

func randomNonce(prefix string, rand io.Reader) (*nonce, error) {
	var n nonce
	copy(n[:], prefix)
	return &n, random(rand, n[len(prefix):])
}

// sharedKey is what both ends of a box compute from one's public and the other's
// secret key.
type sharedKey [32]byte

// known is the key that NaCl computes from any public key of low order, such as
// zero: it is no secret.
var known = sharedKey{
	0x35, 0x1f, 0x86, 0xfa, 0xa3, 0xb9, 0x88, 0x46, 0x8a, 0x85, 0x01, 0x22, 0xb6, 0x5b, 0x0a, 0xce,
	0xce, 0x9c, 0x48, 0x26, 0x80, 0x6a, 0xee, 0xe6, 0x3d, 0xe9, 0xc0, 0xda, 0x2b, 0xd7, 0xf9, 0x1e,
}

// agree computes the key of the boxes between two peers. It returns false for a
// public key that isn't canonical or is of low order.
func agree(secret *SecretKey, public *Key) (*sharedKey, bool) {
	if !public.Canonical() {
		return nil, false
	}
	var key sharedKey
	box.Precompute((*[32]byte)(&key), (*[32]byte)(public), (*[32]byte)(secret))
	if subtle.ConstantTimeCompare(key[:], known[:]) == 1 {
		return nil, false
	}
	return &key, true
}

func (k *sharedKey) seal(dst, content []byte, n *nonce) []byte {
	return secretbox.Seal(dst, content, (*[24]byte)(n), (*[32]byte)(k))
}

func (k *sharedKey) open(sealed []byte, n *nonce) ([]byte, bool) {
	return secretbox.Open(nil, sealed, (*[24]byte)(n), (*[32]byte)(k))
}
