package zmtp

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

// ErrSilent is wrapped by the reason why a connection ended on which nothing was
// heard for too long: Config.HeartbeatTimeout, or the time to live that the peer
// named in its last PING.
var ErrSilent = errors.New("zmtp: nothing was heard of the peer")

// pulse watches over a connection that is read (RFC 37, Connection Heartbeating).
// Traffic costs it one addition; it looks at the clock only when a timer fires.
type pulse struct {
	link  *link
	reads atomic.Uint64

	mu      sync.Mutex // guards what follows
	running bool
	beat    watch
	ttl     watch
	quiet   time.Duration // for how long nothing was heard, in whole intervals
}

// watch is a timer that knows how much had been read when it was set.
type watch struct {
	timer *time.Timer
	reads uint64
	every time.Duration
}

// set makes w look again after a time.
func (w *watch) set(reads uint64, every time.Duration, look func()) {
	w.reads, w.every = reads, every
	if w.timer == nil {
		w.timer = time.AfterFunc(every, look)
		return
	}
	w.timer.Reset(every)
}

func (w *watch) stop() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

// start begins to watch.
func (p *pulse) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running, p.quiet = true, 0
	if every := p.link.cfg.HeartbeatInterval; every > 0 && p.link.version.AtLeast(wire.V31) {
		p.beat.set(p.reads.Load(), every, p.beats)
	}
}

// stop ends it: nobody reads any more.
func (p *pulse) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = false
	p.beat.stop()
	p.ttl.stop()
}

// pinged is told of the time to live that the peer named; zero: none.
func (p *pulse) pinged(ttl time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.running:
	case ttl <= 0:
		p.ttl.stop()
	default:
		p.ttl.set(p.reads.Load(), ttl, p.lived)
	}
}

// beats asks a peer that was silent for a sign of life, and gives it up after a
// time.
func (p *pulse) beats() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running || p.beat.timer == nil {
		return
	}
	cfg, reads := p.link.cfg, p.reads.Load()
	if reads != p.beat.reads {
		p.quiet = 0
	} else if p.quiet += p.beat.every; p.quiet >= cfg.HeartbeatTimeout+cfg.HeartbeatInterval {
		p.link.end(fmt.Errorf("%w for %v", ErrSilent, p.quiet), true)
		return
	}
	if p.quiet > 0 {
		go p.link.sendCommand(wire.AppendPing(nil, cfg.HeartbeatTimeout, nil))
	}
	p.beat.set(reads, p.beat.every, p.beats)
}

// lived ends a connection whose time to live is over.
func (p *pulse) lived() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running || p.ttl.timer == nil {
		return
	}
	if reads := p.reads.Load(); reads != p.ttl.reads {
		p.ttl.set(reads, p.ttl.every, p.lived)
		return
	}
	p.link.end(fmt.Errorf("%w for the %v of its PING", ErrSilent, p.ttl.every), true)
}
