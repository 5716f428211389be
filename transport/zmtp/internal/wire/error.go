package wire

import "strconv"

// ParseError says why bytes are not what they should be. Of the bytes themselves
// it holds no more than a flag, a short name or the beginning of a greeting, and
// those quoted, so it is safe to log.
type ParseError struct {
	// What is the thing that is wrong: "greeting", "frame", "command", "metadata",
	// "ERROR", "PING", "PONG" or "socket type".
	What string
	// Reason says what is wrong with it, and what to do where that is known.
	Reason string
}

// Error returns the error in the form "zmtp: frame: reserved bits are set: 0xf8".
func (e *ParseError) Error() string { return "zmtp: " + e.What + ": " + e.Reason }

var _ error = (*ParseError)(nil)

// SizeError says that a frame is larger than the reader wants it. It is found
// before anything is allocated for the body.
type SizeError struct {
	// Size is the size of the body that the header announces.
	Size uint64
	// Limit is the largest size that was allowed.
	Limit int
}

// Error returns the error in the form "zmtp: frame: 300 bytes, at most 255 allowed".
func (e *SizeError) Error() string {
	return "zmtp: frame: " + strconv.FormatUint(e.Size, 10) + " bytes, at most " + strconv.Itoa(e.Limit) + " allowed"
}

var _ error = (*SizeError)(nil)
