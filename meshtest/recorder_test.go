package meshtest_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

// meshtestHandler serves tea.brew with the text.
func meshtestHandler(text string) mesh.Handler {
	return brew.With(func(context.Context, Order) (Cup, error) { return Cup{text}, nil })
}

// recorder is a testing.TB that may fail.
type recorder struct {
	testing.TB
	dir string

	mu       sync.Mutex // guards what follows
	failed   bool
	log      strings.Builder
	cleanups []func()
}

// failed returns the log of a test that is expected to fail.
func failed(t *testing.T, test func(testing.TB)) string {
	t.Helper()
	text, ok := attempt(t, t.TempDir(), test)
	require.False(t, ok, "the test passed: %s", text)
	return text
}

// attempt runs a test and returns its log and whether it passed.
func attempt(t *testing.T, dir string, test func(testing.TB)) (log string, passed bool) {
	t.Helper()
	r := &recorder{TB: t, dir: dir}
	r.run(func() { test(r) })
	for len(r.cleanups) > 0 {
		last := r.cleanups[len(r.cleanups)-1]
		r.cleanups = slices.Delete(r.cleanups, len(r.cleanups)-1, len(r.cleanups))
		r.run(last)
	}
	return r.log.String(), !r.failed
}

// run runs f, which may end its goroutine.
func (r *recorder) run(f func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	<-ended
}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.log, format+"\n", args...)
}

func (r *recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Errorf(format string, args ...any) {
	r.Fail()
	r.Logf(format, args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (*recorder) Helper()               {}
func (r *recorder) Cleanup(f func())    { r.cleanups = append(r.cleanups, f) }
func (r *recorder) ArtifactDir() string { return r.dir }
func (*recorder) Output() io.Writer     { return io.Discard }
