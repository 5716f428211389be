package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wildcard is where the brokers of tests listen, over real sockets.
const wildcard = "tcp://127.0.0.1:*"

// bed is a broker and a worker of the tea room in the test process.
type bed struct {
	addr string
	room *room
}

// start starts a broker and a worker. They end with the test.
func start(t *testing.T) *bed {
	t.Helper()
	b := &bed{addr: serve(t), room: newRoom()}
	b.room.work(t, zmtp.Config{}, transport.Endpoint{Addr: b.addr})
	return b
}

// serve starts a broker and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	return serveWith(t, mesh.BrokerConfig{})
}

func serveWith(t *testing.T, cfg mesh.BrokerConfig) string {
	t.Helper()
	return serveOver(t, zmtp.Config{}, cfg)
}

func serveOver(t *testing.T, sockets zmtp.Config, cfg mesh.BrokerConfig) string {
	t.Helper()
	l, err := zmtp.New(sockets).Listen(t.Context(), wildcard)
	require.NoError(t, err)
	broker, err := mesh.NewBroker(cfg)
	require.NoError(t, err)
	served := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { served <- broker.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-served, context.Canceled)
	})
	return l.Addr()
}

// outcome is how a command ended.
type outcome struct {
	code     int
	out, err string
}

// console returns a console on which MESH_BROKER is the bed's.
func (b *bed) console(out, errs io.Writer) console {
	return console{strings.NewReader(""), out, errs, environment{"MESH_BROKER": b.addr}.get}
}

// run runs a command on such a console.
func (b *bed) run(t *testing.T, args ...string) outcome {
	t.Helper()
	return command(t, environment{"MESH_BROKER": b.addr}, "", args...)
}

type environment map[string]string

func (e environment) get(name string) string { return e[name] }

// command runs a command.
func command(t *testing.T, env environment, in string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, console{strings.NewReader(in), &out, &errs, env.get})
	return outcome{code, out.String(), errs.String()}
}

// room is the service "tea".
type room struct {
	service *mesh.Service
	brewed  atomic.Int64  // cups
	noted   chan string   // parameters of tea.note
	inside  chan struct{} // a token for each tea.wait that began
	release chan struct{} // closed: tea.wait returns
	left    chan error    // why a tea.wait was given up
	next    chan struct{} // a token lets tea.pour go on after its first value
}

type (
	order struct {
		Kind  string `json:"kind" description:"What is brewed." enum:"black,green"`
		Sugar int    `json:"sugar,omitempty" minimum:"0" maximum:"3"`
	}
	cup struct {
		Text string `json:"text"`
		Cups int64  `json:"cups"`
	}
	glass struct {
		Sips int `json:"sips"`
	}
)

func newRoom() *room {
	r := &room{
		service: mesh.NewService("tea", mesh.Doc("All about tea.")), noted: make(chan string, 10),
		inside: make(chan struct{}, 10), release: make(chan struct{}), left: make(chan error, 10), next: make(chan struct{}, 10),
	}
	r.service.Handle(
		mesh.NewMethod[order, cup]("tea.brew", mesh.Doc("Brews one cup."), mesh.Idempotent(), mesh.Attempts(2)).With(
			func(_ context.Context, o order) (cup, error) { return cup{o.Kind + " <tea>", r.brewed.Add(1)}, nil }),
		mesh.NewStream[struct{}, glass]("tea.pour", mesh.Doc("Pours\nslowly.")).With(
			func(ctx context.Context, _ struct{}) iter.Seq2[glass, error] {
				return func(yield func(glass, error) bool) {
					for i := 1; i <= 3 && yield(glass{i}, nil); i++ {
						select {
						case <-r.next:
						case <-ctx.Done():
							return
						}
					}
				}
			}),
	)
	r.service.HandleRaw("echo", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) { return params, nil })
	r.service.HandleRaw("fail", func(context.Context, json.RawMessage) (json.RawMessage, error) {
		return nil, &mesh.Error{Code: 1001, Message: "out of \x1b[31mtea", Data: json.RawMessage(`{"left":0}`)}
	})
	r.service.HandleRaw("note", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) {
		r.noted <- string(params)
		return nil, nil
	})
	r.service.HandleRaw("wait", func(ctx context.Context, params json.RawMessage) (json.RawMessage, error) {
		r.inside <- struct{}{}
		select {
		case <-r.release:
			return params, nil
		case <-ctx.Done():
			r.left <- ctx.Err()
			return nil, ctx.Err()
		}
	})
	return r
}

