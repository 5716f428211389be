package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/beacon"
	"github.com/mdpmesh/mesh/transport"
)

// multicast are flags that keep beacons on this machine, on a port of their own. They
// fail the test where the machine has no loopback interface.
func multicast(t *testing.T) []string {
	t.Helper()
	all, err := net.Interfaces()
	require.NoError(t, err)
	name := ""
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			name = i.Name
		}
	}
	require.NotEmpty(t, name, "this machine has no loopback interface that is up")
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer c.Close()
	return []string{"--beacon-interface", name, "--beacon-port", strconv.Itoa(c.LocalAddr().(*net.UDPAddr).Port)}
}

// clusterKey makes a file with a cluster key.
func clusterKey(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mesh.key")
	require.Equal(t, outcome{err: "wrote " + path + "\n"}, command(t, nil, "", "keygen", "--cluster", path), "the key is not shown")
	return path
}

// join returns the arguments of a command.
func join(args []string, more ...string) []string {
	return append(append([]string{}, args...), more...)
}

// beaconsOf is what the flags say of beacons. pins are server keys.
func beaconsOf(t *testing.T, flags []string, pins ...string) mesh.BeaconConfig {
	t.Helper()
	var b beaconing
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	b.flags(f)
	require.NoError(t, f.Parse(flags))
	cfg, err := b.config(environment{}.get, pins...)
	require.NoError(t, err)
	return cfg
}

// announced serves a broker that announces itself, as the flags say.
func announced(t *testing.T, id string, flags ...string) string {
	t.Helper()
	beacons, err := mesh.NewBeacons(beaconsOf(t, flags))
	require.NoError(t, err)
	return serveWith(t, mesh.BrokerConfig{ID: id, Announce: beacons})
}

const noServices = "No service has a worker.\n"

// The commands find a broker without an address, whether it runs already or not.
func TestDiscover(t *testing.T) {
	t.Parallel()
	flags := join(multicast(t), "--cluster-keyfile", clusterKey(t))
	early := make(chan outcome, 1)
	go func() { early <- command(t, nil, "", join(flags, "services", "--discover", "--timeout", "1m")...) }()
	announced(t, "b1", flags...)
	require.Equal(t, outcome{out: noServices}, await(t, early))
	require.Equal(t, outcome{out: noServices}, command(t, nil, "", join(flags, "services", "--discover")...))
	require.Equal(t, outcome{out: noServices}, command(t, nil, "", join(flags, "services", "--discover", "--broker", announced(t, "b2", flags...))...))

	got := command(t, nil, "", join(flags, "services", "--discover", "--cluster", "coffee", "--timeout", "300ms")...)
	require.Equal(t, exitFailed, got.code)
	require.Regexp(t, `^mesh: no broker was found; looked for beacons of "coffee" at UDP port [0-9]+; mesh doctor says more\n$`, got.err)
}

// The environment says it as well.
func TestDiscoverByEnvironment(t *testing.T) {
	t.Parallel()
	flags := multicast(t)
	key := clusterKey(t)
	announced(t, "b1", join(flags, "--cluster", "tea", "--cluster-keyfile", key)...)
	env := environment{"MESH_CLUSTER": "tea", "MESH_CLUSTER_KEYFILE": key}
	require.Equal(t, outcome{out: noServices}, command(t, env, "", join(flags, "services", "--discover")...))
}

func TestBrokerByDNS(t *testing.T) {
	t.Parallel()
	b := start(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(b.addr, "tcp://"))
	require.NoError(t, err)
	got := command(t, nil, "", "call", "tea.echo", "[1]", "--compact", "--broker", "dns://localhost:"+port)
	require.Equal(t, outcome{out: "[1]\n"}, got)
	got = command(t, environment{"MESH_BROKER": "dns://localhost:" + port}, "", "call", "tea.echo", "[1]", "--compact")
	require.Equal(t, outcome{out: "[1]\n"}, got)
	for _, c := range []struct{ broker, want string }{
		{"dns://localhost", `mesh: --broker dns://localhost: mesh: DNSConfig.Name: "localhost" isn't host:port`},
		{"srv://", `mesh: --broker srv://: mesh: DNSConfig.Name is required`},
	} {
		got = command(t, nil, "", "services", "--broker", c.broker)
		require.Equal(t, exitUsage, got.code)
		require.Contains(t, got.err, c.want)
	}
}

