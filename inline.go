package mesh

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Inline lets a caller in the same [Mesh] run the method's handler on its own goroutine,
// while it waits for the reply, instead of having another woken for it: for a short
// handler that takes most of the time of a call. The request goes through the broker all
// the same, with its queue, checks, limits and events. Where the caller isn't of the mesh,
// where the request has to wait, and mostly where many are made at once, the handler runs
// in a goroutine of the worker's as ever.
//
// It is for handlers that are quick and wait for nothing, since the caller isn't free
// until its handler has returned, whatever becomes of its context meanwhile: one that
// waits for a lock that its caller holds does so for ever. A panic is an [ErrInternal] as
// ever, but a handler that ends its goroutine (runtime.Goexit) ends the caller's, and one
// that locks its thread (runtime.LockOSThread) locks the caller's.
//
// A method that replies with a stream can't be inline, since its handler waits for its
// reader: the functions that make one panic.
func Inline() MethodOption {
	return methodOption(func(o *methodOptions) { o.inline = true })
}

// inliner is where callers of a mesh meet the tasks of their calls that may run on their
// goroutines (see [Inline]).
//
// Waking a goroutine that waits on a processor that sleeps costs more than everything
// else in a call. Go has no way to hand over to it instead, and a caller that is about to
// wait has nothing better to do. It runs no task but its own: it may hold a lock that
// another's handler waits for.
type inliner struct {
	methods atomic.Pointer[map[string]bool] // full names of those that are inline; never written to

	mu     sync.Mutex // guards what follows
	coming []comer    // one for each processor at most, or a few more: there is no need of an index
}

// comer is a caller that will look for the task of its call, and soon.
type comer struct {
	call *call
	body *byte // the first of the request's, by which the task is known: in process nobody copies it
	task *task // nil: it hasn't come
}

// add takes in the methods of a worker.
func (l *inliner) add(methods map[string]*method) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]bool)
	if known := l.methods.Load(); known != nil {
		maps.Copy(all, *known)
	}
	for name, m := range methods {
		if m.inline {
			all[name] = true
		}
	}
	l.methods.Store(&all)
}

// has says whether a method may be inline.
func (l *inliner) has(method string) bool {
	if l == nil {
		return false
	}
	known := l.methods.Load()
	return known != nil && (*known)[method]
}

// come says that the caller of k, whose request has that body, will look for its task.
func (l *inliner) come(k *call, body []byte) {
	l.mu.Lock()
	l.coming = append(l.coming, comer{call: k, body: &body[0]})
	l.mu.Unlock()
}

// offer leaves a task to its caller, if that is coming.
func (l *inliner) offer(t *task) bool {
	body := &t.job.Body[0][0]
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.coming {
		if c := &l.coming[i]; c.body == body && c.task == nil {
			c.task = t
			return true
		}
	}
	return false
}

// leave returns the task of k if it has come. From now on it doesn't.
func (l *inliner) leave(k *call) *task {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.coming {
		if l.coming[i].call != k {
			continue
		}
		t, last := l.coming[i].task, len(l.coming)-1
		l.coming[i], l.coming[last] = l.coming[last], comer{}
		l.coming = l.coming[:last]
		return t
	}
	return nil
}
