package mesh

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/transport"
)

// workerLink drives a worker's session: whoever has work for it runs it (see
// combiner), and does what it asked for after leaving it.
type workerLink struct {
	worker   *Worker
	work     combiner[workerWork, workerTurn]
	finished chan struct{} // closed when the session is over

	// What follows belongs to whoever runs the session.
	session *majordomo.WorkerSession
	link    *link
	event   majordomo.WorkerEvent // of what isn't a message
}

// workerWork is something for the session to do.
type workerWork struct {
	kind     majordomo.WorkerEventKind
	final    bool
	conn     uint64
	task     *task
	body     [][]byte
	joined   int            // how many frames at the end of body are pieces of one; 0: none
	messages *workerTurn    // only its events are used
	dialed   transport.Conn // WorkerDialed
	err      error
	found    []transport.Endpoint // WorkerBrokers: what Discovery found
	look     func()               // looks at the session, instead of giving it something to do
}

// workerNews is what is to be logged and told once the session is free.
type workerNews struct {
	majordomo.WorkerAction
	addr string // of the broker
}

// workerTurn is room for the messages of one batch, and for what comes of a turn.
type workerTurn struct {
	outbox
	events []majordomo.WorkerEvent
	unsent []majordomo.WorkerEvent // what became of messages that weren't sent
	tasks  []*task
	after  []workerNews
}

// send sends a message. One that is too large for the connection goes back to the
// session. Another that the connection doesn't take ends the connection: the
// broker counts on an answer to each request, and gives those that it handed over
// to others when the connection is gone.
func (t *workerTurn) send(l *link, a *majordomo.WorkerAction) {
	var err error
	if t.flush, err = l.send(t.flush, a.Conn, a.Message, a.Joined); err == nil {
		return
	}
	failed := majordomo.WorkerEvent{Kind: majordomo.WorkerLost, Conn: a.Conn, Err: fmt.Errorf("message not sent: %w", err)}
	if errors.Is(err, transport.ErrTooLarge) {
		whole := len(a.Message) - max(a.Joined, 1)
		message := append(slices.Clone(a.Message[:whole]), bytes.Join(a.Message[whole:], nil))
		failed = majordomo.WorkerEvent{Kind: majordomo.WorkerUnsent, Conn: a.Conn, Message: message, Err: err}
	}
	t.unsent = append(t.unsent, failed)
}

func newWorkerLink(w *Worker, session *majordomo.WorkerSession) *workerLink {
	l := &workerLink{worker: w, session: session, finished: make(chan struct{})}
	l.work.init(l)
	l.link = newLink(w.cfg.Transport, w.cfg.Brokers, w.cfg.DialTimeout, func() { l.work.submit(workerWork{kind: majordomo.WorkerWake}) })
	l.link.uses = session.Uses
	l.link.on = dialEvents{
		dialed: func(id uint64, conn transport.Conn) {
			l.work.submit(workerWork{kind: majordomo.WorkerDialed, conn: id, dialed: conn})
		},
		failed: func(id uint64, err error) {
			l.work.submit(workerWork{kind: majordomo.WorkerDialFailed, conn: id, err: err})
		},
		lost: func(id uint64, err error) {
			l.work.submit(workerWork{kind: majordomo.WorkerLost, conn: id, err: err})
		},
		read: l.read,
	}
	return l
}

// read takes a batch of messages of the broker.
func (l *workerLink) read(id uint64, batch []transport.Message) {
	b := l.work.turn()
	if cap(b.events) < len(batch) {
		b.events = make([]majordomo.WorkerEvent, len(batch))
	}
	b.events = b.events[:len(batch)]
	for i, m := range batch {
		b.events[i].Received(id, m)
	}
	l.work.submit(workerWork{kind: majordomo.WorkerMessage, messages: b})
}

// reply sends what a task replied.
func (l *workerLink) reply(w workerWork) {
	if !l.work.enter(w) {
		return
	}
	if l.worker.pool.active.Load() > 1 {
		// Other tasks that are ready to run put their replies into the inbox
		// first, and all of them leave together.
		runtime.Gosched()
	}
	l.work.run(l.work.clock.now(), w, l.work.turn())
}