// What leads nowhere is said at once.
func TestFindNobody(t *testing.T) {
	t.Parallel()
	s := search{{Discovery: mesh.Static(), sought: "srv://_mesh._tcp.example.com"}}
	_, err := s.find(t.Context(), false)
	require.EqualError(t, err, "no broker was found; looked for srv://_mesh._tcp.example.com")
	s = append(s, way{Discovery: failing{}, sought: "beacons", waits: true})
	_, err = s.find(t.Context(), false)
	require.EqualError(t, err, "no broker was found; looked for srv://_mesh._tcp.example.com, beacons; mesh doctor says more: broken")
	s = append(s, way{Discovery: mesh.Static(transport.Endpoint{Addr: "a"}), sought: "a"}, way{Discovery: mesh.Static(transport.Endpoint{Addr: "a"}), sought: "a"})
	found, err := s.find(t.Context(), false)
	require.NoError(t, err, "one was")
	require.Equal(t, []transport.Endpoint{{Addr: "a"}}, found)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = search{{Discovery: mesh.Static(), sought: "beacons", waits: true}}.find(ctx, false)
	require.ErrorIs(t, err, context.Canceled)
}

// Commands for all brokers wait until each that announces itself was heard.
func TestFindAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := search{{Discovery: slowly{"a", "b"}, sought: "beacons", waits: true}}
		found, err := s.find(t.Context(), false)
		require.NoError(t, err)
		require.Equal(t, []transport.Endpoint{{Addr: "a"}}, found)
		found, err = s.find(t.Context(), true)
		require.NoError(t, err)
		require.Equal(t, []transport.Endpoint{{Addr: "a"}, {Addr: "b"}}, found)
	})
}

// slowly finds brokers one after another, a second apart.
type slowly []string

