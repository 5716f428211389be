package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// language is what the examples are written in.
type language struct {
	name    string
	missing func() string
	start   func(t *testing.T, addr, service string, capacity int) *process
	client  func(t *testing.T, addr string) *process
}

var languages = []language{
	{
		name: "python", missing: pythonMissing,
		start: func(t *testing.T, addr, service string, capacity int) *process {
			t.Helper()
			return startPython(t, "worker.py", "mesh", addr, service, "0", fmt.Sprint(capacity))
		},
		client: func(t *testing.T, addr string) *process {
			t.Helper()
			return startPython(t, "client.py", "mesh", addr)
		},
	},
	{
		name: "node", missing: nodeMissing,
		start: func(t *testing.T, addr, service string, capacity int) *process {
			t.Helper()
			return startNode(t, "worker.js", "mesh", addr, service, "0", fmt.Sprint(capacity))
		},
		client: func(t *testing.T, addr string) *process {
			t.Helper()
			return startNode(t, "client.js", "mesh", addr)
		},
	},
}

// inEach runs a test for each language.
func inEach(t *testing.T, test func(t *testing.T, l language)) {
	t.Helper()
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			need(t, l.missing)
			test(t, l)
		})
	}
}

// pace is a broker that notices soon who is gone.
func pace(every time.Duration) mesh.BrokerConfig {
	return mesh.BrokerConfig{Heartbeat: mesh.Heartbeat{Interval: every}, AllowOperate: true, NoWorkerWait: 10 * time.Second}
}

// none are the parameters of methods that want none.
var none = json.RawMessage(`{}`)

// raw calls a method.
func raw(t *testing.T, c *mesh.Client, method, params string, options ...mesh.CallOption) (string, error) {
	t.Helper()
	result, err := c.CallRaw(within(t), method, json.RawMessage(params), options...)
	return string(result), err
}

// manage asks the broker's management interface.
func manage(t *testing.T, c *mesh.Client, name, params string) string {
	t.Helper()
	ask := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, name, params)
	reply, err := c.Request(within(t), name, [][]byte{[]byte(ask)})
	require.NoError(t, err)
	require.Len(t, reply, 1)
	require.Contains(t, string(reply[0]), `"result":`)
	return string(reply[0])
}

// A registered worker brings its contract, and runs as many requests at once as it
// said.
func TestCapacity(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
		l.start(t, b.addr, "tea", 4)
		b.joined("tea")
		c := newClient(t, b.addr, mesh.ClientConfig{})
		snapshot, err := b.broker.Snapshot(t.Context())
		require.NoError(t, err)
		require.Len(t, snapshot.Workers, 1)
		require.Equal(t, 4, snapshot.Workers[0].Capacity)
		require.Equal(t, "tea", snapshot.Workers[0].Instance)
		require.Contains(t, manage(t, c, "mmi.services", `{"service":"tea"}`), `{"name":"echo","idempotent":true}`)

		// Eight that meet in fours: no more than four ever run at once.
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				result, err := raw(t, c, "tea.meet", `{"n":4}`)
				if err != nil || result != `{"met":4}` && result != `{"met": 4}` {
					t.Error(result, err)
				}
			})
		}
		calls.Wait()
	})
}

