//go:build linux

package netns

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for something that has no time of its own. It is
// generous, as the machine may be busy.
const patience = 30 * time.Second

// process is a program that runs at a host.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // closed when it has ended and all that it said was heard

	mu   sync.Mutex // guards what follows
	said []string   // on standard error, the last lines
}

// start starts a program at a host, which ends with the test at the latest. Each line
// of its standard output is given to hear, one after another.
func (h *host) start(name string, env []string, hear func(line []byte), program string, args ...string) *process {
	t := h.lan.t
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(program, args...), done: make(chan struct{})} //nolint:gosec // it is ended below; the programs are the test's own
	p.cmd.Env = append(os.Environ(), env...)
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	errs, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, h.inside(p.cmd.Start))
	var reading sync.WaitGroup
	reading.Go(func() { lines(out, hear) })
	reading.Go(func() { lines(errs, p.note) })
	go func() {
		reading.Wait()
		_ = p.cmd.Wait() // ended looks at how it ended
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(unix.SIGKILL) // it may have ended
		<-p.done
		if t.Failed() && len(p.said) > 0 {
			t.Logf("%s said:\n%s", p.name, strings.Join(p.said, "\n"))
		}
	})
	return p
}

func lines(from io.Reader, hear func(line []byte)) {
	scanner := bufio.NewScanner(from)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		hear(scanner.Bytes())
	}
}

// note keeps a line of standard error for whoever looks for what went wrong.
func (p *process) note(line []byte) {
	const kept = 200
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.said) == kept {
		p.said = p.said[1:]
	}
	p.said = append(p.said, string(line))
}

// signal sends the process a signal.
func (p *process) signal(s unix.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s), p.name)
}

// kill ends the process without a goodbye.
func (p *process) kill() {
	p.t.Helper()
	p.signal(unix.SIGKILL)
	p.await()
}

// finish tells a worker or client to end, which closing its standard input does.
func (p *process) finish() {
	p.t.Helper()
	require.NoError(p.t, p.stdin.Close(), p.name)
	p.ended()
}

// ended waits until the process has ended by itself, without complaint.
func (p *process) ended() {
	p.t.Helper()
	p.await()
	require.Zero(p.t, p.cmd.ProcessState.ExitCode(), "%s: %s", p.name, p.cmd.ProcessState)
}

func (p *process) await() {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(2 * patience):
		require.FailNow(p.t, "the process goes on", p.name)
	}
}

// usage is what a process has used.
type usage struct {
	resident int64 // bytes
	cpu      time.Duration
}

// usage reads what the process has used up to now (proc(5)).
func (p *process) usage() usage {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	_, rest, ok := strings.Cut(string(text), ") ") // behind the program's name, which may have blanks
	require.True(p.t, ok)
	fields := strings.Fields(rest)
	number := func(at int) int64 { // as proc(5) counts, whose third field is the first here
		n, err := strconv.ParseInt(fields[at-3], 10, 64)
		require.NoError(p.t, err)
		return n
	}
	const ticks = 100 // of a second, on every Linux that Go runs on
	return usage{
		resident: number(24) * int64(os.Getpagesize()),
		cpu:      time.Duration(number(14)+number(15)) * (time.Second / ticks),
	}
}
