package sim

import "time"

// node is a process on a machine of its own: it is up or down, runs or is stopped,
// and has a clock.
type node struct {
	w    *World
	name string
	up   bool
	dark bool // its machine is down with it
	life int  // how often it was started

	ahead   time.Duration // how much its clock has jumped
	frozen  bool          // stopped: what happens to it waits
	backlog []func()

	alarm     time.Duration // when it is woken, where alarms is the number of an alarm that is set
	alarmSet  bool
	alarms    int
	wokenFor  time.Duration // when it was woken last, and how often then
	wokenMuch int
}

// clock is the node's own time. It never goes back.
func (n *node) clock() time.Time { return epoch.Add(n.w.now + n.ahead) }

// elapsed is the node's own time since the world began.
func (n *node) elapsed() time.Duration { return n.w.now + n.ahead }

// begin starts the process.
func (n *node) begin() {
	n.up, n.dark = true, false
	n.life++
	n.alarmSet = false
	n.backlog = nil
	n.frozen = false
}

// end ends the process.
func (n *node) end() {
	n.up, n.frozen, n.alarmSet = false, false, false
	n.backlog = nil
}

// do has the process do something: at once, or when it goes on.
func (n *node) do(f func()) {
	switch {
	case !n.up:
	case n.frozen:
		n.backlog = append(n.backlog, f)
	default:
		f()
	}
}

// after has this run of the process do something later.
func (n *node) after(d time.Duration, f func()) {
	life := n.life
	n.w.after(d, func() {
		if n.life == life {
			n.do(f)
		}
	})
}

// freeze stops the process, as a debugger, a full disk or a hypervisor does.
func (n *node) freeze(d time.Duration) {
	if !n.up || n.frozen {
		return
	}
	n.w.tracef(n.name, "is stopped for %v", d)
	n.frozen = true
	life := n.life
	n.w.after(d, func() {
		if n.life == life {
			n.thaw()
		}
	})
}

// thaw lets the process go on, with all that happened meanwhile.
func (n *node) thaw() {
	if !n.frozen {
		return
	}
	n.w.tracef(n.name, "goes on")
	n.frozen = false
	life := n.life
	backlog := n.backlog
	n.backlog = nil
	for _, f := range backlog {
		if n.life == life && n.up {
			f()
		}
	}
}

// jump puts the node's clock forward, and its timers with it.
func (n *node) jump(d time.Duration, rearm func()) {
	if !n.up {
		return
	}
	n.w.tracef(n.name, "its clock jumps by %v", d)
	n.ahead += d
	n.alarmSet = false
	n.do(rearm)
}

// wakeAt has wake called at a time of the node's clock, if that is earlier than what
// is set.
func (n *node) wakeAt(next time.Time, wake func()) {
	if next.IsZero() || !n.up {
		return
	}
	at := n.w.now + max(next.Sub(n.clock()), 0)
	if n.alarmSet && n.alarm <= at {
		return
	}
	n.alarmSet, n.alarm = true, at
	n.alarms++
	alarm, life := n.alarms, n.life
	n.w.at(at, func() {
		if n.life != life || n.alarms != alarm || !n.alarmSet {
			return
		}
		n.alarmSet = false
		if n.wokenFor != n.w.now {
			n.wokenFor, n.wokenMuch = n.w.now, 0
		}
		if n.wokenMuch++; n.wokenMuch > 10_000 {
			n.w.ledger.breakf("an engine that was woken waits", "%s wants to be woken again and again", n.name)
			return
		}
		n.do(wake)
	})
}
