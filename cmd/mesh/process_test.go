//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// build builds the command as its users have it.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mesh")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput() //nolint:gosec // a path that the test made
	require.NoError(t, err, "%s", text)
	return path
}

// process is a command that runs.
type process struct {
	cmd      *exec.Cmd
	out, err <-chan string // lines; closed at the end
}

// launch starts the binary. It is killed where it outlives the test.
func launch(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.CommandContext(context.Background(), binary, args...)} //nolint:gosec // the binary that the test built
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	errs, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil { // the test failed
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	p.out, p.err = lines(out), lines(errs)
	return p
}

// lines returns the lines of r as they come.
func lines(r io.Reader) <-chan string {
	all := make(chan string, 1000) // more than any test writes, so that nobody waits
	go func() {
		defer close(all)
		for s := bufio.NewScanner(r); s.Scan(); {
			all <- s.Text()
		}
	}()
	return all
}

// says waits for a line that has a text in it.
func says(t *testing.T, from <-chan string, text string) {
	t.Helper()
	var seen []string
	for {
		select {
		case line, ok := <-from:
			require.True(t, ok, "it ended without saying %q: %q", text, seen)
			if strings.Contains(line, text) {
				return
			}
			seen = append(seen, line)
		case <-time.After(time.Minute):
			require.FailNow(t, "it didn't say "+text, "%q", seen)
		}
	}
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// ended waits for the end, and returns the exit code and the rest of standard error.
func (p *process) ended(t *testing.T) (code int, errs string) {
	t.Helper()
	for range p.out { // to its end, before Wait closes it
	}
	var rest []string
	for line := range p.err {
		rest = append(rest, line)
	}
	_ = p.cmd.Wait() // the code says it
	return p.cmd.ProcessState.ExitCode(), strings.Join(rest, "\n")
}

// dial returns a client of the broker. It ends with the test.
func dial(t *testing.T, addr string) *mesh.Client {
	t.Helper()
	c, err := mesh.NewClient(mesh.ClientConfig{Transport: zmtp.New(zmtp.Config{}), Brokers: []transport.Endpoint{{Addr: addr}}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// waiting makes a call of tea.wait, and returns when the handler has it.
func waiting(t *testing.T, r *room, c *mesh.Client) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := c.CallRaw(context.Background(), "tea.wait", nil)
		done <- err
	}()
	await(t, r.inside)
	return done
}

// The real binary as a process, over real sockets, ended by signals.
func TestBrokerProcess(t *testing.T) {
	t.Parallel()
	binary := build(t)
	t.Run("SIGTERM lets a call finish", func(t *testing.T) {
		t.Parallel()
		socket := filepath.Join(t.TempDir(), "mesh.sock")
		p := launch(t, binary, "broker", "--listen", wildcard, "--listen", "ipc://"+socket, "--id", "b1", "--log-json")
		addr := await(t, p.out)
		require.Regexp(t, `^tcp://127\.0\.0\.1:[1-9][0-9]+$`, addr)
		require.Equal(t, "ipc://"+socket, await(t, p.out), "one a line, in their order")
		b := &bed{addr: addr, room: newRoom()}
		b.room.work(t, zmtp.Config{}, transport.Endpoint{Addr: "ipc://" + socket})
		require.Equal(t, outcome{out: "[\n  1\n]\n"}, b.run(t, "call", "tea.echo", "[1]"))
		pong, err := dial(t, addr).Ping(t.Context())
		require.NoError(t, err)
		require.Equal(t, "b1", pong.ID)

		done := waiting(t, b.room, dial(t, addr))
		p.signal(t, syscall.SIGTERM)
		says(t, p.err, `"msg":"draining","signal":"terminated"`)
		close(b.room.release)
		require.NoError(t, await(t, done))
		code, errs := p.ended(t)
		require.Zero(t, code)
		require.Contains(t, errs, `"msg":"stopped"`)
		require.NoFileExists(t, socket)
	})
	t.Run("a second SIGTERM cuts", func(t *testing.T) {
		t.Parallel()
		p := launch(t, binary, "broker", "--listen", wildcard)
		b := &bed{addr: await(t, p.out), room: newRoom()}
		b.room.work(t, zmtp.Config{}, transport.Endpoint{Addr: b.addr})
		done := waiting(t, b.room, dial(t, b.addr))
		p.signal(t, syscall.SIGTERM)
		says(t, p.err, "msg=draining")
		p.signal(t, syscall.SIGTERM)
		code, errs := p.ended(t)
		require.Equal(t, exitFailed, code)
		require.Contains(t, errs, "mesh: cut by a second signal (terminated) while draining")
		err := await(t, done)
		if !errors.Is(err, mesh.ErrWorkerLost) { // as it is where the worker's connection is cut first
			require.ErrorIs(t, err, mesh.ErrBrokerLost)
		}
	})
	t.Run("draining takes too long", func(t *testing.T) {
		t.Parallel()
		p := launch(t, binary, "broker", "--listen", wildcard, "--drain-timeout", "100ms")
		b := &bed{addr: await(t, p.out), room: newRoom()}
		b.room.work(t, zmtp.Config{}, transport.Endpoint{Addr: b.addr})
		waiting(t, b.room, dial(t, b.addr))
		p.signal(t, os.Interrupt)
		code, errs := p.ended(t)
		require.Equal(t, exitFailed, code)
		require.Contains(t, errs, "mesh: cut, as draining took longer than 100ms")
	})
	t.Run("SIGINT without anybody", func(t *testing.T) {
		t.Parallel()
		p := launch(t, binary, "broker", "--listen", wildcard)
		await(t, p.out)
		p.signal(t, os.Interrupt)
		code, _ := p.ended(t)
		require.Zero(t, code)
	})
	t.Run("announces itself, until it drains", func(t *testing.T) {
		t.Parallel()
		flags := join(multicast(t), "--cluster-keyfile", clusterKey(t))
		p := launch(t, binary, join(flags, "broker", "--listen", "tcp://*:*", "--announce")...)
		await(t, p.out)
		require.Equal(t, outcome{out: noServices}, command(t, nil, "", join(flags, "services", "--discover")...))
		p.signal(t, syscall.SIGTERM)
		code, errs := p.ended(t)
		require.Zero(t, code, errs)
	})
	t.Run("a watch ends with a signal", func(t *testing.T) {
		t.Parallel()
		addr := serve(t)
		for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			p := launch(t, binary, "services", "--watch=100ms", "--broker", addr)
			says(t, p.out, "No service")
			says(t, p.out, "No service")
			p.signal(t, s)
			code, errs := p.ended(t)
			require.Zero(t, code)
			require.Empty(t, errs)
		}
	})
	t.Run("announces itself with its keys", func(t *testing.T) {
		t.Parallel()
		testAnnouncedWithKeys(t, binary)
	})
	t.Run("announces itself with its keys alone", func(t *testing.T) {
		t.Parallel()
		testAnnouncedWithPins(t, binary)
	})
	t.Run("keys and rules", func(t *testing.T) {
		t.Parallel()
		testRules(t, binary)
	})
	t.Run("what can't be served", func(t *testing.T) {
		t.Parallel()
		testRefusedBrokers(t, binary)
	})
}

func testRefusedBrokers(t *testing.T, binary string) {
	t.Helper()
	taken := serve(t)
	dir := t.TempDir()
	cert := filepath.Join(dir, "broker.cert")
	require.Zero(t, command(t, nil, "", "keygen", cert).code)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	missing, empty, bad := filepath.Join(dir, "missing"), write("empty", ""), write("bad", "[peer.web]\ncolour = 1\n")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--nosuch"}, exitUsage, "mesh: unknown flag: --nosuch"},
		{[]string{"--curve-keyfile", cert}, exitUsage, "mesh: --curve-keyfile and --authorize go together"},
		{[]string{"--listen", "localhost"}, exitFailed, `mesh: zmtp: listen "localhost": transport: bad address: want tcp://host:port or ipc://path`},
		{[]string{"--listen", wildcard, "--listen", taken}, exitFailed, "already in use"},
		{[]string{"--curve-keyfile", missing, "--authorize", bad}, exitFailed, missing + ": no such file"},
		{[]string{"--curve-keyfile", empty, "--authorize", bad}, exitFailed, empty + ": curve: certificate: no public-key"},
		{[]string{"--curve-keyfile", cert, "--authorize", bad}, exitFailed, "broker.cert has no secret key; name the file that ends in _secret"},
		{[]string{"--curve-keyfile", cert + "_secret", "--authorize", missing}, exitFailed, missing + ": no such file"},
		{[]string{"--curve-keyfile", cert + "_secret", "--authorize", bad}, exitFailed, "bad:2: "},
	} {
		p := launch(t, binary, append([]string{"broker"}, c.args...)...)
		_, more := <-p.out
		require.False(t, more, "it listens nowhere")
		code, errs := p.ended(t)
		require.Equal(t, c.code, code, errs)
		require.Contains(t, errs, c.want)
	}
}

