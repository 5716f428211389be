package majordomo

// detail is what an observation of a request says beyond the request.
type detail struct {
	code   int
	reason string
	body   [][]byte
}

// observe keeps o for whoever watches.
func (b *Broker) observe(o Observation) {
	if b.cfg.Observe {
		o.At = b.start.Add(b.now)
		b.observed = append(b.observed, o)
	}
}

// observeRequest keeps an event of r's life.
func (b *Broker) observeRequest(r *request, o Occasion, d detail) {
	if b.cfg.Observe {
		b.keepObservation(r, o, d)
	}
}

func (b *Broker) keepObservation(r *request, o Occasion, d detail) {
	b.observed = append(b.observed, Observation{
		Occasion: o, At: b.start.Add(b.now), Request: r.serial, Linked: r.linked,
		Service: string(r.name), Envelope: r.env, Body: d.body, Caller: r.caller,
		Attempt: r.attempts, Code: d.code, Reason: d.reason,
	})
	if r.member != nil {
		last := &b.observed[len(b.observed)-1]
		last.Worker, last.Instance = r.member.worker.peer.id, r.member.worker.instance
	}
}

// SetObserve makes the broker keep observations from now on, or stop keeping
// them.
func (b *Broker) SetObserve(on bool) { b.cfg.Observe = on }
