package majordomo

import (
	"math/bits"
	"time"
)

const (
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 6
	wheelDue    = wheelLevels
	// wheelSpan is how far ahead a timer can be put, two years: one slot of the
	// top level less than it has, so that a slot never means two turns.
	wheelSpan = (wheelSlots - 1) << (wheelBits * (wheelLevels - 1))
)

// wheel is a hierarchical timing wheel with a tick of one millisecond. Setting
// and stopping a timer take constant time whatever the number of timers; a
// timer moves down at most wheelLevels-1 times before it fires. A timer never
// fires early, and at most a tick late.
type wheel struct {
	elapsed  int64 // the tick up to which timers have fired
	occupied [wheelLevels]uint64
	slots    [wheelLevels][wheelSlots]roll[timer]
	due      roll[timer]
	n        int
	spares   spares[timer] // of the slots: few of them have timers at a time
}

// timer is embedded in what it wakes; kind and owner say what that is.
type timer struct {
	place place[timer]
	when  int64
	level uint8
	slot  uint8
	kind  timerKind
	owner any
}

func (t *timer) pending() bool { return t.place.linked() }

// due is when t was to fire when it was set last, rounded up to a tick.
func (t *timer) due() time.Duration { return time.Duration(t.when) * time.Millisecond }

// tick converts a time since the engine's start to a tick, rounding up.
func tick(at time.Duration) int64 {
	return int64((at + time.Millisecond - 1) / time.Millisecond)
}

// set arms t to fire at or after at, replacing an earlier setting.
func (w *wheel) set(t *timer, at time.Duration) {
	when := tick(at)
	if t.pending() {
		if t.when == when && t.level != wheelDue {
			return
		}
		w.stop(t)
	}
	t.when = when
	w.n++
	w.insert(t)
}

func (w *wheel) insert(t *timer) {
	// A timer beyond the span fires early: owners look at the clock again.
	when := min(max(t.when, w.elapsed), w.elapsed+wheelSpan)
	level := (63 - bits.LeadingZeros64(uint64(when^w.elapsed)|(wheelSlots-1))) / wheelBits
	if level >= wheelLevels {
		level = wheelLevels - 1
	}
	slot := (when >> (level * wheelBits)) & (wheelSlots - 1)
	t.level, t.slot = uint8(level), uint8(slot)
	at := &w.slots[level][slot]
	at.spares = &w.spares
	at.pushBack(&t.place, t)
	w.occupied[level] |= 1 << slot
}

func (w *wheel) stop(t *timer) {
	if !t.pending() {
		return
	}
	t.place.unlink()
	w.n--
	if t.level != wheelDue && w.slots[t.level][t.slot].n == 0 {
		w.occupied[t.level] &^= 1 << t.slot
	}
}

// next returns the earliest occupied slot and the tick at which it starts.
func (w *wheel) next() (level, slot int, when int64, ok bool) {
	for level = range wheelLevels {
		occupied := w.occupied[level]
		if occupied == 0 {
			continue
		}
		shift := level * wheelBits
		at := int(w.elapsed>>shift) & (wheelSlots - 1)
		slot = (bits.TrailingZeros64(bits.RotateLeft64(occupied, -at)) + at) & (wheelSlots - 1)
		turn := int64(1) << (shift + wheelBits)
		when = w.elapsed&^(turn-1) + int64(slot)<<shift
		if slot < at {
			when += turn // only the top level wraps
		}
		return level, slot, max(when, w.elapsed), true
	}
	return 0, 0, 0, false
}

// pop returns a timer that is due at now, no longer armed, or nil.
func (w *wheel) pop(now time.Duration) *timer {
	nowTick := int64(now / time.Millisecond)
	for {
		if t := w.due.front(); t != nil {
			t.place.unlink()
			w.n--
			return t
		}
		level, slot, when, ok := w.next()
		if !ok || when > nowTick {
			w.elapsed = max(w.elapsed, nowTick)
			return nil
		}
		w.elapsed = when
		from := &w.slots[level][slot]
		w.occupied[level] &^= 1 << slot
		for t := from.front(); t != nil; t = from.front() {
			t.place.unlink()
			if level == 0 {
				t.level = wheelDue
				w.due.pushBack(&t.place, t)
			} else {
				w.insert(t)
			}
		}
	}
}

// wake returns when pop has to be called next; ok is false where no timer is
// armed. It may be early, when timers only have to move down.
func (w *wheel) wake() (at time.Duration, ok bool) {
	if w.due.n > 0 {
		return time.Duration(w.elapsed) * time.Millisecond, true
	}
	_, _, when, ok := w.next()
	return time.Duration(when) * time.Millisecond, ok
}
