package majordomo

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// clientBroker is a broker by one of the endpoints at which brokers are said to be,
// with the connection to it.
//
//	spare ─► resting ─► connected ─► resting: the connection ended
//	  ▲         │
//	  └─────────┘ another one may be dialled now, and there are more than places
//
// Of the brokers that are known, as many as there are places are dialled. Each is
// dialled again on its own, after a wait that is random below a ceiling which
// doubles with every failure in a row; a connection that ends before it has served for
// the liveness time is one, too. A broker that discovery no longer knows keeps
// the connection that it has for as long as that works, and is forgotten then.
type clientBroker struct {
	number int
	known  bool // discovery says that it is there
	placed bool // it has one of the places: it is to be connected

	link    *clientLink // dialling, probing or serving
	timer   timer       // to dial
	redial  redial
	rests   time.Duration
	trouble error          // why it doesn't serve
	twin    brokerIdentity // who answered here, and serves by another endpoint

	pinned   list[Call]    // for a connection to the run of this broker that knows their key
	patience time.Duration // how long they wait for it
}

// learn makes the broker of that number known.
func (s *ClientSession) learn(number int) {
	b := s.known[number]
	if b == nil {
		b = &clientBroker{number: number, trouble: errNotConnected}
		b.timer.kind, b.timer.owner = clientTimerDial, b
		s.brokers = append(s.brokers, b)
		s.known[number] = b
	}
	b.known = true
}

// found takes the brokers that there are from now on, and what keeps others from being
// found.
func (s *ClientSession) found(ev *ClientEvent) {
	if s.closed {
		return
	}
	s.finding = ev.Err
	if ev.Err != nil && ev.Brokers == nil {
		return
	}
	for _, b := range s.brokers {
		b.known = false
	}
	for _, n := range ev.Brokers {
		s.learn(n)
	}
	for _, b := range slices.Clone(s.brokers) {
		if !b.known {
			s.disown(b)
		}
	}
	s.fill()
}

// disown deals with a broker that discovery doesn't know any more.
func (s *ClientSession) disown(b *clientBroker) {
	s.vacate(b)
	switch l := b.link; {
	case l == nil:
		s.forget(b)
	case l.state == linkDialing:
		s.drop(l)
		s.hangup(l.conn)
		s.forget(b)
	}
}

// vacate takes b's place, if it has one, for another broker.
func (s *ClientSession) vacate(b *clientBroker) {
	if b.placed {
		b.placed = false
		s.placed--
		s.wheel.stop(&b.timer)
	}
}

// place gives b a place: it is dialled when it has rested.
func (s *ClientSession) place(b *clientBroker) {
	b.placed = true
	s.placed++
	if b.link == nil {
		s.wheel.set(&b.timer, b.rests)
	}
}

// fill gives places that are free to brokers that have none, drawn at random where
// there are more of them.
func (s *ClientSession) fill() {
	for s.placed < s.cfg.MaxBrokers {
		b := s.spare(func(b *clientBroker) bool { return b.link != nil || b.rests <= s.now })
		if b == nil {
			b = s.spare(func(*clientBroker) bool { return true })
		}
		if b == nil {
			return
		}
		s.place(b)
	}
}

