package curve

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
	key  sharedKey
	seal direction
	open direction
}

// direction is one way of the traffic.
type direction struct {
	nonce nonce
	// number is that of the next command to seal, and 0 after the last that there
	// is; or that of the last command that was opened.
	number uint64
}

func newSession(key *sharedKey, sealPrefix string, next uint64, openPrefix string, last uint64) *Session {
	return &Session{
		key:  *key,
		seal: direction{*shortNonceOf(sealPrefix, 0), next},
		open: direction{*shortNonceOf(openPrefix, 0), last},
	}
}

// SealedSize returns the size of the MESSAGE for a frame of size bytes.
func SealedSize(size int) int { return messageMin + size }

// OpenedSize returns the size of the frame in a MESSAGE of size bytes; it is
// negative if size is that of none.
func OpenedSize(size int) int { return size - messageMin }

// Seal appends the body of a MESSAGE to dst and returns it: a frame with flags and
// payload. payload must not overlap what dst has room for.
//
// Behind the result Seal needs room in dst for the payload and one byte more, which
// it clears again: it allocates only where there are less than
// SealedSize(len(payload)) + 1 + len(payload) bytes free in dst. It fails with
// [ErrExhausted] after 2^64-1 commands. It panics on other flags than none, More or
// Command, which only a mistake in the program can cause.
func (s *Session) Seal(dst []byte, flags byte, payload []byte) ([]byte, error) {
	if flags > Command {
		panic("curve: MESSAGE: flags " + strconv.Itoa(int(flags)))
	}
	if s.seal.number == 0 {
		return dst, &CommandError{"MESSAGE", ErrExhausted, ""}
	}
	// secretbox wants the content in one piece and apart from the box.
	contentSize := 1 + len(payload)
	end := len(dst) + SealedSize(len(payload))
	dst = slices.Grow(dst, end+contentSize-len(dst))
	content := dst[end : end+contentSize]
	content[0] = flags
	copy(content[1:], payload)

	dst = append(dst, messageName...)
	dst = binary.BigEndian.AppendUint64(dst, s.seal.number)
	binary.BigEndian.PutUint64(s.seal.nonce[len(clientPrefix):], s.seal.number)
	dst = s.key.seal(dst, content, &s.seal.nonce)
	s.seal.number++
	clear(content)
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
	copy(s.open.nonce[len(serverPrefix):], body[messageNonceAt:messageBoxAt])
	opened, ok := s.key.open(dst, body[messageBoxAt:], &s.open.nonce)
	if !ok {
		return 0, nil, &CommandError{"MESSAGE", ErrBox, ""}
	}
	s.open.number = number
	content := opened[len(dst):]
	if content[0] > Command {
		return 0, nil, &CommandError{"MESSAGE", ErrMalformed, "flags " + strconv.Itoa(int(content[0]))}
	}
	return content[0], content[1:len(content):len(content)], nil
}
