package interop

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

// plainBroker is a broker that speaks one version of Majordomo and nothing else.
type plainBroker struct {
	*process
	addr string
}

func startBroker(t *testing.T, script, interval string, at ...string) plainBroker {
	t.Helper()
	p := startPython(t, script, append([]string{interval}, at...)...)
	return plainBroker{p, p.event("listening").Addr}
}

// joined waits until a worker said READY.
func (b plainBroker) joined(service string) {
	b.t.Helper()
	b.take("worker of "+service, func(l *line) bool { return l.Event == "worker" && l.Service == service })
}

// foreign are the brokers, with what mesh's peers are told that they speak.
var foreign = []struct {
	name, script string
	speak        mesh.Speak
	python, node []string // kinds of plain clients
	kind         string   // of plain workers
}{
	{"MDP01 at a broker of 0.1", "broker01.py", mesh.SpeakMDP01, []string{"req01", "dealer01"}, []string{"req01"}, "01"},
	{"MDP02 at a broker of 0.2", "broker02.py", mesh.SpeakMDP02, []string{"dealer02"}, []string{"dealer02"}, "02"},
	{"mesh at a broker of 0.2", "broker02.py", mesh.SpeakMesh, []string{"dealer02"}, []string{"dealer02"}, "02"},
}

// mesh's client and worker work with brokers that know nothing of mesh, and with the
// plain peers there.
func TestForeignBroker(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing, nodeMissing)
	for _, f := range foreign {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, f.script, "2500")
			newWorker(t, b.addr, "go", mesh.WorkerConfig{Speak: f.speak})
			startPython(t, "worker.py", f.kind, b.addr, "python", "2500", "1")
			b.joined("go")
			b.joined("python")
			own := newClient(t, b.addr, mesh.ClientConfig{Speak: f.speak})
			callers := []client{ofGo(t, own)}
			for _, kind := range f.python {
				callers = append(callers, of("python "+kind, true, startPython(t, "client.py", kind, b.addr)))
			}
			for _, kind := range f.node {
				callers = append(callers, of("node "+kind, true, startNode(t, "client.js", kind, b.addr)))
			}
			for _, c := range callers {
				for _, w := range []worker{{"go", false, true}, {"python", true, true}} {
					t.Run(c.name+" "+w.name, func(t *testing.T) { pair(t, c, w) })
				}
				require.Equal(t, []string{"200"}, c.request("mmi.service", "go").frames(t))
				require.Equal(t, []string{"404"}, c.request("mmi.service", "coffee").frames(t))
				require.Equal(t, []string{"501"}, c.request("mmi.status", "").frames(t))
			}
			_, err := raw(t, own, "go.hold", `{}`, mesh.Timeout(200*time.Millisecond))
			require.ErrorIs(t, err, mesh.ErrTimeout)
		})
	}
}

// With a foreign broker a worker holds out while it is busy and gets no heartbeats,
// stays while it is idle, and comes back to a broker that was started again.
func TestForeignBrokerHeartbeats(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing)
	for _, f := range foreign {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			every := mesh.Heartbeat{Interval: 400 * time.Millisecond} // a busy machine may stop a process for a while
			b := startBroker(t, f.script, "400")
			newWorker(t, b.addr, "busy", mesh.WorkerConfig{Speak: f.speak, Heartbeat: every})
			newWorker(t, b.addr, "idle", mesh.WorkerConfig{Speak: f.speak, Heartbeat: every})
			b.joined("busy")
			b.joined("idle")
			c := newClient(t, b.addr, mesh.ClientConfig{Speak: f.speak, Heartbeat: every})
			for range 2 {
				_, err := raw(t, c, "busy.sleep", `{"ms":2000}`)
				require.NoError(t, err)
				_, err = raw(t, c, "idle.echo", `{}`)
				require.NoError(t, err)
			}
			require.False(t, b.heard("gone"))
			require.False(t, b.heard("worker"))

			b.kill()
			<-b.done
			b = startBroker(t, f.script, "400", b.addr)
			b.joined("busy")
			b.joined("idle")
			for _, service := range []string{"busy", "idle"} {
				_, err := raw(t, c, service+".echo", `{}`)
				require.NoError(t, err)
			}
		})
	}
}

// A plain worker of mesh that stops says goodbye behind its last reply.
func TestForeignBrokerGracefulStop(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing)
	for _, f := range foreign {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, f.script, "2500")
			w := newWorker(t, b.addr, "tea", mesh.WorkerConfig{Speak: f.speak})
			b.joined("tea")
			c := newClient(t, b.addr, mesh.ClientConfig{Speak: f.speak})
			result := make(chan error, 1)
			go func() {
				_, err := c.CallRaw(t.Context(), "tea.hold", json.RawMessage(`{}`))
				result <- err
			}()
			<-w.held
			stopped := make(chan error, 1)
			go func() { stopped <- w.worker.Shutdown(within(t)) }()
			close(w.free)
			require.NoError(t, <-result)
			require.NoError(t, <-stopped)
			b.event("gone")
		})
	}
}

// Who takes a broker of MDP/0.1 for one of mesh is told what to do.
func TestForeignBrokerOfAnotherVersion(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing)
	b := startBroker(t, "broker01.py", "2500")
	c := newClient(t, b.addr, mesh.ClientConfig{})
	_, err := raw(t, c, "tea.echo", `{}`, mesh.Timeout(2*time.Second))
	require.ErrorIs(t, err, mesh.ErrTimeout)
	t.Log(err) // a broker that dies of it tells nobody why
}