// work serves the room until the test ends. It returns once a broker has taken it.
func (r *room) work(t *testing.T, cfg zmtp.Config, broker transport.Endpoint) {
	t.Helper()
	w, err := mesh.NewWorker(mesh.WorkerConfig{Transport: zmtp.New(cfg), Brokers: []transport.Endpoint{broker}}, r.service)
	require.NoError(t, err)
	ran := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ran <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-ran, context.Canceled)
	})
	await(t, w.Ready())
}

// await waits for an event.
func await[T any](t *testing.T, event <-chan T) T {
	t.Helper()
	select {
	case v := <-event:
		return v
	case <-time.After(time.Minute):
		require.FailNow(t, "what was waited for didn't happen")
		panic("unreachable")
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
		hint string
	}{
		"unknown command":            {[]string{"cal"}, "unknown command \"cal\" for \"mesh\"\n\nDid you mean this?\n\tcall\n", "mesh"},
		"unknown command with flags": {[]string{"brokr", "--listen", "tcp://*:1"}, "unknown command \"brokr\" for \"mesh\"\n\nDid you mean this?\n\tbroker\n", "mesh"},
		"nothing like it":            {[]string{"zzz"}, "unknown command \"zzz\" for \"mesh\"\n", "mesh"},
		"unknown flag":               {[]string{"--loud"}, "unknown flag: --loud\n", "mesh"},
		"unknown flag of a command":  {[]string{"call", "tea.brew", "--loud"}, "unknown flag: --loud\n", "mesh call"},
		"flag without its value":     {[]string{"services", "--broker"}, "flag needs an argument: --broker\n", "mesh services"},
		"no duration":                {[]string{"services", "--timeout", "soon"}, "invalid argument \"soon\" for \"--timeout\" flag: time: invalid duration \"soon\"\n", "mesh services"},
		"negative timeout":           {[]string{"services", "--timeout", "-1s"}, "--timeout must not be negative\n", "mesh services"},
		"too few":                    {[]string{"call"}, "0 arguments where the form is: mesh call METHOD [PARAMS | -] [flags]\n", "mesh call"},
		"too many, as by a shell":    {[]string{"call", "tea.brew", "{kind:", "green}"}, "3 arguments where the form is: mesh call METHOD [PARAMS | -] [flags]\n", "mesh call"},
		"one too many":               {[]string{"services", "tea"}, "1 argument where the form is: mesh services [flags]\n", "mesh services"},
		"no JSON":                    {[]string{"call", "tea.brew", `{"kind":green}`}, "the parameters are no JSON: invalid character 'g' looking for beginning of value (at byte 9)\n", "mesh call"},
		"half of it":                 {[]string{"call", "tea.brew", `{"kind"`}, "the parameters are no JSON: unexpected end of JSON input (at byte 7)\n", "mesh call"},
		"neither object nor array":   {[]string{"call", "tea.brew", `7`}, "the parameters must be a JSON object or array\n", "mesh call"},
		"server key alone":           {[]string{"services", "--server-key", "x"}, "--server-key needs --curve-keyfile; mesh keygen makes one\n", "mesh services"},
		"keys alone":                 {[]string{"services", "--curve-keyfile", "x"}, "--curve-keyfile needs --server-key, the broker's public key\n", "mesh services"},
		"bad server key":             {[]string{"services", "--curve-keyfile", "x", "--server-key", "short"}, "--server-key: curve: ", "mesh services"},
		"keys without rules":         {[]string{"broker", "--curve-keyfile", "x"}, "--curve-keyfile and --authorize go together", "mesh broker"},
		"rules without keys":         {[]string{"broker", "--authorize", "x"}, "--curve-keyfile and --authorize go together", "mesh broker"},
		"rules and none":             {[]string{"broker", "--authorize", "x", "--curve-keyfile", "x", "--allow-operate"}, "--allow-operate and --authorize exclude each other", "mesh broker"},
		"no address":                 {[]string{"broker", "--listen", ""}, "--listen needs an address\n", "mesh broker"},
		"no heartbeat":               {[]string{"broker", "--heartbeat", "0s"}, "--heartbeat must be at least 2ms\n", "mesh broker"},
		"no liveness":                {[]string{"broker", "--liveness", "0"}, "--liveness must be at least 1\n", "mesh broker"},
		"no time to drain":           {[]string{"broker", "--drain-timeout", "0s"}, "--drain-timeout must be positive\n", "mesh broker"},
		"an argument of broker":      {[]string{"broker", "tcp://*:1"}, "1 argument where the form is: mesh broker [flags]\n", "mesh broker"},
		"no service to pause":        {[]string{"pause"}, "0 arguments where the form is: mesh pause SERVICE [flags]\n", "mesh pause"},
		"two workers":                {[]string{"drain", "a", "b"}, "2 arguments where the form is: mesh drain WORKER [flags]\n", "mesh drain"},
		"no number of a request":     {[]string{"cancel", "tea"}, "\"tea\" is no number of a request\n", "mesh cancel"},
		"nor is it from 1":           {[]string{"drop", "0"}, "\"0\" is no number of a request\n", "mesh drop"},
		"a request of two brokers":   {[]string{"release", "1", "--broker", "a,b"}, "the numbers of requests are those of one broker: name it with --broker\n", "mesh release"},
		"an argument of peers":       {[]string{"peers", "tea"}, "1 argument where the form is: mesh peers [flags]\n", "mesh peers"},
		"two files":                  {[]string{"keygen", "a", "b"}, "2 arguments where the form is: mesh keygen [FILE] [flags]\n", "mesh keygen"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := command(t, nil, "", c.args...)
			require.Equal(t, exitUsage, got.code, got.err)
			require.Empty(t, got.out)
			require.True(t, strings.HasPrefix(got.err, "mesh: "+c.want), got.err)
			require.True(t, strings.HasSuffix(got.err, "\nTry \""+c.hint+" --help\".\n"), got.err)
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--help"}, {"help"}} {
		got := command(t, nil, "", args...)
		require.Zero(t, got.code)
		require.Empty(t, got.err)
		for _, name := range []string{"broker", "call", "services", "describe", "peers", "status", "pause", "resume", "drain", "disconnect", "cancel", "release", "drop", "doctor", "keygen", "completion"} {
			require.Contains(t, got.out, "\n  "+name+" ")
		}
	}
	got := command(t, nil, "", "call", "--help")
	require.Contains(t, got.out, "$MESH_BROKER, or tcp://127.0.0.1:5555")
	require.Equal(t, outcome{out: "mesh version " + mesh.Version + "\n"}, command(t, nil, "", "--version"))
}

func TestCall(t *testing.T) {
	t.Parallel()
	b := start(t)
	require.Equal(t, outcome{out: "{\n  \"text\": \"green <tea>\",\n  \"cups\": 1\n}\n"}, b.run(t, "call", "tea.brew", `{"kind":"green"}`))
	require.Equal(t, outcome{out: "{\"text\":\"black <tea>\",\"cups\":2}\n"},
		command(t, environment{"MESH_BROKER": b.addr}, " {\"kind\":\"black\"}\n", "call", "--compact", "tea.brew", "-"))
	// Numbers and the order of members are as the worker has them.
	require.Equal(t, outcome{out: "{\"b\":1.0,\"a\":[12345678901234567890]}\n"},
		b.run(t, "call", "tea.echo", `{ "b": 1.0, "a": [12345678901234567890] }`, "--compact"))
	require.Equal(t, outcome{out: "[\n  1\n]\n"}, b.run(t, "call", "tea.echo", `[1]`, "--timeout", "0", "--idempotent"))
	// None at all.
	for _, args := range [][]string{{"call", "tea.note"}, {"call", "tea.note", "-"}, {"call", "tea.note", ""}} {
		require.Equal(t, outcome{}, b.run(t, args...), "nothing for null")
		require.Equal(t, "{}", await(t, b.room.noted))
	}
	require.Equal(t, outcome{}, b.run(t, "call", "tea.note", "--key", "k"))
}

func TestCallFails(t *testing.T) {
	t.Parallel()
	b := start(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"one fault": {[]string{"tea.brew", `{"kind":"red"}`}, "mesh: invalid params (-32602)\n  /kind must be one of \"black\", \"green\"\n"},
		"many faults": {
			[]string{"tea.brew", `{"sugar":4}`},
			"mesh: invalid params (-32602)\n  /sugar must be at most 3\n  /kind is required\n",
		},
		"of the parameters as a whole": {[]string{"tea.brew", `[]`}, "mesh: invalid params (-32602)\n  the parameters must be an object, not an array\n"},
		"the handler's own":            {[]string{"tea.fail"}, "mesh: code 1001: out of \ufffd[31mtea\n  data: {\"left\":0}\n"},
		"unknown method":               {[]string{"tea.nosuch"}, "mesh: method not found (-32601): "},
		"no method's name":             {[]string{"tea"}, "mesh: method not found (-32601): bad method name \"tea\": must be the service's name, a dot and the method's own\n"},
		"time is over":                 {[]string{"tea.wait", "--timeout", "50ms"}, "mesh: expired (-320"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := b.run(t, append([]string{"call"}, c.args...)...)
			require.Equal(t, exitFailed, got.code)
			require.Empty(t, got.out)
			if strings.HasSuffix(c.want, "\n") {
				require.Equal(t, c.want, got.err)
			}
			require.True(t, strings.HasPrefix(got.err, c.want), got.err)
		})
	}
}