func (s slowly) Watch(ctx context.Context, found func([]transport.Endpoint)) error {
	var all []transport.Endpoint
	found(all)
	for _, addr := range s {
		select {
		case <-time.After(time.Second):
			all = append(all, transport.Endpoint{Addr: addr})
			found(all)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

type failing struct{}

func (failing) Watch(context.Context, func([]transport.Endpoint)) error { return errors.New("broken") }

func TestClusterKeys(t *testing.T) {
	t.Parallel()
	path := clusterKey(t)
	keys, err := mesh.ReadClusterKeys(path)
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Len(t, keys[0], beacon.MinKey)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	got := command(t, nil, "", "keygen", "--cluster", path)
	require.Equal(t, outcome{exitFailed, "", "mesh: " + path + " exists, and is not overwritten\n"}, got)
	require.Equal(t, exitUsage, command(t, nil, "", "keygen", "--cluster", path+"2", "--name", "x").code)

	file := filepath.Join(t.TempDir(), "keys")
	secret := strings.Repeat("ab", 32)
	for _, c := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{"# old and new\n\n" + secret + "\n" + strings.Repeat("cd", 40) + "\n", 0o600, ""},
		{secret, 0o640, "others may read it (mode 0640); run: chmod 600"},
		{"# none\n", 0o600, "has no cluster key"},
		{secret[2:], 0o600, "keys:1: no cluster key: want 64 or more hexadecimal digits"},
		{"\n" + secret + "x", 0o600, "keys:2: no cluster key"},
	} {
		require.NoError(t, os.RemoveAll(file))
		require.NoError(t, os.WriteFile(file, []byte(c.text), c.mode))
		keys, err := mesh.ReadClusterKeys(file)
		if c.want == "" {
			require.NoError(t, err)
			require.Len(t, keys, 2)
			continue
		}
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "abab")
	}
	_, err = mesh.ReadClusterKeys(file + "2")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestDiscoverUsage(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"beacons need --cluster-keyfile, so that nobody can pose as a broker (mesh keygen --cluster makes one), or a server key, or --beacon-insecure": {"services", "--discover"},
		"--cluster, --cluster-keyfile and the --beacon flags need --discover":                                                                          {"services", "--cluster", "tea"},
		"--cluster, --cluster-keyfile and the --beacon flags need --announce":                                                                          {"broker", "--beacon-insecure"},
		"--cluster-keyfile and --beacon-insecure exclude each other":                                                                                   {"services", "--discover", "--beacon-insecure", "--cluster-keyfile", "x"},
		"mesh: BeaconConfig: port must be 1 to 65535":                                                                                                  {"services", "--discover", "--beacon-insecure", "--beacon-port", "70000"},
		"beacons need --cluster-keyfile":                                                                                                               {"broker", "--announce", "--listen", wildcard},
		"--for must be positive":                                                                                                                       {"doctor", "--for", "0s"},
		"beacons need --cluster-keyfile,":                                                                                                              {"doctor"},
	} {
		got := command(t, nil, "", args...)
		require.Equal(t, exitUsage, got.code, "%q: %s", args, got.err)
		require.Contains(t, got.err, want)
	}
}

// healthy has the doctor listen until nothing is wrong, for longer each time: where a
// machine stands still for half a second, there is no beacon in one and a half.
func healthy(t *testing.T, args ...string) (got outcome, listened time.Duration) {
	t.Helper()
	for listened = 1500 * time.Millisecond; ; listened *= 2 {
		if got = command(t, nil, "", join(args, "--for", listened.String())...); got.code == 0 {
			return got, listened
		}
		require.Less(t, listened, 20*time.Second, got)
	}
}

// A beacon that was held up says little of its broker's clock.
func TestDoctorClock(t *testing.T) {
	t.Parallel()
	sent := time.Now()
	held, prompt := sent.Add(2*time.Second), sent.Add(3*time.Millisecond)
	for _, all := range [][]time.Time{{held, prompt}, {prompt, held}} {
		s := &stethoscope{ahead: make(map[string]time.Duration)}
		for _, at := range all {
			s.hear(beacon.Arrival{At: at, Verdict: beacon.Accepted, Beacon: beacon.Beacon{Broker: "b1", Sent: sent.Round(0)}})
		}
		require.Equal(t, map[string]time.Duration{"b1": -3 * time.Millisecond}, s.ahead)
	}
}

// The doctor finds nothing wrong with a mesh that works.
func TestDoctorHealthy(t *testing.T) {
	t.Parallel()
	flags := join(multicast(t), "--cluster-keyfile", clusterKey(t))
	addr := announced(t, "b1", flags...)
	var r report
	got, listened := healthy(t, join(flags, "doctor", "--json")...)
	require.Empty(t, got.err)
	require.NoError(t, json.Unmarshal([]byte(got.out), &r))
	require.Empty(t, r.Troubles)
	require.Len(t, r.Interfaces, 1)
	i := r.Interfaces[0]
	require.Equal(t, "IPv4", i.Family)
	require.LessOrEqual(t, i.Sent, uint64(listened/probeEvery))
	require.Positive(t, i.Returned)
	require.Greater(t, i.Heard, uint64(i.Returned), "the broker's, too")
	require.Len(t, r.Brokers, 1)
	b := r.Brokers[0]
	require.Equal(t, "b1", b.ID)
	require.Equal(t, addr, b.Addr)
	require.True(t, b.Announced && b.Answers)
	require.Equal(t, mesh.Version, b.Version)
	require.Positive(t, b.PingMS)
	require.NotNil(t, b.ClockMS)
	require.WithinDuration(t, time.Now(), *b.Started, time.Minute)

	got, _ = healthy(t, join(flags, "doctor")...)
	require.Regexp(t, `^Beacons of "mesh" at UDP port [0-9]+\n  \S+  IPv4  sent [0-9]+, [0-9]+ came back  heard [0-9]+\nBrokers\n  b1  `+
		`tcp://127\.0\.0\.1:[0-9]+  answers in [0-9.]+ ms, after [0-9.]+ ms to connect, version \S+, clock [-+][0-9]+ ms, heard on \S+ IPv4\n\nNothing is wrong\.\n$`, got.out)
}

// The doctor finds what is wrong, and says what to do.
func TestDoctorTrouble(t *testing.T) {
	t.Parallel()
	flags := multicast(t)
	announced(t, "other-key", join(flags, "--cluster-keyfile", clusterKey(t))...)
	announced(t, "other-mesh", join(flags, "--cluster", "coffee", "--beacon-insecure")...)
	nobody := closedPort(t)
	got := command(t, nil, "", join(flags, "doctor", "--cluster-keyfile", clusterKey(t), "--for", "1200ms", "--broker", nobody)...)
	require.Equal(t, exitFailed, got.code)
	require.Equal(t, "mesh: something is wrong, see above\n", got.err)
	require.Contains(t, got.out, "foreign cluster")
	require.NotContains(t, got.out, "broker other-mesh: ", "another mesh is nobody's fault")
	require.Regexp(t, `(?s)\n\S+ on \S+, broker other-key: a beacon from there was made with another cluster key, or with none\.\n  → give that machine the same`, got.out)
	require.Contains(t, got.out, "\n"+nobody+": it doesn't answer: zmtp: dial")
	require.Contains(t, got.out, "→ look whether the broker runs and listens there")

	// Nobody at all.
	got = command(t, nil, "", join(multicast(t), "doctor", "--beacon-insecure", "--for", "1s")...)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.out, "Brokers\n  none\n\nbrokers: none is heard, and none was named.\n  → run one with mesh broker --announce")
}

// Without a key there are no beacons to look at, but brokers that were named.
func TestDoctorOfNamedBrokers(t *testing.T) {
	t.Parallel()
	b := start(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(b.addr, "tcp://"))
	require.NoError(t, err)
	got := command(t, nil, "", "doctor", "--broker", b.addr+",dns://localhost:"+port)
	require.Zero(t, got.code, got)
	require.Regexp(t, `^Brokers\n  [0-9a-f]{16}  `+b.addr+`  answers in .*, version \S+\n\nNothing is wrong\.\n$`, got.out)
	got = command(t, environment{"MESH_BROKER": b.addr}, "", "doctor", "--json")
	require.Zero(t, got.code, got)
}

