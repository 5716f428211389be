package meshtest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mdpmesh/mesh"
)

// Observed is an event of one of the mesh's brokers.
type Observed struct {
	mesh.Event
	// Broker is the broker's name.
	Broker string
	// At is when, since the mesh was made.
	At time.Duration

	index int // in the record, from 1
}

// String returns the event as one line of text.
func (o Observed) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no. %d, %v, %s: %v", o.index, o.At, o.Broker, o.Kind)
	if o.Request > 0 {
		fmt.Fprintf(&b, " request %d of %s", o.Request, o.Caller)
	}
	if o.Method != nil {
		fmt.Fprintf(&b, " %s", o.Method)
	} else {
		fmt.Fprintf(&b, " %s", o.Service)
	}
	if o.Instance != "" {
		fmt.Fprintf(&b, " at %s", o.Instance)
	}
	if o.Attempt > 1 {
		fmt.Fprintf(&b, " (attempt %d)", o.Attempt)
	}
	if o.Code != 0 {
		fmt.Fprintf(&b, ", %v", o.Code)
	}
	if o.Reason != "" {
		fmt.Fprintf(&b, ": %s", o.Reason)
	}
	return b.String()
}

// Pattern says which events are meant: those for which everything holds that it
// says. Its methods return another pattern that says one thing more.
type Pattern struct {
	kinds []mesh.EventKind
	after int
	nth   int
	conds []condition
}

// condition is one thing that a pattern says.
type condition struct {
	text  string
	holds func(Observed) bool
}

// Event returns the pattern of events of any of the kinds, or where there are
// none, of all.
func Event(kinds ...mesh.EventKind) Pattern { return Pattern{kinds: kinds} }

// Broker means events of the broker with that name.
func (p Pattern) Broker(name string) Pattern {
	return p.Where("of "+name, func(o Observed) bool { return o.Broker == name })
}

// Service means events of the service with that name and its requests.
func (p Pattern) Service(name string) Pattern {
	return p.Where("of service "+name, func(o Observed) bool { return o.Service == name })
}

// Method means events of requests that call the method with that full name.
func (p Pattern) Method(name string) Pattern {
	return p.Where("of method "+name, func(o Observed) bool { return string(o.Method) == name })
}

// Worker means events of the worker with that name, and of requests that it has.
func (p Pattern) Worker(name string) Pattern {
	return p.Where("at "+name, func(o Observed) bool { return o.Instance == name })
}

// Caller means events of requests of the client with that name.
func (p Pattern) Caller(name string) Pattern {
	return p.Where("of "+name, func(o Observed) bool { return o.Caller == name })
}

// Code means events of requests that ended with an error of that code.
func (p Pattern) Code(code mesh.Code) Pattern {
	return p.Where(fmt.Sprintf("with code %v", code), func(o Observed) bool { return o.Code == code })
}

// Of means events of the request that another event is of.
func (p Pattern) Of(other Observed) Pattern {
	return p.Where(fmt.Sprintf("of request %d at %s", other.Request, other.Broker), func(o Observed) bool {
		return o.Request == other.Request && o.Broker == other.Broker && o.Request > 0
	})
}

// After means events that came after another one.
func (p Pattern) After(other Observed) Pattern {
	p.after = max(p.after, other.index)
	return p
}

// Nth makes [Mesh.Wait] wait for the nth of the events, from 1.
func (p Pattern) Nth(n int) Pattern {
	p.nth = n
	return p
}

// Where means events for which the function returns true; text says so in the
// message of a test that failed.
func (p Pattern) Where(text string, holds func(Observed) bool) Pattern {
	p.conds = append(slices.Clip(p.conds), condition{text, holds})
	return p
}

// String returns what the pattern says, as text.
func (p Pattern) String() string {
	var b strings.Builder
	if p.nth > 1 {
		fmt.Fprintf(&b, "no. %d of ", p.nth)
	}
	b.WriteString("event")
	for i, k := range p.kinds {
		if i > 0 {
			b.WriteString(" or")
		}
		fmt.Fprintf(&b, " %q", k)
	}
	for _, c := range p.conds {
		b.WriteString(", " + c.text)
	}
	if p.after > 0 {
		fmt.Fprintf(&b, ", after no. %d", p.after)
	}
	return b.String()
}

func (p Pattern) matches(o Observed) bool {
	if o.index <= p.after || len(p.kinds) > 0 && !slices.Contains(p.kinds, o.Kind) {
		return false
	}
	for _, c := range p.conds {
		if !c.holds(o) {
			return false
		}
	}
	return true
}

// Wait returns the first event that the pattern means, also if it came before, and
// waits for it at most as long as the mesh's patience lasts. Then the test fails.
// To wait for what comes next, say after which event: [Pattern.After].
func (m *Mesh) Wait(p Pattern) Observed {
	m.t.Helper()
	patient, cancel := m.patient()
	defer cancel()
	for from, left := 0, max(p.nth, 1); ; {
		more, changed := m.events.since(from)
		from += len(more)
		for _, o := range more {
			if p.matches(o) {
				if left--; left == 0 {
					return o
				}
			}
		}
		select {
		case <-changed:
		case <-patient.Done():
			m.t.Fatalf("meshtest: no %v came within %v; %s", p, m.cfg.Patience, m.events.tail(shownEvents))
		}
	}
}

// shownEvents is how many events the message of a Wait in vain shows.
const shownEvents = 20

// Events returns all events so far that the pattern means.
func (m *Mesh) Events(p Pattern) []Observed {
	var found []Observed
	all, _ := m.events.since(0)
	for _, o := range all {
		if p.matches(o) {
			found = append(found, o)
		}
	}
	return found
}

// eventLog keeps all events of all brokers.
type eventLog struct {
	mu      sync.Mutex // guards what follows
	all     []Observed // only appended to
	changed chan struct{}
}

func newEventLog() *eventLog { return &eventLog{changed: make(chan struct{})} }

func (l *eventLog) add(broker string, start time.Time, batch []mesh.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range batch {
		l.all = append(l.all, Observed{Event: e, Broker: broker, At: e.Time.Sub(start), index: len(l.all) + 1})
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// since returns the events without the first n, and a channel that is closed when
// there are more.
func (l *eventLog) since(n int) (events []Observed, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[n:len(l.all):len(l.all)], l.changed
}

// tail returns the last n events as text.
func (l *eventLog) tail(n int) string {
	all, _ := l.since(0)
	if len(all) == 0 {
		return "there were no events"
	}
	var b strings.Builder
	shown := all[max(len(all)-n, 0):]
	fmt.Fprintf(&b, "the last %d of %d events:", len(shown), len(all))
	for _, o := range shown {
		fmt.Fprintf(&b, "\n  %v", o)
	}
	return b.String()
}
