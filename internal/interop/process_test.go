package interop

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for something that should happen at once. It is
// generous, as the machine may be busy.
const patience = 30 * time.Second

// process is a program of testdata that a test works by lines of JSON.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	n     int           // of the last command
	done  chan struct{} // closed when everything was read

	mu      sync.Mutex // guards what follows
	output  []string   // all lines
	said    []line     // those that nobody has waited for yet
	changed chan struct{}
	ended   bool
}

// line is what a process says.
type line struct {
	// Event says what happened, where it isn't the outcome of a command.
	Event                       string
	Addr, Name, Service, Method string
	// N is the number of the command, or another number of an event.
	N       int
	Result  json.RawMessage
	Values  []json.RawMessage
	Error   *wireError
	Body    []string
	Timeout bool
	Broken  string
}

type wireError struct {
	Code       int             `json:"code"`
	Message    string          `json:"message"`
	Data       json.RawMessage `json:"data"`
	HandedOver bool            `json:"handed_over"`
}

// command is what a client is told to do.
type command struct {
	N       int      `json:"n"`
	Do      string   `json:"do"` // "call", "stream" or "request"
	Service string   `json:"service,omitempty"`
	Body    []string `json:"body,omitempty"`
	Method  string   `json:"method,omitempty"`
	Params  any      `json:"params,omitempty"`
	Timeout int      `json:"timeout_ms"`
	Window  int      `json:"window"`
	Stop    int      `json:"stop,omitempty"`
	Cancel  int      `json:"cancel_ms,omitempty"`
	// Key and Attempts are for clients that know them.
	Key      string `json:"key,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
}

// startPython starts a script of testdata.
func startPython(t *testing.T, script string, args ...string) *process {
	t.Helper()
	return start(t, python, append([]string{filepath.Join("testdata", "python", script)}, args...)...)
}

// startNode starts a script of testdata.
func startNode(t *testing.T, script string, args ...string) *process {
	t.Helper()
	return start(t, "node", append([]string{filepath.Join("testdata", "node", script)}, args...)...)
}

// start starts a process that ends with its test at the latest, which then shows
// what it said if the test failed.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{
		t: t, name: strings.Join(append([]string{filepath.Base(name)}, args...), " "),
		cmd:     exec.CommandContext(t.Context(), name, args...), //nolint:gosec // the programs are those of this directory
		changed: make(chan struct{}), done: make(chan struct{}),
	}
	p.cmd.Env = environment()
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	// A pipe of the test's own, which Wait doesn't close before all was read.
	out, in, err := os.Pipe()
	require.NoError(t, err)
	p.cmd.Stdout, p.cmd.Stderr = in, in
	require.NoError(t, p.cmd.Start())
	require.NoError(t, in.Close())
	go p.read(out)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		_ = p.cmd.Wait()         // which is how it ends
		<-p.done
		_ = out.Close()
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, strings.Join(p.output, "\n"))
		}
	})
	return p
}

func (p *process) read(out io.Reader) {
	defer close(p.done)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		text := lines.Text()
		var l line
		isJSON := strings.HasPrefix(text, "{") && json.Unmarshal([]byte(text), &l) == nil
		p.mu.Lock()
		p.output = append(p.output, text[:min(len(text), 1000)])
		if isJSON {
			p.said = append(p.said, l)
		}
		p.tell()
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.ended = true
	p.tell()
	p.mu.Unlock()
}

// tell wakes who waits. The caller holds mu.
func (p *process) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// take returns the first line that matches, once there is one, and forgets it.
func (p *process) take(what string, match func(l *line) bool) line {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		i := slices.IndexFunc(p.said, func(l line) bool { return match(&l) })
		if i >= 0 {
			l := p.said[i]
			p.said = slices.Delete(p.said, i, i+1)
			p.mu.Unlock()
			return l
		}
		changed, ended := p.changed, p.ended
		p.mu.Unlock()
		if ended {
			require.FailNow(p.t, "the process ended", "%s, before it said: %s", p.name, what)
		}
		select {
		case <-changed:
		case <-timeout:
			require.FailNow(p.t, "the process didn't say", "%s: %s", p.name, what)
		}
	}
}

// event waits for an event of that name.
func (p *process) event(name string) line {
	p.t.Helper()
	return p.take(name, func(l *line) bool { return l.Event == name })
}

// heard reports whether there was such an event that nobody has waited for.
func (p *process) heard(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.said, func(l line) bool { return l.Event == name })
}

// post has a client do something, and returns the command's number.
func (p *process) post(c command) int {
	p.t.Helper()
	p.n++
	c.N = p.n
	text, err := json.Marshal(c)
	require.NoError(p.t, err)
	_, err = p.stdin.Write(append(text, '\n'))
	require.NoError(p.t, err)
	return p.n
}

// outcome waits for the outcome of a command.
func (p *process) outcome(n int) line {
	p.t.Helper()
	l := p.take("an outcome", func(l *line) bool { return l.Event == "" && l.N == n })
	require.Empty(p.t, l.Broken)
	return l
}

// letGo has a worker answer what it holds.
func (p *process) letGo() {
	p.t.Helper()
	_, err := p.stdin.Write([]byte("\n"))
	require.NoError(p.t, err)
}

// kill ends the process without a goodbye.
func (p *process) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
}

// signal sends the process a signal.
func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// ends waits until the process has ended by itself, without complaint.
func (p *process) ends() {
	p.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		require.NoError(p.t, err)
		<-p.done
	case <-time.After(patience):
		require.FailNow(p.t, "the process goes on", p.name)
	}
}
