package interop

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// worker is a worker in any language. The service has its name.
type worker struct {
	name string
	// plain reports that it isn't registered: it takes bodies that are no JSON-RPC.
	plain bool
	// parts reports that it can stream, which MDP/0.1 has no words for.
	parts bool
}

// workers starts one of each kind, and returns once all are there.
func workers(t *testing.T, b *bed, interval string) []worker {
	t.Helper()
	newWorker(t, b.addr, "go", mesh.WorkerConfig{})
	startPython(t, "worker.py", "01", b.addr, "python01", interval, "1")
	startPython(t, "worker.py", "02", b.addr, "python02", interval, "1")
	startPython(t, "worker.py", "mesh", b.addr, "python-mesh", interval, "8")
	startNode(t, "worker.js", "02", b.addr, "node02", interval, "1")
	startNode(t, "worker.js", "mesh", b.addr, "node-mesh", interval, "8")
	all := []worker{
		{"go", false, true},
		{"python01", true, false},
		{"python02", true, true},
		{"python-mesh", false, true},
		{"node02", true, true},
		{"node-mesh", false, true},
	}
	for _, w := range all {
		b.joined(w.name)
	}
	return all
}

// TestEveryPair has every kind of client speak with every kind of worker.
//
//nolint:tparallel // the processes are those of the test around, and each does one thing at a time
func TestEveryPair(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing, nodeMissing)
	b := open(t, "", mesh.BrokerConfig{}, zmtp.Config{})
	offered := workers(t, b, "2500")
	for _, c := range clients(t, b.addr) {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			for _, w := range offered {
				t.Run(w.name, func(t *testing.T) { pair(t, c, w) })
			}
		})
	}
	snapshot, err := b.broker.Snapshot(within(t))
	require.NoError(t, err)
	require.Zero(t, snapshot.Counts.Invalid, "messages that the broker couldn't read")
	require.Zero(t, snapshot.Counts.Unexpected, "messages that broke the rules")
	require.Zero(t, snapshot.Counts.Strays)
	require.Zero(t, snapshot.Counts.Late)
}

func pair(t *testing.T, c client, w worker) {
	t.Helper()
	params := `{"text":"grün ☕ 𝄞 \u0000 \" \\","n":-12345678901,"list":[1,2.5,null,true,[]],"deep":{"a":{"b":{}}}}`
	c.call(w.name+".echo", json.RawMessage(params)).result(t, params)

	large := `{"text":"` + strings.Repeat("x", 1<<20) + `"}`
	c.call(w.name+".echo", json.RawMessage(large)).result(t, large)

	e := c.call(w.name+".fail", json.RawMessage(`{"code":4711,"message":"kein Tee ☕","data":{"left":[0,1]}}`)).failed(t, 4711)
	require.Equal(t, "kein Tee ☕", e.Message)
	require.JSONEq(t, `{"left":[0,1]}`, string(e.Data))

	e = c.call(w.name+".crash", json.RawMessage(`{}`)).failed(t, mesh.CodeInternal)
	require.NotContains(t, e.Message+string(e.Data), "nobody should see this")

	if !w.plain {
		c.call(w.name+".nothing", json.RawMessage(`{}`)).failed(t, mesh.CodeNoMethod)
	}
	if w.parts {
		for _, window := range []int{32, 1} {
			l := c.stream(w.name+".count", json.RawMessage(`{"n":9}`), window)
			require.Nil(t, l.Error)
			require.Len(t, l.Values, 9)
			require.JSONEq(t, `{"n":9}`, string(l.Values[8]))
		}
	}
	if c.frames {
		opaque(t, c, w)
	}
}

// opaque sends what is no JSON-RPC.
func opaque(t *testing.T, c client, w worker) {
	t.Helper()
	var every strings.Builder
	for i := range 256 {
		every.WriteByte(byte(i))
	}
	if !w.plain && w.name != "go" { // they take JSON-RPC only
		frames := c.request(w.name, "MDPW01", every.String()).frames(t)
		require.Len(t, frames, 1)
		require.Contains(t, frames[0], "-32600")
		require.NotContains(t, frames[0], `"id":1`)
		return
	}
	for _, body := range [][]string{
		{""},
		{every.String(), "", "MDPC02", "\x01", ""},
		{"", "", ""},
		{"", "MDPW01", "\x05"},
		{strings.Repeat(every.String(), 4096)}, // 1 MiB
	} {
		require.Equal(t, body, c.request(w.name, body...).frames(t))
	}
	require.Equal(t, []string{"a", "", "c"}, c.request(w.name, "stream", "a", "", "c").frames(t))
}

// TestManagementOfPlainPeers has clients of both versions ask MMI in RFC 8's words.
func TestManagementOfPlainPeers(t *testing.T) {
	t.Parallel()
	need(t, pythonMissing)
	b := open(t, "", mesh.BrokerConfig{NoWorkerWait: time.Millisecond}, zmtp.Config{})
	startPython(t, "worker.py", "01", b.addr, "tea", "2500", "1")
	b.joined("tea")
	for _, kind := range []string{"req01", "correlate01", "dealer01", "dealer02"} {
		c := of(kind, true, startPython(t, "client.py", kind, b.addr))
		require.Equal(t, []string{"200"}, c.request("mmi.service", "tea").frames(t))
		require.Equal(t, []string{"404"}, c.request("mmi.service", "coffee").frames(t))
		require.Equal(t, []string{"501"}, c.request("mmi.nothing", "tea").frames(t))
		require.Equal(t, []string{"400"}, c.request("mmi.services", "").frames(t))
		require.Equal(t, []string{"200"}, c.request("mmi.ping", "").frames(t))
		ask := command{Do: "call", Service: "mmi.service", Method: "mmi.service", Params: json.RawMessage(`{"service":"tea"}`), Timeout: 1000}
		c.ask(ask).result(t, `{"workers":1}`)
		c.call("coffee.brew", json.RawMessage(`{}`)).failed(t, mesh.CodeNoService)
	}
}
