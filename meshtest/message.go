package meshtest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/faulty"
)

// messageLog keeps the last messages between the ends, and what happened to them
// and to the connections.
type messageLog struct {
	limit int

	mu   sync.Mutex // guards what follows
	last []faulty.Event
	next int // where in last the next one goes, once limit are there
	n    int // all that there were
}

func (l *messageLog) add(e faulty.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	if len(l.last) < l.limit {
		l.last = append(l.last, e)
		return
	}
	l.last[l.next] = e
	l.next = (l.next + 1) % l.limit
}

// lines returns at most the last n entries as text, oldest first, and how many
// there were before them.
func (l *messageLog) lines(n int) (lines []string, before int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = min(n, len(l.last))
	for i := range n {
		e := l.last[(l.next+len(l.last)-n+i)%len(l.last)]
		lines = append(lines, describe(e))
	}
	return lines, l.n - n
}

// describe returns an entry as one line:
//
//	7.5s client-1#1 > broker-1: client request tea.brew id 4097 attempt 1, 152 bytes {"jsonrpc":"2.0",…
func describe(e faulty.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s > %s:", e.At.Round(time.Microsecond), strings.TrimPrefix(e.From, scheme), strings.TrimPrefix(e.To, scheme))
	if e.Kind != faulty.Passed {
		fmt.Fprintf(&b, " %v", e.Kind)
	}
	if e.Kind == faulty.Delayed {
		fmt.Fprintf(&b, " for %v", e.Delay)
	}
	if e.Message != nil {
		describeMessage(&b, e.Message, strings.HasPrefix(e.To, scheme))
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// describeMessage writes what a message says, to a broker or from one.
func describeMessage(b *strings.Builder, m transport.Message, toBroker bool) {
	parse := mdp.ParseWorker // it takes what clients do, too
	if toBroker {
		parse = mdp.ParseBroker
	}
	c, err := parse(m)
	if err != nil {
		fmt.Fprintf(b, " %v, %d frames, %d bytes", err, len(m), m.Size())
		return
	}
	fmt.Fprintf(b, " %v", c.Kind)
	if c.Version != mdp.V02 {
		fmt.Fprintf(b, " (%v)", c.Version)
	}
	var env jsonrpc.Envelope
	if len(c.Body) == 1 {
		jsonrpc.Scan(c.Body[0], &env)
	}
	if env.Method != nil {
		fmt.Fprintf(b, " %s", env.Method)
	} else if c.Service != nil {
		fmt.Fprintf(b, " %s", c.Service)
	}
	if env.ID != nil {
		fmt.Fprintf(b, " id %s", env.ID)
	}
	describeAddress(b, c.Address)
	if c.Body != nil {
		fmt.Fprintf(b, ", %d bytes", m.Size())
		describeBody(b, c.Body)
	}
}

// describeAddress writes what the address frame says of a request.
func describeAddress(b *strings.Builder, address []byte) {
	if address == nil {
		return
	}
	a, err := mdp.ParseAddress(address)
	if err != nil {
		fmt.Fprintf(b, " for %s", shorten(address))
		return
	}
	fmt.Fprintf(b, " token %x", a.Token)
	if a.Remaining != mdp.NoDeadline {
		fmt.Fprintf(b, " within %v", time.Duration(a.Remaining)*time.Millisecond)
	}
	if a.Attempt > 1 {
		fmt.Fprintf(b, " attempt %d", a.Attempt)
	}
}

func describeBody(b *strings.Builder, body [][]byte) {
	for _, frame := range body {
		b.WriteByte(' ')
		b.WriteString(shorten(frame))
	}
}

// maxShown is how many bytes of a frame are shown.
const maxShown = 160

// shorten returns the begin of a frame as printable text on one line.
func shorten(frame []byte) string {
	shown, rest := frame, ""
	if len(frame) > maxShown {
		shown, rest = bytes.ToValidUTF8(frame[:maxShown], nil), fmt.Sprintf("…(%d bytes)", len(frame))
	}
	switch {
	case len(frame) == 0:
		return `""`
	case !utf8.Valid(frame), bytes.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }):
		return strconv.Quote(string(shown)) + rest
	}
	return string(shown) + rest
}
