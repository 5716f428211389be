package majordomo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// clientMesh wires a session to brokers, each with one plain worker, in virtual
// time.
type clientMesh struct {
	*clientBed
	brokers []*Broker // nil: it isn't there
	workers []*Peer
	peers   map[uint64]*Peer
	broker  map[uint64]*Broker
	held    []func() // replies that workers owe
	runs    int
	parts   int // how many parts a reply has
}

func newClientMesh(t *testing.T, brokers int) *clientMesh {
	m := &clientMesh{
		clientBed: newClientBed(t, ClientConfig{Brokers: brokers, HeartbeatInterval: time.Second}),
		peers:     make(map[uint64]*Peer), broker: make(map[uint64]*Broker),
	}
	for at := range brokers {
		m.brokers, m.workers = append(m.brokers, nil), append(m.workers, nil)
		m.start(at, "1")
	}
	return m
}

// start runs a broker and a worker of tea at it.
func (m *clientMesh) start(at int, incarnation string) {
	br, err := NewBroker(Config{ID: string(rune('a' + at)), Incarnation: incarnation, HeartbeatInterval: time.Second}, m.now)
	require.NoError(m.t, err)
	m.brokers[at], m.workers[at] = br, NewPeer(Identity{}, nil)
	m.toBroker(br, m.workers[at], mdp.Command{Version: mdp.V02, Kind: mdp.Ready, Service: []byte("tea")})
}

// crash takes a broker away with all its connections.
func (m *clientMesh) crash(at int) {
	gone := m.brokers[at]
	m.brokers[at] = nil
	for conn, br := range m.broker {
		if br == gone {
			delete(m.peers, conn)
			delete(m.broker, conn)
			m.carryOut(m.cut(conn))
		}
	}
}

func (m *clientMesh) toBroker(br *Broker, p *Peer, c mdp.Command) {
	var ev Event
	ev.Received(p, c.AppendTo(nil), false)
	m.fromBroker(br, br.Step(m.now, &ev))
}

func (m *clientMesh) fromBroker(br *Broker, actions []Action) {
	for _, a := range append([]Action(nil), actions...) {
		if a.Kind != Send {
			continue
		}
		if conn, ok := a.Peer.Data.(uint64); ok {
			if m.peers[conn] == a.Peer {
				m.carryOut(m.message(conn, a.Message...))
			}
			continue
		}
		c, err := mdp.ParseWorker(a.Message)
		require.NoError(m.t, err)
		if c.Kind == mdp.WorkerRequest {
			m.runs++
			worker := a.Peer
			m.held = append(m.held, func() { m.work(br, worker, c) })
		}
	}
}

// work has a worker reply to a request with its own params.
func (m *clientMesh) work(br *Broker, worker *Peer, c mdp.Command) {
	var env jsonrpc.Envelope
	jsonrpc.Scan(c.Body[0], &env)
	require.Equal(m.t, jsonrpc.Request, env.Kind)
	body := [][]byte{jsonrpc.AppendResult(nil, env.ID, env.Params)}
	for range m.parts {
		m.toBroker(br, worker, mdp.Command{Version: mdp.V02, Kind: mdp.WorkerPartial, Address: c.Address, Body: body})
	}
	m.toBroker(br, worker, mdp.Command{Version: mdp.V02, Kind: mdp.WorkerFinal, Address: c.Address, Body: body})
}

// reply lets workers reply to what they have, and to what they get then.
func (m *clientMesh) reply() {
	for len(m.held) > 0 {
		next := m.held[0]
		m.held = m.held[1:]
		next()
	}
}

// carryOut does what the session asks for.
func (m *clientMesh) carryOut(actions []ClientAction) {
	for _, a := range actions {
		switch a.Kind {
		case ClientDial:
			br := m.brokers[a.Broker]
			if br == nil {
				m.carryOut(m.dialFailed(a.Conn))
				continue
			}
			m.peers[a.Conn], m.broker[a.Conn] = NewPeer(Identity{}, a.Conn), br
			m.carryOut(m.dialed(a.Conn))
		case ClientSend:
			if p := m.peers[a.Conn]; p != nil {
				var ev Event
				ev.Received(p, a.Message, false)
				m.fromBroker(m.broker[a.Conn], m.broker[a.Conn].Step(m.now, &ev))
			}
		case ClientHangup:
			if p := m.peers[a.Conn]; p != nil {
				br := m.broker[a.Conn]
				delete(m.peers, a.Conn)
				delete(m.broker, a.Conn)
				m.fromBroker(br, br.Step(m.now, &Event{Kind: Gone, Peer: p}))
			}
		}
	}
}

func (m *clientMesh) ask(c *Call) *Call {
	c.Params = []byte(`{"n":1}`)
	m.carryOut(m.call(c))
	return c
}

