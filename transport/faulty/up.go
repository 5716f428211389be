package faulty

import (
	"errors"
	"sync"
	"time"

	"github.com/mdpmesh/mesh/transport"
)

// up is the direction from the dialler to the listener. It holds back before
// the transport below.
type up struct {
	inner transport.Conn
	// deaf reports that the dialler can't hear from the listener.
	deaf func() bool
	// closed is called after inner was closed.
	closed func()

	mu       sync.Mutex // guards the fields below; held over inner.Send, which runs nothing
	schedule schedule
	err      error // why nothing more is sent; nil while the link lives
	flush    bool  // inner has messages that were flushed here but not there
	closing  bool  // inner is to be closed once held is empty
	timer    *time.Timer
}

func (u *up) send(m transport.Message) error {
	if len(m) == 0 {
		return transport.ErrEmpty
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return u.err
	}
	copies, err := u.schedule.admit(time.Now(), m)
	for range copies {
		if err := u.pass(m); err != nil {
			return err
		}
	}
	return err
}

// pass gives m to the transport below. The caller holds mu.
func (u *up) pass(m transport.Message) error {
	err := u.inner.Send(m)
	switch {
	case err == nil:
		u.schedule.trace(Passed, m, 0, nil)
	case u.deaf() && !livesOn(err):
		// The other end is gone, but the news doesn't get through.
		u.schedule.trace(Lost, m, 0, nil)
		err = nil
	default:
		u.schedule.trace(Refused, m, 0, err)
	}
	return err
}

// livesOn reports whether a connection lives on after its Send returned err.
func livesOn(err error) bool {
	return errors.Is(err, transport.ErrFull) || errors.Is(err, transport.ErrTooLarge) || errors.Is(err, transport.ErrEmpty)
}

func (u *up) flushAll() {
	u.mu.Lock()
	if u.err != nil {
		u.mu.Unlock()
		return
	}
	u.schedule.flushed = len(u.schedule.held)
	u.flush = true
	u.mu.Unlock()
	u.run()
}

// run sends what is due.
func (u *up) run() {
	u.mu.Lock()
	now := time.Now()
	for u.schedule.ready(now) {
		_ = u.pass(u.schedule.pop()) // its sender has gone on; the trace has it
		u.flush = true
	}
	flush := u.flush && !u.schedule.parted
	if flush {
		u.flush = false
	}
	finished := u.closing && len(u.schedule.held) == 0 && !u.schedule.parted
	if finished {
		u.closing = false
	}
	u.stopTimer()
	if wait, ok := u.schedule.wait(now); ok {
		u.timer = time.AfterFunc(wait, u.run)
	}
	u.mu.Unlock()
	if flush {
		u.inner.Flush()
	}
	if finished {
		_ = u.inner.Close()
		u.closed()
	}
}

// part begins or ends a partition; after its end run has to be called.
func (u *up) part(parted, lossy bool) {
	u.mu.Lock()
	u.schedule.part(parted, lossy)
	u.mu.Unlock()
}

func (u *up) setFaults(f Faults) {
	u.mu.Lock()
	u.schedule.faults = f
	u.mu.Unlock()
}

// finish ends the direction once what was flushed has left. It runs no receiver:
// where something is left to flush, a timer, the goroutine in flushAll or the
// one that heals the partition calls run.
func (u *up) finish(err error) {
	u.mu.Lock()
	u.err, u.closing = err, true
	u.schedule.discard(u.schedule.flushed)
	idle := len(u.schedule.held) == 0 && !u.flush
	u.mu.Unlock()
	if idle {
		u.run()
	}
}

// vanish ends the direction at once and loses what is held. The other side hears
// of it, but not through a partition.
func (u *up) vanish(err error) {
	u.mu.Lock()
	u.err, u.closing, u.flush = err, true, false
	u.schedule.discard(0)
	u.mu.Unlock()
	u.run()
}

// abandon ends the direction at once and leaves the transport below as it is.
func (u *up) abandon(err error) {
	u.mu.Lock()
	u.err, u.closing, u.flush = err, false, false
	u.schedule.discard(0)
	u.stopTimer()
	u.mu.Unlock()
}

// stopTimer stops the timer. The caller holds mu.
func (u *up) stopTimer() {
	if u.timer != nil {
		u.timer.Stop()
		u.timer = nil
	}
}
