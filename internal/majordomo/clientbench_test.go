package majordomo

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// clientLoop is a session with calls that are made again as soon as they are done.
type clientLoop struct {
	s     *ClientSession
	now   time.Time
	calls []Call
	at    int
	event ClientEvent
	body  [1][]byte // of the reply
	reply [4][]byte
}

func newClientLoop(t testing.TB, inFlight int) *clientLoop {
	b := newServedClient(t, ClientConfig{MaxPending: inFlight + 1})
	l := &clientLoop{s: b.s, now: b.now, calls: make([]Call, inFlight)}
	for i := range l.calls {
		c := &l.calls[i]
		c.Service, c.Method, c.Params = []byte("tea"), "tea.brew", bytes.Repeat([]byte(" "), 64)
		copy(c.Params, `{"kind":"oolong"}`)
		l.make(c)
	}
	return l
}

func (l *clientLoop) make(c *Call) {
	c.Deadline = l.now.Add(30 * time.Second)
	l.event = ClientEvent{Kind: ClientCall, Call: c}
	if l.s.Step(l.now, &l.event)[0].Kind != ClientSend {
		panic("not sent")
	}
}

// round answers the oldest call and makes it again.
func (l *clientLoop) round() {
	c := &l.calls[l.at]
	l.at = (l.at + 1) % len(l.calls)
	l.now = l.now.Add(time.Microsecond)
	body := l.body[0][:0]
	body = append(body, `{"jsonrpc":"2.0","id":`...)
	body = strconv.AppendUint(body, c.progress.main.id, 10)
	l.body[0] = append(body, `,"result":{"cups":1}}`...)
	cmd := mdp.Command{Version: mdp.V02, Kind: mdp.ClientFinal, Service: c.Service, Body: l.body[:]}
	l.event.Received(1, cmd.AppendTo(l.reply[:0]))
	if l.s.Step(l.now, &l.event)[0].Kind != ClientDone {
		panic("not done")
	}
	l.make(c)
}

// BenchmarkClientSession measures a call from ClientCall to ClientDone, the
// reading of the reply included, at different numbers of calls that are out.
func BenchmarkClientSession(b *testing.B) {
	for _, inFlight := range []int{1, 64, 10_000, 1_000_000} {
		b.Run(clientNumber(uint64(inFlight)), func(b *testing.B) {
			l := newClientLoop(b, inFlight)
			b.ReportAllocs()
			for b.Loop() {
				l.round()
			}
		})
	}
}

func TestClientAllocates(t *testing.T) {
	l := newClientLoop(t, 16)
	for range 1000 {
		l.round()
	}
	// The request's body; frames come from chunks.
	require.Less(t, testing.AllocsPerRun(1000, l.round), 1.5)
}
