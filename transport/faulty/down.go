package faulty

import (
	"sync"
	"time"

	"github.com/mdpmesh/mesh/transport"
)

// down is the direction from the listener to the dialler. It holds back behind
// the transport below.
type down struct {
	// full is called where more is held than may be.
	full func()

	mu       sync.Mutex // guards the fields below; never held while a receiver runs
	schedule schedule
	arrived  []transport.Message       // may be handed over, before what schedule holds
	receive  func([]transport.Message) // nil: nobody reads
	running  bool                      // a goroutine is handing over
	idle     *sync.Cond                // on mu: running became false
	changed  chan struct{}             // holds one item after something left
	timer    *time.Timer
}

// take is the receiver of the transport below.
func (d *down) take(batch []transport.Message) {
	d.mu.Lock()
	now := time.Now()
	var err error
	for _, m := range batch {
		var copies int
		if copies, err = d.schedule.admit(now, m); err != nil {
			break
		}
		for range copies {
			d.arrived = append(d.arrived, m)
		}
	}
	d.schedule.flushed = len(d.schedule.held)
	d.mu.Unlock()
	if err != nil {
		d.full()
		return
	}
	d.run()
}

// run hands over what is due unless another goroutine is doing that, which then
// picks it up.
func (d *down) run() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running {
		return
	}
	d.running = true
	for d.receive != nil {
		now := time.Now()
		for d.schedule.ready(now) {
			d.arrived = append(d.arrived, d.schedule.pop())
		}
		if len(d.arrived) == 0 {
			d.setTimer(now)
			break
		}
		batch, receive := d.arrived, d.receive
		d.arrived = nil
		for _, m := range batch {
			d.schedule.trace(Passed, m, 0, nil)
		}
		d.mu.Unlock()
		receive(batch)
		d.mu.Lock()
	}
	d.running = false
	d.idle.Broadcast()
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// setTimer sets the timer for the next message. The caller holds mu.
func (d *down) setTimer(now time.Time) {
	d.stopTimer()
	if wait, ok := d.schedule.wait(now); ok {
		d.timer = time.AfterFunc(wait, d.run)
	}
}

// stopTimer stops the timer. The caller holds mu.
func (d *down) stopTimer() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// open sets who reads.
func (d *down) open(receive func([]transport.Message)) {
	d.mu.Lock()
	d.receive = receive
	d.mu.Unlock()
}

// detach takes the receiver away and returns once it isn't running any more.
func (d *down) detach() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.receive = nil
	d.stopTimer()
	for d.running {
		d.idle.Wait()
	}
}

// part begins or ends a partition; after its end run has to be called.
func (d *down) part(parted, lossy bool) {
	d.mu.Lock()
	d.schedule.part(parted, lossy)
	d.mu.Unlock()
}

func (d *down) setFaults(f Faults) {
	d.mu.Lock()
	d.schedule.faults = f
	d.mu.Unlock()
}

// parted reports whether nothing comes through.
func (d *down) parted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.schedule.parted
}

// drained reports whether everything was handed over and news gets through.
func (d *down) drained() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.schedule.parted && len(d.schedule.held) == 0 && len(d.arrived) == 0
}

// abandon drops what wasn't handed over.
func (d *down) abandon() {
	d.mu.Lock()
	d.schedule.discard(0)
	d.arrived = nil
	d.mu.Unlock()
}
