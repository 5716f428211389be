package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/majordomo"
)

// task is a job of the session with what running it needs. It stays with the job
// and is used again with it.
type task struct {
	worker *Worker
	job    *majordomo.Job
	ctx    *handlerContext // of this request alone
	method *method         // nil: none was found
	credit credit
	in     Invocation
	reply  [1][]byte // the final reply's body, so that it needs no allocation
}

// begin makes the task of a job that is to be run. The caller holds the link's
// lock, so that word of the job finds it complete.
func (w *Worker) begin(j *majordomo.Job) *task {
	t, ok := j.Data.(*task)
	if !ok {
		t = &task{worker: w, job: j}
		j.Data = t
	}
	w.pool.begin()
	env := &j.Envelope
	t.method = w.methods[string(env.Method)]
	if t.method != nil && t.method.at != j.Service {
		// The caller was let through for another service (docs/protocol.md
		// "Security").
		t.method = nil
	}
	t.ctx = &handlerContext{base: w.cfg.Context, deadline: j.Deadline, caller: j.Caller, attempt: j.Attempt}
	if env.Meta.Present {
		t.ctx.body = j.Body[0]
	}
	if m := t.method; m != nil {
		t.ctx.service, t.ctx.method = m.service, m.name
		if m.stream {
			t.credit.reset(env.Meta.Window)
		}
	} else if j.Service < len(w.names) {
		t.ctx.service = w.names[j.Service]
	}
	return t
}

// run runs the handler and sends its reply.
func (t *task) run() {
	env := &t.job.Envelope
	var body [][]byte
	switch {
	case env.Kind != jsonrpc.Request && env.Kind != jsonrpc.Notification:
		body = t.runOpaque()
	default:
		result, err := t.invoke()
		switch {
		case env.Kind == jsonrpc.Notification:
			body = emptyBody
		case err != nil:
			body = t.worker.failure(env.ID, err)
		default:
			t.reply[0] = resultFrame(env.ID, result)
			body = t.reply[:]
		}
	}
	t.ctx.end(nil)
	t.send(body, true)
}

var (
	emptyBody = [][]byte{{}}
	nullID    = []byte("null")
	nullJSON  = json.RawMessage("null")
	noParams  = json.RawMessage("{}")
)

// deadlineSlack is how long before its deadline a request may be cancelled because
// its deadline has passed: each hop rounds the time that is left up to a
// millisecond.
const deadlineSlack = 5 * time.Millisecond

// cancel ends the handler's context: nobody waits for the reply any more.
func (t *task) cancel(why error) {
	cause := &Error{Code: CodeCancelled, Local: true, Message: why.Error(), cause: why}
	switch {
	case errors.Is(why, majordomo.ErrCallerCancelled):
		if d := t.ctx.deadline; !d.IsZero() && time.Until(d) < deadlineSlack {
			return // the deadline does it, and says what it was
		}
		cause.Local = false
	case errors.Is(why, majordomo.ErrConnectionLost):
		cause.Code = CodeBrokerLost
	case errors.Is(why, majordomo.ErrStopped):
		cause.cause = ErrClosed
	case errors.Is(why, majordomo.ErrReplyTooLarge):
		cause.Code = CodeTooLarge
	}
	t.ctx.end(cause)
}

func (t *task) invoke() (json.RawMessage, error) {
	env := &t.job.Envelope
	m := t.method
	if m == nil {
		return nil, &Error{Code: CodeNoMethod, Message: "no method " + quote(env.Method) + " here"}
	}
	t.in = Invocation{Service: m.service, Method: m.name, Params: env.Params, Notify: env.Kind == jsonrpc.Notification}
	if t.in.Params == nil {
		t.in.Params = noParams
	}
	if len(t.worker.cfg.Interceptors) > 0 {
		if r, ok := RequestFrom(t.ctx); ok {
			t.in.Strings = r.Strings
		}
	}
	if m.stream {
		t.in.Part = t.part
	}
	result, err := m.invoke(t.ctx, &t.in)
	t.in = Invocation{}
	if err == nil {
		err = t.worker.fits(result)
	}
	return result, err
}

// defaultMaxMessage is what brokers take as one message where they don't say.
const defaultMaxMessage = 16 << 20

// replyOverhead is what a reply has beside its result: header, address, envelope.
const replyOverhead = 1024

