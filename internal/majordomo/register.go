package majordomo

import (
	"encoding/json"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// Registration is the params of mmi.register: what a worker says of itself
// (docs/protocol.md "Registered workers").
type Registration struct {
	Instance string       `json:"instance"`
	Version  string       `json:"version,omitempty"`
	Host     string       `json:"host,omitempty"`
	PID      int          `json:"pid,omitempty"`
	Capacity int          `json:"capacity"`
	Services []ServiceDoc `json:"services"`
	Cancel   bool         `json:"cancel,omitempty"`
	Credit   bool         `json:"credit,omitempty"`
}

// ServiceDoc is what a worker says of one of its services.
type ServiceDoc struct {
	Name    string      `json:"name"`
	Doc     string      `json:"doc,omitempty"`
	Methods []MethodDoc `json:"methods,omitempty"`
}

// MethodDoc is the contract of one method.
type MethodDoc struct {
	Name       string          `json:"name"`
	Doc        string          `json:"doc,omitempty"`
	Idempotent bool            `json:"idempotent,omitempty"`
	Attempts   int             `json:"attempts,omitempty"`
	Stream     bool            `json:"stream,omitempty"`
	Params     json.RawMessage `json:"params,omitempty"`
	Result     json.RawMessage `json:"result,omitempty"`
}

// Registered is the result of mmi.register.
type Registered struct {
	Broker      string    `json:"broker"`
	Incarnation string    `json:"incarnation"`
	Version     string    `json:"version,omitempty"`
	HeartbeatMS int64     `json:"heartbeat_ms"`
	Liveness    int       `json:"liveness"`
	MaxMessage  int       `json:"max_message"`
	Draining    bool      `json:"draining,omitempty"` // an operator drained it: nothing comes, whatever its capacity
	Refused     []Refusal `json:"refused,omitempty"`
}

// Refusal says why a service of a registration wasn't taken.
type Refusal struct {
	Service string `json:"service"`
	Code    int    `json:"code"`
	Reason  string `json:"reason"`
}

// register answers mmi.register. A repeated one replaces what was said before.
func (b *Broker) register(p *Peer, params []byte) (any, *failure) {
	var reg Registration
	if err := json.Unmarshal(params, &reg); err != nil {
		return nil, &failure{code: jsonrpc.CodeInvalidParams, text: "the registration can't be read: " + err.Error()}
	}
	if f := (&Presence{Instance: reg.Instance, Host: reg.Host, PID: reg.PID, Version: reg.Version}).check(); f != nil {
		return nil, f
	}
	w := p.worker
	switch {
	case reg.Capacity < 0:
		return nil, &failure{code: jsonrpc.CodeInvalidParams, text: "capacity is negative"}
	case len(reg.Services) == 0:
		return nil, &failure{code: jsonrpc.CodeInvalidParams, text: "the registration names no service"}
	case len(reg.Services) > b.cfg.MaxWorkerServices:
		return nil, &failure{code: jsonrpc.CodeInvalidParams, text: "the registration names too many services"}
	case b.draining && reg.Capacity > 0 && (w == nil || reg.Capacity > w.capacity):
		return nil, &failure{code: jsonrpc.CodeDraining, text: "the broker is draining; register elsewhere"}
	}
	switch {
	case w == nil:
		w = newWorker(p, mdp.V02)
		w.registered = true
		b.wheel.set(&p.beat, b.now+b.cfg.expiry())
	case !w.registered:
		return nil, &failure{code: jsonrpc.CodeInvalidRequest, text: "the worker said READY before it registered"}
	}
	w.instance, w.cancels, w.credits = reg.Instance, reg.Cancel, reg.Credit
	w.capacity = min(reg.Capacity, b.cfg.MaxCapacity)
	w.held = false
	refused := b.offer(w, reg.Services)
	reg.Services = nil
	w.info = &reg
	b.workerFree(w)
	return &Registered{
		Broker: b.cfg.ID, Incarnation: b.cfg.Incarnation, Version: b.cfg.Version,
		HeartbeatMS: b.cfg.HeartbeatInterval.Milliseconds(), Liveness: b.cfg.Liveness,
		MaxMessage: b.cfg.MaxMessageBytes, Draining: w.drained, Refused: refused,
	}, nil
}

// offer makes w a worker of the services that it may offer, and of no others.
func (b *Broker) offer(w *worker, docs []ServiceDoc) (refused []Refusal) {
	before := w.members
	at := make(map[*service]*member, len(before))
	for _, m := range before {
		at[m.service] = m
	}
	named := make(map[*service]bool, len(docs))
	w.members = nil
	for i := range docs {
		doc := &docs[i]
		refusal := b.refuses(w.peer, []byte(doc.Name))
		var s *service
		if refusal == nil {
			if s = b.serviceNamed([]byte(doc.Name)); s == nil {
				refusal = &Refusal{Service: doc.Name, Code: jsonrpc.CodeOverloaded, Reason: "the broker knows too many services"}
			}
		}
		if refusal != nil {
			refused = append(refused, *refusal)
			continue
		}
		if named[s] {
			continue // said twice: the first counts
		}
		named[s] = true
		methods := make(map[string]*MethodDoc, len(doc.Methods))
		for j := range doc.Methods {
			methods[doc.Methods[j].Name] = &doc.Methods[j]
		}
		s.doc = doc
		if m := at[s]; m != nil {
			m.index, m.methods = uint16(i), methods
			w.members = append(w.members, m)
			continue
		}
		b.enlist(w, s, uint16(i), methods)
		if w.ready {
			b.observe(Observation{Occasion: WorkerJoined, Service: s.name, Worker: w.peer.id, Instance: w.instance})
		}
	}
	for _, m := range before {
		if named[m.service] {
			continue
		}
		if w.ready {
			b.observe(Observation{Occasion: WorkerLeft, Service: m.service.name, Worker: w.peer.id, Instance: w.instance, Reason: "registered without it"})
		}
		b.delist(m)
	}
	return refused
}
