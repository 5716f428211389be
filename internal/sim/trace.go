package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// Trace keeps what happened last in a world, as text.
type Trace struct {
	most  int
	lines []string // a ring, once it is full
	next  int
	total int
}

// NewTrace returns a trace that keeps that many lines.
func NewTrace(most int) *Trace { return &Trace{most: most} }

func (t *Trace) add(at time.Duration, who, what string) {
	line := fmt.Sprintf("%12.6f  %-7s %s", at.Seconds(), who, what)
	t.total++
	if len(t.lines) < t.most {
		t.lines = append(t.lines, line)
		return
	}
	t.lines[t.next] = line
	t.next = (t.next + 1) % t.most
}

// Last returns the last n lines or what there is, oldest first, behind a line that
// says how many are missing.
func (t *Trace) Last(n int) string {
	all := append(append([]string(nil), t.lines[t.next:]...), t.lines[:t.next]...)
	all = all[max(len(all)-n, 0):]
	var b strings.Builder
	if missing := t.total - len(all); missing > 0 {
		fmt.Fprintf(&b, "… %d lines before …\n", missing)
	}
	for _, line := range all {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// direction says who a message is for, which decides how it is read.
type direction uint8

const (
	toBroker direction = iota
	fromBroker
	toWorker
	toClient
)

// parse reads a message.
func parse(way direction, frames [][]byte) (mdp.Command, error) {
	switch way {
	case toBroker:
		return mdp.ParseBroker(frames)
	case toClient:
		return mdp.ParseClient(frames)
	case toWorker:
		return mdp.ParseWorker(frames)
	default:
		c, err := mdp.ParseWorker(frames)
		if err != nil {
			return mdp.ParseClient(frames)
		}
		return c, nil
	}
}

// describe returns a message in words.
func describe(way direction, frames [][]byte) string {
	c, err := parse(way, frames)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v %v", c.Version, c.Kind)
	if len(c.Service) > 0 {
		fmt.Fprintf(&b, " %s", c.Service)
	}
	if len(c.Address) > 0 {
		if a, err := mdp.ParseAddress(c.Address); err == nil {
			fmt.Fprintf(&b, " token %x attempt %d", a.Token, a.Attempt)
			if a.Remaining != mdp.NoDeadline {
				fmt.Fprintf(&b, " %d ms left", a.Remaining)
			}
		} else {
			fmt.Fprintf(&b, " token %s", c.Address)
		}
	}
	const most = 160
	for _, frame := range c.Body {
		if len(frame) > most {
			fmt.Fprintf(&b, "  %s…", frame[:most])
		} else {
			fmt.Fprintf(&b, "  %s", frame)
		}
	}
	return b.String()
}

// envelope reads the body of a message.
func envelope(body [][]byte) (env jsonrpc.Envelope) {
	jsonrpc.Scan(body[len(body)-1], &env)
	return env
}