// A call that is given up doesn't leave its handler running.
func TestCallCancelled(t *testing.T) {
	t.Parallel()
	b := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan outcome, 1)
	go func() {
		var errs bytes.Buffer
		code := run(ctx, []string{"call", "tea.wait"}, b.console(io.Discard, &errs))
		done <- outcome{code: code, err: errs.String()}
	}()
	await(t, b.room.inside)
	cancel()
	require.Error(t, await(t, b.room.left))
	require.Equal(t, outcome{code: exitFailed, err: "mesh: cancelled (-32005): the call was cancelled\n"}, await(t, done))
}

// Each value of a stream is a line, and printed when it comes.
func TestCallStreams(t *testing.T) {
	t.Parallel()
	b := start(t)
	lines := make(chan string)
	done := make(chan outcome, 1)
	go func() {
		var errs bytes.Buffer
		out := writerFunc(func(p []byte) { lines <- string(p) })
		done <- outcome{code: run(context.Background(), []string{"call", "tea.pour", "{}"}, b.console(out, &errs)), err: errs.String()}
	}()
	for _, want := range []string{"{\"sips\":1}\n", "{\"sips\":2}\n", "{\"sips\":3}\n"} {
		require.Equal(t, want, await(t, lines))
		b.room.next <- struct{}{} // the worker had to wait for it
	}
	require.Equal(t, outcome{}, await(t, done))
}

