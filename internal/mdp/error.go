package mdp

import "strconv"

// ParseError says why a message is no command that its receiver could get. It
// holds nothing of the message but a command byte or a short header, so it is
// safe to log.
type ParseError struct {
	// Frame is the index of the frame that is wrong, counted from 0 as a DEALER
	// socket receives them. For a missing frame it is the number of frames that
	// are there, and -1 for a message without frames.
	Frame int
	// Reason says what is wrong with it, and what to do where that is known.
	Reason string
}

// Error returns the error in the form "mdp: frame 2: unknown command 0x09".
func (e *ParseError) Error() string {
	if e.Frame < 0 {
		return "mdp: message: " + e.Reason
	}
	return "mdp: frame " + strconv.Itoa(e.Frame) + ": " + e.Reason
}

var _ error = (*ParseError)(nil)