// elapse lets time pass for everybody. Workers are always heard.
func (m *clientMesh) elapse(d time.Duration) {
	for end := m.now.Add(d); m.now.Before(end); {
		m.now = m.now.Add(100 * time.Millisecond)
		m.carryOut(m.wake())
		for at, br := range m.brokers {
			if br != nil {
				m.toBroker(br, m.workers[at], mdp.Command{Version: mdp.V02, Kind: mdp.Heartbeat})
				m.fromBroker(br, br.Step(m.now, &Event{Kind: Wake}))
			}
		}
	}
}

func TestClientWithBroker(t *testing.T) {
	t.Parallel()
	m := newClientMesh(t, 1)
	c := m.ask(&Call{})
	m.reply()
	m.succeeded(c, `{"n":1}`)

	var many []*Call
	for range 100 {
		many = append(many, m.ask(&Call{}))
	}
	m.reply()
	for _, c := range many {
		m.succeeded(c, `{"n":1}`)
	}
	unknown := m.ask(&Call{Service: []byte("coffee"), Method: "coffee.brew"})
	m.elapse(6 * time.Second)
	require.False(t, m.failed(unknown, jsonrpc.CodeNoService).Local)
}

func TestClientAndBrokerStayInTouch(t *testing.T) {
	t.Parallel()
	m := newClientMesh(t, 1)
	c := m.ask(&Call{})
	m.elapse(time.Minute)
	require.EqualValues(t, 1, m.last, "both hear enough of each other")
	m.reply()
	m.succeeded(c, `{"n":1}`)
}

func TestClientFailsOverBetweenBrokers(t *testing.T) {
	t.Parallel()
	m := newClientMesh(t, 2)
	once, again := []*Call{}, []*Call{}
	for range 8 {
		once = append(once, m.ask(&Call{}))
		again = append(again, m.ask(&Call{Idempotent: true}))
	}
	var there []*Call
	for _, c := range once {
		if m.conns[m.calls[c].conn].broker == 0 {
			there = append(there, c)
		}
	}
	require.NotEmpty(t, there)
	require.Less(t, len(there), len(once))
	m.crash(0)
	for _, c := range there {
		m.failed(c, jsonrpc.CodeBrokerLost)
	}
	m.reply()
	for _, c := range again {
		m.succeeded(c, `{"n":1}`)
	}
	for _, c := range once {
		require.True(t, m.calls[c].done)
	}
	m.start(0, "2")
	m.elapse(time.Second)
	m.crash(1)
	later := m.ask(&Call{})
	m.reply()
	m.succeeded(later, `{"n":1}`)
	require.Equal(t, 0, m.conns[m.calls[later].conn].broker, "it came back")
}

func TestClientLeavesWhatDrains(t *testing.T) {
	t.Parallel()
	m := newClientMesh(t, 2)
	var calls []*Call
	for range 8 {
		calls = append(calls, m.ask(&Call{}))
	}
	m.fromBroker(m.brokers[0], m.brokers[0].Step(m.now, &Event{Kind: Drain}))
	next := m.ask(&Call{})
	require.Equal(t, 1, m.conns[m.calls[next].conn].broker)
	require.False(t, m.conns[1].over, "what runs there has to reply")
	m.reply()
	for _, c := range append(calls, next) {
		m.succeeded(c, `{"n":1}`)
	}
	require.Equal(t, 9, m.runs, "what was queued ran elsewhere")
	require.True(t, m.conns[1].over)
}

func TestClientCancelsAtBroker(t *testing.T) {
	t.Parallel()
	m := newClientMesh(t, 1)
	m.ask(&Call{})
	queued := m.ask(&Call{})
	m.carryOut(m.abort(queued, errClientCut))
	m.reply()
	require.Equal(t, 1, m.runs, "it never reached a worker")
	require.EqualValues(t, 1, m.s.counts.Late, "the broker's word of it")
}

func TestClientKeySurvivesConnection(t *testing.T) {
	t.Parallel()
	m := newClientMesh(t, 1)
	c := m.ask(&Call{Key: "k"})
	require.Equal(t, 1, m.runs)
	p, br := m.peers[1], m.broker[1]
	delete(m.peers, 1)
	m.carryOut(m.cut(1))
	m.fromBroker(br, br.Step(m.now, &Event{Kind: Gone, Peer: p}))
	m.elapse(time.Second)
	require.Equal(t, 2, m.calls[c].sends)
	m.reply()
	m.succeeded(c, `{"n":1}`)
	require.Equal(t, 1, m.runs, "it joined the run")
}

func TestClientStreamsThroughBroker(t *testing.T) {
	t.Parallel()
	m := newClientMesh(t, 1)
	m.parts = 3
	c := m.ask(&Call{Window: 8})
	m.reply()
	m.succeeded(c, `{"n":1}`)
	require.Len(t, m.calls[c].parts, 3)
}