type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// A reply that can't be printed is a failure.
func TestCallWithoutOutput(t *testing.T) {
	t.Parallel()
	b := start(t)
	file, err := os.Open(os.DevNull) // can't be written to
	require.NoError(t, err)
	defer file.Close()
	var errs bytes.Buffer
	require.Equal(t, exitFailed, run(t.Context(), []string{"call", "tea.echo", "{}"}, b.console(file, &errs)))
	require.Contains(t, errs.String(), "bad file descriptor")
}

func TestCallNotifies(t *testing.T) {
	t.Parallel()
	b := start(t)
	require.Equal(t, outcome{}, b.run(t, "call", "tea.note", `{"n":1}`, "--notify"))
	require.JSONEq(t, `{"n":1}`, await(t, b.room.noted))
	require.Equal(t, outcome{}, b.run(t, "call", "tea.fail", "--notify"), "nobody hears how it ended")
}

func TestCallWithAKey(t *testing.T) {
	t.Parallel()
	b := start(t)
	for range 2 {
		require.Equal(t, outcome{out: "{\"text\":\"green <tea>\",\"cups\":1}\n"},
			b.run(t, "call", "tea.brew", `{"kind":"green"}`, "--key", "k", "--compact"))
	}
	require.EqualValues(t, 1, b.room.brewed.Load())
	got := b.run(t, "call", "tea.brew", `{"kind":"black"}`, "--key", "k")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "mesh: key conflict (-320")
}

