package curvezmq

import (
	"encoding/binary"
	"slices"
	"strconv"
)

// The flags of a frame within a MESSAGE. They aren't those of ZMTP's own frames.
const (
	// More says that further frames of the same message follow (RFC 26, The MESSAGE
	// Command).
	More byte = 1 << iota
	// Command says that the frame is a command of ZMTP 3.1, as libzmq has it; RFC 26
	// has the bit reserved. It never stands with More.
	Command
)

// Session encrypts and decrypts the traffic of a connection after the handshake
// (RFC 26, The MESSAGE Command). One goroutine may seal while another one opens.
type Session struct {
	seal direction
	open direction
}

// direction is one way of the traffic.
type direction struct {
	cipher *cipher
	// number is that of the next command to seal, and 0 after the last that there
	// is; or that of the last command that was opened.
	number uint64
}

func newSession(key *sharedKey, sealPrefix string, next uint64, openPrefix string, last uint64) *Session {
	return &Session{
		seal: direction{newCipher(key, sealPrefix), next},
		open: direction{newCipher(key, openPrefix), last},
	}
}

// SealedSize returns the size of the MESSAGE for a frame of size bytes.
func SealedSize(size int) int { return messageMin + size }

// OpenedSize returns the size of the frame in a MESSAGE of size bytes; it is
// negative if size is that of none.
func OpenedSize(size int) int { return size - messageMin }

// Seal appends the body of a MESSAGE to dst and returns it: a frame with flags and
// payload. It allocates only where there are less than SealedSize(len(payload))
// bytes free in dst, which must not overlap payload. It fails with [ErrExhausted]
// after 2^64-1 commands. It panics on other flags than none, More or Command, which
// only a mistake in the program can cause.
func (s *Session) Seal(dst []byte, flags byte, payload []byte) ([]byte, error) {
	if flags > Command {
		panic("curve: MESSAGE: flags " + strconv.Itoa(int(flags)))
	}
	number := s.seal.number
	if number == 0 {
		return dst, &CommandError{"MESSAGE", ErrExhausted, ""}
	}
	s.seal.number++
	dst = slices.Grow(dst, SealedSize(len(payload)))
	dst = append(dst, messageName...)
	dst = binary.BigEndian.AppendUint64(dst, number)
	at := len(dst)
	dst = append(dst[:at+tagSize], flags)
	dst = append(dst, payload...)
	s.seal.cipher.seal(dst[at:], number)
	return dst, nil
}

// Open decrypts the body of a MESSAGE. It returns the flags, none, [More] or
// [Command], and the payload, for which it uses the room behind dst: it allocates
// only if there are less than OpenedSize(len(body)) + 1 bytes free. That room must
// not overlap body. What dst holds stays untouched.
//
// What isn't a MESSAGE of the peer is a [*CommandError]: another command, a wrong
// size, a number that doesn't rise (a replay), a box that doesn't open, unknown
// flags. Then the connection is to be closed, without an ERROR.
func (s *Session) Open(body, dst []byte) (flags byte, payload []byte, err error) {
	if err := checkName(body, messageName); err != nil {
		return 0, nil, err
	}
	if err := checkMin(body, messageName, messageMin); err != nil {
		return 0, nil, err
	}
	number := binary.BigEndian.Uint64(body[messageNonceAt:])
	if number <= s.open.number {
		return 0, nil, &CommandError{"MESSAGE", ErrReplay, ""}
	}
	size := OpenedSize(len(body)) + 1
	content := slices.Grow(dst, size)[len(dst) : len(dst)+size]
	if !s.open.cipher.open(content, body[messageBoxAt:], number) {
		return 0, nil, &CommandError{"MESSAGE", ErrBox, ""}
	}
	s.open.number = number
	if content[0] > Command {
		return 0, nil, &CommandError{"MESSAGE", ErrMalformed, "flags " + strconv.Itoa(int(content[0]))}
	}
	return content[0], content[1:len(content):len(content)], nil
}
