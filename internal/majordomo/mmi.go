package majordomo

import (
	"encoding/json"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// Pong is the result of mmi.ping.
type Pong struct {
	Broker      string `json:"broker"`
	Incarnation string `json:"incarnation"`
	Version     string `json:"version,omitempty"`
	Draining    bool   `json:"draining,omitempty"`
	HeartbeatMS int64  `json:"heartbeat_ms"`
	Liveness    int    `json:"liveness"`
}

// mmiParams holds the members of the params of all management methods; each
// reads those that it knows.
type mmiParams struct {
	ID       json.RawMessage `json:"id"`      // mmi.cancel, mmi.credit: the JSON-RPC id of a request of the asker
	N        int             `json:"n"`       // mmi.credit
	Service  string          `json:"service"` // mmi.service, mmi.services, mmi.pause, mmi.resume
	Request  uint64          `json:"request"` // mmi.cancel, mmi.release, mmi.drop: the broker's serial number
	Worker   string          `json:"worker"`  // mmi.drain, mmi.disconnect: the instance of a worker
	Presence                 // mmi.ping
}

// mmi answers a request to a service that begins with "mmi." (RFC 8).
func (b *Broker) mmi(p *Peer, ev *Event) {
	c, env := &ev.Command, &ev.Envelope
	if ev.Size > b.cfg.MaxMessageBytes {
		b.answer(p, ev, nil, &failure{code: jsonrpc.CodeTooLarge, text: "the request is larger than the broker takes"})
		return
	}
	if !env.Complete && len(c.Body) == 1 {
		jsonrpc.Scan(c.Body[0], env)
	}
	isRPC := env.Kind == jsonrpc.Request || env.Kind == jsonrpc.Notification
	var params mmiParams
	if isRPC && env.Params != nil && string(c.Service) != mdp.MMIRegister {
		var err error
		if params, err = readMMIParams(env.Params); err != nil {
			b.answer(p, ev, nil, &failure{code: jsonrpc.CodeInvalidParams, text: "the parameters can't be read: " + err.Error()})
			return
		}
	} else if !isRPC {
		params.Service = string(c.Body[0])
	}
	result, f := b.manage(p, string(c.Service), isRPC, env, &params)
	b.answer(p, ev, result, f)
}

// readMMIParams is by itself, as what it decodes to is an allocation: a ping that comes
// every few seconds from each client has no params.
func readMMIParams(raw []byte) (params mmiParams, err error) {
	err = json.Unmarshal(raw, &params)
	return params, err
}

// manage carries out one management request.
func (b *Broker) manage(p *Peer, name string, isRPC bool, env *jsonrpc.Envelope, params *mmiParams) (any, *failure) {
	switch name {
	case mdp.MMIService:
		s := b.services[params.Service]
		if s == nil || s.workers.n == 0 {
			f := noService(params.Service)
			return nil, &f
		}
		return map[string]int{"workers": s.workers.n}, nil
	case mdp.MMIPing:
		if f := p.introduce(params.Presence); f != nil {
			return nil, f
		}
		if isRPC && !p.held {
			p.held = true
			if !p.beat.pending() {
				b.wheel.set(&p.beat, b.lookBefore(b.now+b.cfg.expiry()))
			}
		}
		return b.pong(), nil
	}
	switch {
	case operates(name, params):
		return b.askedToOperate(p, name, isRPC, params)
	case !mmiOthers[name]:
		return nil, &failure{code: jsonrpc.CodeMethodNotFound, text: "this broker doesn't know " + name}
	case name == mdp.MMIServices || name == mdp.MMIStatus:
		return b.askedToSee(p, name, isRPC, params)
	case !isRPC:
		return nil, needsRPC(name)
	}
	switch name {
	case mdp.MMIRegister:
		result, f := b.register(p, env.Params)
		if f != nil {
			p.refused = p.worker == nil
			return nil, f
		}
		p.refused = false
		return result, nil
	case mdp.MMICancel:
		r := b.index.find(p, params.ID)
		if r == nil {
			return nil, notAsked()
		}
		b.cancel(r)
		return struct{}{}, nil
	default: // mdp.MMICredit
		r := b.index.find(p, params.ID)
		if r == nil {
			return nil, notAsked()
		}
		if params.N <= 0 {
			return nil, &failure{code: jsonrpc.CodeInvalidParams, text: "n must be at least 1"}
		}
		if r.state == stateRunning {
			b.tellCredit(r, params.N)
		}
		return struct{}{}, nil
	}
}

// sight says which services somebody sees; nil: all.
type sight func(service string) bool

func (sees sight) of(service string) bool { return sees == nil || sees(service) }

// askedToSee answers what p asks for, as far as p may see it.
func (b *Broker) askedToSee(p *Peer, name string, isRPC bool, params *mmiParams) (any, *failure) {
	service := params.Service
	if name == mdp.MMIStatus {
		service = "" // it reads no params
	}
	var sees sight
	switch {
	case b.allowed(p, MaySee, []byte(service)):
	case service == "" && b.allowedPartly(p, MaySee):
		sees = func(service string) bool { return b.allowed(p, MaySee, []byte(service)) }
	default:
		return nil, notPermitted(name)
	}
	switch {
	case !isRPC:
		return nil, needsRPC(name)
	case name == mdp.MMIStatus:
		return b.snapshot(sees), nil
	}
	return b.docs(service, sees), nil
}

// mmiOthers are the management requests that are neither for everybody in any
// language nor for operators.
var mmiOthers = map[string]bool{
	mdp.MMIRegister: true, mdp.MMICancel: true, mdp.MMICredit: true, mdp.MMIServices: true, mdp.MMIStatus: true,
}

func notPermitted(name string) *failure {
	return &failure{code: jsonrpc.CodeNotPermitted, text: "not permitted: " + name}
}

func needsRPC(name string) *failure {
	return &failure{code: jsonrpc.CodeInvalidRequest, text: name + " takes a JSON-RPC request"}
}

func notAsked() *failure {
	return &failure{code: jsonrpc.CodeNotFound, text: "no request with that id waits on this connection"}
}

// written is a result that is JSON already.
type written []byte

// pong returns the answer to mmi.ping. It is the same for everybody until a drain
// begins, so that many idle clients cost no encoding.
func (b *Broker) pong() *written {
	pong := &b.pongs[0]
	if b.draining {
		pong = &b.pongs[1]
	}
	if *pong == nil {
		*pong, _ = json.Marshal(&Pong{ //nolint:errchkjson // it never fails: the type has texts and numbers only
			Broker: b.cfg.ID, Incarnation: b.cfg.Incarnation, Version: b.cfg.Version, Draining: b.draining,
			HeartbeatMS: b.cfg.HeartbeatInterval.Milliseconds(), Liveness: b.cfg.Liveness,
		})
	}
	return pong
}

// answer sends the reply to a management request in the language of the asker:
// JSON-RPC, or the three digits of RFC 8.
func (b *Broker) answer(p *Peer, ev *Event, result any, f *failure) {
	if p.closed {
		return
	}
	var body []byte
	switch env := &ev.Envelope; {
	case env.Kind == jsonrpc.Notification:
		body = []byte{}
	case env.Kind != jsonrpc.Request:
		body = mdp.StatusBody(status(f))
	case f != nil:
		body = f.body(env.ID, false)
	default:
		body = b.resultBody(env.ID, result)
	}
	c := &ev.Command
	b.send(p, &mdp.Command{
		Version: c.Version, Kind: mdp.ClientFinal, Service: c.Service, Envelope: c.Envelope, Body: append(b.arena.frames(1), body),
	})
}

// resultBody is the reply to a JSON-RPC request that has gone well.
func (b *Broker) resultBody(id []byte, result any) []byte {
	var raw []byte
	if w, ok := result.(*written); ok {
		raw = *w
	} else {
		var err error
		if raw, err = json.Marshal(result); err != nil {
			// A contract that its worker registered can't be written again.
			return failure{code: jsonrpc.CodeInternal, text: "the answer can't be written: " + err.Error()}.body(id, false)
		}
	}
	const envelope = 40 // bytes, rounded up
	return jsonrpc.AppendResult(b.arena.bytes(envelope+len(id)+len(raw)), id, raw)
}

// status is the status of RFC 8 that says what f says.
func status(f *failure) int {
	if f == nil {
		return mdp.StatusOK
	}
	switch f.code {
	case jsonrpc.CodeMethodNotFound:
		return mdp.StatusNotImplemented
	case jsonrpc.CodeNoService, jsonrpc.CodeNotFound:
		return mdp.StatusNotFound
	case jsonrpc.CodeNotPermitted:
		return mdp.StatusForbidden
	}
	return mdp.StatusBadRequest
}
