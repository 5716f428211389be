package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
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
	stream *stream         // of this request alone; nil where the method doesn't stream
	in     Invocation
	reply  [3][]byte // the final reply's body, so that it needs no allocation
	joined int       // how many of its frames are pieces of one; 0: none
	buffer []byte    // its frame, where the connection keeps nothing of it
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
	t.stream = nil
	t.ctx = &handlerContext{base: w.cfg.Context, deadline: j.Deadline, caller: j.Caller, attempt: j.Attempt}
	if env.Meta.Present {
		t.ctx.body = j.Body[0]
	}
	if m := t.method; m != nil {
		t.ctx.service, t.ctx.method = m.service, m.name
		if m.stream {
			t.stream = newStream(t)
		}
	} else if j.Service < len(w.names) {
		t.ctx.service = w.names[j.Service]
	}
	return t
}

// run runs the handler and sends its reply, also where the handler ends its
// goroutine (runtime.Goexit, as FailNow of a test does): then the deferred call
// does.
func (t *task) run() {
	returned := false
	defer func() {
		if !returned {
			t.worker.logger.Error("handler ended its goroutine", "service", t.ctx.service, "method", t.ctx.method)
			t.end(t.failed(&Error{Code: CodeInternal, Message: "the handler ended its goroutine"}))
		}
	}()
	body := t.serve()
	returned = true
	t.end(body)
}

// serve runs the handler and returns the body of the reply.
func (t *task) serve() [][]byte {
	env := &t.job.Envelope
	if env.Kind != jsonrpc.Request && env.Kind != jsonrpc.Notification {
		return t.runOpaque()
	}
	result, err := t.invoke()
	if err != nil {
		return t.failed(err)
	}
	if env.Kind == jsonrpc.Notification {
		return emptyBody
	}
	switch {
	case t.job.Joins && len(result) >= majordomo.JoinFrom:
		head := jsonrpc.AppendResultHead(make([]byte, 0, len(env.ID)+resultOverhead), env.ID)
		t.reply, t.joined = majordomo.Pieces(head, result), len(t.reply)
		return t.reply[:]
	case t.job.Copies && len(env.ID)+len(result)+resultOverhead <= majordomo.MaxReused:
		t.buffer = appendResult(t.buffer[:0], env.ID, result)
		t.reply[0] = t.buffer
	default:
		t.reply[0] = resultFrame(env.ID, result)
	}
	return t.reply[:1]
}

// sent is called when the session has taken the final reply. What was large isn't kept.
func (t *task) sent() { t.reply, t.joined = [3][]byte{}, 0 }

// failed returns the body of the reply for an error, which only callers that wait
// for JSON-RPC understand.
func (t *task) failed(err error) [][]byte {
	if !t.job.RPC() {
		return emptyBody
	}
	return t.worker.failure(t.job.Envelope.ID, err)
}

func (t *task) end(body [][]byte) {
	t.ctx.end(nil)
	t.stream.end()
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
	in := &t.in
	var over *atomic.Bool
	if len(t.worker.cfg.Interceptors) > 0 {
		// They may keep it, though they mustn't: it is never another request's.
		kept := new(intercepted)
		in, over = &kept.Invocation, &kept.over
		defer over.Store(true) // also where they end the goroutine
	}
	*in = Invocation{Service: m.service, Method: m.name, Params: env.Params, Notify: env.Kind == jsonrpc.Notification, over: over}
	if in.Params == nil {
		in.Params = noParams
	}
	if over != nil {
		if r, ok := RequestFrom(t.ctx); ok {
			in.Strings = r.Strings
		}
	}
	if s := t.stream; s != nil {
		in.Part, in.credit = s.part, &s.credit
	}
	result, err := m.invoke(t.ctx, in)
	t.in = Invocation{}
	if err == nil {
		err = m.fits(result, t.job.MaxMessage)
	}
	return result, err
}

// intercepted is an invocation that interceptors see, with whether its request has its
// reply.
type intercepted struct {
	Invocation
	over atomic.Bool
}

// defaultMaxMessage is what brokers take as one message where they don't say.
const defaultMaxMessage = 16 << 20

// replyOverhead is what a reply has beside its result: header, address, envelope.
const replyOverhead = 1024

