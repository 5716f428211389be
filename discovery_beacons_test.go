package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// soon is within how much time a broker must be found: it speaks at once, and each second.
const soon = 1500 * time.Millisecond

var beaconKey = []byte(strings.Repeat("k", 32))

const (
	serverKey = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7" // of the ZeroMQ documentation
	otherKey  = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
)

// onLoopback returns a config of beacons that stay on this machine, on a port of their
// own. It fails the test where the machine has no loopback interface.
func onLoopback(t *testing.T) mesh.BeaconConfig {
	t.Helper()
	all, err := net.Interfaces()
	require.NoError(t, err)
	cfg := mesh.BeaconConfig{Cluster: "tea", Keys: [][]byte{beaconKey}}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			cfg.Interfaces = []string{i.Name}
		}
	}
	require.NotEmpty(t, cfg.Interfaces, "this machine has no loopback interface that is up")
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer c.Close()
	cfg.Port = c.LocalAddr().(*net.UDPAddr).Port
	return cfg
}

func beacons(t *testing.T, cfg mesh.BeaconConfig) *mesh.Beacons {
	t.Helper()
	b, err := mesh.NewBeacons(cfg)
	require.NoError(t, err)
	return b
}

// soon returns what is found next, which has to be soon.
func (w *watching) soon(t *testing.T) []string {
	t.Helper()
	select {
	case found := <-w.found:
		return found
	case <-time.After(soon):
		require.FailNow(t, "nothing was found", "within %v; multicast on the loopback interface is needed here", soon)
		return nil
	}
}

// served is a broker over TCP that announces itself.
type served struct {
	*mesh.Broker
	addr  string
	ended chan error
}

func announce(t *testing.T, listen string, cfg mesh.BrokerConfig) *served {
	t.Helper()
	l, err := zmtp.New(zmtp.Config{}).Listen(t.Context(), listen)
	require.NoError(t, err)
	b, err := mesh.NewBroker(cfg)
	require.NoError(t, err)
	s := &served{b, l.Addr(), make(chan error, 1)}
	go func() { s.ended <- b.Serve(context.Background(), l) }()
	t.Cleanup(func() { _ = b.Shutdown(hubOver()) })
	return s
}

// In real time over real multicast: who watches before a broker starts finds it soon,
// and who comes later, too; a drain is told at once.
func TestBeaconsFindBroker(t *testing.T) {
	t.Parallel()
	cfg := onLoopback(t)
	early := watch(t, beacons(t, cfg))
	require.Empty(t, early.soon(t), "none at all is said, too")

	b := announce(t, "tcp://127.0.0.1:*", mesh.BrokerConfig{ID: "b1", Announce: beacons(t, cfg), ServerKey: serverKey})
	require.Equal(t, []string{b.addr + serverKey}, early.soon(t))
	late := watch(t, beacons(t, cfg))
	require.Empty(t, late.soon(t))
	require.Equal(t, []string{b.addr + serverKey}, late.soon(t))

	second := announce(t, "tcp://127.0.0.1:*", mesh.BrokerConfig{ID: "b0", Announce: beacons(t, cfg)})
	for _, w := range []*watching{early, late} {
		require.Equal(t, []string{second.addr, b.addr + serverKey}, w.soon(t), "by id")
	}
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, <-b.ended)
	for _, w := range []*watching{early, late} {
		require.Equal(t, []string{second.addr}, w.soon(t))
	}
	early.stop()
	require.ErrorIs(t, <-early.ended, context.Canceled)
}