func TestServices(t *testing.T) {
	t.Parallel()
	b := start(t)
	require.Equal(t, outcome{out: "SERVICE  WORKERS  METHODS\ntea      1        brew pour echo fail note wait\n"}, b.run(t, "services"))
	got := b.run(t, "services", "--json")
	require.Zero(t, got.code)
	var all []mesh.ServiceInfo
	require.NoError(t, json.Unmarshal([]byte(got.out), &all))
	require.Len(t, all, 1)
	require.Len(t, all[0].Methods, 6)
	require.Equal(t, "brew", all[0].Methods[0].Name)

	empty := &bed{addr: serve(t)}
	require.Equal(t, outcome{out: "No service has a worker.\n"}, empty.run(t, "services"))
	require.Equal(t, outcome{out: "[]\n"}, empty.run(t, "services", "--json"))
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	b := start(t)
	got := b.run(t, "describe", "tea")
	require.Zero(t, got.code)
	require.Empty(t, got.err)
	require.True(t, strings.HasPrefix(got.out, "tea, 1 worker\nAll about tea.\n\ntea.brew (idempotent, at most 2 attempts)\n  Brews one cup.\n  params: {\n"), got.out)
	require.Contains(t, got.out, "\ntea.pour (streams)\n  Pours\nslowly.\n")
	require.Contains(t, got.out, `"description": "What is brewed."`)
	require.True(t, strings.HasSuffix(got.out, "\ntea.echo\n\ntea.fail\n\ntea.note\n\ntea.wait\n"), got.out)

	got = b.run(t, "describe", "tea", "--json")
	require.Zero(t, got.code)
	var tea mesh.ServiceInfo
	require.NoError(t, json.Unmarshal([]byte(got.out), &tea))
	require.Equal(t, "All about tea.", tea.Doc)
	require.Equal(t, 2, tea.Methods[0].Attempts)

	require.Equal(t, outcome{exitFailed, "", "mesh: no such service (-32000): no worker serves \"coffee\"\n"}, b.run(t, "describe", "coffee"))
}

// MESH_BROKER is what --broker is by default, and both may name several.
func TestBrokerFlag(t *testing.T) {
	t.Parallel()
	b := start(t)
	nobody := closedPort(t)
	for _, c := range []struct {
		env  string
		args []string
		code int
	}{
		{b.addr, nil, 0},
		{nobody, []string{"--broker", b.addr}, 0},
		{nobody + "," + b.addr, nil, 0},
		{"", []string{"--broker", nobody + "," + b.addr}, 0},
		{"", []string{"--broker", nobody, "--broker", b.addr}, 0},
		{b.addr, []string{"--broker", nobody}, exitFailed},
	} {
		got := command(t, environment{"MESH_BROKER": c.env}, "", append([]string{"services"}, c.args...)...)
		require.Equal(t, c.code, got.code, "%q %q: %s", c.env, c.args, got.err)
	}
	// All brokers are dialled at once, so it may have its answer before another one is
	// given up.
	require.Eventually(t, func() bool {
		got := b.run(t, "services", "--verbose", "--broker", nobody, "--broker", b.addr)
		return got.code == 0 && strings.Contains(got.err, "nobody listens")
	}, 20*time.Second, time.Millisecond, "it says what is wrong with the connection")
}

// closedPort returns an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return "tcp://" + l.Addr().String()
}