// fits refuses a result that the broker would not relay, or that would make the
// whole reply something that no caller can read.
func (m *method) fits(result json.RawMessage, limit int) error {
	if m.unsure {
		if err := jsonrpc.CheckValue(result); err != nil {
			return &Error{Code: CodeInternal, Message: "the result is no JSON: " + err.Error(), cause: err}
		}
	}
	if limit = cmp.Or(limit, defaultMaxMessage); len(result) > limit-replyOverhead {
		return &Error{Code: CodeTooLarge, Message: fmt.Sprintf("the result has %d bytes, more than the broker takes as one message (%d)", len(result), limit)}
	}
	return nil
}

// stream is what sends the values of one streaming reply. Unlike the task it belongs to
// one request alone: an interceptor, or a goroutine that it left behind, may have a value
// when the request is over, and the task is another's.
type stream struct {
	task   *task
	method *method
	ctx    *handlerContext
	id     []byte
	reads  bool // somebody reads the values
	limit  int  // of a message
	credit credit

	mu   sync.Mutex // guards over, and is held while a value is sent
	over bool
}

func newStream(t *task) *stream {
	j := t.job
	return &stream{
		task: t, method: t.method, ctx: t.ctx, id: j.Envelope.ID, reads: j.RPC(), limit: j.MaxMessage, credit: newCredit(j.Envelope.Meta.Window),
	}
}

// errStreamEnded is what a value gets that comes too late.
var errStreamEnded = errors.New("mesh: the stream has ended")

// part sends one value of a stream, once the reader has room for it.
func (s *stream) part(value json.RawMessage) error {
	if err := s.method.fits(value, s.limit); err != nil {
		return err
	}
	if !s.reads { // so nobody gives credit
		return over(s.ctx)
	}
	if err := s.credit.take(s.ctx); err != nil {
		return err
	}
	frame := resultFrame(s.id, value)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return errStreamEnded
	}
	s.task.send([][]byte{frame}, false)
	return nil
}

// end has nothing sent any more.
func (s *stream) end() {
	if s != nil {
		s.mu.Lock()
		s.over = true
		s.mu.Unlock()
	}
}

// over says why ctx is over, nil where it isn't.
func over(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}

func (t *task) send(body [][]byte, final bool) {
	w := workerWork{kind: majordomo.WorkerReply, task: t, body: body, final: final}
	if final { // a part may be sent while the final reply is being made
		w.joined = t.joined
	}
	t.worker.link.reply(w)
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
	return appendResult(make([]byte, 0, len(id)+len(result)+resultOverhead), id, result)
}

// resultOverhead is more than an envelope has beside id and result.
const resultOverhead = 40

func appendResult(frame, id []byte, result json.RawMessage) []byte {
	if result == nil {
		result = nullJSON
	}
	return jsonrpc.AppendResult(frame, id, result)
}

// failure returns the reply for an error.
func (w *Worker) failure(id []byte, err error) (body [][]byte) {
	defer func() {
		if v := recover(); v != nil { // of the error's own methods: it may be a nil pointer
			w.logger.Error("error can't be written", "type", fmt.Sprintf("%T", err), "panic", v, "stack", string(debug.Stack()))
			body = [][]byte{jsonrpc.AppendFailure(nil, id, int(CodeInternal), "the handler's error can't be written", nil)}
		}
	}()
	e := w.cfg.Errors.encode(err)
	code, data := e.Code, e.Data
	switch {
	case code == CodeNotStarted:
		code = CodeUnknown // brokers would put the request back
	case code.ofBroker():
		// The handler passes on what a broker said of a call of its own. This
		// request was handed over, whatever became of that one.
		data = handedOver
	case jsonrpc.CheckValue(data) != nil:
		data = nil // the code and the text still say what it is
	}
	return [][]byte{jsonrpc.AppendFailure(nil, id, int(code), e.Message, data)}
}

var handedOver = json.RawMessage(`{"handed_over":true}`)

// credit is how many values a stream may still send (docs/protocol.md "Cancel and
// streams").
type credit struct {
	mu   sync.Mutex // guards what follows
	left int
	over error         // why no more may be sent
	more chan struct{} // holds a token when left may have grown, or over was set; never another
}

const defaultWindow = 32

func newCredit(window int) credit {
	if window < 0 {
		window = defaultWindow
	}
	return credit{left: window, more: make(chan struct{}, 1)}
}

