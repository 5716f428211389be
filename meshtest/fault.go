package meshtest

import (
	"github.com/mdpmesh/mesh/transport/faulty"
)

// Any stands for every end in [Mesh.Partition].
const Any = faulty.Any

// Partition keeps two ends from hearing each other, and returns how to end that.
// One of them is a broker, or [Any]. New connections between them aren't made
// meanwhile, and neither side hears that the other is gone. What is sent waits,
// unless Config.LosePartitioned is set.
func (m *Mesh) Partition(a, b string) (heal func()) {
	m.t.Helper()
	from, to := m.ends(a, b)
	return m.network.faults.Partition(from, to)
}

// PartitionOneWay keeps to from hearing from; the other way round messages pass.
// It is like [Mesh.Partition] otherwise.
func (m *Mesh) PartitionOneWay(from, to string) (heal func()) {
	m.t.Helper()
	from, to = m.ends(from, to)
	return m.network.faults.PartitionOneWay(from, to)
}

// Heal ends all partitions.
func (m *Mesh) Heal() { m.network.faults.Heal() }

// SetFaults makes messages suffer from now on: those that workers and clients
// send (up), and those that brokers send (down). The zero values end it.
//
// Majordomo stands on connections that neither lose, repeat nor reorder messages
// while they live. The promises of package mesh that go beyond one connection hold
// all the same, but a request that is duplicated on its way runs twice, unless its
// call has a key, and one that is duplicated on its way to a worker always does.
func (m *Mesh) SetFaults(up, down faulty.Faults) {
	m.t.Helper()
	if err := m.network.faults.SetFaults(up, down); err != nil {
		m.t.Fatalf("meshtest: %v", err)
	}
}

// Kill ends a broker, a worker or a client as the death of its process would:
// without a goodbye, but the others see their connections end. Handlers of a
// worker, which go on in truth, have their contexts cancelled, and nobody hears
// of them any more. Calls of a client fail with [mesh.ErrClosed]. A broker can be
// started again by [Mesh.Restart], others can't.
func (m *Mesh) Kill(name string) {
	m.t.Helper()
	m.finish(name, false)
}

// Crash ends a broker, a worker or a client as a power cut would: it is like
// [Mesh.Kill], but the others notice nothing except that it is silent.
func (m *Mesh) Crash(name string) {
	m.t.Helper()
	m.finish(name, true)
}

func (m *Mesh) finish(name string, crash bool) {
	m.t.Helper()
	cut := m.network.faults.Kill
	if crash {
		cut = m.network.faults.Crash
	}
	if b := m.broker(name); b != nil {
		m.network.takeDown(b.addr(), crash)
		cut(b.addr())
		b.stop()
		return
	}
	if !m.network.knows(name) {
		m.t.Fatalf("meshtest: no end of the mesh is called %q", name)
	}
	m.network.bury(name)
	cut(name)
	m.mu.Lock()
	w, c := m.workers[name], m.clients[name]
	m.mu.Unlock()
	switch {
	case w != nil:
		w.stop()
	case c != nil:
		_ = c.Close() // it always returns nil
	}
}

// ends returns two ends as package faulty knows them, after making sure that there
// can be a connection between them.
func (m *Mesh) ends(a, b string) (first, second string) {
	m.t.Helper()
	brokers, others := 0, 0
	addr := func(name string) string {
		m.t.Helper()
		switch {
		case name == Any:
			brokers++
			others++
			return name
		case m.broker(name) != nil:
			brokers++
			return m.broker(name).addr()
		case !m.network.knows(name):
			m.t.Fatalf("meshtest: no end of the mesh is called %q", name)
		}
		others++
		return name
	}
	first, second = addr(a), addr(b)
	if brokers == 0 || others == 0 {
		m.t.Fatalf("meshtest: %q and %q aren't connected; a partition is between a broker and another end", a, b)
	}
	return first, second
}
