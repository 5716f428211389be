package sim

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/majordomo"
)

// longestDeadline is the longest time that a caller waits, where it has a deadline.
const longestDeadline = 10 * time.Second

// probeTime is how long a probe may take.
const probeTime = 8 * time.Second

// method is one that services of JSON-RPC offer.
type method struct {
	name       string
	idempotent bool
	stream     bool
}

var methods = [...]method{
	{name: "once"},
	{name: "again", idempotent: true},
	{name: "flow", stream: true},
	{name: "refill", idempotent: true, stream: true},
}

// errand is one thing that somebody wants done. Calls with the same key are about
// the same errand.
type errand struct {
	id         int
	service    *servicePlan
	method     method
	idempotent bool
	notify     bool
	key        string
	parts      int // of a stream
	params     []byte
	deed
}

// call is one call of a client, about an errand.
type call struct {
	request  majordomo.Call
	id       int
	errand   *errand
	client   *clientNode
	deadline time.Duration // by the client's clock; 0: none
	reads    time.Duration // how long the caller takes for a part
	probe    bool
	callState
}

var errGaveUp = errors.New("sim: the caller gave up")

// load has a client make calls until the load is over.
func (w *World) load(c *clientNode) {
	w.after(w.dice.exponential(c.plan.every), func() {
		if w.calm {
			return
		}
		c.do(func() {
			for range w.dice.between(1, c.plan.burst) {
				if e := w.draw(c); e != nil && c.up && !c.closed {
					c.call(w.drawCall(c, e))
				}
			}
		})
		w.load(c)
	})
}

// draw returns what a client wants done next, or nil where nobody offers anything
// that it could want.
func (w *World) draw(c *clientNode) *errand {
	d := w.dice
	if repeats := w.ledger.keys[c.plan.name]; c.canKey() && len(repeats) > 0 && d.chance(0.05) {
		return repeats[d.IntN(len(repeats))]
	}
	var serves []*servicePlan
	for at := range w.plan.Services {
		if s := &w.plan.Services[at]; s.opaque == c.plan.opaque {
			serves = append(serves, s)
		}
	}
	if len(serves) == 0 {
		return nil
	}
	e := w.newErrand(serves[d.IntN(len(serves))])
	switch {
	case e.service.opaque:
		return e
	case e.service.plain && e.idempotent:
		e.method = methods[1]
	case e.service.plain:
		e.method = methods[0]
	default:
		e.method = pick(d, methods[:]...)
		e.idempotent = e.method.idempotent
	}
	switch {
	case c.canKey() && !e.method.stream && d.chance(0.25):
		e.key = fmt.Sprintf("key-%d", e.id)
		w.ledger.rememberKey(c.plan.name, e)
	case c.canKey() && d.chance(0.08):
		e.notify = true
	}
	if e.method.stream {
		e.parts = d.between(0, 12)
	}
	return e
}

func (w *World) newErrand(s *servicePlan) *errand {
	w.errand++
	e := &errand{id: w.errand, service: s, idempotent: s.idempotent}
	e.params = fmt.Appendf(nil, `{"n":%d}`, e.id)
	if s.opaque {
		e.params = fmt.Appendf(nil, "errand %d", e.id)
	}
	w.ledger.errands = append(w.ledger.errands, e)
	return e
}

// canKey says whether a client's keys are of use.
func (c *clientNode) canKey() bool { return c.plan.speak == majordomo.SpeakMesh && !c.plan.opaque }

// drawCall makes a call about an errand.
func (w *World) drawCall(c *clientNode, e *errand) *call {
	d := w.dice
	k := c.newCall(e)
	if c.plan.speak != majordomo.SpeakMesh || c.plan.opaque || d.chance(0.6) {
		// Nobody tells a plain client that its request is lost.
		c.limit(k, d.exponential(pick(d, 50*time.Millisecond, 500*time.Millisecond, longestDeadline/10)))
	}
	k.request.NoRetry = d.chance(0.05)
	if e.method.stream && d.chance(0.8) {
		k.request.Window = d.between(1, 8)
		k.reads = pick(d, time.Microsecond, time.Millisecond, 50*time.Millisecond)
	}
	if d.chance(0.1) {
		c.after(d.exponential(100*time.Millisecond), func() { c.abort(k) })
	}
	return k
}

