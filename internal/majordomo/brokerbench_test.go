package majordomo

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// brokerLoop is a broker with workers and callers of one service, and the messages
// that go between them. Time goes on by a microsecond a message, and heartbeats
// are so far apart that none is due.
type brokerLoop struct {
	b       *Broker
	now     time.Time
	event   Event
	callers []*Peer
	random  *rand.Rand

	chunk   []brokerLoopMessage
	id      int64
	address []byte // of what a worker was handed last
	worker  *Peer  // that worker
	final   [5][]byte
}

// brokerLoopMessage is a request as it comes from a caller. Each has memory of its
// own, as transports read them.
type brokerLoopMessage struct {
	frames [4][]byte
	body   [160]byte
}

func newBrokerLoop(tb testing.TB, cfg Config, callers int) *brokerLoop {
	tb.Helper()
	cfg.HeartbeatInterval = 1000 * time.Hour
	cfg.QueueTimeout = 1000 * time.Hour
	cfg.MaxQueued, cfg.Service.MaxQueued = 2_000_000, 2_000_000
	cfg.MaxQueuedBytes, cfg.Service.MaxQueuedBytes = 1<<40, 1<<40
	now := time.Unix(1_000_000_000, 0)
	b, err := NewBroker(cfg, now)
	require.NoError(tb, err)
	l := &brokerLoop{b: b, now: now, random: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // nothing secret: the same order each time
	l.final = [5][]byte{[]byte("MDPW02"), {4}, nil, {}, []byte(`{"jsonrpc":"2.0","id":1,"result":{"cup":"black","sugar":2}}`)}
	for i := range callers {
		l.callers = append(l.callers, NewPeer(Identity{Addr: "caller " + strconv.Itoa(i)}, nil))
	}
	return l
}

// step takes a message to the broker, and notes what a worker was handed.
func (l *brokerLoop) step(p *Peer, frames [][]byte) []Action {
	l.now = l.now.Add(time.Microsecond)
	l.event.Received(p, frames, false)
	actions := l.b.Step(l.now, &l.event)
	for i := range actions {
		if a := &actions[i]; a.Kind == Send && len(a.Message) == 5 { // only a request for a worker has five frames
			l.worker, l.address = a.Peer, a.Message[2]
		}
	}
	return actions
}

// join makes a new peer a worker with one slot.
func (l *brokerLoop) join() *Peer {
	p := NewPeer(Identity{Addr: "worker"}, nil)
	l.step(p, [][]byte{[]byte("MDPW02"), {1}, []byte("tea")})
	return p
}

// ask sends a request of a caller that is drawn.
func (l *brokerLoop) ask() {
	if len(l.chunk) == 0 {
		l.chunk = make([]brokerLoopMessage, 64)
	}
	m := &l.chunk[0]
	l.chunk = l.chunk[1:]
	l.id++
	body := append(m.body[:0], `{"jsonrpc":"2.0","id":`...)
	body = strconv.AppendInt(body, l.id, 10)
	body = append(body, `,"method":"tea.brew","meta":{"timeout_ms":30000000},"params":{"kind":"black","sugar":2,"note":"hot"}}`...)
	m.frames = [4][]byte{brokerLoopHeader, brokerLoopRequest, brokerLoopService, body}
	l.step(l.callers[l.random.IntN(len(l.callers))], m.frames[:])
}

var (
	brokerLoopHeader  = []byte("MDPC02")
	brokerLoopRequest = []byte{1}
	brokerLoopService = []byte("tea")
)

// reply sends the reply of the worker that was handed a request last.
func (l *brokerLoop) reply() { l.replyOf(l.worker, l.address) }

func (l *brokerLoop) replyOf(worker *Peer, address []byte) {
	l.final[2] = address
	l.step(worker, l.final[:])
}

// BenchmarkIdleWorkers measures a request and its reply: two messages through the
// broker, among few and many workers that wait for one.
func BenchmarkIdleWorkers(b *testing.B) {
	for _, workers := range []int{10, 100_000} {
		b.Run(strconv.Itoa(workers), func(b *testing.B) {
			l := newBrokerLoop(b, Config{}, 1)
			for range workers {
				l.join()
			}
			// All get a request and reply in any order, so that their turns come in
			// another order than that of their places in memory.
			type handed struct {
				worker  *Peer
				address []byte
			}
			var all []handed
			for range workers {
				l.ask()
				all = append(all, handed{l.worker, l.address})
			}
			require.Equal(b, workers, l.b.running)
			for _, i := range l.random.Perm(workers) {
				l.replyOf(all[i].worker, all[i].address)
			}
			require.Zero(b, l.b.running)
			all = nil
			runtime.GC()
			b.ReportAllocs()
			for b.Loop() {
				l.ask()
				l.reply()
			}
			require.Equal(b, l.b.counts.Received, l.b.counts.Replied)
		})
	}
}

// BenchmarkQueued measures a request that is put behind others, and the reply for
// which the oldest of another caller is handed over, where few and many are queued.
func BenchmarkQueued(b *testing.B) {
	const callers = 1000
	for _, queued := range []int{10, 1_000_000} {
		b.Run(strconv.Itoa(queued), func(b *testing.B) {
			l := newBrokerLoop(b, Config{}, callers)
			l.join()
			for range queued + 1 {
				l.ask()
			}
			for range 10_000 {
				l.ask()
				l.reply()
			}
			runtime.GC()
			b.ReportAllocs()
			for b.Loop() {
				l.ask()
				l.reply()
			}
			require.Equal(b, queued, l.b.queued)
		})
	}
}

var _ = mdp.V02