// take takes one piece of work to the session.
func (l *workerLink) take(now time.Time, w workerWork, t *workerTurn) int {
	if b := w.messages; b != nil {
		n := len(b.events)
		for i := range b.events {
			l.step(now, &b.events[i], t)
		}
		clear(b.events)
		b.events = b.events[:0]
		l.work.turns.Put(b)
		return n
	}
	if w.look != nil {
		w.look()
		return 1
	}
	ev := &l.event
	if w.kind == majordomo.WorkerBrokers {
		ev.Brokers = l.link.numbers(slices.Concat(l.worker.cfg.Brokers, w.found))
	}
	ev.Kind, ev.Conn, ev.Err, ev.Job, ev.Body, ev.Joined, ev.Final = w.kind, w.conn, w.err, nil, w.body, w.joined, w.final
	if w.task != nil {
		ev.Job = w.task.job
	}
	if w.dialed != nil {
		if !l.link.dialed(w.conn, w.dialed) {
			return 1
		}
		ev.Copies, ev.Joins = abilities(w.dialed)
	}
	if w.kind == majordomo.WorkerWake {
		l.link.woke()
	}
	l.step(now, ev, t)
	if w.final {
		w.task.sent()
	}
	ev.Body, ev.Brokers = nil, nil
	if w.kind == majordomo.WorkerDialFailed || w.kind == majordomo.WorkerLost {
		l.link.drop(w.conn)
	}
	return 1
}

// step takes one event to the session; what has to wait until the session is left
// is collected in t.
func (l *workerLink) step(now time.Time, ev *majordomo.WorkerEvent, t *workerTurn) {
	actions := l.session.Step(now, ev)
	unsent := len(t.unsent)
	for i := range actions {
		switch a := &actions[i]; a.Kind {
		case majordomo.WorkerSend:
			t.send(l.link, a)
		case majordomo.WorkerDial:
			l.link.dial(a.Conn, a.Broker)
		case majordomo.WorkerHangup:
			if c := l.link.drop(a.Conn); c != nil {
				t.close = append(t.close, c)
			}
		case majordomo.WorkerRun:
			t.tasks = append(t.tasks, l.worker.begin(a.Job))
		case majordomo.WorkerCancel:
			a.Job.Data.(*task).cancel(a.Err) // now: later the job may be another request's
		case majordomo.WorkerCredit:
			if s := a.Job.Data.(*task).stream; s != nil {
				s.credit.add(a.N)
			}
		case majordomo.WorkerFinished:
			l.work.close()
			t.after = append(t.after, workerNews{WorkerAction: *a})
		default:
			t.after = append(t.after, workerNews{*a, l.link.brokers[a.Broker].Addr})
		}
	}
	for len(t.unsent) > unsent {
		failed := t.unsent[len(t.unsent)-1]
		t.unsent = t.unsent[:len(t.unsent)-1]
		l.step(now, &failed, t)
	}
}

// brokers returns how the session stands with the brokers. The caller runs it.
func (l *workerLink) brokers() []WorkerBroker {
	views := l.session.View()
	all := make([]WorkerBroker, len(views))
	for i := range views {
		v := &views[i]
		all[i] = WorkerBroker{
			Endpoint: l.link.brokers[v.Broker], State: workerBrokerStates[v.Phase], Broker: v.ID, Incarnation: v.Incarnation,
			Plain: v.Plain, Share: v.Share, Running: v.Running, Trouble: v.Trouble,
		}
	}
	return all
}

// leave does what has to be done before somebody else may run the session.
func (l *workerLink) leave(now time.Time, t *workerTurn) {
	t.outbox.leave()
	l.link.rearm(now, l.session.NextWake())
}

// finish does what a turn left to be done; the session is free.
func (l *workerLink) finish(t *workerTurn) {
	t.carryOut()
	l.worker.serve(t.tasks)
	for i := range t.after {
		l.do(&t.after[i])
	}
	clear(t.tasks)
	clear(t.after)
	t.tasks, t.after = t.tasks[:0], t.after[:0]
	l.work.turns.Put(t)
}

func (l *workerLink) do(a *workerNews) {
	w := l.worker
	switch a.Kind {
	case majordomo.WorkerAccepted:
		w.readyOnce.Do(func() { close(w.ready) })
		broker := ""
		if a.Registered != nil {
			broker = a.Registered.Broker
		}
		w.logger.Info("joined a broker", "addr", a.addr, "broker", broker)
	case majordomo.WorkerNote:
		if a.Err != nil {
			w.troubled(fmt.Errorf("%s: %w", a.addr, a.Err))
		}
		w.logger.Warn(a.Text, "addr", a.addr, "error", a.Err)
	case majordomo.WorkerFinished:
		l.link.timer.Stop()
		close(l.finished)
	}
}
