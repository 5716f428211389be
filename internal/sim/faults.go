package sim

import "time"

// beginFaults starts the faults of the plan, each kind by itself.
func (w *World) beginFaults() {
	f := &w.plan.Faults
	d := w.dice
	w.repeat(f.brokerCrash, func() {
		b := w.brokers[d.IntN(len(w.brokers))]
		b.crash(d.chance(0.25))
		w.after(d.exponential(2*time.Second), b.start)
	})
	w.repeat(f.workerCrash, func() {
		n := w.workers[d.IntN(len(w.workers))]
		n.crash(d.chance(0.25))
		w.after(d.exponential(time.Second), n.start)
	})
	w.repeat(f.clientCrash, func() {
		c := w.clients[d.IntN(len(w.clients))]
		if d.chance(0.5) {
			c.close()
		}
		c.crash(d.chance(0.25))
		w.after(d.exponential(time.Second), c.start)
	})
	w.repeat(f.brokerDrain, func() {
		b := w.brokers[d.IntN(len(w.brokers))]
		if b.up && !b.leaving {
			b.ended = func() { w.after(d.upTo(time.Second), b.start) }
			b.drain(d.exponential(2*time.Second) + time.Millisecond)
		}
	})
	w.repeat(f.workerDrain, func() {
		n := w.workers[d.IntN(len(w.workers))]
		if n.up && !n.drains {
			n.ended = func() { w.after(d.upTo(time.Second), n.start) }
			n.drain(d.exponential(2*time.Second) + time.Millisecond)
		}
	})
	w.repeat(f.freeze, func() { w.anybody().freeze(d.exponential(w.plan.Broker.HeartbeatInterval * 2)) })
	w.repeat(f.clockJump, w.jumpSomebody)
	w.repeat(f.cut, func() {
		if living := w.net.living(); len(living) > 0 {
			c := living[d.IntN(len(living))]
			w.tracef("network", "cuts %s from %s", c.dialler.owner.name, c.listener.owner.name)
			w.net.cut(c)
		}
	})
	w.repeat(f.partition, w.partitionSome)
	for _, n := range w.workers {
		n.slowed = d.chance(0.05)
	}
}

// repeat has a fault happen again and again until all is healed.
func (w *World) repeat(mean time.Duration, fault func()) {
	if mean == 0 {
		return
	}
	w.after(w.dice.exponential(mean), func() {
		if !w.calm {
			fault()
			w.repeat(mean, fault)
		}
	})
}

// anybody returns one of the nodes.
func (w *World) anybody() *node {
	all := w.nodes()
	return all[w.dice.IntN(len(all))]
}

// nodes returns all nodes, brokers first.
func (w *World) nodes() []*node {
	var all []*node
	for _, b := range w.brokers {
		all = append(all, &b.node)
	}
	for _, n := range w.workers {
		all = append(all, &n.node)
	}
	for _, c := range w.clients {
		all = append(all, &c.node)
	}
	return all
}

// jumpSomebody puts somebody's clock forward.
func (w *World) jumpSomebody() {
	by := w.dice.exponential(2 * w.plan.Broker.HeartbeatInterval)
	at := w.dice.IntN(len(w.brokers) + len(w.workers) + len(w.clients))
	if at < len(w.brokers) {
		b := w.brokers[at]
		b.jump(by, b.rearm)
		return
	}
	if at -= len(w.brokers); at < len(w.workers) {
		n := w.workers[at]
		n.jump(by, n.rearm)
		return
	}
	c := w.clients[at-len(w.workers)]
	c.jump(by, c.rearm)
}

// partitionSome parts some nodes from some others for a while.
func (w *World) partitionSome() {
	d := w.dice
	p := &partition{from: make(map[*node]bool), to: make(map[*node]bool), oneWay: d.chance(0.4), hold: d.chance(0.5)}
	all := w.nodes()
	switch d.IntN(3) {
	case 0: // one is alone
		alone := w.anybody()
		p.from[alone] = true
		for _, n := range all {
			p.to[n] = true
		}
	case 1: // two don't hear each other
		p.from[&w.brokers[d.IntN(len(w.brokers))].node] = true
		p.to[w.anybody()] = true
	default: // the world falls apart
		for _, n := range all {
			if d.chance(0.5) {
				p.from[n] = true
			} else {
				p.to[n] = true
			}
		}
	}
	if p.oneWay && d.chance(0.5) {
		p.from, p.to = p.to, p.from
	}
	if w.trace != nil {
		w.tracef("network", "partition of %v from %v, one way %v, holds %v", names(all, p.from), names(all, p.to), p.oneWay, p.hold)
	}
	w.net.split(p)
	w.after(d.exponential(3*time.Second), func() {
		w.tracef("network", "a partition heals")
		w.net.join(p)
	})
}

func names(all []*node, in map[*node]bool) []string {
	var found []string
	for _, n := range all {
		if in[n] {
			found = append(found, n.name)
		}
	}
	return found
}

// heal ends all faults, and starts again who is down.
func (w *World) heal() {
	w.tracef("world", "heals; no more load")
	w.calm = true
	w.net.heal()
	for _, n := range w.nodes() {
		n.thaw()
	}
	for _, b := range w.brokers {
		if b.leaving {
			b.crash(false) // its drain may wait for somebody who is stuck
		}
		b.start()
	}
	for _, n := range w.workers {
		n.slowed = false
		if n.drains {
			n.crash(false)
		}
		n.start()
	}
	for _, c := range w.clients {
		c.start()
	}
}
