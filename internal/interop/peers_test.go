package interop

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// A libzmq client that never reads is dropped, its requests are cancelled, and others
// go on.
func TestDeafClient(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing)
	b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{MaxQueuedBytes: 1 << 20})
	newWorker(t, b.addr, "go", mesh.WorkerConfig{})
	worker := startPython(t, "worker.py", "mesh", b.addr, "tea", "0", "4")
	b.joined("go", "tea")
	other := of("", true, startPython(t, "client.py", "dealer02", b.addr))
	deaf := startPython(t, "deaf.py", b.addr, "tea", "go", "400") // 25 MiB of replies
	worker.event("held")
	deaf.letGo()
	deaf.event("sent")
	for range 50 {
		other.call("go.echo", none).result(t, `{}`)
		other.call("tea.echo", none).result(t, `{}`)
	}
	require.Equal(t, "deaf", worker.event("cancelled").Name)
	other.call("go.echo", none).result(t, `{}`)
	other.call("tea.echo", none).result(t, `{}`)
}

// Sizes at which a frame's encoding changes, many frames, and clients with options
// that show on the wire: a routing id of their own (two have the same), ZMTP
// heartbeats.
func TestSizes(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing)
	b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
	newWorker(t, b.addr, "go", mesh.WorkerConfig{})
	startPython(t, "worker.py", "02", b.addr, "python02", "2500", "1")
	b.joined("go", "python02")
	for _, kind := range []string{"req01", "named01", "named01", "beating02"} {
		c := of(kind, true, startPython(t, "client.py", kind, b.addr))
		for _, service := range []string{"go", "python02"} {
			for _, size := range []int{0, 1, 254, 255, 256, 257, 8191, 8192, 65535, 65536, 65537} {
				body := []string{strings.Repeat("x", size), strings.Repeat("y", size), ""}
				require.Equal(t, body, c.request(service, body...).frames(t), "%d", size)
			}
			many := make([]string, 1000)
			for i := range many {
				many[i] = strings.Repeat("z", i%3)
			}
			require.Equal(t, many, c.request(service, many...).frames(t))
		}
	}
}

// A client of the examples sends again what no worker was given.
func TestRetry(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", mesh.BrokerConfig{Service: mesh.ServiceLimits{Queued: 1}}, zmtp.Config{})
		p := l.start(t, b.addr, "once", 1)
		c := of("", false, l.client(t, b.addr))
		own := newClient(t, b.addr, mesh.ClientConfig{})
		results := make(chan error, 2)
		for i := range 2 { // one runs, one is queued
			go func() {
				_, err := raw(t, own, "once.hold", `{}`)
				results <- err
			}()
			if i == 0 {
				p.event("held")
			}
		}
		b.await(mesh.EventQueued, "once", 1)
		outcome := make(chan line, 1)
		go func() {
			outcome <- c.ask(command{Do: "call", Method: "once.echo", Params: none, Attempts: 1000, Timeout: 20_000})
		}()
		b.await(mesh.EventFailed, "once", 3) // there was no room
		p.letGo()
		(<-outcome).result(t, `{}`)
		require.NoError(t, <-results)
		require.NoError(t, <-results)
	})
}

// Requests with one key run once, also where a client sends them over another
// connection.
func TestKey(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
		p := l.start(t, b.addr, "once", 4)
		outcomes := make(chan line, 2)
		for range 2 {
			c := of("", false, l.client(t, b.addr))
			go func() {
				outcomes <- c.ask(command{Do: "call", Method: "once.hold", Params: none, Key: "order-4711", Timeout: 20_000})
			}()
		}
		p.event("held")
		require.Eventually(t, func() bool { // no event tells of a repeat
			s, err := b.broker.Snapshot(t.Context())
			return err == nil && s.Counts.Repeats == 1
		}, patience, time.Millisecond)
		p.letGo()
		(<-outcomes).result(t, `{"by":"once"}`)
		(<-outcomes).result(t, `{"by":"once"}`)
		require.False(t, p.heard("held"))
		c := of("", false, l.client(t, b.addr))
		e := c.ask(command{Do: "call", Method: "once.hold", Params: json.RawMessage(`{"name":"other"}`), Key: "order-4711", Timeout: 20_000})
		e.failed(t, mesh.CodeKeyConflict)
	})
}