// A broker that crashed and began anew where it was, before its beacons were missed, is
// told as one that was gone: whoever waits to dial it again needn't any more.
func TestBeaconsOfBrokerThatBeganAnew(t *testing.T) {
	t.Parallel()
	cfg := onLoopback(t)
	heard := beacons(t, cfg)
	w := watch(t, heard)
	require.Empty(t, w.soon(t))
	first := mesh.Announcement{ID: "b1", Incarnation: "first", Endpoints: endpoints("tcp://127.0.0.1:1")}
	announcing(t, beacons(t, cfg), first)
	require.Equal(t, []string{"tcp://127.0.0.1:1"}, w.soon(t))
	other := announcing(t, beacons(t, cfg), mesh.Announcement{ID: "b2", Incarnation: "only", Endpoints: endpoints("tcp://127.0.0.1:2")})
	require.Len(t, w.soon(t), 2)

	second := first
	second.Incarnation = "second"
	announcing(t, beacons(t, cfg), second)
	require.Equal(t, []string{"tcp://127.0.0.1:2"}, w.soon(t))
	require.Equal(t, []string{"tcp://127.0.0.1:1", "tcp://127.0.0.1:2"}, w.soon(t))
	other()
	require.Equal(t, []string{"tcp://127.0.0.1:1"}, w.soon(t), "once")
}

// A drain is announced when it begins, not when it is over.
func TestBeaconsLeaveWhenDraining(t *testing.T) {
	t.Parallel()
	cfg := onLoopback(t)
	w := watch(t, beacons(t, cfg))
	require.Empty(t, w.soon(t))
	b := announce(t, "tcp://127.0.0.1:*", mesh.BrokerConfig{Announce: beacons(t, cfg)})
	require.Len(t, w.soon(t), 1)

	inside, release := make(chan struct{}), make(chan struct{})
	tea := mesh.NewService("tea").Handle(mesh.NewMethod[struct{}, struct{}]("tea.wait").With(
		func(context.Context, struct{}) (struct{}, error) {
			close(inside)
			<-release
			return struct{}{}, nil
		}))
	tcp := zmtp.New(zmtp.Config{})
	worker, err := mesh.NewWorker(mesh.WorkerConfig{Transport: tcp, Brokers: endpoints(b.addr)}, tea)
	require.NoError(t, err)
	worked := make(chan error, 1)
	go func() { worked <- worker.Run(context.Background()) }()
	client, err := mesh.NewClient(mesh.ClientConfig{Transport: tcp, Brokers: endpoints(b.addr)})
	require.NoError(t, err)
	called := make(chan error, 1)
	go func() {
		_, err := client.CallRaw(context.Background(), "tea.wait", nil)
		called <- err
	}()
	<-inside
	down := make(chan error, 1)
	go func() { down <- b.Shutdown(context.Background()) }()
	require.Empty(t, w.soon(t), "it is gone for those that look for one")
	require.Empty(t, down, "though it is still there")
	close(release)
	require.NoError(t, <-called)
	require.NoError(t, <-down)
	require.NoError(t, client.Close())
	_ = worker.Shutdown(hubOver()) // its broker is gone
	require.NoError(t, <-worked)
}

// announcing announces until stop is called.
func announcing(t *testing.T, b mesh.Announcer, a mesh.Announcement) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Announce(ctx, a) }()
	stop = func() {
		if ctx.Err() == nil {
			cancel()
			require.ErrorIs(t, <-ended, context.Canceled)
		}
	}
	t.Cleanup(stop)
	return stop
}

// Two meshes on one network, and one that has no key, don't see each other.
func TestBeaconsDontMix(t *testing.T) {
	t.Parallel()
	cfg := onLoopback(t)
	cfg.Interval, cfg.Expiry = 20*time.Millisecond, time.Second
	log := new(hubLog)
	ours := cfg
	ours.Logger = log.logger()
	heard := beacons(t, ours)
	w := watch(t, heard)
	require.Empty(t, w.soon(t))
	for i, change := range []func(*mesh.BeaconConfig){
		func(c *mesh.BeaconConfig) { c.Cluster = "coffee" },
		func(c *mesh.BeaconConfig) { c.Keys = [][]byte{[]byte(strings.Repeat("x", 32))} },
		func(c *mesh.BeaconConfig) { c.Keys, c.Insecure = nil, true },
	} {
		other := cfg
		change(&other)
		announcing(t, beacons(t, other), mesh.Announcement{ID: "b", Incarnation: "i", Endpoints: endpoints(fmt.Sprintf("tcp://127.0.0.1:%d", i+1))})
	}
	require.Eventually(t, func() bool { s := heard.Stats(); return s.Foreign > 2 && s.WrongMAC > 4 }, 10*time.Second, time.Millisecond)
	announcing(t, beacons(t, cfg), mesh.Announcement{ID: "b", Incarnation: "i", Endpoints: endpoints("ipc:///x", "tcp://127.0.0.1:9")})
	require.Equal(t, []string{"tcp://127.0.0.1:9"}, w.soon(t))
	require.Equal(t, 1, strings.Count(log.String(), "foreign cluster"), "at a limited rate: %s", log)
	require.Equal(t, 1, strings.Count(log.String(), "wrong MAC"))
	require.NotContains(t, log.String(), string(beaconKey))
}