// Whoever typed a wrong address hears so at once, not when the time is over.
func TestNoBroker(t *testing.T) {
	t.Parallel()
	nobody, other := closedPort(t), closedPort(t)
	for name, c := range map[string]struct{ broker, want string }{
		"nobody listens": {nobody, "mesh: no broker can be reached: zmtp: dial \"" + nobody + "\": transport: connection refused: nobody listens\n"},
		"at two": {nobody + "," + other, "mesh: no broker can be reached: zmtp: dial \"" + nobody + "\": transport: connection refused: nobody listens\n" +
			"  zmtp: dial \"" + other + "\": transport: connection refused: nobody listens\n"},
		"no address": {"localhost", "mesh: no broker can be reached: zmtp: dial \"localhost\": transport: bad address: want tcp://host:port or ipc://path\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			got := command(t, nil, "", "call", "tea.brew", "--timeout", "10m", "--broker", c.broker)
			require.Equal(t, outcome{exitFailed, "", c.want}, got)
			require.Less(t, time.Since(begun), time.Minute)
		})
	}
}

func TestKeygen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "web.cert")
	got := command(t, nil, "", "keygen", path, "--name", "web")
	require.Zero(t, got.code)
	require.Equal(t, "wrote "+path+" and "+path+"_secret\n", got.err)
	public, err := curve.ReadCertificate(path)
	require.NoError(t, err)
	require.False(t, public.HasSecret())
	require.Equal(t, public.Public.String()+"\n", got.out)
	require.Equal(t, []curve.Field{{Name: "name", Value: "web"}}, public.Metadata)
	secret, err := curve.ReadCertificate(path + "_secret")
	require.NoError(t, err)
	require.True(t, secret.HasSecret())
	require.Equal(t, public.Public, secret.Public)
	for file, mode := range map[string]os.FileMode{path: 0o644, path + "_secret": 0o600} {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode())
	}

	for _, missing := range []string{"", path, path + "_secret"} { // none is overwritten, also where one of them is gone
		if missing != "" {
			require.NoError(t, os.Rename(missing, missing+".away"))
		}
		before := files(t, filepath.Dir(path))
		got = command(t, nil, "", "keygen", path)
		require.Equal(t, exitFailed, got.code)
		require.Empty(t, got.out)
		require.Contains(t, got.err, " exists, and is not overwritten\n")
		require.Equal(t, before, files(t, filepath.Dir(path)))
		if missing != "" {
			require.NoError(t, os.Rename(missing+".away", missing))
		}
	}
	got = command(t, nil, "", "keygen", filepath.Join(path, "nosuch", "web.cert"))
	require.Equal(t, exitFailed, got.code)
	got = command(t, nil, "", "keygen", path+"2", "--name", "two\nlines")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "the value of name is not printable")
}

// files returns what the files of a folder hold.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	all := make(map[string]string)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		all[e.Name()] = string(text)
	}
	return all
}

func TestComplete(t *testing.T) {
	t.Parallel()
	b := start(t)
	const methods = "tea.brew\tBrews one cup.\ntea.pour\tPours\ntea.echo\ntea.fail\ntea.note\ntea.wait\n:4\n"
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"methods":                   {[]string{"call", ""}, methods},
		"methods of another broker": {[]string{"call", "--broker", b.addr, "tea."}, methods},
		"parameters":                {[]string{"call", "tea.brew", ""}, ":4\n"},
		"services":                  {[]string{"describe", ""}, "tea\tAll about tea.\n:4\n"},
		"after the service":         {[]string{"describe", "tea", ""}, ":4\n"},
		"commands":                  {[]string{"desc"}, "describe\tShow a service's methods with their documentation and schemas\n:4\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := b.run(t, append([]string{"__complete"}, c.args...)...)
			require.Zero(t, got.code)
			require.Equal(t, c.want, got.out)
		})
	}
	t.Run("no broker", func(t *testing.T) {
		t.Parallel()
		begun := time.Now()
		for _, args := range [][]string{{"call", ""}, {"describe", ""}, {"call", "--server-key", "bad", ""}} {
			got := command(t, environment{"MESH_BROKER": closedPort(t)}, "", append([]string{"__complete"}, args...)...)
			require.Zero(t, got.code)
			require.Equal(t, ":4\n", got.out)
			require.NotContains(t, got.err, "mesh: ", "a shell would show it in the middle of the line")
		}
		require.Less(t, time.Since(begun), completionTimeout)
	})
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		got := command(t, nil, "", "completion", shell)
		require.Zero(t, got.code)
		require.Contains(t, got.out, "__complete")
	}
}
