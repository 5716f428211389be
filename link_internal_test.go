package mesh

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// heard is a receiver at a broker's end.
type heard struct{ messages []string }

func (h *heard) Receive(batch []transport.Message) {
	for _, m := range batch {
		h.messages = append(h.messages, string(m[0]))
	}
}

func (*heard) Gone(error) {}

func TestLinkNumbers(t *testing.T) {
	t.Parallel()
	at := func(names ...string) (all []transport.Endpoint) {
		for _, name := range names {
			all = append(all, transport.Endpoint{Addr: "inproc://" + name})
		}
		return all
	}
	used := map[int]bool{}
	l := newLink(nil, at("a", "b"), 0, func() {})
	l.uses = func(n int) bool { return used[n] }
	use := func(numbers ...int) {
		clear(used)
		for _, n := range numbers {
			used[n] = true
		}
	}
	use(0, 1)
	require.Equal(t, []int{1, 2, 0, 3}, l.numbers(at("b", "c", "a", "d", "c")), "each once, in the order in which they are found")
	use(0, 1, 2, 3)
	require.Equal(t, []int{3}, l.numbers(at("d")))
	use(1, 3) // b is connected
	require.Equal(t, []int{0, 3, 2, 4}, l.numbers(at("e", "d", "f", "g")), "what nobody uses is given to others")
	require.Equal(t, at("e", "b", "f", "d", "g"), l.brokers)
	use(0, 1, 3, 2, 4)
	require.Equal(t, []int{5, 1}, l.numbers(at("h", "b")), "the others are only now about to be forgotten")
	use(5, 1)
	require.Equal(t, []int{2, 0}, l.numbers(at("f", "i")), "one that comes back has its old number, if it is free")
	require.Equal(t, at("i", "b", "f", "d", "g", "h"), l.brokers)
	require.Empty(t, l.numbers(nil))
}

// wandering is a discovery of one broker whose address changes, again and again.
type wandering struct{ addresses int }

func (w wandering) Watch(ctx context.Context, found func([]transport.Endpoint)) error {
	for i := range w.addresses {
		found([]transport.Endpoint{{Addr: fmt.Sprintf("inproc://address%d", i)}})
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// The tables of clients and workers don't grow with every address that there ever was.
func TestLinkForgetsAddresses(t *testing.T) {
	t.Parallel()
	const addresses = 500
	synctest.Test(t, func(t *testing.T) {
		hub := inproc.New(inproc.Config{})
		c, err := NewClient(ClientConfig{Transport: hub, Discovery: wandering{addresses}})
		require.NoError(t, err)
		require.ErrorIs(t, c.Call(t.Context(), "tea.brew", nil, nil, Timeout(addresses*time.Second)), ErrTimeout)
		require.Equal(t, "inproc://address499", c.Snapshot().Brokers[0].Addr)
		require.NoError(t, c.Close())
		require.LessOrEqual(t, len(c.link.link.brokers), 2)

		w, err := NewWorker(WorkerConfig{Transport: hub, Discovery: wandering{addresses}}, NewService("tea"))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), addresses*time.Second)
		defer cancel()
		require.ErrorIs(t, w.Run(ctx), context.DeadlineExceeded)
		require.LessOrEqual(t, len(w.link.link.brokers), 2)
	})
}

// changing is a discovery that finds other brokers each second.
type changing [][]transport.Endpoint

func (c changing) Watch(ctx context.Context, found func([]transport.Endpoint)) error {
	for _, brokers := range c {
		found(brokers)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// The number of a spare broker isn't given to another one, which would be dialled when
// the spare is due.
func TestLinkKeepsNumbersOfSpares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hub := inproc.New(inproc.Config{})
		b, err := NewBroker(BrokerConfig{})
		require.NoError(t, err)
		l, err := hub.Listen(t.Context(), "inproc://late")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { _ = b.Serve(ctx, l) })
		w, err := NewWorker(WorkerConfig{
			Transport: hub, MaxBrokers: 1, Redial: Backoff{Min: 1000 * time.Hour, Max: 1000 * time.Hour},
			Discovery: changing{{{Addr: "inproc://gone1"}, {Addr: "inproc://gone2"}}, {{Addr: "inproc://late"}}},
		}, NewService("tea"))
		require.NoError(t, err)
		running.Go(func() { _ = w.Run(ctx) })
		<-time.After(2 * time.Second)
		synctest.Wait()
		select {
		case <-w.Ready():
		default:
			require.Fail(t, "the new broker waits for its turn", "%+v", w.Brokers())
		}
	})
}

// A connection is closed by a turn that may have come between another one's sending
// and its flushing.
func TestLinkClosesAfterWhatWasSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hub := inproc.New(inproc.Config{})
		l, err := hub.Listen(t.Context(), "inproc://b")
		require.NoError(t, err)
		var h heard
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = l.Serve(context.Background(), func(transport.Peer) transport.Receiver { return &h }) // it is closed below
		}()
		conn, err := hub.Dial(t.Context(), transport.Endpoint{Addr: "inproc://b"})
		require.NoError(t, err)
		c := &linkConn{conn: conn, cancel: func() {}}
		require.NoError(t, conn.Send(transport.Message{[]byte("sent")}))
		c.close()
		synctest.Wait()
		require.NoError(t, l.Close())
		<-served
		require.Equal(t, []string{"sent"}, h.messages)
	})
}
