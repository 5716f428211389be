package faulty_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/faulty"
	"github.com/mdpmesh/mesh/transport/inproc"
)

var update = flag.Bool("update", false, "write what happens into the scripts in testdata")

// TestScripts runs the scripts in testdata. Each line with ">" in front is a
// command; below it stand the events that it caused, and then, with "|" in
// front, what the two ends saw, sorted. See script.run for the commands.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file) // #nosec G304 -- a file of testdata
			require.NoError(t, err)
			var got string
			synctest.Test(t, func(t *testing.T) { got = runScript(t, string(want)) })
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
				return
			}
			require.Equal(t, string(want), got)
		})
	}
}

// script is a network with one listener, "inproc://broker".
type script struct {
	t     *testing.T
	net   *faulty.Transport
	conns map[string]transport.Conn
	heals []func() // of the partitions
	wg    sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	events []string
	seen   []string
	peers  map[string]transport.Peer
}

func runScript(t *testing.T, text string) string {
	t.Helper()
	s := &script{t: t, conns: make(map[string]transport.Conn), peers: make(map[string]transport.Peer)}
	var out strings.Builder
	cfg := faulty.Config{Seed: 1, Trace: func(e faulty.Event) { s.note(&s.events, e.String()) }}
	for line := range strings.Lines(text) {
		command, ok := strings.CutPrefix(line, "> ")
		switch {
		case strings.HasPrefix(line, "#"):
			out.WriteString(line)
			continue
		case !ok:
			continue
		}
		words := strings.Fields(command)
		if words[0] == "config" { // before anything else
			s.configure(&cfg, words[1:])
		} else {
			if s.net == nil {
				s.start(cfg)
			}
			s.run(words[0], words[1:])
			synctest.Wait()
		}
		out.WriteString(line)
		s.report(&out)
	}
	require.NoError(t, s.net.Close())
	return out.String()
}

// configure sets "lossy", "maxheld=N", or faults as faults does.
func (s *script) configure(cfg *faulty.Config, words []string) {
	switch {
	case words[0] == "lossy":
		cfg.LosePartitioned = true
	case strings.HasPrefix(words[0], "maxheld="):
		cfg.MaxHeld = int(s.number(words[0]))
	default:
		cfg.Up, cfg.Down = s.faults(words)
	}
}

// faults reads "up" or "down", and what follows it: drop=, duplicate=, reorder=,
// delay=, min=, max= (in milliseconds).
func (s *script) faults(words []string) (up, down faulty.Faults) {
	for direction := &up; len(words) > 0; words = words[1:] {
		switch name, _, _ := strings.Cut(words[0], "="); name {
		case "up":
			direction = &up
		case "down":
			direction = &down
		case "drop":
			direction.Drop = s.number(words[0])
		case "duplicate":
			direction.Duplicate = s.number(words[0])
		case "reorder":
			direction.Reorder = s.number(words[0])
		case "delay":
			direction.Delay = s.number(words[0])
		case "min":
			direction.MinDelay = time.Duration(s.number(words[0])) * time.Millisecond
		case "max":
			direction.MaxDelay = time.Duration(s.number(words[0])) * time.Millisecond
		default:
			require.Fail(s.t, "unknown fault", words[0])
		}
	}
	return up, down
}

func (s *script) number(word string) float64 {
	_, value, _ := strings.Cut(word, "=")
	n, err := strconv.ParseFloat(value, 64)
	require.NoError(s.t, err)
	return n
}

// start makes the network and its listener.
func (s *script) start(cfg faulty.Config) {
	s.net = faulty.New(inproc.New(inproc.Config{}), cfg)
	l, err := s.net.Listen(s.t.Context(), "inproc://broker")
	require.NoError(s.t, err)
	s.wg.Go(func() {
		_ = l.Serve(context.Background(), func(p transport.Peer) transport.Receiver {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.peers[p.Identity().Name] = p
			return &scriptPeer{s, p.Identity().Name}
		})
	})
	s.t.Cleanup(func() {
		_ = l.Close()
		s.wg.Wait()
	})
}

