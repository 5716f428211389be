package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mdpmesh/mesh/internal/beacon"
	"github.com/mdpmesh/mesh/transport"
)

// Announcer tells others where a broker is; see [BrokerConfig.Announce].
type Announcer interface {
	// Announce tells it until ctx ends, then that the broker leaves, and returns
	// ctx's error; or before that why it can't.
	Announce(ctx context.Context, a Announcement) error
}

// Announcement is what an [Announcer] tells of a broker.
type Announcement struct {
	ID          string // of the broker
	Incarnation string // of this run of it
	// Endpoints are where it listens. A host may be a wildcard ("tcp://[::]:5555").
	Endpoints []transport.Endpoint
}

// BeaconConfig says how [Beacons] work. Cluster is required, and one of Keys, Pins and
// Insecure.
type BeaconConfig struct {
	// Cluster names the mesh, so that two on one network don't mix: 1 to 64 bytes,
	// printable.
	Cluster string
	// Keys are the secret keys of the cluster, of at least 32 bytes each. Beacons are
	// signed with the first, and heard if any has signed them, so that keys can be
	// changed while the mesh runs. Whoever has one of them can pose as a broker,
	// where Pins doesn't prevent it.
	Keys [][]byte
	// Pins are public CURVE keys of brokers, in Z85. If there are any, no other
	// brokers are heard. Without Keys others can make beacons with these keys in
	// them; connections to what these name fail then, as CURVE finds out.
	Pins []string
	// Insecure takes any beacon of the cluster, whoever sent it. It takes the place
	// of Keys and Pins.
	Insecure bool

	// Port is the UDP port. If zero, 17670.
	Port int
	// Groups are the multicast groups, one of IPv4, one of IPv6, or both. If empty,
	// 239.255.109.101 and ff12::6d65:7368.
	Groups []netip.Addr
	// Interfaces names those to use. If empty, each that is up and takes multicast,
	// and loopback, over which the processes of a machine hear each other.
	Interfaces []string
	// TTL is how many networks a beacon may cross, the first included. If zero, 1.
	TTL int
	// Rescan is how often the interfaces are looked at again. If zero, 2 s.
	Rescan time.Duration

	// Interval is the time between two beacons. If zero, 1 s.
	Interval time.Duration
	// Expiry is how long a broker is there for others after its last beacon. If
	// zero, five times Interval; at most 1 min.
	Expiry time.Duration
	// Window is how far the clock of a broker that was not heard before may differ
	// from that of whoever hears it. Older beacons are taken for replays. If zero,
	// 5 min.
	Window time.Duration
	// MaxBrokers is how many brokers are known at a time, those included that left
	// within twice the Window. Further ones are not heard. If zero, 1,024.
	MaxBrokers int

	// Logger hears of interfaces that fail, and at a limited rate of beacons that
	// are refused. If nil, nobody does.
	Logger *slog.Logger
}

// beaconExpiry is the default of BeaconConfig.Expiry in intervals.
const beaconExpiry = 5

// BeaconStats counts what happened to beacons since the [Beacons] were made. Each of
// the refused is counted once, under the first thing that was wrong with it.
type BeaconStats struct {
	Sent         uint64 // datagrams
	Accepted     uint64 // they said that a broker is there, or leaves
	Probes       uint64 // by which somebody tries the network
	Oversized    uint64 // longer than 512 bytes
	Malformed    uint64 // no beacons
	OtherVersion uint64 // of a version of the format that isn't known here
	Foreign      uint64 // of another cluster
	WrongMAC     uint64 // none of Keys has signed them
	Unpinned     uint64 // the server key isn't one of Pins
	Misdirected  uint64 // to another group, or with no endpoint that means something here
	Replayed     uint64 // not newer than what was known
	Expired      uint64 // sent longer ago than Window
	Early        uint64 // sent further in the future than Window
	Crowded      uint64 // of brokers beyond MaxBrokers
	Lapsed       uint64 // no beacons: brokers dropped since theirs stayed out
}