// fits refuses a result that the broker would not relay.
func (w *Worker) fits(result json.RawMessage) error {
	if limit := w.maxReply.Load(); int64(len(result)) > limit-replyOverhead {
		return &Error{Code: CodeTooLarge, Message: fmt.Sprintf("the result has %d bytes, more than the broker takes as one message (%d)", len(result), limit)}
	}
	return nil
}

// part sends one value of a stream, once the reader has room for it.
func (t *task) part(value json.RawMessage) error {
	if err := t.worker.fits(value); err != nil {
		return err
	}
	if err := t.credit.take(t.ctx); err != nil {
		return err
	}
	if t.job.RPC() {
		t.send([][]byte{resultFrame(t.job.Envelope.ID, value)}, false)
	}
	return nil
}

func (t *task) send(body [][]byte, final bool) {
	t.worker.link.reply(workerWork{kind: majordomo.WorkerReply, task: t, body: body, final: final})
}

func (t *task) runOpaque() [][]byte {
	j := t.job
	if j.Service >= len(t.worker.opaque) || t.worker.opaque[j.Service] == nil {
		return t.worker.failure(nullID, &Error{
			Code: CodeInvalidRequest, Message: "the service takes JSON-RPC 2.0 only: " + j.Envelope.Reason,
		})
	}
	var body [][]byte
	invoke := recovery(t.worker.logger)(func(ctx context.Context, _ *Invocation) (_ json.RawMessage, err error) {
		body, err = t.worker.opaque[j.Service](ctx, j.Body)
		return nil, err
	})
	if _, err := invoke(t.ctx, &Invocation{Service: t.ctx.service}); err != nil {
		t.worker.logger.Warn("opaque request failed", "service", t.ctx.service, "error", err)
		return emptyBody
	}
	if len(body) == 0 {
		return emptyBody
	}
	return body
}

func resultFrame(id []byte, result json.RawMessage) []byte {
	if result == nil {
		result = nullJSON
	}
	return jsonrpc.AppendResult(make([]byte, 0, len(id)+len(result)+40), id, result)
}

// failure returns the reply for an error.
func (w *Worker) failure(id []byte, err error) [][]byte {
	e := w.cfg.Errors.encode(err)
	data := e.Data
	if e.Code.ofBroker() {
		// The handler passes on what a broker said of a call of its own. This
		// request was handed over, whatever became of that one.
		data = handedOver
	}
	return [][]byte{jsonrpc.AppendFailure(nil, id, int(e.Code), e.Message, data)}
}

var handedOver = json.RawMessage(`{"handed_over":true}`)

// credit is how many values a stream may still send (docs/protocol.md "Cancel and
// streams").
type credit struct {
	mu   sync.Mutex // guards left
	left int
	more chan struct{} // holds a token when left may have grown
}

const defaultWindow = 32

func (c *credit) reset(window int) {
	if window < 0 {
		window = defaultWindow
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = window
	c.more = make(chan struct{}, 1)
}

func (c *credit) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left += n
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// take takes one, and waits for it until ctx ends.
func (c *credit) take(ctx context.Context) error {
	for {
		c.mu.Lock()
		more := c.more
		if c.left > 0 {
			c.left--
			c.mu.Unlock()
			return ctx.Err()
		}
		c.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// pool runs tasks, each in a goroutine, and keeps goroutines that have nothing to
// do for the next ones. The session hands out no more tasks at a time than the
// worker's capacity.
type pool struct {
	active atomic.Int64   // tasks that were begun and haven't replied
	begun  sync.WaitGroup // the same
	idlers sync.WaitGroup // goroutines

	mu     sync.Mutex // guards what follows
	idle   []chan *task
	closed bool
}

// begin counts a task that is to be run, so that close waits for it.
func (p *pool) begin() {
	p.active.Add(1)
	p.begun.Add(1)
}

// run has t run, by the goroutine that became idle last, whose stack is warm.
func (p *pool) run(t *task) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		next := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		next <- t
		return
	}
	p.mu.Unlock()
	p.idlers.Go(func() { p.work(t) })
}

func (p *pool) work(t *task) {
	next := make(chan *task, 1)
	for {
		t.run()
		p.active.Add(-1)
		p.begun.Done()
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return
		}
		p.idle = append(p.idle, next)
		p.mu.Unlock()
		t = <-next
		if t == nil {
			return
		}
	}
}

// close waits for what was begun and ends the goroutines. Nothing is begun any
// more.
func (p *pool) close() {
	p.begun.Wait()
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, next := range idle {
		next <- nil
	}
	p.idlers.Wait()
}
