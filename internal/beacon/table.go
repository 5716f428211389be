package beacon

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// Verdict is what a datagram was taken for.
type Verdict int

// The verdicts. Those from Oversized on are refusals, which change nothing.
const (
	Accepted     Verdict = iota // a broker is there, or leaves
	Probed                      // somebody tries the network
	Oversized                   // longer than MaxSize
	Malformed                   // no beacon
	OtherVersion                // of another version of the format
	Foreign                     // of another cluster
	WrongMAC                    // no MAC, or none of our keys made it
	Unpinned                    // the server key isn't one of ours
	Misdirected                 // to another group or address, or no endpoint can be dialled on this path
	Replayed                    // older than what is known, or the same
	Expired                     // sent too long ago, by our clock
	Early                       // sent in the future, by our clock
	Crowded                     // a further broker, and the table is full
	Verdicts                    // how many there are
)

var verdictTexts = [Verdicts]string{
	"accepted", "probe", "oversized", "malformed", "other version", "foreign cluster", "wrong MAC", "key not pinned", "misdirected",
	"replayed", "expired", "early", "too many brokers",
}

// String returns the verdict as logs and listings have it.
func (v Verdict) String() string { return verdictTexts[v] }

// Rules say what a receiver believes. The zero value of a member that has a default
// isn't one: whoever makes the rules puts it in.
type Rules struct {
	Cluster    string
	Keys       [][]byte      // that may have made the MAC; none: it isn't looked at
	Pins       []Key         // server keys; none: any, or none at all
	Window     time.Duration // how far the clocks of an unknown broker and of the receiver may be apart
	MaxBrokers int           // known at a time, those included that are gone and could be replayed
}

// Table is what was heard: the brokers that are there, and what is needed to know a
// replay. It has no clock of its own. It isn't safe for use by several goroutines.
//
// A beacon of a run that is known counts where its sequence has grown. One of a run
// that isn't, or that is gone, must have been sent within the window, and have
// started after the one that is known. Who is gone is remembered until nothing that
// it sent could pass the window any more. So a replay can bring back a broker only at
// a receiver that hasn't heard it yet (since it started), and for the window at most.
type Table struct {
	rules   Rules
	brokers map[string]*broker
}

// broker is one that was heard.
type broker struct {
	last    Beacon // newest that counted
	heard   time.Time
	ways    map[Path]way
	gone    bool // left, or out of time
	forget  time.Time
	current Path // the way that is told, as long as it is one
}

// way is a path on which a broker is heard.
type way struct {
	sequence uint64
	until    time.Time
	endpoint string
}

// Broker is a broker that is there.
type Broker struct {
	ID        string
	Addr      string // where to dial it
	ServerKey string // its public CURVE key in Z85; empty: none
	Last      Beacon // newest that was heard
	Heard     time.Time
	Paths     []Path // on which it is heard, the one that Addr is of first
}

// NewTable returns a table that knows nobody.
func NewTable(rules Rules) *Table { return &Table{rules: rules, brokers: make(map[string]*broker)} }

// Hear takes a datagram that came on a path. It returns what the datagram was taken
// for, what it said as far as it could be read, and whether Brokers has changed.
func (t *Table) Hear(now time.Time, on Path, datagram []byte) (v Verdict, said Beacon, changed bool) {
	b, err := Decode(datagram)
	switch {
	case errors.Is(err, ErrTooLarge):
		return Oversized, b, false
	case errors.Is(err, ErrVersion):
		return OtherVersion, b, false
	case err != nil:
		return Malformed, b, false
	case b.Cluster != t.rules.Cluster:
		return Foreign, b, false
	case len(t.rules.Keys) > 0 && !t.signed(&b, datagram):
		return WrongMAC, b, false
	case b.Probe:
		return Probed, b, false
	case len(t.rules.Pins) > 0 && !slices.Contains(t.rules.Pins, b.ServerKey):
		return Unpinned, b, false
	}
	known := t.brokers[b.Broker]
	if v := t.judge(now, on, known, &b); v != Accepted {
		return v, b, false
	}
	if b.Leaving {
		changed = t.leave(now, known, &b)
		return Accepted, b, changed
	}
	endpoint := usable(b.Endpoints, on)
	switch {
	case endpoint == "":
		return Misdirected, b, false
	case known == nil && len(t.brokers) >= t.rules.MaxBrokers:
		return Crowded, b, false
	}
	changed = t.take(now, on, known, &b, endpoint)
	return Accepted, b, changed
}

