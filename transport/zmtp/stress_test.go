package zmtp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
)

// stressed is how many calls of each caller are checked, and how many callers there are.
const (
	stressed        = 40
	stressedCallers = 8
)

// letters returns n letters that only that seed gives.
func letters(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	text := make([]byte, n)
	for i := range text {
		text[i] = 'a' + byte(r.Uint32()%26)
	}
	return string(text)
}

// stressedSize returns a size near those from which memory is treated in another way.
func stressedSize(r *rand.Rand) int {
	near := [...]int{0, 0, 2 << 10, 2 << 10, 4 << 10, 4 << 10, 16 << 10}[r.IntN(7)]
	return max(near+r.IntN(400)-200, 0)
}

// stressedText is a text that whoever gets it can check.
type stressedText struct {
	Seed uint64
	Text string
	Size int // of the reply
}

func (t *stressedText) intact() bool { return t.Text == letters(t.Seed, len(t.Text)) }

// answer is the reply: of that size, and of another seed.
func (t *stressedText) answer() stressedText {
	return stressedText{Seed: t.Seed + 1, Text: letters(t.Seed+1, t.Size), Size: t.Size}
}

var (
	stressedCall   = mesh.NewMethod[stressedText, stressedText]("stress.call", mesh.Idempotent())
	stressedEnds   = mesh.NewMethod[stressedText, stressedText]("stress.ends")
	stressedStream = mesh.NewStream[stressedText, stressedText]("stress.stream")
)

const (
	stressedValues = 12
	stressedError  = mesh.Code(1)
)

var errStressed = errors.New("a request that isn't what was sent")

// stressedService checks what it is sent.
func stressedService() *mesh.Service {
	check := func(t *stressedText) error {
		if !t.intact() {
			return errStressed
		}
		if t.Seed%16 == 0 {
			<-time.After(2 * time.Millisecond) // long enough for a hedge
		}
		if t.Seed%11 == 0 {
			return &mesh.Error{Code: stressedError, Message: letters(t.Seed+1, t.Size)}
		}
		return nil
	}
	s := mesh.NewService("stress")
	s.Handle(stressedCall.With(func(_ context.Context, t stressedText) (stressedText, error) { return t.answer(), check(&t) }))
	s.Handle(stressedEnds.With(func(_ context.Context, t stressedText) (stressedText, error) {
		if t.Seed%3 == 0 {
			runtime.Goexit()
		}
		return t.answer(), check(&t)
	}))
	s.Handle(stressedStream.With(func(_ context.Context, t stressedText) iter.Seq2[stressedText, error] {
		return func(yield func(stressedText, error) bool) {
			for range stressedValues {
				t = t.answer()
				if !yield(t, nil) {
					return
				}
			}
		}
	}))
	s.HandleRaw("raw", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) { return params, nil })
	s.HandleOpaque(func(_ context.Context, body [][]byte) ([][]byte, error) { return append(body, body[0]), nil })
	return s
}

// stressedCaller makes calls and checks what comes of them.
type stressedCaller struct {
	*assert.Assertions
	random *rand.Rand
	client *mesh.Client
	seed   uint64
	intact *atomic.Int64 // replies
}

func (c *stressedCaller) text() stressedText {
	c.seed += 1000
	return stressedText{Seed: c.seed, Text: letters(c.seed, stressedSize(c.random)), Size: stressedSize(c.random)}
}

// outcome checks the outcome of a call.
func (c *stressedCaller) outcome(sent, got stressedText, err error) {
	var e *mesh.Error
	switch {
	case err == nil:
		c.Equal(sent.answer(), got)
		c.intact.Add(1)
	case !c.ErrorAs(err, &e):
	case e.Code == stressedError:
		c.Equal(sent.answer().Text, e.Message)
		c.intact.Add(1)
	case e.Code == mesh.CodeCancelled:
	default:
		c.Contains(e.Message, "ended its goroutine")
	}
}

// same checks the outcome of a call whose reply is what was sent.
func (c *stressedCaller) same(sent, got string, err error) {
	if err != nil {
		c.ErrorIs(err, context.Canceled)
		return
	}
	c.Equal(sent, got)
	c.intact.Add(1)
}

func (c *stressedCaller) call() {
	sent := c.text()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if c.random.IntN(8) == 0 {
		time.AfterFunc(time.Duration(c.random.IntN(2000))*time.Microsecond, cancel)
	}
	switch c.random.IntN(6) {
	case 0:
		got, err := stressedCall.Call(ctx, c.client, sent, mesh.Hedge(time.Millisecond))
		c.outcome(sent, got, err)
	case 1:
		got, err := stressedCall.Call(ctx, c.client, sent)
		c.outcome(sent, got, err)
	case 2:
		got, err := stressedEnds.Call(ctx, c.client, sent, mesh.Key(fmt.Sprint("key ", sent.Seed)))
		c.outcome(sent, got, err)
	case 3:
		want := sent
		for got, err := range stressedStream.Call(ctx, c.client, sent, mesh.Window(4)) {
			c.outcome(want, got, err)
			want = want.answer()
		}
	case 4:
		params := json.RawMessage(`["` + sent.Text + `"]`)
		got, err := c.client.CallRaw(ctx, "stress.raw", params)
		c.same(string(params), string(got), err)
	case 5:
		body := [][]byte{[]byte("opaque " + sent.Text), []byte(sent.Text)}
		got, err := c.client.Request(ctx, "stress", body)
		c.same(string(bytes.Join(append(body, body[0]), nil)), string(bytes.Join(got, nil)), err)
	}
}

// Whatever is used again of messages' memory, nobody gets to see another one's bytes:
// several brokers, workers and clients, with many calls of all kinds at a time, each of
// which has bytes of its own.
func TestStress(t *testing.T) {
	t.Parallel()
	z := New(Config{})
	var brokers []transport.Endpoint
	var running sync.WaitGroup
	ctx, end := context.WithCancel(t.Context())
	defer running.Wait()
	defer end()
	for range 3 {
		l, err := z.Listen(ctx, "tcp://127.0.0.1:*")
		require.NoError(t, err)
		b, err := mesh.NewBroker(mesh.BrokerConfig{})
		require.NoError(t, err)
		brokers = append(brokers, transport.Endpoint{Addr: l.Addr()})
		running.Go(func() { _ = b.Serve(ctx, l) }) // it ends with ctx
	}
	for range 2 {
		w, err := mesh.NewWorker(mesh.WorkerConfig{Transport: z, Brokers: brokers, Capacity: 16}, stressedService())
		require.NoError(t, err)
		running.Go(func() { _ = w.Run(ctx) }) // likewise
		<-w.Ready()
	}
	var intact atomic.Int64
	var calling sync.WaitGroup
	for n := range uint64(2) {
		client, err := mesh.NewClient(mesh.ClientConfig{Transport: z, Brokers: brokers, Retry: mesh.Retry{Budget: 1, Reserve: 1000}})
		require.NoError(t, err)
		defer func() { require.NoError(t, client.Close()) }()
		for at := range uint64(stressedCallers) {
			c := &stressedCaller{
				Assertions: assert.New(t), random: rand.New(rand.NewPCG(n, at)), client: client, intact: &intact,
				seed: n<<32 + at<<48 + at,
			}
			calling.Go(func() {
				for range stressed {
					c.call()
				}
			})
		}
	}
	calling.Wait()
	require.Greater(t, intact.Load(), int64(stressed*stressedCallers))
}
