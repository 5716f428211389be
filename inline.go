package mesh

import (
	"sync"
	"sync/atomic"
)

// Inline lets a caller in the same [Mesh] run the method's handler on its own goroutine,
// while it waits for the reply, instead of having another woken for it: for a short
// handler that takes most of the time of a call. The request goes through the broker all
// the same, with its queue, checks, limits and events, and where the caller is another
// process, or many are called at once, handlers run in goroutines of the worker's as ever.
//
// It is for handlers that are quick and wait for nothing, since a caller isn't free
// until the handler that it runs has returned, be it another caller's, whatever becomes of
// its own context meanwhile. A panic is an [ErrInternal] as ever, but one that
// ends its goroutine (runtime.Goexit) ends its caller's.
//
// A method that replies with a stream can't be inline, since its handler waits for its
// reader: the functions that make one panic.
func Inline() MethodOption {
	return methodOption(func(o *methodOptions) { o.inline = true })
}

// inliner is where callers of a mesh meet the tasks that may run on their goroutines
// (see [Inline]).
//
// Waking a goroutine that waits on a processor that sleeps costs more than everything
// else in a call. Go has no way to hand over to it instead, and a caller that is about to
// wait has nothing better to do.
type inliner struct {
	used atomic.Bool // there are such methods

	mu     sync.Mutex // guards what follows
	coming int        // callers that are on their way to look
	tasks  []*task    // no more than those, so that each is found
}

// come says that the caller of it will look for a task, and soon.
func (l *inliner) come() {
	l.mu.Lock()
	l.coming++
	l.mu.Unlock()
}

// offer leaves a task to somebody who is coming, if there is one.
func (l *inliner) offer(t *task) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tasks) == l.coming {
		return false
	}
	l.tasks = append(l.tasks, t)
	return true
}

// look runs a task if one was left. Whoever calls it has come. The task may end the
// goroutine.
func (l *inliner) look() {
	l.mu.Lock()
	l.coming--
	last := len(l.tasks) - 1
	if last < 0 {
		l.mu.Unlock()
		return
	}
	t := l.tasks[last]
	l.tasks[last], l.tasks = nil, l.tasks[:last]
	l.mu.Unlock()
	t.worker.pool.serve(t)
}
