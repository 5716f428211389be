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
	"strings"
	"sync"
	"testing"
	"time"

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
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // it is to be the same again
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
	random *rand.Rand
	client *mesh.Client
	seed   uint64
	intact int // replies
}

func (c *stressedCaller) text() stressedText {
	c.seed += 1000
	return stressedText{Seed: c.seed, Text: letters(c.seed, stressedSize(c.random)), Size: stressedSize(c.random)}
}

// outcome says what is wrong with the outcome of a call.
func (c *stressedCaller) outcome(sent, got stressedText, err error) error {
	var e *mesh.Error
	switch {
	case err == nil:
		return c.same(fmt.Sprint(sent.answer()), fmt.Sprint(got), nil)
	case !errors.As(err, &e):
		return err
	case e.Code == stressedError:
		return c.same(sent.answer().Text, e.Message, nil)
	case strings.Contains(e.Message, "ended its goroutine"):
		return nil
	}
	return c.same("", "", err)
}

// same says what is wrong with the outcome of a call whose reply is to be that.
func (c *stressedCaller) same(want, got string, err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case err != nil:
		return err
	case got != want:
		return fmt.Errorf("got %q, want %q", got, want)
	}
	c.intact++
	return nil
}

// call makes a call of some kind.
func (c *stressedCaller) call() error {
	sent := c.text()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if c.random.IntN(8) == 0 {
		time.AfterFunc(time.Duration(c.random.IntN(2000))*time.Microsecond, cancel)
	}
	switch c.random.IntN(6) {
	case 0:
		got, err := stressedCall.Call(ctx, c.client, sent, mesh.Hedge(time.Millisecond))
		return c.outcome(sent, got, err)
	case 1:
		got, err := stressedCall.Call(ctx, c.client, sent)
		return c.outcome(sent, got, err)
	case 2:
		got, err := stressedEnds.Call(ctx, c.client, sent, mesh.Key(fmt.Sprint("key ", sent.Seed)))
		return c.outcome(sent, got, err)
	case 3:
		for got, err := range stressedStream.Call(ctx, c.client, sent, mesh.Window(4)) {
			if err := c.outcome(sent, got, err); err != nil {
				return err
			}
			sent = sent.answer()
		}
		return nil
	case 4:
		params := `["` + sent.Text + `"]`
		got, err := c.client.CallRaw(ctx, "stress.raw", json.RawMessage(params))
		return c.same(params, string(got), err)
	}
	body := [][]byte{[]byte("opaque " + sent.Text), []byte(sent.Text)}
	got, err := c.client.Request(ctx, "stress", body)
	return c.same(string(bytes.Join(append(body, body[0]), nil)), string(bytes.Join(got, nil)), err)
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
	outcomes := make(chan error, 2*stressedCallers)
	var callers []*stressedCaller
	for n := range uint64(2) {
		client, err := mesh.NewClient(mesh.ClientConfig{Transport: z, Brokers: brokers, Retry: mesh.Retry{Budget: 1, Reserve: 1000}})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		for at := range uint64(stressedCallers) {
			random := rand.New(rand.NewPCG(n, at)) //nolint:gosec // what fails is to fail again
			callers = append(callers, &stressedCaller{random: random, client: client, seed: n<<32 + at<<48 + at})
		}
	}
	for _, c := range callers {
		go func() {
			var err error
			for n := 0; n < stressed && err == nil; n++ {
				err = c.call()
			}
			outcomes <- err
		}()
	}
	intact := 0
	for range callers {
		require.NoError(t, <-outcomes)
	}
	for _, c := range callers {
		intact += c.intact
	}
	require.Greater(t, intact, stressed*stressedCallers)
}
