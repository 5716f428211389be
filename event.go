package mesh

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdpmesh/mesh/internal/majordomo"
)

// EventKind says what an [Event] tells.
type EventKind uint8

// The kinds of events: the life of a request, in the order in which they may
// come, then workers and services, then operators. A request ends with exactly one of
// EventReplied, EventFailed, EventTimedOut, EventCancelled and EventQuarantined.
const (
	EventReceived        = EventKind(majordomo.Received)        // the broker has the request
	EventQueued          = EventKind(majordomo.Queued)          // no worker was free
	EventDispatched      = EventKind(majordomo.Dispatched)      // a worker has it
	EventPartial         = EventKind(majordomo.Partial)         // the worker sent a part of a stream
	EventReplied         = EventKind(majordomo.Replied)         // ended: the worker replied
	EventFailed          = EventKind(majordomo.Failed)          // ended: the worker or the broker replied with an error
	EventTimedOut        = EventKind(majordomo.TimedOut)        // ended: its deadline passed
	EventCancelled       = EventKind(majordomo.Cancelled)       // ended: its caller cancelled it, or is gone
	EventRequeued        = EventKind(majordomo.Requeued)        // its worker is gone or had no room; it waits again
	EventQuarantined     = EventKind(majordomo.Quarantined)     // ended: too many workers were lost under it
	EventWorkerJoined    = EventKind(majordomo.WorkerJoined)    // a worker serves the service
	EventWorkerLeft      = EventKind(majordomo.WorkerLeft)      // a worker doesn't any more
	EventServiceAppeared = EventKind(majordomo.ServiceAppeared) // the service has its first worker
	EventServiceGone     = EventKind(majordomo.ServiceGone)     // the service's last worker left
	EventOperated        = EventKind(majordomo.Operated)        // an operator asked for something, and had it done or was refused
)

// String returns the kind's name in lower case, such as "timed out".
func (k EventKind) String() string { return majordomo.Occasion(k).String() }

// Event is something that happened at a broker: to a request, a worker or a
// service. Byte slices refer to what peers sent and must not be written to.
type Event struct {
	// Kind says what happened.
	Kind EventKind
	// Time is when.
	Time time.Time
	// Request is the serial number of the request at this broker, from 1; 0
	// where the event is of no request.
	Request uint64
	// Linked is the request that this one repeats by release from quarantine;
	// 0 where it repeats none.
	Linked uint64
	// Service is the name of the service.
	Service string
	// Method is the full name of the method. Nil where the request is no
	// JSON-RPC.
	Method []byte
	// ID is the JSON-RPC id that the caller chose, raw. Nil where there is none.
	ID []byte
	// TraceParent is that of W3C Trace Context, as the caller sent it.
	TraceParent []byte
	// Body is the request's body (EventReceived) or that of the reply
	// (EventPartial and those that end a request with a reply).
	Body [][]byte
	// Caller is the authenticated name of who called, CallerAddr where from.
	Caller, CallerAddr string
	// Claimed is what the caller says that its name is.
	Claimed []byte
	// Instance is the name that the worker registered under, Worker its
	// authenticated name and WorkerAddr where it is; empty where no worker has
	// the request.
	Instance, Worker, WorkerAddr string
	// Attempt is which hand-over of the request this is, from 1; 0 before the
	// first.
	Attempt int
	// Operation is what an operator asked for (EventOperated): "pause", "resume",
	// "drain", "disconnect", "cancel", "release" or "drop". Service, Instance or
	// Request is what it was asked for. The event comes after those of what it
	// caused.
	Operation string
	// By is the authenticated name of the operator, ByAddr where it asked from.
	// Both are empty where the program itself asked, by a method of [Broker].
	By, ByAddr string
	// Code is the error's code where the request ended with one, or where an
	// operator was refused.
	Code Code
	// Reason says why, for people, where that isn't plain from the kind.
	Reason string
}

func newEvent(o *majordomo.Observation) Event {
	return Event{
		Kind: EventKind(o.Occasion), Time: o.At, Request: o.Request, Linked: o.Linked, Service: o.Service,
		Method: o.Envelope.Method, ID: o.Envelope.ID, TraceParent: o.Envelope.Meta.TraceParent, Body: o.Body,
		Caller: o.Caller.Name, CallerAddr: o.Caller.Addr, Claimed: o.Envelope.Meta.Caller,
		Instance: o.Instance, Worker: o.Worker.Name, WorkerAddr: o.Worker.Addr,
		Attempt: o.Attempt, Code: Code(o.Code), Reason: o.Reason,
		Operation: o.Operation, By: o.By.Name, ByAddr: o.By.Addr,
	}
}