// Where there is no cluster key, only brokers whose CURVE keys are pinned are found.
func TestBeaconsPinned(t *testing.T) {
	t.Parallel()
	cfg := onLoopback(t)
	cfg.Keys, cfg.Pins = nil, []string{serverKey}
	heard := beacons(t, cfg)
	w := watch(t, heard)
	require.Empty(t, w.soon(t))
	keyed := func(addr, key string) []transport.Endpoint { return []transport.Endpoint{{Addr: addr, ServerKey: key}} }
	announcing(t, beacons(t, cfg), mesh.Announcement{ID: "other", Incarnation: "i", Endpoints: keyed("tcp://127.0.0.1:1", otherKey)})
	require.Eventually(t, func() bool { return heard.Stats().Unpinned > 0 }, 10*time.Second, time.Millisecond)
	announcing(t, beacons(t, cfg), mesh.Announcement{ID: "ours", Incarnation: "i", Endpoints: keyed("tcp://127.0.0.1:2", serverKey)})
	require.Equal(t, []string{"tcp://127.0.0.1:2" + serverKey}, w.soon(t))

	err := heard.Announce(t.Context(), mesh.Announcement{ID: "b", Incarnation: "i", Endpoints: endpoints("tcp://127.0.0.1:1")})
	require.EqualError(t, err, "mesh: beacons: neither cluster key nor server key: nobody would believe it")
	err = heard.Announce(t.Context(), mesh.Announcement{ID: "b", Incarnation: "i", Endpoints: keyed("tcp://127.0.0.1:1", "short")})
	require.ErrorContains(t, err, "mesh: beacons: server key: ")
}

// The watchers of one value share its sockets, and it serves again after the last left.
func TestBeaconsAreShared(t *testing.T) {
	t.Parallel()
	cfg := onLoopback(t)
	shared := beacons(t, cfg)
	hush := announcing(t, shared, mesh.Announcement{ID: "b", Incarnation: "i", Endpoints: endpoints("tcp://127.0.0.1:1")})
	want := []string{"tcp://127.0.0.1:1"}
	for range 2 {
		first := watch(t, shared)
		found := first.soon(t)
		if len(found) == 0 {
			found = first.soon(t)
		}
		require.Equal(t, want, found)
		second := watch(t, shared)
		require.Equal(t, want, second.soon(t), "at once: it is known")
		for _, w := range []*watching{first, second} {
			w.stop()
			require.ErrorIs(t, <-w.ended, context.Canceled)
		}
	}
	hush()
	s := shared.Stats()
	require.Positive(t, s.Sent)
	require.LessOrEqual(t, s.Accepted, s.Sent)
	require.Zero(t, s.Replayed)
}

// A broker serves on where it can't be announced.
func TestBrokerThatCannotBeAnnounced(t *testing.T) {
	t.Parallel()
	cfg := onLoopback(t)
	h := hubStart(t, mesh.BrokerConfig{Announce: beacons(t, cfg)}) // at inproc://
	h.worker(mesh.WorkerConfig{}, hubEcho())
	_, err := h.client().CallRaw(t.Context(), "echo.say", []byte(`[1]`))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return strings.Contains(h.log.String(), "the broker listens at no tcp:// address")
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, h.broker.Shutdown(t.Context()))
}

