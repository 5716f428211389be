package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
	"github.com/mdpmesh/mesh/meshtest"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// streamCount is the parameters of most streams here.
type streamCount struct {
	To int `json:"to"`
}

// streamNumbers yields the numbers up to one, or for ever where that is 0.
var streamNumbers = mesh.NewStream[streamCount, int]("numbers.count")

// streamCounter serves streamNumbers, counts what it could yield, and says how each
// run ended.
type streamCounter struct {
	yields atomic.Int64
	ended  chan error // holds the cause of the context of each run when it ended, nil where it wasn't over
}

func (s *streamCounter) service() *mesh.Service {
	s.ended = make(chan error, 100)
	return mesh.NewService("numbers").Handle(streamNumbers.With(func(ctx context.Context, c streamCount) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			defer func() { s.ended <- context.Cause(ctx) }()
			for i := 0; c.To == 0 || i < c.To; i++ {
				if !yield(i, nil) {
					return
				}
				s.yields.Add(1)
			}
		}
	})).HandleRaw("echo", callEcho)
}

func TestStreamInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s streamCounter
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, s.service())
		c := h.client()
		for _, n := range []int{1, 31, 32, 33, 64, 1000} {
			got, err := callCollect(streamNumbers.Call(t.Context(), c, streamCount{n}))
			require.NoError(t, err)
			require.Len(t, got, n)
			for i, v := range got {
				require.Equal(t, i, v)
			}
			require.NoError(t, <-s.ended, "the context lives as long as the stream")
		}
		raw, err := callCollect(c.StreamRaw(t.Context(), "numbers.count", json.RawMessage(`{"to":3}`)))
		require.NoError(t, err)
		require.Equal(t, []json.RawMessage{json.RawMessage("0"), json.RawMessage("1"), json.RawMessage("2")}, raw)

		// The sequence makes one call each time that it is ranged over, and none otherwise.
		before := h.snapshot().Counts.Received
		seq := streamNumbers.Call(t.Context(), c, streamCount{2})
		require.Equal(t, before, h.snapshot().Counts.Received)
		for range 2 {
			got, err := callCollect(seq)
			require.NoError(t, err)
			require.Equal(t, []int{0, 1}, got)
		}
		require.Equal(t, before+2, h.snapshot().Counts.Received)
	})
}

func TestStreamOfManyReaders(t *testing.T) {
	t.Parallel()
	var s streamCounter
	c := callStart(t, mesh.Config{}, s.service()).Client()
	var readers sync.WaitGroup
	errs := make(chan error, 20)
	for i := range cap(errs) {
		readers.Go(func() {
			want := 0
			for v, err := range streamNumbers.Call(t.Context(), c, streamCount{500}, mesh.Window(i+1)) {
				if err != nil || v != want {
					errs <- fmt.Errorf("%d instead of %d: %w", v, want, err)
					return
				}
				want++
			}
			if want != 500 {
				errs <- fmt.Errorf("%d values", want)
			}
		})
	}
	readers.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

func TestStreamEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		none := mesh.NewStream[struct{}, int]("numbers.none")
		h.worker(mesh.WorkerConfig{}, mesh.NewService("numbers").Handle(none.With(func(context.Context, struct{}) iter.Seq2[int, error] {
			return func(func(int, error) bool) {}
		})))
		got, err := callCollect(none.Call(t.Context(), h.client(), struct{}{}))
		require.NoError(t, err)
		require.Empty(t, got)
	})
}

// However a stream breaks, the values before come, and then the error as the last.
func TestStreamErrors(t *testing.T) {
	t.Parallel()
	errSugar := errors.New("out of sugar")
	errs := new(mesh.Errors)
	errs.Add(1001, errSugar)
	method := mesh.NewStream[struct{}, any]("numbers.some")
	for name, c := range map[string]struct {
		after func(yield func(any, error) bool)
		want  error
	}{
		"an error":                  {func(yield func(any, error) bool) { yield(9, errSugar) }, errSugar},
		"a panic":                   {func(func(any, error) bool) { panic("no") }, mesh.ErrInternal},
		"a value that isn't JSON":   {func(yield func(any, error) bool) { yield(make(chan int), nil) }, mesh.ErrInternal},
		"going on after the end":    {func(yield func(any, error) bool) { yield(nil, errSugar); yield(1, nil) }, mesh.ErrInternal},
		"a value that is too large": {func(yield func(any, error) bool) { yield(make([]int, 20_000), nil) }, mesh.ErrTooLarge},
	} {
		hubRun(t, name, func(t *testing.T) {
			h := hubStart(t, mesh.BrokerConfig{Limits: mesh.Limits{MessageBytes: 10_000}})
			h.worker(mesh.WorkerConfig{Errors: errs}, mesh.NewService("numbers").Handle(
				method.With(func(context.Context, struct{}) iter.Seq2[any, error] {
					return func(yield func(any, error) bool) {
						for i := range 50 {
							if !yield(i, nil) {
								return
							}
						}
						c.after(yield)
					}
				})))
			n, failed := 0, error(nil)
			for v, err := range method.Call(t.Context(), h.clientOf(mesh.ClientConfig{Errors: errs}), struct{}{}) {
				require.NoError(t, failed, "an error is the last thing")
				if err != nil {
					require.Nil(t, v)
					failed = err
					continue
				}
				require.InDelta(t, n, v, 0)
				n++
			}
			require.Equal(t, 50, n)
			require.ErrorIs(t, failed, c.want)
			require.True(t, callError(t, failed).HandedOver)
		})
	}
}

func TestStreamRawValueThatIsNoJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, mesh.NewService("raw").HandleRawStream("some",
			func(context.Context, json.RawMessage) iter.Seq2[json.RawMessage, error] {
				return func(yield func(json.RawMessage, error) bool) {
					_ = yield(json.RawMessage(`1`), nil) && yield(nil, nil) && yield(json.RawMessage(`{"a":`), nil) && yield(json.RawMessage(`2`), nil)
				}
			}))
		got, err := callCollect(h.client().StreamRaw(t.Context(), "raw.some", nil))
		require.ErrorIs(t, err, mesh.ErrInternal, "nothing is left out without a word")
		require.Equal(t, []json.RawMessage{json.RawMessage("1"), json.RawMessage("null")}, got)
	})
}

func TestStreamReaderLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s streamCounter
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{Capacity: 1}, s.service())
		c := h.client()
		start := time.Now()
		for _, n := range []int{1, 5, 31, 32, 33, 100} {
			read := 0
			for v, err := range streamNumbers.Call(t.Context(), c, streamCount{}) {
				require.NoError(t, err)
				require.Equal(t, read, v)
				if read++; read == n {
					break
				}
			}
			require.ErrorIs(t, <-s.ended, mesh.ErrCancelled, "the handler is told")
		}
		require.Zero(t, time.Since(start))
		synctest.Wait()
		require.Zero(t, h.snapshot().Running)
	})
}

// A handler is never ahead of its reader by more than the window.
func TestStreamCredit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []mesh.CallOption
		window  int64
	}{
		"by default":        {nil, 32},
		"1":                 {[]mesh.CallOption{mesh.Window(1)}, 1},
		"7":                 {[]mesh.CallOption{mesh.Window(7)}, 7},
		"1000":              {[]mesh.CallOption{mesh.Window(1000)}, 1000},
		"none":              {[]mesh.CallOption{mesh.Window(0)}, 32},
		"negative":          {[]mesh.CallOption{mesh.Window(-5)}, 32},
		"the last one wins": {[]mesh.CallOption{mesh.Window(50), mesh.Window(3)}, 3},
	} {
		hubRun(t, name, func(t *testing.T) {
			var s streamCounter
			h := hubStart(t, mesh.BrokerConfig{})
			h.worker(mesh.WorkerConfig{}, s.service())
			read := int64(0)
			for v, err := range streamNumbers.Call(t.Context(), h.client(), streamCount{}, c.options...) {
				require.NoError(t, err)
				require.Equal(t, read, int64(v))
				synctest.Wait() // the handler runs as far as it can
				ahead := s.yields.Load() - read
				require.LessOrEqual(t, ahead, c.window)
				if read == 0 {
					require.Equal(t, c.window, ahead, "it makes use of all of it")
				}
				if read++; read == 3*c.window+10 {
					break
				}
			}
			require.GreaterOrEqual(t, s.yields.Load(), read)
		})
	}
}

// A stream that nobody reads holds up nothing else.
func TestStreamThatNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s streamCounter
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, s.service())
		c := h.client()
		start := time.Now()
		for v, err := range streamNumbers.Call(t.Context(), c, streamCount{}) {
			require.NoError(t, err)
			if v == 10 {
				break
			}
			// This reader is somewhere else for a minute now.
			for range 50 {
				require.NoError(t, callLast(c.CallRaw(t.Context(), "numbers.echo", nil)))
			}
			got, err := callCollect(streamNumbers.Call(t.Context(), c, streamCount{100}))
			require.NoError(t, err)
			require.Len(t, got, 100)
			require.NoError(t, <-s.ended)
			require.Zero(t, time.Since(start), "calls go on as if the stream weren't there")
		}
		require.ErrorIs(t, <-s.ended, mesh.ErrCancelled)
	})
}