// Each trouble has a cause of its own.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	clock := func(d time.Duration) *int64 { ms := d.Milliseconds(); return &ms }
	fine := brokerReport{ID: "b1", Addr: "tcp://b1:1", Announced: true, Answers: true, AnswersAs: "b1", Version: "1.0", ClockMS: clock(3 * time.Millisecond)}
	healthy := func() *report {
		return &report{Cluster: "tea", Port: 1, Version: "1.0", Interfaces: []interfaceReport{{Name: "lo", Family: "IPv4", Sent: 1, Returned: 1}}, Brokers: []brokerReport{fine}}
	}
	require.Empty(t, diagnose(healthy()))
	for name, c := range map[string]struct {
		change         func(*report)
		about, problem string
		advice         string
	}{
		"no interface":    {func(r *report) { r.Interfaces = nil }, "network", "no interface takes part", "bring one up"},
		"an error":        {func(r *report) { r.Interfaces[0].Error = "no route" }, "lo IPv4", "multicast fails: no route", "ip route"},
		"nothing returns": {func(r *report) { r.Interfaces[0].Returned = 0 }, "lo IPv4", "nothing of what was sent came back", "firewall"},
		"nobody":          {func(r *report) { r.Brokers = nil }, "brokers", "none is heard", "mesh broker --announce"},
		"another answers": {func(r *report) { r.Brokers[0].AnswersAs = "b2" }, "b1 at tcp://b1:1", "another broker answers there, b2", "stop the other"},
		"clock":           {func(r *report) { r.Brokers[0].ClockMS = clock(-2 * time.Second) }, "b1 at tcp://b1:1", "its clock differs from this machine's by -2s", "NTP"},
		"other version":   {func(r *report) { r.Version = "1.1" }, "versions", "they don't agree: b1 has 1.0, this command 1.1", "same release"},
		"their versions": {func(r *report) {
			r.Brokers = append(r.Brokers, fine)
			r.Brokers[1].AnswersAs, r.Brokers[1].ID, r.Brokers[1].Version = "b2", "b2", "2.0"
		}, "versions", "b2 has 2.0", "same release"},
		"silent":      {func(r *report) { r.Brokers[0].Answers, r.Brokers[0].Error = false, "timed out" }, "b1 at tcp://b1:1", "it doesn't answer: timed out", "can be reached from here"},
		"refused":     {func(r *report) { r.Brokers[0].Answers, r.Brokers[0].refusal = false, transport.ErrRefused }, "b1 at tcp://b1:1", "it doesn't answer", "runs and listens"},
		"bad address": {func(r *report) { r.Brokers[0].Answers, r.Brokers[0].refusal = false, transport.ErrAddress }, "b1 at tcp://b1:1", "it doesn't answer", "tcp://host:port"},
		"wants keys":  {func(r *report) { r.Brokers[0].Answers, r.Brokers[0].ServerKey = false, "k" }, "b1 at tcp://b1:1", "it doesn't answer", "--curve-keyfile"},
		"has no keys": {func(r *report) { r.Brokers[0].Answers, r.hasKeys = false, true }, "b1 at tcp://b1:1", "it doesn't answer", "announces no server key"},
		"other keys":  {func(r *report) { r.Brokers[0].Answers, r.Brokers[0].ServerKey, r.hasKeys = false, "k", true }, "b1 at tcp://b1:1", "it doesn't answer", "--authorize"},
		"early": {func(r *report) {
			r.Refused = []refusedReport{{Why: beacon.Early.String(), From: "192.0.2.1", Interface: "eth0", Broker: "b2", Count: 1, ClockMS: 600_000}}
		}, "192.0.2.1 on eth0, broker b2", "in the future by this machine's clock (10m0s apart)", "NTP"},
	} {
		r := healthy()
		c.change(r)
		all := diagnose(r)
		require.Len(t, all, 1, name)
		require.Equal(t, c.about, all[0].About, name)
		require.Contains(t, all[0].Problem, c.problem, name)
		require.Contains(t, all[0].Advice, c.advice, name)
	}
	for v := beacon.Oversized; v < beacon.Verdicts; v++ {
		r := healthy()
		r.Refused = []refusedReport{{Why: v.String(), From: "192.0.2.1", Broker: "b", Count: 1}}
		require.Len(t, diagnose(r), map[bool]int{true: 0, false: 1}[v == beacon.Foreign], v.String())
	}
}