// Beacons are brokers that announce themselves by UDP multicast, and the discovery of
// such brokers: nobody needs an address in its config. One value serves a whole
// process; its watchers share the sockets.
type Beacons struct {
	cfg     BeaconConfig
	network beacon.Network
	logger  *slog.Logger
	counts  beacon.Counts
	refused refusals

	life     sync.Mutex // is held while the listener starts or stops; guards what follows
	watchers int
	stop     context.CancelFunc
	stopped  chan struct{} // closed when the listener has ended

	mu       sync.Mutex // guards what follows
	table    *beacon.Table
	feeds    map[*feed]struct{}
	brokers  []transport.Endpoint
	runs     map[transport.Endpoint]string // the incarnation of each of brokers
	failed   error                         // why the listener ended before it was stopped
	sent     uint64
	speakers map[*beacon.Speaker]struct{}
}

// feed tells one watcher that something has changed.
type feed struct {
	changed chan struct{}
	anew    []transport.Endpoint // brokers that began anew; guarded by mu of Beacons
}

var (
	_ Discovery = (*Beacons)(nil)
	_ Announcer = (*Beacons)(nil)
)

// NewBeacons returns beacons, or what is wrong with their config.
func NewBeacons(cfg BeaconConfig) (*Beacons, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	pins := make([]beacon.Key, len(cfg.Pins))
	for i, text := range cfg.Pins {
		var err error
		if pins[i], err = beacon.ParseKey(text); err != nil {
			return nil, fmt.Errorf("mesh: BeaconConfig.Pins: %w", err)
		}
	}
	cfg.Interval = cmp.Or(cfg.Interval, beacon.DefaultInterval)
	cfg.Expiry = cmp.Or(cfg.Expiry, min(beaconExpiry*cfg.Interval, beacon.MaxExpiry))
	if len(cfg.Groups) == 0 {
		cfg.Groups = beacon.DefaultGroups()
	}
	network := beacon.Network{
		Port: cmp.Or(cfg.Port, beacon.DefaultPort), Groups: cfg.Groups, TTL: cmp.Or(cfg.TTL, 1),
		Interfaces: cfg.Interfaces, Rescan: cmp.Or(cfg.Rescan, beacon.DefaultRescan),
	}
	if err := network.Check(); err != nil {
		return nil, fmt.Errorf("mesh: BeaconConfig: %w", err)
	}
	return &Beacons{
		cfg: cfg, network: network, logger: orDiscard(cfg.Logger),
		table: beacon.NewTable(beacon.Rules{
			Cluster: cfg.Cluster, Keys: cfg.Keys, Pins: pins,
			Window: cmp.Or(cfg.Window, beacon.DefaultWindow), MaxBrokers: cmp.Or(cfg.MaxBrokers, beacon.DefaultMaxBrokers),
		}),
		feeds: make(map[*feed]struct{}), speakers: make(map[*beacon.Speaker]struct{}),
	}, nil
}

// check says what is wrong.
func (c *BeaconConfig) check() error {
	if err := beacon.CheckName(c.Cluster); err != nil {
		return fmt.Errorf("mesh: BeaconConfig.Cluster: %w", err)
	}
	for _, key := range c.Keys {
		if len(key) < beacon.MinKey {
			return fmt.Errorf("mesh: BeaconConfig.Keys: a key of %d bytes, want %d or more", len(key), beacon.MinKey)
		}
	}
	secured := len(c.Keys) > 0 || len(c.Pins) > 0
	switch {
	case !secured && !c.Insecure:
		return errors.New("mesh: BeaconConfig.Keys or Pins is required, as anybody could pose as a broker; Insecure allows that")
	case secured && c.Insecure:
		return errors.New("mesh: BeaconConfig.Insecure excludes Keys and Pins")
	case c.Interval < 0 || c.Interval > 0 && c.Interval < 10*time.Millisecond:
		return errors.New("mesh: BeaconConfig.Interval is below 10ms")
	case c.Expiry < 0 || c.Expiry > beacon.MaxExpiry || c.Expiry > 0 && c.Expiry < cmp.Or(c.Interval, beacon.DefaultInterval):
		return fmt.Errorf("mesh: BeaconConfig.Expiry is below Interval, or above %v", beacon.MaxExpiry)
	case cmp.Or(c.Interval, beacon.DefaultInterval) > beacon.MaxExpiry:
		return fmt.Errorf("mesh: BeaconConfig.Interval is above %v", beacon.MaxExpiry)
	case c.Window < 0:
		return errors.New("mesh: BeaconConfig.Window is negative")
	case c.MaxBrokers < 0:
		return errors.New("mesh: BeaconConfig.MaxBrokers is negative")
	case c.Rescan < 0:
		return errors.New("mesh: BeaconConfig.Rescan is negative")
	}
	return nil
}

