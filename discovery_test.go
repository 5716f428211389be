package mesh_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
)

// watching is a discovery that is watched.
type watching struct {
	found chan []string
	stop  context.CancelFunc
	ended chan error
}

// watch watches until the test ends.
func watch(t *testing.T, d mesh.Discovery) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &watching{found: make(chan []string, 1000), stop: cancel, ended: make(chan error, 1)}
	go func() {
		w.ended <- d.Watch(ctx, func(brokers []transport.Endpoint) {
			addrs := []string{}
			for i, b := range brokers {
				addrs = append(addrs, b.Addr+b.ServerKey)
				brokers[i].Addr = "overwritten" // the slice is the watcher's
			}
			w.found <- addrs
		})
	}()
	t.Cleanup(func() { cancel() })
	return w
}

// next returns what is found next, within a minute.
func (w *watching) next(t *testing.T) []string {
	t.Helper()
	select {
	case found := <-w.found:
		return found
	case <-time.After(time.Minute):
		require.FailNow(t, "nothing was found")
		return nil
	}
}

// logged returns how many lines a log has.
func logged(l *hubLog) int { return strings.Count(l.String(), "\n") }

func endpoints(addrs ...string) []transport.Endpoint {
	var all []transport.Endpoint
	for _, a := range addrs {
		all = append(all, transport.Endpoint{Addr: a})
	}
	return all
}

func TestStatic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, mesh.Static(endpoints("a", "b")...))
		require.Equal(t, []string{"a", "b"}, w.next(t))
		w.stop()
		require.ErrorIs(t, <-w.ended, context.Canceled)
		require.Empty(t, w.found)
	})
}

// cluster plays the DNS of a cluster: a headless service whose pods come and go.
type cluster struct {
	mu      sync.Mutex // guards what follows
	pods    []string
	records []*net.SRV
	err     error
	asked   int
	network string
}

func (c *cluster) set(pods ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods, c.err = pods, nil
}

func (c *cluster) breaks(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *cluster) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	c.network = network
	if c.err != nil {
		return nil, c.err
	}
	var all []netip.Addr
	for _, p := range c.pods {
		all = append(all, netip.MustParseAddr(p))
	}
	if len(all) == 0 || host != "brokers.mesh.svc" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return all, nil
}

func (c *cluster) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || service != "" || proto != "" {
		return "", nil, errors.Join(c.err, errors.New("no such record"))
	}
	return name, c.records, nil
}

func dns(t *testing.T, cfg mesh.DNSConfig) *mesh.DNS {
	t.Helper()
	d, err := mesh.NewDNS(cfg)
	require.NoError(t, err)
	return d
}

// A headless service of Kubernetes, from no pods to some and back, with a resolver that
// fails in between.
func TestDNSFollowsHeadlessService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(hubLog)
		c := &cluster{}
		w := watch(t, dns(t, mesh.DNSConfig{Name: "brokers.mesh.svc:5555", Resolver: c, ServerKey: "+key", Logger: log.logger()}))
		require.Empty(t, w.next(t), "none at all is said, too")
		c.set("10.0.0.2", "10.0.0.1", "::ffff:10.0.0.2")
		begun := time.Now()
		require.Equal(t, []string{"tcp://10.0.0.1:5555+key", "tcp://10.0.0.2:5555+key"}, w.next(t), "sorted, and each once")
		require.Equal(t, 5*time.Second, time.Since(begun), "by default")
		c.set("10.0.0.1", "10.0.0.2")
		<-time.After(time.Minute)
		synctest.Wait()
		require.Empty(t, w.found, "another order is no change")

		c.breaks(errors.New("SERVFAIL"))
		<-time.After(time.Minute)
		synctest.Wait()
		require.Empty(t, w.found, "the last answer holds")
		c.set("10.0.0.2", "10.0.0.3")
		require.Equal(t, []string{"tcp://10.0.0.2:5555+key", "tcp://10.0.0.3:5555+key"}, w.next(t))
		require.Equal(t, 2, logged(log), "it says once that it fails, and once that it works")
		c.set()
		require.Empty(t, w.next(t))
		w.stop()
		require.ErrorIs(t, <-w.ended, context.Canceled)
	})
}

