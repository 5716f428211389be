package majordomo

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// workerLoop is a session that always has the same number of requests running: as
// soon as one is replied to the next one comes.
type workerLoop struct {
	s     *WorkerSession
	now   time.Time
	body  [][]byte
	reply [][]byte
	event WorkerEvent
	ended WorkerEvent
	jobs  []*Job
	token uint64

	message [8][]byte
	address [64]byte
}

func newWorkerLoop(tb testing.TB, running int) *workerLoop {
	tb.Helper()
	b := newServingWorker(tb, WorkerConfig{Registration: Registration{Capacity: running}})
	l := &workerLoop{
		s: b.s, now: b.now,
		body: [][]byte{[]byte(`{"jsonrpc":"2.0","id":12345,"method":"tea.brew","meta":{"timeout_ms":30000},` +
			`"params":{"kind":"black","sugar":2,"note":"as hot as it gets, please"}}`)},
		reply: [][]byte{[]byte(`{"jsonrpc":"2.0","id":12345,"result":{"cup":"black","sugar":2}}`)},
		ended: WorkerEvent{Kind: WorkerReply, Final: true},
	}
	for range running {
		l.request()
		l.jobs = append(l.jobs, l.run())
	}
	return l
}

// request makes the event of the next request.
func (l *workerLoop) request() {
	l.token++
	l.now = l.now.Add(time.Microsecond)
	a := mdp.Address{Token: l.token, Remaining: 30_000, Attempt: 1}
	c := mdp.Command{Version: mdp.V02, Kind: mdp.WorkerRequest, Address: a.AppendTo(l.address[:0]), Body: l.body}
	l.event.Received(1, c.AppendTo(l.message[:0]))
}

func (l *workerLoop) run() *Job { return l.s.Step(l.now, &l.event)[0].Job }

// round replies to the job that has run longest and runs the next request.
func (l *workerLoop) round() {
	at := l.token % uint64(len(l.jobs))
	l.ended.Job, l.ended.Body = l.jobs[at], l.reply
	if l.s.Step(l.now, &l.ended)[0].Kind != WorkerSend {
		panic("not sent")
	}
	l.jobs[at] = l.run()
}

// BenchmarkWorkerSession measures a request from WorkerMessage to the FINAL that is
// sent, at different numbers of requests that are running: two steps, and with
// the reading of the message.
func BenchmarkWorkerSession(b *testing.B) {
	for _, running := range []int{1, 64, 10_000} {
		b.Run("steps/"+strconv.Itoa(running), func(b *testing.B) {
			l := newWorkerLoop(b, running)
			// The same message again: only its token differs.
			l.request()
			b.ReportAllocs()
			for b.Loop() {
				l.token++
				l.event.Command.Address[8], l.event.Command.Address[7], l.event.Command.Address[6] = byte(l.token), byte(l.token>>8), byte(l.token>>16)
				l.round()
			}
		})
		b.Run("read/"+strconv.Itoa(running), func(b *testing.B) {
			l := newWorkerLoop(b, running)
			b.ReportAllocs()
			for b.Loop() {
				l.request()
				l.round()
			}
		})
	}
}

func TestWorkerSessionAllocates(t *testing.T) {
	l := newWorkerLoop(t, 16)
	round := func() {
		l.request()
		l.round()
	}
	for range 1000 {
		round()
	}
	// Frames come from chunks.
	require.Less(t, testing.AllocsPerRun(1000, round), 1.0)
}