// testRules: each peer may do what the file says, also while it changes, and a
// stranger may do nothing.
func testRules(t *testing.T, binary string) {
	t.Helper()
	dir := t.TempDir()
	keys := make(map[string]*curve.Certificate)
	file := func(name string) string { return filepath.Join(dir, name+".cert_secret") }
	for _, name := range []string{"broker", "kitchen", "web", "ops", "chef", "stranger"} {
		require.Zero(t, command(t, nil, "", "keygen", filepath.Join(dir, name+".cert")).code)
		var err error
		keys[name], err = curve.ReadCertificate(file(name))
		require.NoError(t, err)
	}
	rules := filepath.Join(dir, "peers.toml")
	allow := func(web string) {
		text := fmt.Sprintf("[peer.kitchen]\nkey = %q\nregister = [\"tea\"]\n[peer.web]\nkey = %q\n%s\n[peer.ops]\nkey = %q\nsee = true\n"+
			"[peer.chef]\nkey = %q\nsee = [\"tea\"]\noperate = [\"tea\"]\n",
			keys["kitchen"].Public, keys["web"].Public, web, keys["ops"].Public, keys["chef"].Public)
		require.NoError(t, os.WriteFile(rules+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(rules+".new", rules))
	}
	allow(`call = ["tea.echo"]`)
	p := launch(t, binary, "broker", "--listen", wildcard, "--curve-keyfile", file("broker"), "--authorize", rules)
	addr, serverKey := await(t, p.out), keys["broker"].Public.String()
	kitchen := &curve.KeyPair{Public: keys["kitchen"].Public, Secret: keys["kitchen"].Secret}
	newRoom().work(t, zmtp.Config{Keys: kitchen}, transport.Endpoint{Addr: addr, ServerKey: serverKey})
	as := func(name string, args ...string) outcome {
		t.Helper()
		return command(t, environment{"MESH_BROKER": addr, "MESH_SERVER_KEY": serverKey, "MESH_CURVE_KEYFILE": file(name)}, "", args...)
	}
	refused := func(o outcome) {
		t.Helper()
		require.Equal(t, exitFailed, o.code)
		require.True(t, strings.HasPrefix(o.err, "mesh: not permitted (-32008)"), o.err)
	}
	served := outcome{out: "{}\n"}
	require.Equal(t, served, as("web", "call", "tea.echo", "{}"))
	refused(as("web", "call", "tea.note"))
	refused(as("web", "services"))
	refused(as("ops", "call", "tea.echo"))
	require.Equal(t, "SERVICE  WORKERS  METHODS\ntea      1        brew pour echo fail note wait\n", as("ops", "services").out)
	require.Equal(t, outcome{out: "paused tea\n"}, as("chef", "pause", "tea"), "a right over one service")
	require.Equal(t, outcome{out: "resumed tea\n"}, as("chef", "resume", "tea"))
	refused(as("chef", "pause", "coffee"))
	require.Contains(t, as("chef", "status").out, "\nnow:   1 worker, 0 queued, 0 running, 0 in quarantine, of the services that may be seen\n\nSERVICE ")
	require.Equal(t, served, command(t, environment{}, "", "call", "tea.echo", "{}",
		"--broker", addr, "--server-key", serverKey, "--curve-keyfile", file("web")), "flags do as well")

	allow(`call = ["tea.note"]`)
	says(t, p.err, "rules read again")
	refused(as("web", "call", "tea.echo", "{}"))
	require.Equal(t, outcome{}, as("web", "call", "tea.note"))
	allow("colour = 1")
	says(t, p.err, "rules not read again, the old ones hold")
	require.Equal(t, outcome{}, as("web", "call", "tea.note"))

	o := as("stranger", "call", "tea.note")
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, "mesh: no broker can be reached: ")
	require.Contains(t, o.err, "the broker doesn't know this key")
	says(t, p.err, "unknown key")
	o = command(t, environment{}, "", "call", "tea.note", "--broker", addr)
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, "CURVE")
	p.signal(t, syscall.SIGTERM)
	code, _ := p.ended(t)
	require.Zero(t, code)
}