// A stream whose other side takes no notice of credit fills no memory.
func TestStreamThatOutrunsItsReader(t *testing.T) {
	t.Parallel()
	const limit, size = 100_000, 1000
	value := `"` + strings.Repeat("x", size-2) + `"`
	for name, test := range map[string]struct {
		speak mesh.Speak
		plain bool // the broker is, and otherwise only the worker
	}{
		"a plain worker":                  {mesh.SpeakMesh, false},
		"a plain broker":                  {mesh.SpeakMDP02, true},
		"a plain broker, by what it says": {mesh.SpeakMesh, true},
	} {
		hubRun(t, name, func(t *testing.T) {
			network := inproc.New(inproc.Config{})
			stop := make(chan struct{})
			cancelled := make(chan struct{}, 1)
			var sent atomic.Int64
			b := callPlay(t, network, func(r *callRequest) {
				if string(r.Service) == mdp.MMICancel {
					cancelled <- struct{}{}
				}
				if string(r.Service) != "tea" {
					return
				}
				go func() {
					for ; ; sent.Add(1) {
						select {
						case <-stop:
							return
						case <-time.After(time.Millisecond):
							r.send(mdp.ClientPartial, jsonrpc.AppendResult(nil, r.ID, []byte(value)))
						}
					}
				}()
			})
			t.Cleanup(func() { close(stop) })
			if test.plain {
				b.pong = ""
			}
			c := callDial(t, mesh.ClientConfig{Transport: network, Speak: test.speak, MaxUnreadBytes: limit})
			read, failed := 0, error(nil)
			for _, err := range c.StreamRaw(t.Context(), "tea.pour", nil) {
				if failed = err; err != nil {
					break
				}
				if read++; read < 500 {
					continue // as fast as they come, and more than may be unread at once
				}
				if read == 500 {
					<-time.After(10 * time.Second)
				}
			}
			require.ErrorIs(t, failed, mesh.ErrTooLarge)
			require.ErrorContains(t, failed, "MaxUnreadBytes")
			e := callError(t, failed)
			require.True(t, e.Local)
			require.True(t, e.HandedOver)
			require.Greater(t, sent.Load(), int64(10_000))
			require.InDelta(t, 500+limit/size, read, 20, "what came before can be read")
			if !test.plain {
				require.Len(t, cancelled, 1)
			}
		})
	}
}

func TestStreamDeadline(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pace time.Duration // of the handler
		read time.Duration // of the reader
		want int           // values, at least
	}{
		"a slow handler":              {time.Second, 0, 4},
		"a slow reader":               {0, time.Second, 5},
		"a handler that says nothing": {time.Hour, 0, 0},
	} {
		hubRun(t, name, func(t *testing.T) {
			h := hubStart(t, mesh.BrokerConfig{})
			causes := make(chan error, 1)
			h.worker(mesh.WorkerConfig{}, mesh.NewService("numbers").Handle(streamNumbers.With(
				func(ctx context.Context, _ streamCount) iter.Seq2[int, error] {
					return func(yield func(int, error) bool) {
						defer func() { causes <- context.Cause(ctx) }()
						for i := 0; ; i++ {
							select {
							case <-time.After(c.pace):
							case <-ctx.Done():
								return
							}
							if !yield(i, nil) {
								return
							}
						}
					}
				})))
			start := time.Now()
			n, failed := 0, error(nil)
			for _, err := range streamNumbers.Call(t.Context(), h.client(), streamCount{}, mesh.Timeout(4500*time.Millisecond)) {
				if err != nil {
					failed = err
					break
				}
				n++
				<-time.After(c.read)
			}
			require.ErrorIs(t, failed, mesh.ErrTimeout)
			require.GreaterOrEqual(t, n, c.want)
			if c.read == 0 {
				require.Equal(t, 4500*time.Millisecond, time.Since(start))
			}
			require.Equal(t, context.DeadlineExceeded, <-causes)
		})
	}
}

// An interceptor's deadline bounds a stream, also while it waits for its reader.
func TestStreamDeadlineOfAnInterceptor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s streamCounter
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{Interceptors: []mesh.Interceptor{mesh.Deadline(2 * time.Second)}}, s.service())
		start := time.Now()
		var failed error
		for _, err := range streamNumbers.Call(t.Context(), h.client(), streamCount{}) {
			if err != nil {
				failed = err
				break
			}
			if time.Since(start) == 0 {
				require.Equal(t, context.DeadlineExceeded, <-s.ended) // the reader doesn't read until then
				require.Equal(t, 2*time.Second, time.Since(start))
			}
		}
		require.ErrorIs(t, failed, mesh.ErrTimeout)
		require.False(t, callError(t, failed).Local)
		require.Equal(t, 2*time.Second, time.Since(start))

		// It holds for its own stream alone.
		got, err := callCollect(streamNumbers.Call(t.Context(), h.client(), streamCount{100}))
		require.NoError(t, err)
		require.Len(t, got, 100)
	})
}

func TestStreamWorkerLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []mesh.MethodOption
		read    int // values before the worker is lost
		want    error
	}{
		"before the first value":             {nil, 0, mesh.ErrWorkerLost},
		"in the middle":                      {nil, 3, mesh.ErrWorkerLost},
		"idempotent, before the first value": {[]mesh.MethodOption{mesh.Idempotent()}, 0, nil},
		"idempotent, in the middle":          {[]mesh.MethodOption{mesh.Idempotent()}, 3, mesh.ErrWorkerLost},
	} {
		hubRun(t, name, func(t *testing.T) {
			m := meshtest.New(t)
			method := mesh.NewStream[struct{}, string]("numbers.some", c.options...)
			inside := make(chan string, 2)
			var killed atomic.Bool
			for i := range 2 {
				worker := fmt.Sprintf("w%d", i)
				m.AddWorker(mesh.WorkerConfig{Instance: worker}, mesh.NewService("numbers").Handle(method.With(
					func(ctx context.Context, _ struct{}) iter.Seq2[string, error] {
						return func(yield func(string, error) bool) {
							for range c.read {
								yield(worker, nil)
							}
							inside <- worker
							if !killed.Load() {
								<-ctx.Done()
								return
							}
							yield("last", nil)
						}
					})))
			}
			type outcome struct {
				got []string
				err error
			}
			out := make(chan outcome, 1)
			go func() {
				got, err := callCollect(method.Call(t.Context(), m.Client(), struct{}{}, mesh.NoRetry()))
				out <- outcome{got, err}
			}()
			worker := <-inside
			synctest.Wait()
			killed.Store(true)
			m.Kill(worker)
			o := <-out
			if c.want == nil {
				require.NoError(t, o.err)
				require.Equal(t, []string{"last"}, o.got)
				return
			}
			require.ErrorIs(t, o.err, c.want)
			require.Len(t, o.got, c.read)
			require.Len(t, m.Events(meshtest.Event(mesh.EventDispatched)), 1, "it was never run again")
		})
	}
}

// A stream whose handler ends without a word when its context does isn't taken for
// complete.
func TestStreamCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		silent := func(ctx context.Context, yield func(int) bool) {
			for i := range 3 {
				if !yield(i) {
					return
				}
			}
			<-ctx.Done()
		}
		h.worker(mesh.WorkerConfig{Interceptors: []mesh.Interceptor{mesh.Deadline(time.Second)}}, mesh.NewService("numbers").
			Handle(streamNumbers.With(func(ctx context.Context, _ streamCount) iter.Seq2[int, error] {
				return func(yield func(int, error) bool) {
					silent(ctx, func(i int) bool { return yield(i, nil) })
				}
			})).
			HandleRawStream("raw", func(ctx context.Context, _ json.RawMessage) iter.Seq2[json.RawMessage, error] {
				return func(yield func(json.RawMessage, error) bool) {
					silent(ctx, func(i int) bool { return yield(json.RawMessage(fmt.Sprint(i)), nil) })
				}
			}))
		got, err := callCollect(streamNumbers.Call(t.Context(), h.client(), streamCount{}))
		require.ErrorIs(t, err, mesh.ErrTimeout)
		require.Equal(t, []int{0, 1, 2}, got)
		raw, err := callCollect(h.client().StreamRaw(t.Context(), "numbers.raw", nil))
		require.ErrorIs(t, err, mesh.ErrTimeout)
		require.Len(t, raw, 3)
	})
}

// Methods that are called as what they aren't give what they have.
func TestStreamMixedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s streamCounter
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, s.service())
		c := h.client()
		start := time.Now()

		// A stream that is called for one value: the last word is null.
		raw, err := c.CallRaw(t.Context(), "numbers.count", json.RawMessage(`{"to":500}`))
		require.NoError(t, err)
		require.Equal(t, "null", string(raw))
		require.NoError(t, <-s.ended)
		require.EqualValues(t, 500, s.yields.Load())

		// A stream that nobody listens to at all.
		require.NoError(t, c.Notify(t.Context(), "numbers.count", streamCount{500}))
		require.NoError(t, <-s.ended)
		require.EqualValues(t, 1000, s.yields.Load())

		// One value where a stream is wanted: no hang, and no error.
		_, err = callCollect(c.StreamRaw(t.Context(), "numbers.echo", json.RawMessage(`[1]`)))
		require.NoError(t, err)
		_, err = callCollect(c.StreamRaw(t.Context(), "numbers.nosuch", nil))
		require.ErrorIs(t, err, mesh.ErrNoMethod)
		require.Zero(t, time.Since(start))
		synctest.Wait()
		require.Zero(t, h.snapshot().Running)
	})
}