func TestDNSFamilies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{}
		c.set("10.0.0.1", "fd00::1")
		require.Equal(t, []string{"tcp://10.0.0.1:1"}, watch(t, dns(t, mesh.DNSConfig{Name: "brokers.mesh.svc:1", Resolver: c})).next(t))
		require.Equal(t, []string{"tcp://10.0.0.1:1", "tcp://[fd00::1]:1"},
			watch(t, dns(t, mesh.DNSConfig{Name: "brokers.mesh.svc:1", Network: "ip", Resolver: c})).next(t))
		c.set("fd00::2", "fd00::1")
		require.Equal(t, []string{"tcp://[fd00::1]:1", "tcp://[fd00::2]:1"},
			watch(t, dns(t, mesh.DNSConfig{Name: "brokers.mesh.svc:1", Resolver: c})).next(t))
		watch(t, dns(t, mesh.DNSConfig{Name: "brokers.mesh.svc:1", Network: "ip6", Resolver: c})).next(t)
		c.mu.Lock()
		defer c.mu.Unlock()
		require.Equal(t, "ip6", c.network)
	})
}

func TestDNSServiceRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{records: []*net.SRV{
			{Target: "b2.mesh.", Port: 5555, Priority: 20}, {Target: "b3.mesh.", Port: 5556, Priority: 10, Weight: 1},
			{Target: "b1.mesh.", Port: 5555, Priority: 10, Weight: 9}, {Target: "b1.mesh.", Port: 5555, Priority: 30}, {Target: ".", Port: 1},
		}}
		w := watch(t, dns(t, mesh.DNSConfig{Name: "_mesh._tcp.mesh", SRV: true, Resolver: c, Interval: time.Second}))
		require.Equal(t, []string{"tcp://b1.mesh:5555", "tcp://b3.mesh:5556", "tcp://b2.mesh:5555"}, w.next(t))
	})
}

// slowResolver never answers.
type slowResolver struct{ cluster }

func (*slowResolver) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestDNSBoundsLookUps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(hubLog)
		w := watch(t, dns(t, mesh.DNSConfig{Name: "tea:1", Resolver: &slowResolver{}, Timeout: time.Second, Logger: log.logger()}))
		<-time.After(time.Second)
		synctest.Wait()
		require.Equal(t, 1, logged(log))
		w.stop()
		require.ErrorIs(t, <-w.ended, context.Canceled)
		require.Empty(t, w.found)
	})
}

func TestDNSConfigIsChecked(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]mesh.DNSConfig{
		"Name is required":                   {},
		"isn't host:port":                    {Name: "brokers"},
		"Name: \":5555\" isn't host:port":    {Name: ":5555"},
		"the port of \"b:http\" isn't":       {Name: "b:http"},
		"Interval is negative":               {Name: "b:1", Interval: -1},
		"Timeout is negative":                {Name: "b:1", Timeout: -1},
		"Network is none of ip, ip4 and ip6": {Name: "b:1", Network: "tcp"},
	} {
		_, err := mesh.NewDNS(cfg)
		require.ErrorContains(t, err, "mesh: DNSConfig.", want)
		require.ErrorContains(t, err, want)
	}
}

// script is a discovery that a test writes.
type script struct {
	say  chan []string
	fail chan error
}

func newScript() *script { return &script{make(chan []string), make(chan error)} }

func (s *script) Watch(ctx context.Context, found func([]transport.Endpoint)) error {
	for {
		select {
		case addrs := <-s.say:
			found(endpoints(addrs...))
		case err := <-s.fail:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestCombine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newScript(), newScript()
		w := watch(t, mesh.Combine(a, mesh.Static(endpoints("s")...), b))
		require.Equal(t, []string{"s"}, w.next(t))
		b.say <- []string{"b1", "s", "b2"}
		require.Equal(t, []string{"s", "b1", "b2"}, w.next(t), "each once, in the order of the members")
		a.say <- []string{"a"}
		require.Equal(t, []string{"a", "s", "b1", "b2"}, w.next(t))
		a.say <- []string{"a"}
		synctest.Wait()
		require.Empty(t, w.found, "no change")
		a.fail <- errors.New("broken")
		b.say <- nil
		require.Equal(t, []string{"a", "s"}, w.next(t), "one that fails keeps its word, and the others go on")
		w.stop()
		require.ErrorIs(t, <-w.ended, context.Canceled)
	})
	synctest.Test(t, func(t *testing.T) {
		a, b := newScript(), newScript()
		w := watch(t, mesh.Combine(a, b))
		broken, down := errors.New("broken"), errors.New("down")
		a.fail <- broken
		synctest.Wait()
		require.Empty(t, w.ended)
		b.fail <- down
		err := <-w.ended
		require.ErrorIs(t, err, broken)
		require.ErrorIs(t, err, down)
	})
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, mesh.Combine())
		require.Empty(t, w.next(t))
		w.stop()
		require.ErrorIs(t, <-w.ended, context.Canceled)
	})
}
