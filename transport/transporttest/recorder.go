package transporttest

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// recorder is a receiver that keeps every message, and fails the case where the
// rules for calling a receiver are broken or a message changes later.
type recorder struct {
	t testing.TB
	// on, if set before the first message, gets each batch once it is recorded.
	on func(batch []transport.Message)

	calls   atomic.Int32  // receivers that run now
	changed chan struct{} // holds one item after something was recorded

	mu       sync.Mutex // guards the fields below
	messages []transport.Message
	sums     []uint64 // of messages, when they came
	taken    int      // how many of messages take has returned
	gone     bool
	reason   error
}

var _ transport.Receiver = (*recorder)(nil)

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	r := &recorder{t: t, changed: make(chan struct{}, 1)}
	t.Cleanup(r.check)
	return r
}

// Receive records a batch.
func (r *recorder) Receive(batch []transport.Message) {
	r.enter()
	defer r.leave()
	if len(batch) == 0 {
		r.t.Error("Receive was called with an empty batch")
	}
	r.mu.Lock()
	if r.gone {
		r.t.Error("Receive was called after Gone")
	}
	r.messages = append(r.messages, batch...)
	for _, m := range batch {
		r.sums = append(r.sums, sum(m))
	}
	r.mu.Unlock()
	r.notify()
	if r.on != nil {
		r.on(batch)
	}
}

// Gone records the end.
func (r *recorder) Gone(reason error) {
	r.enter()
	defer r.leave()
	r.mu.Lock()
	if r.gone {
		r.t.Error("Gone was called twice")
	}
	r.gone, r.reason = true, reason
	r.mu.Unlock()
	r.notify()
}

func (r *recorder) enter() {
	if r.calls.Add(1) != 1 {
		r.t.Error("two calls of one receiver at the same time")
	}
}

func (r *recorder) leave() { r.calls.Add(-1) }

func (r *recorder) notify() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// check fails the case if a message isn't what it was when it came.
func (r *recorder) check() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, m := range r.messages {
		if sum(m) != r.sums[i] {
			r.t.Errorf("message %d was changed after it was received", i)
		}
	}
}

// count returns how many messages have come.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.messages)
}

// next waits for the next message that next hasn't returned yet.
func (r *recorder) next() transport.Message {
	r.t.Helper()
	return r.take(1)[0]
}

// take waits for the next n messages that weren't taken yet.
func (r *recorder) take(n int) []transport.Message {
	r.t.Helper()
	for {
		r.mu.Lock()
		if end := r.taken + n; end <= len(r.messages) {
			messages := slices.Clone(r.messages[r.taken:end])
			r.taken = end
			r.mu.Unlock()
			return messages
		}
		r.mu.Unlock()
		await(r.t, r.changed, "messages")
	}
}

// want waits for the next messages and requires them to be these.
func (r *recorder) want(messages ...transport.Message) {
	r.t.Helper()
	for _, m := range messages {
		require.Equal(r.t, m, r.next())
	}
}

// wantNumbers waits for the next messages and requires them to carry the numbers
// from begin up to but not including end.
func (r *recorder) wantNumbers(begin, end int) {
	r.t.Helper()
	for i, m := range r.take(end - begin) {
		require.Equal(r.t, begin+i, numberIn(r.t, m))
	}
}

// end waits for Gone and returns its reason.
func (r *recorder) end() error {
	r.t.Helper()
	for {
		r.mu.Lock()
		gone, reason := r.gone, r.reason
		r.mu.Unlock()
		if gone {
			require.Error(r.t, reason, "Gone without a reason")
			return reason
		}
		await(r.t, r.changed, "Gone")
	}
}

var seed = maphash.MakeSeed()

// sum returns a hash of a message's frames and of where one ends.
func sum(m transport.Message) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, f := range m {
		maphash.WriteComparable(&h, len(f))
		_, _ = h.Write(f)
	}
	return h.Sum64()
}
