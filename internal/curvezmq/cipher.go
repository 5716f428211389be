package curvezmq

import (
	"crypto/subtle"
	"encoding/binary"

	"golang.org/x/crypto/poly1305"      //nolint:staticcheck // deprecated for new protocols; CurveZMQ's box is made of it
	"golang.org/x/crypto/salsa20/salsa" //nolint:staticcheck // likewise
)

// cipher makes and opens the boxes of one direction of the traffic: what NaCl calls
// secretbox, XSalsa20 and Poly1305. Of a nonce the first 16 bytes are the same in
// all MESSAGEs of a direction, so the key that XSalsa20 makes of them is made once,
// where secretbox makes it for each box: most frames are so short that this is half
// the work.
type cipher struct{ key [32]byte }

const (
	blockSize = 64
	polyKey   = 32 // of the first block: the key of the authenticator
	tagSize   = poly1305.TagSize
)

func newCipher(key *sharedKey, prefix string) *cipher {
	c := &cipher{}
	var nonce [16]byte
	copy(nonce[:], prefix)
	salsa.HSalsa20(&c.key, &nonce, (*[32]byte)(key), &salsa.Sigma)
	return c
}

// start returns the first block of the key stream, and the counter of the second.
func (c *cipher) start(number uint64) (block [blockSize]byte, counter [16]byte) {
	binary.BigEndian.PutUint64(counter[:], number)
	salsa.XORKeyStream(block[:], block[:], &counter, &c.key)
	counter[8] = 1
	return block, counter
}

// xor encrypts or decrypts text from in to out, which are the same or apart.
func (c *cipher) xor(out, in []byte, block *[blockSize]byte, counter *[16]byte) {
	n := subtle.XORBytes(out, in[:min(len(in), blockSize-polyKey)], block[polyKey:])
	if n < len(in) {
		salsa.XORKeyStream(out[n:], in[n:], counter, &c.key)
	}
}

// seal makes a box in place: b has room for the tag, and then the content.
func (c *cipher) seal(b []byte, number uint64) {
	block, counter := c.start(number)
	content := b[tagSize:]
	c.xor(content, content, &block, &counter)
	poly1305.Sum((*[tagSize]byte)(b), content, (*[polyKey]byte)(block[:]))
}

// open writes what is in the box to out, which has just that size, and reports
// whether the box is one of this direction with that number.
func (c *cipher) open(out, sealed []byte, number uint64) bool {
	block, counter := c.start(number)
	content := sealed[tagSize:]
	if !poly1305.Verify((*[tagSize]byte)(sealed), content, (*[polyKey]byte)(block[:])) {
		return false
	}
	c.xor(out, content, &block, &counter)
	return true
}
