package majordomo

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// brokerLoop is a broker with workers and callers of one service, and the messages
// that go between them. Time goes on by a microsecond a message, and heartbeats
// are so far apart that none is due.
type brokerLoop struct {
	b       *Broker
	now     time.Time
	event   Event
	callers []*brokerLoopCaller
	random  *rand.Rand

	// The memory of messages is used again early, while they are queued: it isn't
	// what is measured, and nobody reads them again.
	messages [4096]brokerLoopMessage
	sent     int
	address  []byte // of what a worker was handed last
	worker   *Peer  // that worker
	final    [5][]byte
}

// brokerLoopMessage is a request as it comes from a caller.
type brokerLoopMessage struct {
	frames [4][]byte
	body   [160]byte
}

// brokerLoopCaller is a caller, which counts its ids up.
type brokerLoopCaller struct {
	peer *Peer
	id   int64
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
		l.callers = append(l.callers, &brokerLoopCaller{peer: NewPeer(Identity{Addr: "caller " + strconv.Itoa(i)}, nil)})
	}
	return l
}

// step takes a message to the broker, and notes what a worker was handed.
func (l *brokerLoop) step(p *Peer, frames [][]byte) {
	l.now = l.now.Add(time.Microsecond)
	l.event.Received(p, frames, false)
	for _, a := range l.b.Step(l.now, &l.event) {
		if len(a.Message) == 5 { // a REQUEST; nothing else that is sent has so many frames
			l.worker, l.address = a.Peer, a.Message[2]
		}
	}
}

// join makes a new peer a worker with one slot.
func (l *brokerLoop) join() {
	p := NewPeer(Identity{Addr: "worker"}, nil)
	l.step(p, [][]byte{[]byte("MDPW02"), {1}, []byte("tea")})
}

// ask sends a request of a caller that is drawn.
func (l *brokerLoop) ask() {
	c := l.callers[l.random.IntN(len(l.callers))]
	c.id++
	m := &l.messages[l.sent%len(l.messages)]
	l.sent++
	body := append(m.body[:0], `{"jsonrpc":"2.0","id":`...)
	body = strconv.AppendInt(body, c.id, 10)
	body = append(body, `,"method":"tea.brew","meta":{"timeout_ms":30000000},"params":{"kind":"black","sugar":2,"note":"hot"}}`...)
	m.frames = [4][]byte{brokerLoopHeader, brokerLoopRequest, brokerLoopService, body}
	l.step(c.peer, m.frames[:])
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

// settleHeap leaves the heap with room that was in use before, so that nothing of
// what is measured is the heap's growth.
func settleHeap() {
	var room [][]byte
	for range 1024 {
		page := make([]byte, 512<<10)
		for i := 0; i < len(page); i += 4096 {
			page[i] = 1
		}
		room = append(room, page)
	}
	runtime.KeepAlive(room)
	runtime.GC()
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
			settleHeap()
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
	const callers = 100
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
			settleHeap()
			b.ReportAllocs()
			for b.Loop() {
				l.ask()
				l.reply()
			}
			require.Equal(b, queued, l.b.queued)
		})
	}
}

// BenchmarkPing is what an idle client costs the broker each time that it says that it
// is there.
func BenchmarkPing(b *testing.B) {
	ping := newPinging(b)
	b.ReportAllocs()
	for b.Loop() {
		ping()
	}
}

// newPinging returns what has the one client of a broker ask mmi.ping.
func newPinging(tb testing.TB) (ping func()) {
	tb.Helper()
	l := newBrokerLoop(tb, Config{ID: "0123456789abcdef", Incarnation: "0123456789abcdef", Version: "0.1.0"}, 1)
	frames := [][]byte{[]byte("MDPC02"), {1}, []byte("mmi.ping"), []byte(`{"jsonrpc":"2.0","id":123456789,"method":"mmi.ping"}`)}
	return func() { l.step(l.callers[0].peer, frames) }
}