// spare returns a known broker without a place that is suitable, or nil.
func (s *ClientSession) spare(suitable func(*clientBroker) bool) *clientBroker {
	n := 0
	for _, b := range s.brokers {
		if b.known && !b.placed && suitable(b) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	at := 0
	if n > s.cfg.MaxBrokers-s.placed {
		at = int(s.cfg.Random() % uint64(n))
	}
	for _, b := range s.brokers {
		if b.known && !b.placed && suitable(b) {
			if at == 0 {
				return b
			}
			at--
		}
	}
	return nil // not reached: at is below n
}

// forget takes b out of the session's books.
func (s *ClientSession) forget(b *clientBroker) {
	s.vacate(b)
	s.strand(b)
	delete(s.known, b.number)
	if i := slices.Index(s.brokers, b); i >= 0 {
		s.brokers = slices.Delete(s.brokers, i, i+1)
	}
}

// failed is told of a broker that was dialled in vain, lost its connection, or takes
// nothing new. It is dialled again after a wait.
func (s *ClientSession) failed(b *clientBroker, why error) {
	s.rest(b, b.redial.failed(s.cfg.RedialMin, s.cfg.RedialMax, s.cfg.Random), why)
}

// rest has b, which has no connection now, wait until it may be dialled.
func (s *ClientSession) rest(b *clientBroker, wait time.Duration, why error) {
	if why == nil {
		why = errUnexplained
	}
	b.trouble, b.rests = why, s.now+wait
	switch {
	case !b.known:
		s.forget(b)
	case !b.placed:
	case b.pinned.n == 0 && s.yield(b):
	default:
		s.wheel.set(&b.timer, b.rests)
	}
}

// yield gives b's place to a broker that may be dialled now, if there is one, so that
// brokers that don't answer keep nobody from those that would.
func (s *ClientSession) yield(b *clientBroker) bool {
	other := s.spare(func(other *clientBroker) bool { return other != b && (other.link != nil || other.rests <= s.now) })
	if other == nil {
		return false
	}
	s.vacate(b)
	s.place(other)
	if other.link == nil {
		s.dial(other)
	}
	return true
}

// strand ends the keyed calls that wait for the run of b that knew them.
func (s *ClientSession) strand(b *clientBroker) {
	for c := b.pinned.front(); c != nil; c = b.pinned.front() {
		s.fail(c, homeless())
	}
}

// untwin has those endpoints dialled at once at which a broker answered that was
// connected by another one, whose connection ended now.
func (s *ClientSession) untwin(gone brokerIdentity) {
	if s.closed || !gone.known() {
		return
	}
	for _, b := range s.brokers {
		if b.twin != gone || b.link != nil {
			continue
		}
		b.twin, b.rests = brokerIdentity{}, s.now
		if b.placed {
			s.dial(b)
		}
	}
}

// Bounds of what a failure says about brokers.
const (
	maxTold     = 8   // brokers
	maxToldText = 160 // bytes of what each of them said
)

// nobodyServesError is why no call can be sent: which brokers were tried, and what came
// of it.
type nobodyServesError struct {
	text   string
	causes []error
}

func (e *nobodyServesError) Error() string   { return e.text }
func (e *nobodyServesError) Unwrap() []error { return e.causes }

// nobody returns why no call can be sent now, or nil where one can.
func (s *ClientSession) nobody() error {
	if len(s.serving) > 0 {
		return nil
	}
	e := &nobodyServesError{}
	var text strings.Builder
	text.WriteString("no broker serves")
	if len(s.brokers) == 0 {
		text.WriteString(": none is known")
	}
	for i, b := range s.brokers {
		if i == maxTold {
			text.WriteString("; and " + strconv.Itoa(len(s.brokers)-maxTold) + " more")
			break
		}
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		text.WriteString(sep + s.address(b) + ": " + shortened(b.trouble))
		e.causes = append(e.causes, b.trouble)
	}
	if s.finding != nil {
		text.WriteString("; brokers can't be found: " + shortened(s.finding))
		e.causes = append(e.causes, s.finding)
	}
	e.text = text.String()
	return e
}

// address is what texts call b.
func (s *ClientSession) address(b *clientBroker) string {
	if s.cfg.Address == nil {
		return "broker " + strconv.Itoa(b.number)
	}
	return s.cfg.Address(b.number)
}

// shortened returns the first bytes of what an error says.
func shortened(err error) string {
	text := strings.TrimPrefix(err.Error(), "majordomo: ")
	if len(text) <= maxToldText {
		return text
	}
	end := maxToldText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// errUnexplained is what a driver said that gave no reason.
var errUnexplained = errors.New("majordomo: the connection ended")