// run does one command.
//
//	dial worker         dial as worker and serve the connection
//	send worker a b     worker sends the messages a and b and flushes
//	queue worker a b    worker sends them and doesn't; flush worker does
//	reply worker a b    the listener sends them to worker
//	close worker        it closes its connection
//	hangup worker       the listener closes worker's
//	partition a b       both ways; oneway a b: from a to b
//	heal                all partitions; heal 0: the first that was made
//	crash a, kill a     see Transport
//	faults …            sets all faults anew
//	wait 5ms            time goes by
func (s *script) run(command string, args []string) {
	switch command {
	case "dial":
		s.dial(args[0])
	case "send":
		s.send(args[0], s.conns[args[0]], args[1:])
		s.conns[args[0]].Flush()
	case "queue":
		s.send(args[0], s.conns[args[0]], args[1:])
	case "flush":
		s.conns[args[0]].Flush()
	case "reply":
		s.mu.Lock()
		p := s.peers[args[0]]
		s.mu.Unlock()
		s.send("broker", p, args[1:])
		p.Flush()
	case "close":
		require.NoError(s.t, s.conns[args[0]].Close())
	case "hangup":
		s.mu.Lock()
		p := s.peers[args[0]]
		s.mu.Unlock()
		require.NoError(s.t, p.Close())
	case "partition":
		s.heals = append(s.heals, s.net.Partition(args[0], args[1]))
	case "oneway":
		s.heals = append(s.heals, s.net.PartitionOneWay(args[0], args[1]))
	case "heal":
		if len(args) == 0 {
			s.net.Heal()
			return
		}
		i, err := strconv.Atoi(args[0])
		require.NoError(s.t, err)
		s.heals[i]()
	case "crash":
		s.net.Crash(args[0])
	case "kill":
		s.net.Kill(args[0])
	case "faults":
		require.NoError(s.t, s.net.SetFaults(s.faults(args)))
	case "wait":
		d, err := time.ParseDuration(args[0])
		require.NoError(s.t, err)
		pass(d)
	default:
		require.Fail(s.t, "unknown command", command)
	}
}

// dial dials in the background, as a partition may keep it waiting.
func (s *script) dial(name string) {
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	s.wg.Go(func() {
		c, err := s.net.As(name).Dial(ctx, transport.Endpoint{Addr: "inproc://broker"})
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[name] = c
		s.mu.Unlock()
		err = c.Serve(ctx, func(batch []transport.Message) {
			for _, m := range batch {
				s.seef("%s got %s", name, m[0])
			}
		})
		if ctx.Err() == nil {
			s.seef("%s ended: %v", name, err)
		}
	})
}

func (s *script) send(name string, link transport.Link, messages []string) {
	for _, m := range messages {
		if err := link.Send(transport.Message{[]byte(m)}); err != nil {
			s.seef("%s can't send: %v", name, err)
		}
	}
}

func (s *script) seef(format string, args ...any) {
	s.note(&s.seen, fmt.Sprintf(format, args...))
}

func (s *script) note(list *[]string, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, line)
}

// report writes what happened since the last report.
func (s *script) report(out *strings.Builder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		fmt.Fprintf(out, "  %s\n", e)
	}
	slices.SortStableFunc(s.seen, func(a, b string) int {
		return strings.Compare(strings.Fields(a)[0], strings.Fields(b)[0])
	})
	for _, line := range s.seen {
		fmt.Fprintf(out, "  | %s\n", line)
	}
	s.events, s.seen = nil, nil
}

// scriptPeer is the listener's receiver.
type scriptPeer struct {
	*script
	name string
}

func (p *scriptPeer) Receive(batch []transport.Message) {
	for _, m := range batch {
		p.seef("broker got %s from %s", m[0], p.name)
	}
}

func (p *scriptPeer) Gone(reason error) { p.seef("broker lost %s: %v", p.name, reason) }