func (t *Table) signed(b *Beacon, datagram []byte) bool {
	return b.Signed && slices.ContainsFunc(t.rules.Keys, func(key []byte) bool { return Verify(datagram, key) })
}

// judge tells a beacon that is new from one that was there before.
func (t *Table) judge(now time.Time, on Path, known *broker, b *Beacon) Verdict {
	if known != nil {
		same := b.Incarnation == known.last.Incarnation
		newest := known.last.Sequence
		switch {
		case !same && !b.Started.After(known.last.Started):
			return Replayed
		case same && b.Leaving && known.gone && b.Sequence == newest:
			return Accepted // it left on another path
		case same && (b.Sequence < newest || b.Sequence == newest && known.gone || b.Sequence <= known.ways[on].sequence):
			return Replayed
		case same && !known.gone:
			return Accepted // whatever became of the clocks meanwhile
		}
	}
	switch apart := now.Sub(b.Sent); {
	case apart > t.rules.Window:
		return Expired
	case apart < -t.rules.Window:
		return Early
	}
	return Accepted
}

// take has a beacon count.
func (t *Table) take(now time.Time, on Path, known *broker, b *Beacon, endpoint string) (changed bool) {
	if known == nil {
		known = &broker{gone: true}
		t.brokers[b.Broker] = known
	}
	if known.gone || known.last.Incarnation != b.Incarnation {
		known.ways = make(map[Path]way)
	}
	before := known.told()
	known.gone = false
	t.remember(now, known, b)
	known.ways[on] = way{b.Sequence, now.Add(b.Expiry), endpoint}
	known.choose()
	return known.told() != before
}

// leave has a broker go. One that nobody knew leaves nothing behind.
func (t *Table) leave(now time.Time, known *broker, b *Beacon) (changed bool) {
	if known == nil {
		return false
	}
	changed = !known.gone
	known.gone = true
	t.remember(now, known, b)
	return changed
}

func (t *Table) remember(now time.Time, known *broker, b *Beacon) {
	known.last, known.heard = *b, now
	// It may have been sent as late as now plus the window.
	known.forget = now.Add(2 * t.rules.Window)
}

// told is what the table tells of a broker.
type told struct {
	addr        string
	key         Key
	incarnation string
	gone        bool
}

func (k *broker) told() told {
	if k.gone {
		return told{gone: true}
	}
	return told{addr: k.ways[k.current].endpoint, key: k.last.ServerKey, incarnation: k.last.Incarnation}
}

// choose keeps the way that is told as long as there is one, so that a broker that is
// heard on several is not dialled again and again.
func (k *broker) choose() {
	if _, ok := k.ways[k.current]; ok {
		return
	}
	k.current = k.paths()[0]
}

// paths returns the ways, the current one first.
func (k *broker) paths() []Path {
	return slices.SortedFunc(maps.Keys(k.ways), func(a, b Path) int {
		return cmp.Or(truth(b == k.current)-truth(a == k.current), a.compare(b))
	})
}

// Expire drops what has lasted its time. It returns how many brokers are gone since
// their beacons stayed out, and whether Brokers has changed.
func (t *Table) Expire(now time.Time) (lapsed int, changed bool) {
	for id, k := range t.brokers {
		if k.gone {
			if now.After(k.forget) {
				delete(t.brokers, id)
			}
			continue
		}
		before := k.told()
		maps.DeleteFunc(k.ways, func(_ Path, w way) bool { return !w.until.After(now) })
		if len(k.ways) == 0 {
			k.gone = true
			lapsed++
		} else {
			k.choose()
		}
		changed = changed || k.told() != before
	}
	return lapsed, changed
}

// Next returns when Expire has something to do next; zero: never.
func (t *Table) Next() time.Time {
	var next time.Time
	soonest := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for _, k := range t.brokers {
		if k.gone {
			soonest(k.forget.Add(time.Millisecond))
			continue
		}
		for _, w := range k.ways {
			soonest(w.until)
		}
	}
	return next
}

// Brokers returns the brokers that are there, by id.
func (t *Table) Brokers() []Broker {
	var all []Broker
	for id, k := range t.brokers {
		if k.gone {
			continue
		}
		b := Broker{ID: id, Addr: k.ways[k.current].endpoint, Last: k.last, Heard: k.heard, Paths: k.paths()}
		if k.last.ServerKey != (Key{}) {
			b.ServerKey = k.last.ServerKey.String()
		}
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b Broker) int { return strings.Compare(a.ID, b.ID) })
	return all
}