// Watch tells which brokers are heard, as [Discovery] says. It fails where no socket
// can be opened.
func (b *Beacons) Watch(ctx context.Context, found func(brokers []transport.Endpoint)) error {
	f := &feed{changed: make(chan struct{}, 1)}
	b.enter(f)
	defer b.leave(f)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.changed:
			brokers, anew, err := b.heard(f)
			if err != nil {
				return fmt.Errorf("mesh: %w", err)
			}
			if len(anew) > 0 {
				found(slices.DeleteFunc(slices.Clone(brokers), func(e transport.Endpoint) bool { return slices.Contains(anew, e) }))
			}
			found(brokers)
		}
	}
}

// heard returns a copy of what is heard now, and those of them that have begun anew since
// the watcher was last told, or why nothing can be heard.
func (b *Beacons) heard(f *feed) (brokers, anew []transport.Endpoint, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	anew, f.anew = f.anew, nil
	return slices.Clone(b.brokers), anew, b.failed
}

// enter adds a watcher, and has the first start the listener.
func (b *Beacons) enter(f *feed) {
	b.life.Lock()
	defer b.life.Unlock()
	f.changed <- struct{}{} // what is known already
	b.mu.Lock()
	b.feeds[f] = struct{}{}
	b.mu.Unlock()
	if b.watchers++; b.watchers > 1 {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	b.stop, b.stopped = stop, stopped
	b.mu.Lock()
	b.failed = nil // the brokers are those that the table knows still
	b.mu.Unlock()
	l := b.listener()
	go func() {
		defer close(stopped)
		if err := l.Run(ctx, b.table); ctx.Err() == nil {
			b.logger.Error("beacons can't be heard", "error", err)
			b.fail(err)
		}
	}()
}

func (b *Beacons) listener() *beacon.Listener {
	return &beacon.Listener{
		Network: b.network, Counts: &b.counts, Changed: b.publish,
		Note: func(a beacon.Arrival) {
			if a.Verdict > beacon.Probed && b.refused.due(a.Verdict, a.At) {
				b.logger.Warn("beacon refused", "why", a.Verdict.String(), "from", a.From.String(), "interface", a.Name)
			}
		},
		Failed: func(on beacon.Path, err error) {
			b.logger.Warn("no beacons are heard on an interface", "interface", on.Name, "family", on.Family(), "error", err)
		},
	}
}

// leave takes a watcher out, and has the last stop the listener.
func (b *Beacons) leave(f *feed) {
	b.life.Lock()
	defer b.life.Unlock()
	b.mu.Lock()
	delete(b.feeds, f)
	b.mu.Unlock()
	if b.watchers--; b.watchers == 0 {
		b.stop()
		<-b.stopped
	}
}

// publish takes what the listener heard.
func (b *Beacons) publish(heard []beacon.Broker) {
	brokers, runs := make([]transport.Endpoint, len(heard)), make(map[transport.Endpoint]string, len(heard))
	for i, h := range heard {
		brokers[i] = transport.Endpoint{Addr: h.Addr, ServerKey: h.ServerKey}
		runs[brokers[i]] = h.Last.Incarnation
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for e, run := range runs {
		if before, ok := b.runs[e]; ok && before != run {
			for f := range b.feeds {
				if !slices.Contains(f.anew, e) {
					f.anew = append(f.anew, e)
				}
			}
		}
	}
	b.brokers, b.runs = brokers, runs
	b.wake()
}

func (b *Beacons) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = err
	b.wake()
}

// wake tells the watchers. It needs mu.
func (b *Beacons) wake() {
	for f := range b.feeds {
		select {
		case f.changed <- struct{}{}:
		default: // it hasn't looked yet
		}
	}
}

// Announce sends beacons, as [Announcer] says: at once, then at each Interval, and one
// that says that the broker leaves. Endpoints that aren't tcp:// mean nothing to
// others and are left out; without any it fails.
func (b *Beacons) Announce(ctx context.Context, a Announcement) error {
	s, err := b.speaker(&a)
	if err != nil {
		return fmt.Errorf("mesh: beacons: %w", err)
	}
	b.mu.Lock()
	b.speakers[s] = struct{}{}
	b.mu.Unlock()
	err = s.Run(ctx)
	b.mu.Lock()
	delete(b.speakers, s)
	b.sent += s.Datagrams()
	b.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("mesh: %w", err)
}

func (b *Beacons) speaker(a *Announcement) (*beacon.Speaker, error) {
	now := time.Now()
	s := &beacon.Speaker{
		Network: b.network, Interval: b.cfg.Interval,
		Beacon: beacon.Beacon{
			Cluster: b.cfg.Cluster, Broker: a.ID, Incarnation: a.Incarnation, Started: now, Expiry: b.cfg.Expiry,
			Sequence: uint64(now.UnixMilli()), // grows faster than beacons, so that a second announcement is heard
		},
		Note: func(on beacon.Path, err error) {
			b.logger.Warn("beacon not sent", "interface", on.Name, "family", on.Family(), "error", err)
		},
	}
	if len(b.cfg.Keys) > 0 {
		s.Key = b.cfg.Keys[0]
	}
	for _, e := range a.Endpoints {
		if !beacon.Announceable(e.Addr) {
			continue
		}
		s.Addrs = append(s.Addrs, e.Addr)
		if e.ServerKey == "" {
			continue
		}
		key, err := beacon.ParseKey(e.ServerKey)
		if err != nil {
			return nil, fmt.Errorf("server key: %w", err)
		}
		s.ServerKey = key
	}
	switch {
	case len(s.Addrs) == 0:
		return nil, errors.New("the broker listens at no tcp:// address")
	case s.Key == nil && s.ServerKey == (beacon.Key{}) && !b.cfg.Insecure:
		return nil, errors.New("neither cluster key nor server key: nobody would believe it")
	}
	return s, nil
}

// Stats returns what happened so far.
func (b *Beacons) Stats() BeaconStats {
	count := func(v beacon.Verdict) uint64 { return b.counts.Verdicts[v].Load() }
	s := BeaconStats{
		Accepted: count(beacon.Accepted), Probes: count(beacon.Probed), Oversized: count(beacon.Oversized), Malformed: count(beacon.Malformed),
		OtherVersion: count(beacon.OtherVersion), Foreign: count(beacon.Foreign), WrongMAC: count(beacon.WrongMAC), Unpinned: count(beacon.Unpinned),
		Misdirected: count(beacon.Misdirected), Replayed: count(beacon.Replayed), Expired: count(beacon.Expired), Early: count(beacon.Early),
		Crowded: count(beacon.Crowded), Lapsed: b.counts.Lapsed.Load(),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Sent = b.sent
	for speaker := range b.speakers {
		s.Sent += speaker.Datagrams()
	}
	return s
}

// refusals limits what is logged of refused beacons: each reason once in a while.
type refusals struct {
	mu   sync.Mutex // guards last
	last [beacon.Verdicts]time.Time
}

const refusalsEvery = 10 * time.Second

func (r *refusals) due(v beacon.Verdict, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.last[v]) < refusalsEvery {
		return false
	}
	r.last[v] = now
	return true
}