// The address frame tells a worker how much time is left.
func TestDeadline(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
		p := l.start(t, b.addr, "tea", 4)
		c := newClient(t, b.addr, mesh.ClientConfig{Name: "till", Timeout: -1})
		var about struct {
			LeftMS  *int `json:"left_ms"`
			Attempt int
			Caller  string
			Meta    map[string]any
		}
		result, err := raw(t, c, "tea.about", `{}`, mesh.Timeout(20*time.Second))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal([]byte(result), &about))
		require.NotNil(t, about.LeftMS)
		require.LessOrEqual(t, *about.LeftMS, 20_000)
		require.Greater(t, *about.LeftMS, 1000)
		require.Equal(t, 1, about.Attempt)
		require.Equal(t, "till", about.Meta["caller"])
		require.Empty(t, about.Caller, "nobody is authenticated here")

		// When it is over the caller hears, and the worker is told to stop.
		_, err = raw(t, c, "tea.hold", `{"name":"late"}`, mesh.Timeout(500*time.Millisecond))
		require.ErrorIs(t, err, mesh.ErrTimeout)
		require.Equal(t, "late", p.event("cancelled").Name)
		foreign := of("", false, l.client(t, b.addr))
		e := foreign.ask(command{Do: "call", Method: "tea.hold", Params: json.RawMessage(`{"name":"later"}`), Timeout: 500}).failed(t, mesh.CodeTimeout)
		require.True(t, e.HandedOver)
		require.Equal(t, "later", p.event("cancelled").Name)
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
		p := l.start(t, b.addr, "tea", 1)
		c := newClient(t, b.addr, mesh.ClientConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := c.CallRaw(ctx, "tea.hold", json.RawMessage(`{"name":"first"}`))
			ended <- err
		}()
		p.event("held")
		cancel()
		require.ErrorIs(t, <-ended, mesh.ErrCancelled)
		require.Equal(t, "first", p.event("cancelled").Name)
		_, err := raw(t, c, "tea.echo", `{}`) // its only place is free again
		require.NoError(t, err)

		// A stream that nobody reads on.
		for _, err := range c.StreamRaw(t.Context(), "tea.count", json.RawMessage(`{"n":1000000}`), mesh.Window(4)) {
			require.NoError(t, err)
			break
		}
		require.Less(t, p.event("counted").N, 1000)
		foreign := of("", false, l.client(t, b.addr))
		line := foreign.ask(command{Do: "stream", Method: "tea.count", Params: json.RawMessage(`{"n":1000000}`), Window: 4, Stop: 3, Timeout: 20_000})
		require.Len(t, line.Values, 3)
		require.Less(t, p.event("counted").N, 1000)

		// The cancellation of the other language's client reaches a handler in Go.
		w := newWorker(t, b.addr, "go", mesh.WorkerConfig{})
		if l.name == "node" { // that in Python has a timeout only
			l := foreign.ask(command{Do: "call", Method: "go.hold", Params: none, Cancel: 300, Timeout: 20_000})
			l.failed(t, mesh.CodeCancelled)
			require.ErrorIs(t, <-w.over, context.Canceled)
		}
	})
}

// A worker that is busy isn't lost, as long as it sends heartbeats; one that is plain
// may be silent meanwhile.
func TestHeartbeatsOfBusyWorkers(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing, nodeMissing)
	b := open(t, "", pace(time.Second), zmtp.Config{})
	workers(t, b, "1000")
	c := newClient(t, b.addr, mesh.ClientConfig{})
	var calls sync.WaitGroup
	for _, service := range []string{"python-mesh", "node-mesh", "python01", "python02", "node02"} {
		calls.Go(func() {
			if _, err := raw(t, c, service+".sleep", `{"ms":7000}`); err != nil { // more than twice as long as others may be silent
				t.Error(service, err)
			}
		})
	}
	calls.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.events {
		require.NotEqual(t, mesh.EventWorkerLeft, b.events[i].Kind, "%s: %s", b.events[i].Service, b.events[i].Reason)
	}
}

// A registered worker whose process stands still is given up, and comes back when it
// goes on.
func TestSilentWorker(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", pace(150*time.Millisecond), zmtp.Config{})
		p := l.start(t, b.addr, "tea", 2)
		b.joined("tea")
		p.signal(syscall.SIGSTOP)
		b.await(mesh.EventWorkerLeft, "tea", 1)
		p.signal(syscall.SIGCONT)
		b.await(mesh.EventWorkerJoined, "tea", 2)
		_, err := raw(t, newClient(t, b.addr, mesh.ClientConfig{}), "tea.echo", `{}`)
		require.NoError(t, err)
	})
}

// A worker that is killed has its idempotent request run elsewhere; the caller of
// any other hears that it was lost.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
		c := newClient(t, b.addr, mesh.ClientConfig{})
		foreign := of("", false, l.client(t, b.addr))
		p := l.start(t, b.addr, "tea", 2)
		b.joined("tea")
		results := make(chan string, 1)
		go func() {
			result, err := raw(t, c, "tea.hold", `{"name":"again"}`)
			results <- fmt.Sprint(result, err)
		}()
		p.event("held")
		other := newWorker(t, b.addr, "tea", mesh.WorkerConfig{})
		b.await(mesh.EventWorkerJoined, "tea", 2)
		p.kill()
		require.Equal(t, "again", <-other.held)
		b.await(mesh.EventRequeued, "tea", 1)
		close(other.free)
		require.Equal(t, `{"by":"go tea"}<nil>`, <-results)

		once := l.start(t, b.addr, "once", 2) // whose methods aren't idempotent
		b.joined("once")
		lost := make(chan error, 1)
		go func() {
			_, err := raw(t, c, "once.hold", `{}`)
			lost <- err
		}()
		once.event("held")
		once.kill()
		err := <-lost
		require.ErrorIs(t, err, mesh.ErrWorkerLost)
		e, ok := errors.AsType[*mesh.Error](err)
		require.True(t, ok)
		require.True(t, e.HandedOver)

		// The client in the other language doesn't send that again.
		once = l.start(t, b.addr, "once", 2)
		b.await(mesh.EventWorkerJoined, "once", 2)
		outcome := make(chan line, 1)
		go func() { outcome <- foreign.call("once.hold", none) }()
		once.event("held")
		once.kill()
		require.True(t, (<-outcome).failed(t, mesh.CodeWorkerLost).HandedOver)
		received, _ := b.count(mesh.EventReceived, "once")
		require.Equal(t, 2, received)
	})
}

