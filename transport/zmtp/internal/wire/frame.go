package wire

import (
	"encoding/binary"
	"math"
	"strconv"
)

// Flags are the bits of a frame's first byte (RFC 37, Framing).
type Flags byte

const (
	// More says that further frames of the same message follow.
	More Flags = 1 << iota
	// Long says that the size has eight bytes and not one. [AppendHeader] sets it
	// itself, and ParseHeader doesn't report it.
	Long
	// Command says that the frame is a command and no part of a message. It never
	// stands with More.
	Command

	reserved = ^(More | Long | Command)
)

const (
	// MaxShort is the largest body of a frame with a short header.
	MaxShort = 255
	// ShortHeader is the size of the header of a frame of up to MaxShort bytes.
	ShortHeader = 2
	// LongHeader is the size of the header of any other frame, and so the largest.
	LongHeader = 9
)

// Header is what stands before the body of a frame.
type Header struct {
	// Flags are More, Command or neither.
	Flags Flags
	// Size is the size of the body in bytes.
	Size int
}

// HeaderSize returns the size of the header for a body of size bytes.
func HeaderSize(size int) int {
	if size > MaxShort {
		return LongHeader
	}
	return ShortHeader
}

// AppendHeader appends the header of a frame with a body of size bytes to dst and
// returns it; the short form wherever that does. Of flags, Long is ignored. It
// panics on other unknown flags, on Command with More and on a negative size, which
// only a mistake in the program can cause.
func AppendHeader(dst []byte, flags Flags, size int) []byte {
	flags &^= Long
	if flags > Command || flags == Command|More || size < 0 {
		panic("zmtp: frame: flags " + hexByte(byte(flags)) + " and size " + strconv.Itoa(size))
	}
	if size <= MaxShort {
		return append(dst, byte(flags), byte(size))
	}
	dst = append(dst, byte(flags|Long))
	return binary.BigEndian.AppendUint64(dst, uint64(size))
}

// ParseHeader reads the header of a frame from the beginning of b. It returns the
// header and its size in bytes, or 0 and no error if b doesn't hold the whole
// header yet.
//
// A reserved flag and Command with More are a [*ParseError], found in the first
// byte; so is a size of 2^63 or more. A body larger than limit bytes is a
// [*SizeError]. A long header for a short body is allowed (RFC 37: SHOULD).
func ParseHeader(b []byte, limit int) (Header, int, error) {
	if len(b) >= ShortHeader && b[0]&^byte(More) == 0 && int(b[1]) <= limit {
		return Header{Flags: Flags(b[0]), Size: int(b[1])}, ShortHeader, nil
	}
	return parseHeader(b, limit)
}

// parseHeader is ParseHeader for all but short frames of messages.
func parseHeader(b []byte, limit int) (Header, int, error) {
	if len(b) == 0 {
		return Header{}, 0, nil
	}
	flags := Flags(b[0])
	switch {
	case flags&reserved != 0:
		return Header{}, 0, frameError("reserved bits are set: " + hexByte(byte(flags)))
	case flags&Command != 0 && flags&More != 0:
		return Header{}, 0, frameError("a command says that more follows: " + hexByte(byte(flags)))
	}
	n := ShortHeader
	if flags&Long != 0 {
		n = LongHeader
	}
	if len(b) < n {
		return Header{}, 0, nil
	}
	size := uint64(b[1])
	if flags&Long != 0 {
		size = binary.BigEndian.Uint64(b[1:])
		if size > math.MaxInt64 {
			return Header{}, 0, frameError("a size of " + strconv.FormatUint(size, 10) + ", and the largest is 2^63-1")
		}
	}
	if size > uint64(max(limit, 0)) {
		return Header{}, 0, &SizeError{Size: size, Limit: limit}
	}
	return Header{Flags: flags &^ Long, Size: int(size)}, n, nil
}

func frameError(reason string) error { return &ParseError{"frame", reason} }