// watchers are told the broker's events in order, by whichever goroutine has just
// left the core and finds nobody telling them.
type watchers struct {
	observe func([]Event) // may be nil
	told    sync.Cond     // a batch was told, or nobody tells any more
	left    atomic.Bool   // an observer panicked, and nobody tells what came behind

	mu      sync.Mutex // guards what follows
	queue   []Event
	spare   []Event
	telling bool
	closed  bool
	all     map[*Subscription]struct{}
}

// maxUntold is how many events may wait for the observer before those whose
// messages make more have to wait for it, too.
const maxUntold = 1 << 16

// maxSpareEvents is the largest slice of events that is kept for reuse.
const maxSpareEvents = 4096

// collect keeps what a step told. The caller runs the core.
func (w *watchers) collect(observed []majordomo.Observation) {
	if len(observed) == 0 {
		return
	}
	w.mu.Lock()
	for i := range observed {
		w.queue = append(w.queue, newEvent(&observed[i]))
	}
	w.mu.Unlock()
}

// tell tells what was collected, if nobody else does.
func (w *watchers) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.telling && len(w.queue) > 0 {
		w.telling = true
		w.takeTurn()
	}
}

// takeTurn tells what was collected. What comes while it does that is left to
// another goroutine at some time, since the caller has work of its own. The caller
// holds mu.
func (w *watchers) takeTurn() {
	more := false
	defer func() {
		w.telling = more
		w.left.Store(!more && len(w.queue) > 0)
		w.told.Broadcast()
	}()
	for told := 0; len(w.queue) > 0; {
		if more = told >= maxTurn; more {
			go func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.takeTurn()
			}()
			return
		}
		batch := w.queue
		w.queue = w.spare[:0]
		for s := range w.all {
			s.offer(batch)
		}
		w.pass(batch)
		told += len(batch)
		clear(batch)
		if cap(batch) <= maxSpareEvents {
			w.spare = batch[:0]
		}
		w.told.Broadcast()
	}
}

// pass hands a batch to the observer, without mu.
func (w *watchers) pass(batch []Event) {
	if w.observe == nil {
		return
	}
	w.mu.Unlock()
	defer w.mu.Lock() // also where the observer panics
	w.observe(batch)
}

// hold returns when not too many events wait for the observer.
func (w *watchers) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > maxUntold {
		w.told.Wait()
	}
}

// close tells what is left, and ends every subscription: the broker has ended, and
// makes no events any more.
func (w *watchers) close() {
	w.tell()
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.telling {
		w.told.Wait()
	}
	w.closed = true
	for sub := range w.all {
		close(sub.events)
	}
	w.all = nil
}

// Subscription is a channel of a broker's events that loses events when its reader
// is slow, and counts them. It never holds up the broker.
type Subscription struct {
	events chan Event
	lost   atomic.Uint64
	stage  *stage
}

// Subscribe returns a subscription that holds up to buffer events that were not
// read yet; if buffer is 0 or less, 1,024. Close it when it is no longer needed.
// On a broker that has ended its channel is closed already.
func (b *Broker) Subscribe(buffer int) *Subscription {
	if buffer <= 0 {
		buffer = 1024
	}
	s := &Subscription{events: make(chan Event, buffer), stage: b.stage}
	b.stage.subscribe(s)
	return s
}

// Events returns the channel. It is closed by Close, and when the broker has
// ended; what the buffer holds can still be read then.
func (s *Subscription) Events() <-chan Event { return s.events }

// Lost returns how many events found the buffer full, so far.
func (s *Subscription) Lost() uint64 { return s.lost.Load() }

// Close ends the subscription. It is idempotent.
func (s *Subscription) Close() { s.stage.unsubscribe(s) }

func (s *Subscription) offer(batch []Event) {
	for i := range batch {
		select {
		case s.events <- batch[i]:
		default:
			s.lost.Add(1)
		}
	}
}

func (s *stage) subscribe(sub *Subscription) {
	w := &s.watchers
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		close(sub.events)
		return
	}
	if w.all == nil {
		w.all = make(map[*Subscription]struct{})
	}
	w.all[sub] = struct{}{}
	w.mu.Unlock()
	s.watch()
}

func (s *stage) unsubscribe(sub *Subscription) {
	w := &s.watchers
	w.mu.Lock()
	_, there := w.all[sub]
	delete(w.all, sub)
	w.mu.Unlock()
	if there {
		close(sub.events) // tell offers with the lock held, so nobody sends now
		s.watch()
	}
}

// watch has the core make events if anybody wants them.
func (s *stage) watch() {
	_ = s.do(context.Background(), func(core *majordomo.Broker) { core.SetObserve(s.watched()) })
}

// watched says whether anybody wants events. The caller runs the core.
func (s *stage) watched() bool {
	w := &s.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	return !s.ended && (w.observe != nil || len(w.all) > 0)
}