// A plain worker that is killed: nothing is idempotent, unless the broker was told so.
func TestKilledPlainWorker(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing)
	for _, kind := range []string{"01", "02"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := open(t, "", mesh.BrokerConfig{Services: map[string]mesh.ServiceLimits{"tea": {Idempotent: true}}}, zmtp.Config{})
			c := newClient(t, b.addr, mesh.ClientConfig{})
			for _, service := range []string{"tea", "coffee"} {
				p := startPython(t, "worker.py", kind, b.addr, service, "2500", "1")
				b.joined(service)
				ended := make(chan error, 1)
				go func() {
					_, err := raw(t, c, service+".hold", `{}`)
					ended <- err
				}()
				p.event("held")
				p.kill()
				if service == "coffee" {
					require.ErrorIs(t, <-ended, mesh.ErrWorkerLost)
					continue
				}
				p = startPython(t, "worker.py", kind, b.addr, service, "2500", "1")
				p.event("held")
				p.letGo()
				require.NoError(t, <-ended)
			}
		})
	}
}

// Workers and clients come back to a broker that was restarted, whether it crashed or
// said goodbye.
func TestBrokerRestart(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing, nodeMissing)
	for name, end := range map[string]func(b *bed){
		"crash":    (*bed).crash,
		"shutdown": func(b *bed) { require.NoError(b.t, b.broker.Shutdown(within(b.t))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := pace(500 * time.Millisecond)
			first := open(t, "", cfg, zmtp.Config{})
			offered := workers(t, first, "500")
			callers := []client{
				ofGo(t, newClient(t, first.addr, mesh.ClientConfig{})),
				of("python", false, startPython(t, "client.py", "mesh", first.addr)),
				of("node", false, startNode(t, "client.js", "mesh", first.addr)),
			}
			for _, c := range callers {
				c.call("go.echo", none).result(t, `{}`)
			}
			end(first)
			second := open(t, first.addr, cfg, zmtp.Config{})
			for _, w := range offered {
				second.joined(w.name)
			}
			for _, c := range callers {
				for _, w := range offered {
					c.call(w.name+".echo", none).result(t, `{}`)
				}
			}
		})
	}
}

// A client whose broker is gone while it waits hears so, as nobody knows how far its
// request came.
func TestBrokerLost(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		cfg := pace(500 * time.Millisecond)
		first := open(t, "", cfg, zmtp.Config{})
		p := l.start(t, first.addr, "once", 2)
		c := of("", false, l.client(t, first.addr))
		outcome := make(chan line, 1)
		go func() { outcome <- c.call("once.hold", none) }()
		p.event("held")
		first.crash()
		require.True(t, (<-outcome).failed(t, mesh.CodeBrokerLost).HandedOver)
		p.event("cancelled")
		second := open(t, first.addr, cfg, zmtp.Config{})
		second.joined("once")
		c.call("once.echo", none).result(t, `{}`)
	})
}

// A worker that is sent DISCONNECT comes back on a new connection, and gives up what
// it ran.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", pace(time.Second), zmtp.Config{})
		p := l.start(t, b.addr, "tea", 1)
		c := newClient(t, b.addr, mesh.ClientConfig{})
		results := make(chan error, 1)
		go func() {
			_, err := raw(t, c, "tea.hold", `{"name":"held"}`)
			results <- err
		}()
		p.event("held")
		manage(t, c, "mmi.disconnect", `{"worker":"tea"}`)
		p.event("cancelled")
		p.event("held") // it is idempotent
		b.await(mesh.EventWorkerJoined, "tea", 2)
		p.letGo()
		require.NoError(t, <-results)
	})
}