// newCall returns a call that is to be made.
func (c *clientNode) newCall(e *errand) *call {
	k := &call{errand: e, client: c}
	k.request = majordomo.Call{
		Service: []byte(e.service.name), Idempotent: e.idempotent, Key: e.key, Notify: e.notify, Data: k,
	}
	if e.service.opaque {
		k.request.Body = [][]byte{e.params}
	} else {
		k.request.Method, k.request.Params = e.service.name+"."+e.method.name, e.params
	}
	return k
}

// limit gives a call a deadline.
func (c *clientNode) limit(k *call, d time.Duration) {
	d += 2 * time.Millisecond
	k.request.Deadline, k.deadline = c.clock().Add(d), c.elapsed()+d
}

// call makes a call.
func (c *clientNode) call(k *call) {
	c.w.ledger.called(k)
	if c.w.trace != nil {
		c.w.tracef(c.name, "call %d: errand %d %s%s%s deadline %v window %d", k.id, k.errand.id, k.request.Service, with(" ", k.request.Method),
			with(" ", k.request.Key), k.deadline, k.request.Window)
	}
	c.step(&majordomo.ClientEvent{Kind: majordomo.ClientCall, Call: &k.request})
}

func with(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

// abort gives a call up.
func (c *clientNode) abort(k *call) {
	if k.done {
		return
	}
	c.w.tracef(c.name, "gives up call %d", k.id)
	c.w.ledger.aborted(k)
	c.step(&majordomo.ClientEvent{Kind: majordomo.ClientAbort, Call: &k.request, Err: errGaveUp})
}

// probe has every client make one idempotent call to each service of JSON-RPC.
func (w *World) probe() {
	for _, c := range w.clients {
		if c.plan.opaque {
			continue
		}
		for at := range w.plan.Services {
			s := &w.plan.Services[at]
			if s.opaque {
				continue
			}
			e := w.newErrand(s)
			e.method, e.idempotent = methods[1], !s.plain || s.idempotent
			k := c.newCall(e)
			k.probe = true
			c.limit(k, probeTime)
			w.after(w.dice.upTo(time.Second), func() { c.do(func() { c.call(k) }) })
		}
	}
}

// part returns one part of an errand's stream.
func (e *errand) part(r *run, id []byte) []byte {
	r.parts++
	return jsonrpc.AppendResult(nil, id, fmt.Appendf(nil, `{"n":%d,"run":%d,"part":%d}`, e.id, r.id, r.parts))
}

// reply returns a handler's last word: with a code, an error.
func (e *errand) reply(r *run, id []byte, code int) []byte {
	switch {
	case e.notify:
		return []byte{}
	case e.service.opaque:
		return fmt.Appendf(nil, "errand %d run %d", e.id, r.id)
	case code != 0:
		return jsonrpc.AppendFailure(nil, id, code, "the handler failed", fmt.Appendf(nil, `{"n":%d,"run":%d,"handed_over":true}`, e.id, r.id))
	}
	return jsonrpc.AppendResult(nil, id, fmt.Appendf(nil, `{"n":%d,"run":%d,"parts":%d}`, e.id, r.id, r.parts))
}

// number returns the number behind a name in what handlers and callers write, or 0.
func number(text []byte, name string) int {
	_, rest, found := bytes.Cut(text, []byte(name))
	if !found {
		return 0
	}
	end := 0
	for end < len(rest) && '0' <= rest[end] && rest[end] <= '9' {
		end++
	}
	n, _ := strconv.Atoi(string(rest[:end])) // too long or nothing: 0
	return n
}

// Names before numbers, for number.
const (
	inErrand  = `"n":`
	inRun     = `"run":`
	inPart    = `"part":`
	inParts   = `"parts":`
	inOpaque  = "errand "
	inOpaqueR = " run "
)
