package beacon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Arrival is a datagram that was heard.
type Arrival struct {
	Path
	From    net.Addr
	At      time.Time
	Verdict Verdict
	Beacon  Beacon // as far as it could be read; believe it only where it was accepted
}

// Counts is how many datagrams were taken for what, by verdict, and how many brokers
// were dropped since their beacons stayed out. It may be used by several goroutines.
type Counts struct {
	Verdicts [Verdicts]atomic.Uint64
	Lapsed   atomic.Uint64
}

// Listener hears brokers.
type Listener struct {
	Network
	// Counts counts what is heard. It is required.
	Counts *Counts
	// Changed is told all brokers that are there, whenever that has changed. Calls
	// come one after another.
	Changed func([]Broker)
	// Note, if not nil, hears of each datagram. Calls may come at the same time.
	Note func(Arrival)
	// Ready, if not nil, is called once the groups were joined.
	Ready func()
	// Failed, if not nil, hears of an interface on which nothing can be heard, each
	// time for another reason.
	Failed func(on Path, err error)

	mu      sync.Mutex // guards what follows, and Changed
	table   *Table
	traffic map[Path]*Traffic
	paths   map[link]Path // that were joined
	rearm   chan struct{} // a token where the table may be due earlier
}

// link is a path as a datagram tells it.
type link struct {
	index int
	six   bool
}

// readPause is the wait after a read that failed, so that a socket that goes on
// failing doesn't take the processor.
const readPause = 100 * time.Millisecond

// Run listens until ctx ends, and returns its error. It fails where there is no socket
// to listen at. What the table knows at the end is what it begins with the next time.
func (l *Listener) Run(ctx context.Context, table *Table) error {
	sockets, err := l.open(ctx, l.hearing)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.table, l.traffic = table, make(map[Path]*Traffic)
	l.paths, l.rearm = make(map[link]Path), make(chan struct{}, 1)
	l.mu.Unlock()
	var readers sync.WaitGroup
	defer readers.Wait()
	defer func() {
		for _, in := range sockets {
			_ = in.Close() // it ends the reader
		}
	}()
	if err := l.rescan(sockets); err != nil {
		return fmt.Errorf("beacon: interfaces: %w", err)
	}
	for _, in := range sockets {
		readers.Go(func() { l.read(ctx, in) })
	}
	if l.Ready != nil {
		l.Ready()
	}
	return l.watch(ctx, sockets)
}

// watch looks at the interfaces every so often, and drops what has lasted its time.
func (l *Listener) watch(ctx context.Context, sockets []socket) error {
	rescan := time.NewTicker(l.Rescan)
	defer rescan.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rescan.C:
			_ = l.rescan(sockets) // those that were joined stay
		case <-l.rearm:
		case <-due.C:
		}
		if next := l.expire(time.Now()); !next.IsZero() {
			due.Reset(time.Until(next))
		}
	}
}

// expire drops what is due, and returns when it has something to do next.
func (l *Listener) expire(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	lapsed, changed := l.table.Expire(now)
	l.Counts.Lapsed.Add(uint64(lapsed))
	if changed {
		l.Changed(l.table.Brokers())
	}
	return l.table.Next()
}

// read takes what comes to one socket.
func (l *Listener) read(ctx context.Context, in socket) {
	buffer := make([]byte, MaxSize+1) // one more, to see what is too long
	for {
		a, err := in.read(buffer)
		switch {
		case err == nil:
			l.hear(time.Now(), in.six(), a, buffer[:a.n])
		case errors.Is(err, net.ErrClosed):
			return
		default:
			select {
			case <-ctx.Done():
				return
			case <-time.After(readPause):
			}
		}
	}
}

func (l *Listener) hear(now time.Time, six bool, a arrival, datagram []byte) {
	l.mu.Lock()
	on, joined := l.paths[link{a.index, six}]
	if a.index == 0 { // the system doesn't tell
		on, joined = Path{IPv6: six}, true
	}
	arrived := Arrival{Path: on, From: a.from, At: now, Verdict: Misdirected}
	var changed bool
	if joined && a.toGroup {
		at(l.traffic, on).Heard++
		arrived.Verdict, arrived.Beacon, changed = l.table.Hear(now, on, datagram)
	}
	l.Counts.Verdicts[arrived.Verdict].Add(1)
	if changed {
		l.Changed(l.table.Brokers())
	}
	l.mu.Unlock()
	if changed {
		select {
		case l.rearm <- struct{}{}:
		default:
		}
	}
	if l.Note != nil {
		l.Note(arrived)
	}
}

// rescan joins the groups on interfaces that came, and forgets those that went.
func (l *Listener) rescan(sockets []socket) error {
	nics, err := l.scan()
	if err != nil {
		return err
	}
	there := make(map[link]bool)
	for _, i := range nics {
		for _, in := range sockets {
			if i.carries(in.six()) {
				there[link{i.Index, in.six()}] = true
				l.join(in, &i)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for on := range l.traffic { // also of those that couldn't be joined
		if on.Index > 0 && !there[link{on.Index, on.IPv6}] {
			delete(l.traffic, on)
		}
	}
	for key := range l.paths {
		if there[key] {
			continue
		}
		delete(l.paths, key)
		for _, in := range sockets {
			if in.six() == key.six {
				_ = in.leave(&net.Interface{Index: key.index}) // the system may have done that
			}
		}
	}
	return nil
}

// join joins the group on an interface, unless that was done.
func (l *Listener) join(in socket, i *nic) {
	on := i.path(in.six())
	key := link{i.Index, in.six()}
	l.mu.Lock()
	_, joined := l.paths[key]
	l.mu.Unlock()
	if joined {
		return
	}
	err := in.join(&i.Interface)
	l.mu.Lock()
	t := at(l.traffic, on)
	fresh := err != nil && (t.Err == nil || t.Err.Error() != err.Error())
	if t.Err = err; err == nil {
		l.paths[key] = on
	}
	l.mu.Unlock()
	if fresh && l.Failed != nil {
		l.Failed(on, err)
	}
}

// Traffic returns what was heard on each path.
func (l *Listener) Traffic() []Traffic {
	l.mu.Lock()
	defer l.mu.Unlock()
	return trafficOf(l.traffic)
}