// A worker that comes back while an earlier request still has its only place says so,
// and takes requests again once it has room.
func TestNotStarted(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", pace(time.Second), zmtp.Config{})
		l.start(t, b.addr, "once", 1)
		c := newClient(t, b.addr, mesh.ClientConfig{})
		lost := make(chan error, 1)
		go func() {
			_, err := raw(t, c, "once.sleep", `{"ms":1500}`) // it takes no notice of a cancellation
			lost <- err
		}()
		b.await(mesh.EventDispatched, "once", 1)
		manage(t, c, "mmi.disconnect", `{"worker":"once"}`)
		require.ErrorIs(t, <-lost, mesh.ErrWorkerLost)
		b.await(mesh.EventWorkerJoined, "once", 2)
		_, err := raw(t, c, "once.echo", `{}`)
		require.NoError(t, err)
		requeued, _ := b.count(mesh.EventRequeued, "once")
		require.Equal(t, 1, requeued)
	})
}

// Workers that stop finish what they have, and lose nothing that is on its way.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, l language) {
		b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
		c := newClient(t, b.addr, mesh.ClientConfig{Retry: mesh.Retry{Attempts: 1}})
		p := l.start(t, b.addr, "once", 8)
		b.joined("once")
		held := make(chan error, 1)
		go func() {
			_, err := raw(t, c, "once.hold", `{}`)
			held <- err
		}()
		p.event("held")
		// A stream of calls that aren't idempotent, while the worker changes.
		stop := make(chan struct{})
		var calls sync.WaitGroup
		for range 4 {
			calls.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := raw(t, c, "once.echo", `{}`); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		b.await(mesh.EventReplied, "once", 100)
		next := l.start(t, b.addr, "once", 8)
		b.await(mesh.EventWorkerJoined, "once", 2)
		p.signal(os.Signal(syscall.SIGTERM))
		replied, _ := b.count(mesh.EventReplied, "once")
		b.await(mesh.EventReplied, "once", replied+100) // the next one serves
		n, _ := b.count(mesh.EventWorkerLeft, "once")
		require.Zero(t, n, "it left, and hasn't finished")
		p.letGo()
		require.NoError(t, <-held)
		p.event("stopped")
		p.ends()
		b.await(mesh.EventWorkerLeft, "once", 1)
		close(stop)
		calls.Wait()
		next.signal(os.Signal(syscall.SIGTERM))
		next.event("stopped")
		next.ends()
	})
}

// A plain worker says goodbye behind its last reply.
func TestGracefulStopOfPlainWorkers(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing, nodeMissing)
	b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
	c := newClient(t, b.addr, mesh.ClientConfig{})
	for service, p := range map[string]*process{
		"p1": startPython(t, "worker.py", "01", b.addr, "p1", "2500", "1"),
		"p2": startPython(t, "worker.py", "02", b.addr, "p2", "2500", "1"),
		"n2": startNode(t, "worker.js", "02", b.addr, "n2", "2500", "1"),
	} {
		b.joined(service)
		ended := make(chan error, 1)
		go func() {
			_, err := raw(t, c, service+".hold", `{}`)
			ended <- err
		}()
		p.event("held")
		p.signal(os.Signal(syscall.SIGTERM))
		p.letGo()
		require.NoError(t, <-ended, service)
		p.event("stopped")
		p.ends()
		b.await(mesh.EventWorkerLeft, service, 1)
	}
}

// A broker that stops relays the replies that somebody waits for, and tells new
// callers to go elsewhere.
func TestDraining(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing)
	inEach(t, func(t *testing.T, l language) {
		cfg := pace(500 * time.Millisecond)
		first, second := open(t, "", cfg, zmtp.Config{}), open(t, "", cfg, zmtp.Config{})
		newWorker(t, second.addr, "once", mesh.WorkerConfig{})
		p := l.start(t, first.addr, "once", 2)
		first.joined("once")
		second.joined("once")
		c := of("", false, l.client(t, first.addr+" "+second.addr))
		plain := of("", true, startPython(t, "client.py", "req01", first.addr))
		outcome := make(chan line, 1)
		go func() { outcome <- c.call("once.hold", none) }()
		p.event("held")
		shut := make(chan error, 1)
		go func() { shut <- first.broker.Shutdown(within(t)) }()
		for {
			if l := plain.call("once.echo", none); l.Error != nil {
				l.failed(t, mesh.CodeDraining)
				break
			}
		}
		p.letGo()
		(<-outcome).result(t, `{"by":"once"}`)
		require.NoError(t, <-shut)
		reply := c.call("once.echo", none)
		for reply.Error != nil { // it has not noticed yet that the connection ended
			reply.failed(t, mesh.CodeBrokerLost)
			reply = c.call("once.echo", none)
		}
		reply.result(t, `{}`) // the other broker has it
	})
}