// until has the stream end with ctx, which an interceptor made of the handler's.
// It returns what ends that: the interceptor may try again with another.
func (c *credit) until(ctx context.Context) (stop func()) {
	stopped := false // guarded by mu
	forget := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if stopped {
			return
		}
		c.over = context.Cause(ctx)
		c.poke()
	})
	return func() {
		forget()
		c.mu.Lock()
		defer c.mu.Unlock()
		stopped, c.over = true, nil
	}
}

func (c *credit) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left += n
	c.poke()
}

func (c *credit) poke() {
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// take takes one, and waits for it until ctx ends.
func (c *credit) take(ctx context.Context) error {
	for {
		c.mu.Lock()
		err := c.over
		taken := err == nil && c.left > 0
		if taken {
			c.left--
		}
		if err != nil || c.left > 0 {
			c.poke() // several may wait
		}
		c.mu.Unlock()
		switch {
		case taken:
			return over(ctx)
		case err != nil:
			return err
		}
		select {
		case <-c.more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// serve has tasks run, by the goroutines of their callers where that may be, and else by
// those of the pool. It may change the slice.
func (w *Worker) serve(tasks []*task) {
	left := tasks[:0]
	for _, t := range tasks {
		if t.method == nil || !t.method.inline || w.inline == nil || !w.inline.offer(t) {
			left = append(left, t)
		}
	}
	w.pool.run(left)
}

// pool runs tasks, as many at a time as there are, in goroutines that it keeps for
// the next ones. The session hands out no more tasks at a time than the worker's
// capacity.
//
// One goroutine at a time is on its way to the queue. The first thing that it does
// there is to send the next on its way, if it leaves something behind. So a crowd of
// tasks that are done at once is done by one or two goroutines, where waking one for
// each would cost more than the tasks, and those that take their time hold up none.
type pool struct {
	active atomic.Int64   // tasks that were begun and haven't replied
	begun  sync.WaitGroup // the same
	idlers sync.WaitGroup // goroutines

	mu     sync.Mutex // guards what follows
	queue  []*task    // to be run are those from next on
	next   int
	idle   []chan struct{} // of goroutines that wait
	coming bool            // a goroutine is on its way to the queue
	closed bool
}

// begin counts a task that is to be run, so that close waits for it.
func (p *pool) begin() {
	p.active.Add(1)
	p.begun.Add(1)
}

// run has tasks run.
func (p *pool) run(tasks []*task) {
	if len(tasks) == 0 {
		return
	}
	p.mu.Lock()
	if p.next > len(p.queue)/2 {
		rest := copy(p.queue, p.queue[p.next:])
		clear(p.queue[rest:])
		p.queue, p.next = p.queue[:rest], 0
	}
	p.queue = append(p.queue, tasks...)
	p.send()
}

// send sends a goroutine on its way to the queue, unless one is or nothing is there.
// It is the one that became idle last, whose stack is warm. The caller holds mu, which
// send gives back.
func (p *pool) send() {
	if p.coming || p.next == len(p.queue) {
		p.mu.Unlock()
		return
	}
	p.coming = true
	var woken chan struct{}
	if n := len(p.idle); n > 0 {
		woken = p.idle[n-1]
		p.idle = p.idle[:n-1]
	}
	p.mu.Unlock()
	if woken != nil {
		woken <- struct{}{}
		return
	}
	p.idlers.Go(p.work)
}

func (p *pool) work() {
	var wake chan struct{}
	for arrived := true; ; arrived = false {
		p.mu.Lock()
		if arrived {
			p.coming = false
		}
		for p.next == len(p.queue) {
			p.queue, p.next = p.queue[:0], 0
			if p.closed {
				p.mu.Unlock()
				return
			}
			if wake == nil {
				wake = make(chan struct{}, 1)
			}
			p.idle = append(p.idle, wake)
			p.mu.Unlock()
			<-wake
			p.mu.Lock()
			p.coming = false
		}
		t := p.queue[p.next]
		p.queue[p.next] = nil
		p.next++
		p.send()
		p.serve(t)
	}
}

// serve runs a task. A handler may end the goroutine.
func (p *pool) serve(t *task) {
	defer func() {
		p.active.Add(-1)
		p.begun.Done()
	}()
	t.run()
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
	for _, wake := range idle {
		wake <- struct{}{}
	}
	p.idlers.Wait()
}