// announcer notes what it is told.
type announcer chan mesh.Announcement

func (a announcer) Announce(ctx context.Context, told mesh.Announcement) error {
	a <- told
	<-ctx.Done()
	close(a)
	return errors.New("whatever")
}

func TestBrokerTellsAnnouncer(t *testing.T) {
	t.Parallel()
	told := make(announcer, 1)
	h := &hub{t: t, net: inproc.New(inproc.Config{})}
	b := hubBroker(t, mesh.BrokerConfig{ID: "b7", Announce: told, ServerKey: serverKey})
	served := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { served <- b.Serve(ctx, h.listen("inproc://a"), h.listen("inproc://b")) }()
	got := <-told
	require.Equal(t, "b7", got.ID)
	require.Equal(t, []transport.Endpoint{{Addr: "inproc://a", ServerKey: serverKey}, {Addr: "inproc://b", ServerKey: serverKey}}, got.Endpoints)
	client, err := mesh.NewClient(mesh.ClientConfig{Transport: h.net, Brokers: endpoints("inproc://a")})
	require.NoError(t, err)
	pong, err := client.Ping(t.Context())
	require.NoError(t, err)
	require.Equal(t, pong.Incarnation, got.Incarnation, "it is that of the run that serves")
	require.NoError(t, client.Close())
	cancel()
	require.ErrorIs(t, <-served, context.Canceled)
	_, more := <-told
	require.False(t, more, "Serve waits for it")
}

func TestBeaconConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*mesh.BeaconConfig)
		want   string
	}{
		"no cluster":      {func(c *mesh.BeaconConfig) { c.Cluster = "" }, "Cluster: it is empty"},
		"long cluster":    {func(c *mesh.BeaconConfig) { c.Cluster = strings.Repeat("x", 65) }, "Cluster: 65 bytes, more than 64"},
		"no proof":        {func(c *mesh.BeaconConfig) { c.Keys = nil }, "Keys or Pins is required, as anybody could pose as a broker; Insecure allows that"},
		"proof and none":  {func(c *mesh.BeaconConfig) { c.Insecure = true }, "Insecure excludes Keys and Pins"},
		"short key":       {func(c *mesh.BeaconConfig) { c.Keys = [][]byte{[]byte("secret")} }, "Keys: a key of 6 bytes, want 32 or more"},
		"bad pin":         {func(c *mesh.BeaconConfig) { c.Pins = []string{"short"} }, "Pins: curve: "},
		"bad port":        {func(c *mesh.BeaconConfig) { c.Port = 70_000 }, "port must be 1 to 65535"},
		"bad TTL":         {func(c *mesh.BeaconConfig) { c.TTL = 256 }, "TTL must be 1 to 255"},
		"hasty":           {func(c *mesh.BeaconConfig) { c.Interval = time.Millisecond }, "Interval is below 10ms"},
		"slow":            {func(c *mesh.BeaconConfig) { c.Interval = time.Hour }, "Interval is above 1m0s"},
		"short expiry":    {func(c *mesh.BeaconConfig) { c.Expiry = time.Millisecond }, "Expiry is below Interval, or above 1m0s"},
		"long expiry":     {func(c *mesh.BeaconConfig) { c.Expiry = time.Hour }, "Expiry is below Interval, or above 1m0s"},
		"negative window": {func(c *mesh.BeaconConfig) { c.Window = -1 }, "Window is negative"},
		"negative rescan": {func(c *mesh.BeaconConfig) { c.Rescan = -1 }, "Rescan is negative"},
		"negative number": {func(c *mesh.BeaconConfig) { c.MaxBrokers = -1 }, "MaxBrokers is negative"},
	} {
		cfg := onLoopback(t)
		c.change(&cfg)
		_, err := mesh.NewBeacons(cfg)
		require.ErrorContains(t, err, "mesh: BeaconConfig", name)
		require.ErrorContains(t, err, c.want, name)
		require.NotContains(t, err.Error(), "secret")
	}
}
