//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// keyed is a broker with CURVE keys and rules, in a process of its own, that announces
// itself. Nobody knows its address.
type keyed struct {
	*process
	dir    string
	public map[string]string // keys, by name
}

// announceKeyed starts one, which the flags say more of.
func announceKeyed(t *testing.T, binary string, flags ...string) *keyed {
	t.Helper()
	k := &keyed{dir: t.TempDir(), public: make(map[string]string)}
	for _, name := range []string{"broker", "kitchen", "web", "other"} {
		require.Zero(t, command(t, nil, "", "keygen", filepath.Join(k.dir, name+".cert")).code)
		cert, err := curve.ReadCertificate(k.file(name))
		require.NoError(t, err)
		k.public[name] = cert.Public.String()
	}
	rules := filepath.Join(k.dir, "peers.toml")
	text := fmt.Sprintf("[peer.kitchen]\nkey = %q\nregister = [\"tea\"]\n[peer.web]\nkey = %q\ncall = [\"tea.echo\"]\nsee = true\n",
		k.public["kitchen"], k.public["web"])
	require.NoError(t, os.WriteFile(rules, []byte(text), 0o600))
	k.process = launch(t, binary, join(flags, "broker", "--listen", "tcp://*:*", "--curve-keyfile", k.file("broker"), "--authorize", rules, "--announce")...)
	await(t, k.out) // it listens
	return k
}

// file is where the keys of somebody are.
func (k *keyed) file(name string) string { return filepath.Join(k.dir, name+".cert_secret") }

// work serves the room by way of brokers that are found, until the test ends.
func (k *keyed) work(t *testing.T, beacons mesh.BeaconConfig) {
	t.Helper()
	found, err := mesh.NewBeacons(beacons)
	require.NoError(t, err)
	keys, err := readKeys(k.file("kitchen"))
	require.NoError(t, err)
	w, err := mesh.NewWorker(mesh.WorkerConfig{Transport: zmtp.New(zmtp.Config{Keys: keys}), Discovery: found}, newRoom().service)
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

// A worker and a client find a broker with CURVE keys by its beacons: nobody has an
// address, and the client not even the broker's key, which is in the beacons.
func testAnnouncedWithKeys(t *testing.T, binary string) {
	t.Helper()
	network := multicast(t)
	flags := join(network, "--cluster-keyfile", clusterKey(t))
	k := announceKeyed(t, binary, flags...)
	k.work(t, beaconsOf(t, flags))
	as := func(name string, args ...string) outcome {
		t.Helper()
		return command(t, environment{"MESH_CURVE_KEYFILE": k.file(name)}, "", join(args, join(flags, "--discover")...)...)
	}
	require.Equal(t, outcome{out: "{}\n"}, as("web", "call", "tea.echo", "{}"))
	require.Equal(t, outcome{out: "{}\n"}, as("web", "call", "tea.echo", "{}", "--server-key", k.public["broker"]), "a key that is pinned as well")
	require.Regexp(t, `^mesh: not permitted `, as("web", "call", "tea.note").err)

	got := as("web", "call", "tea.echo", "{}", "--server-key", k.public["other"], "--timeout", "2s")
	require.Equal(t, exitFailed, got.code)
	require.Regexp(t, `^mesh: no broker was found; looked for beacons of "mesh" at UDP port [0-9]+; `+
		`refused beacons that have another server key than the one that was given \([1-9][0-9]*\); mesh doctor says more\n$`, got.err)

	got = as("other", "call", "tea.echo", "{}")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "mesh: no broker can be reached: ")
	require.Contains(t, got.err, "the broker doesn't know this key")

	got = command(t, nil, "", join(flags, "call", "tea.echo", "{}", "--discover")...)
	require.Equal(t, exitFailed, got.code)
	require.Regexp(t, `^mesh: tcp://127\.0\.0\.1:[0-9]+ has CURVE keys: name the file with your own by --curve-keyfile\n$`, got.err)

	stranger := join(network, "--cluster-keyfile", clusterKey(t))
	got = command(t, environment{"MESH_CURVE_KEYFILE": k.file("web")}, "", join(stranger, "call", "tea.echo", "{}", "--discover", "--timeout", "2s")...)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "refused beacons that were made with another cluster key, or with none (")

	k.signal(t, syscall.SIGTERM)
	code, errs := k.ended(t)
	require.Zero(t, code, errs)
}

// Without a cluster key it is the pinned server key by which a broker is believed.
func testAnnouncedWithPins(t *testing.T, binary string) {
	t.Helper()
	network := multicast(t)
	k := announceKeyed(t, binary, network...)
	k.work(t, beaconsOf(t, network, k.public["broker"]))
	as := func(key string) outcome {
		t.Helper()
		return command(t, environment{"MESH_CURVE_KEYFILE": k.file("web"), "MESH_SERVER_KEY": key}, "",
			join(network, "call", "tea.echo", "{}", "--discover", "--timeout", "2s")...)
	}
	require.Equal(t, outcome{out: "{}\n"}, as(k.public["broker"]))
	got := as(k.public["other"])
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "refused beacons that have another server key than the one that was given (")

	// One who repeats the broker's key at an address of his own is found, and found out.
	thief := multicast(t)
	cfg := beaconsOf(t, thief, k.public["broker"])
	beacons, err := mesh.NewBeacons(cfg)
	require.NoError(t, err)
	keys, err := readKeys(k.file("other"))
	require.NoError(t, err)
	anybody := func(curve.Key) (string, bool) { return "anybody", true }
	addr := serveOver(t, zmtp.Config{Keys: keys, Authenticate: anybody}, mesh.BrokerConfig{Announce: beacons, ServerKey: k.public["broker"]})
	got = command(t, environment{"MESH_CURVE_KEYFILE": k.file("web"), "MESH_SERVER_KEY": k.public["broker"]}, "",
		join(thief, "call", "tea.echo", "{}", "--discover", "--timeout", "10s")...)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, `mesh: no broker can be reached: zmtp: dial "`+addr+`": `)
}
