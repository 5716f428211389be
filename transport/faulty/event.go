package faulty

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mdpmesh/mesh/transport"
)

// Kind says what happened.
type Kind uint8

// The kinds of events.
const (
	// Dialled: a link was made, or not: then Err is set.
	Dialled Kind = iota
	// Passed: a message went on, to the transport below or to the dialler.
	Passed
	// Dropped: a message met Faults.Drop.
	Dropped
	// Duplicated: a message will go on twice.
	Duplicated
	// Reordered: a message waits to be overtaken by the next one.
	Reordered
	// Delayed: a message is held back for Delay.
	Delayed
	// Held: a message waits for a partition to heal.
	Held
	// Lost: a message was sent into a partition or to an end that crashed.
	Lost
	// Refused: the transport below didn't take a message; Err says why.
	Refused
	// Closed: the end From closed the link; Err is the reason that the dialler
	// is given.
	Closed
	// Crashed: the end From crashed.
	Crashed
	// Parted: a partition began that keeps To from hearing From. One that goes
	// both ways is two events.
	Parted
	// Healed: it ended.
	Healed
)

var kinds = [...]string{
	Dialled:    "dialled",
	Passed:     "passed",
	Dropped:    "dropped",
	Duplicated: "duplicated",
	Reordered:  "reordered",
	Delayed:    "delayed",
	Held:       "held",
	Lost:       "lost",
	Refused:    "refused",
	Closed:     "closed",
	Crashed:    "crashed",
	Parted:     "parted",
	Healed:     "healed",
}

// String returns the kind as a word.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Event is something that happened to a message or a link.
type Event struct {
	// At is the time since New.
	At time.Duration
	// Kind says what happened.
	Kind Kind
	// From and To are the ends: a link's name and an address, or the other way
	// round for what goes down.
	From, To string
	// Message is what it happened to; nil where it was the link. It is immutable
	// and may be kept.
	Message transport.Message
	// Delay is how long a Delayed message is held back.
	Delay time.Duration
	// Err is why, for the kinds that say so.
	Err error
}

// maxShown is how many bytes of a frame String shows.
const maxShown = 32

// String returns the event as one line of text, such as
//
//	1.5s worker#1 > inproc://tea passed "" "MDPW02" 01 "tea"
//
// Frames that are printable ASCII are quoted, others are in hexadecimal.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s > %s %v", e.At, e.From, e.To, e.Kind)
	if e.Kind == Delayed {
		fmt.Fprintf(&b, " %v", e.Delay)
	}
	for _, f := range e.Message {
		b.WriteByte(' ')
		writeFrame(&b, f)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func writeFrame(b *strings.Builder, frame []byte) {
	shown := frame[:min(len(frame), maxShown)]
	if printable(shown) {
		b.WriteString(strconv.Quote(string(shown)))
	} else {
		fmt.Fprintf(b, "%x", shown)
	}
	if len(frame) > maxShown {
		fmt.Fprintf(b, "…(%d bytes)", len(frame))
	}
}

func printable(frame []byte) bool {
	for _, c := range frame {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