// Nothing that a peer sends takes a worker or a client of the examples out of service.
func TestOddInput(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing)
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
		l.start(t, b.addr, "tea", 1)
		startPython(t, "worker.py", "02", b.addr, "plain", "2500", "1")
		b.joined("tea", "plain")
		raw := of("", true, startPython(t, "client.py", "dealer02", b.addr))
		for _, body := range []string{
			"", "null", "5", `"tea"`, "[]", "{}", "\xff", "\ufeff{}", "{", `[{"jsonrpc":"2.0","id":1,"method":"tea.echo"}]`,
			`{"jsonrpc":"2.0","id":1,"method":5}`, `{"jsonrpc":"2.0","id":1,"method":["tea.echo"]}`, `{"id":1,"method":"tea.echo"}`,
			`{"jsonrpc":"2.0","id":1,"method":"tea.echo","params":5}`, `{"jsonrpc":"2.0","id":1,"method":"tea.count","meta":{"window":"x"}}`,
			`{"jsonrpc":"2.0","id":1,"method":"tea.echo","meta":5}`, strings.Repeat("[", 100_000),
		} {
			reply := raw.request("tea", body).frames(t)
			require.Len(t, reply, 1, body)
			require.Contains(t, strings.ReplaceAll(reply[0], " ", ""), `"id":null,"error":{"code":-32600`, body)
		}
		require.Equal(t, []string{""}, raw.request("tea", `{"jsonrpc":"2.0","method":"tea.echo"}`).frames(t))
		require.Equal(t, []string{""}, raw.request("tea", `{"jsonrpc":"2.0","method":"tea.nothing"}`).frames(t))
		for _, id := range []string{`"7"`, `"\u00e4"`, "9007199254740991", "-1", "null"} {
			reply := raw.request("tea", `{"jsonrpc":"2.0","id":`+id+`,"method":"tea.echo","params":[]}`).frames(t)
			require.JSONEq(t, `{"jsonrpc":"2.0","id":`+id+`,"result":[]}`, reply[0])
		}
		c := of("", false, l.client(t, b.addr))
		for _, how := range []string{"result", "data"} {
			c.call("tea.odd", json.RawMessage(`{"how":"`+how+`"}`)).failed(t, mesh.CodeInternal)
		}
		e := c.ask(command{Do: "call", Method: "plain.garble", Params: none, Timeout: 100}).failed(t, mesh.CodeTimeout)
		require.True(t, e.HandedOver)
		c.call("tea.echo", none).result(t, `{}`)
		c.call("plain.echo", none).result(t, `{}`)
		n, _ := b.count(mesh.EventWorkerLeft, "tea")
		require.Zero(t, n)
	})
}

// The tea room of the examples, as their READMEs have it run.
func TestTea(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing, nodeMissing)
	program := func(t *testing.T, name, addr string) *process {
		t.Helper()
		if strings.HasSuffix(name, ".py") {
			return start(t, python, filepath.Join(pythonExamples, name), addr)
		}
		return start(t, "node", filepath.Join(nodeExamples, name), addr)
	}
	for _, worker := range []string{"tea_worker.py", "tea_worker.js"} {
		t.Run(worker, func(t *testing.T) {
			t.Parallel()
			b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
			w := program(t, worker, b.addr)
			b.joined("tea")
			for _, client := range []string{"tea_client.py", "tea_client.js"} {
				c := program(t, client, b.addr)
				c.ends()
				want := []string{"a cup of black tea", "cup 1", "cup 2", "cup 3", "-32602 /kind is neither black nor green"}
				require.Equal(t, want, c.output, client)
			}
			w.signal(syscall.SIGTERM)
			w.ends()
			b.await(mesh.EventWorkerLeft, "tea", 1)
		})
	}
}
