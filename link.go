package mesh

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/transport"
)

// link is the wire under a session: its connections, by the numbers that the
// session gave them, and one timer. Both kinds of session are driven over it. It
// belongs to whoever runs the session.
type link struct {
	transport transport.Transport
	brokers   []transport.Endpoint  // by the number that the session knows one by
	uses      func(broker int) bool // says whether the session still knows that number
	timeout   time.Duration         // of a dial
	on        dialEvents

	conns map[uint64]*linkConn
	last  *linkConn // the one that was looked up last
	timer *time.Timer
	armed time.Time
	tasks sync.WaitGroup // dials, readers, and goroutines that took over a turn
}

// linkConn is one connection of a link, from its dial until the session has done
// with it.
type linkConn struct {
	id     uint64
	conn   transport.Conn   // nil: it is only being dialled
	joiner transport.Joiner // the same; nil: it takes no frame in pieces
	cancel context.CancelFunc
	unsent bool // has messages queued that this turn must flush
}

// dialEvents is what a link tells its session.
type dialEvents struct {
	dialed func(id uint64, conn transport.Conn)
	failed func(id uint64, err error)
	lost   func(id uint64, err error)
	read   func(id uint64, batch []transport.Message)
}

// clock tells the time with one reading of the system's clock instead of the two
// that time.Now takes.
type clock struct{ start time.Time }

func newClock() clock { return clock{start: time.Now()} }

func (c clock) now() time.Time { return c.start.Add(time.Since(c.start)) }

func newLink(t transport.Transport, brokers []transport.Endpoint, timeout time.Duration, wake func()) *link {
	l := &link{transport: t, brokers: slices.Clone(brokers), timeout: timeout, conns: make(map[uint64]*linkConn)}
	l.timer = time.AfterFunc(time.Hour, wake)
	l.timer.Stop()
	return l
}

// numbers returns the numbers of brokers, and gives one to each that has none: that of a
// broker that is neither found nor used by the session any more, or else a new one. So
// the table is no larger than what was known at one time, however long addresses come
// and go.
func (l *link) numbers(found []transport.Endpoint) []int {
	free := l.free(found)
	all := make([]int, 0, len(found))
	for _, broker := range found {
		n := slices.Index(l.brokers, broker)
		switch {
		case n >= 0:
		case len(free) > 0:
			n, free = free[0], free[1:]
			l.brokers[n] = broker
		default:
			n = len(l.brokers)
			l.brokers = append(l.brokers, broker)
		}
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// free returns the numbers that can be given to others. A broker that is found keeps
// its own, and so does one to which there is a connection, known or not.
func (l *link) free(found []transport.Endpoint) []int {
	var free []int
	for n, broker := range l.brokers {
		if !l.uses(n) && !slices.Contains(found, broker) {
			free = append(free, n)
		}
	}
	return free
}

// dial connects to a broker and reads what it sends, in a goroutine of its own.
func (l *link) dial(id uint64, broker int) {
	ctx, cancel := context.WithCancel(context.Background())
	l.conns[id] = &linkConn{id: id, cancel: cancel}
	to := l.brokers[broker]
	l.tasks.Go(func() {
		defer cancel()
		bounded, stop := context.WithTimeout(ctx, l.timeout)
		conn, err := l.transport.Dial(bounded, to)
		stop()
		if err != nil {
			l.on.failed(id, err)
			return
		}
		l.on.dialed(id, conn)
		err = conn.Serve(ctx, func(batch []transport.Message) { l.on.read(id, batch) })
		_ = conn.Close() // it ended; what is left is to free it
		l.on.lost(id, err)
	})
}

// find returns a connection that the session still uses, or nil.
func (l *link) find(id uint64) *linkConn {
	if l.last == nil || l.last.id != id {
		l.last = l.conns[id]
	}
	return l.last
}

// dialed takes the connection that a dial made, unless the session has moved on;
// then its reader, which was cancelled, closes it.
func (l *link) dialed(id uint64, conn transport.Conn) bool {
	c := l.find(id)
	if c == nil {
		return false
	}
	c.conn = conn
	c.joiner, _ = conn.(transport.Joiner)
	return true
}

// abilities says whether a connection keeps nothing of messages whose memory a session
// uses again, and whether it takes a frame in pieces. A connection that keeps everything,
// as one that encrypts does, would put the pieces together first, while the session waits.
func abilities(conn transport.Conn) (copies, joins bool) {
	c, ok := conn.(transport.Copier)
	_, joins = conn.(transport.Joiner)
	return ok && c.CopiesBelow() > majordomo.MaxReused, joins && ok && c.CopiesBelow() > 0
}

// send queues a message on a connection, and adds the connection to those that
// have to be flushed. Of the message's last frames as many as joined says are pieces of
// one, if it isn't 0, as it is for a connection that takes no pieces.
func (l *link) send(flush []*linkConn, id uint64, m transport.Message, joined int) ([]*linkConn, error) {
	c := l.find(id)
	if c == nil || c.conn == nil {
		return flush, transport.ErrClosed
	}
	var err error
	if joined > 0 {
		err = c.joiner.SendJoined(m, joined)
	} else {
		err = c.conn.Send(m)
	}
	if err != nil {
		return flush, err
	}
	if !c.unsent {
		c.unsent = true
		flush = append(flush, c)
	}
	return flush, nil
}

// drop takes a connection out of the link. It returns the connection to close, if
// there was one.
func (l *link) drop(id uint64) *linkConn {
	c := l.find(id)
	delete(l.conns, id)
	l.last = nil
	return c
}

// close ends the connection, after what was sent.
func (c *linkConn) close() {
	if c.conn == nil {
		c.cancel()
		return
	}
	c.conn.Flush()     // what another turn sent may not have left yet
	_ = c.conn.Close() // the session has done with it; its reader ends with it
}

// woke is told that the timer fired. The turn that hears of it may have read the clock
// before that, and then nothing is due yet.
func (l *link) woke() { l.armed = time.Time{} }

// rearm sets the timer to the time at which the session wants to be woken.
func (l *link) rearm(now, next time.Time) {
	if next.IsZero() || l.armed.After(now) && !next.Before(l.armed) {
		return
	}
	l.armed = next
	l.timer.Reset(max(next.Sub(now), 0))
}

// outbox is what a turn at a session left to be written and closed once the
// session is free.
type outbox struct {
	flush []*linkConn
	close []*linkConn
}

// leave is called before somebody else may run the session.
func (o *outbox) leave() {
	for _, c := range o.flush {
		c.unsent = false
	}
}

// carryOut writes and closes.
func (o *outbox) carryOut() {
	for _, c := range o.flush {
		c.conn.Flush()
	}
	for _, c := range o.close {
		c.close()
	}
	clear(o.flush)
	clear(o.close)
	o.flush, o.close = o.flush[:0], o.close[:0]
}
