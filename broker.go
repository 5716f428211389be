package mesh

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/transport"
)

// BrokerConfig says how a broker works. The zero value is a broker with sensible
// limits that logs nothing.
type BrokerConfig struct {
	// ID names the broker to its peers and in listings. If empty, 16 random
	// hexadecimal digits.
	ID string
	// Heartbeat is the policy that the broker's workers and clients adopt.
	Heartbeat Heartbeat
	// NoWorkerWait is how long a request for a service without workers waits
	// after the broker started or the last worker left; later ones are answered
	// at once. If zero, 5 s.
	NoWorkerWait time.Duration
	// QueueTimeout is how long a request without a deadline may be queued. If
	// zero, 30 s.
	QueueTimeout time.Duration
	// BusyLimit is how long a worker that speaks plain Majordomo may be silent
	// while it is busy, and how long a request without a deadline may run. If
	// zero, 15 min.
	BusyLimit time.Duration
	// Limits bounds what the broker holds.
	Limits Limits
	// Service holds for every service that Services doesn't name.
	Service ServiceLimits
	// Services says what holds for single services. A zero number or duration
	// stands for that of Service; Idempotent holds as it is.
	Services map[string]ServiceLimits
	// Authorizer decides what peers may do. If nil, all may register, call and
	// see, and AllowOperate says who may operate.
	Authorizer Authorizer
	// AllowOperate lets peers from elsewhere use the management requests for
	// operators (pause, drain and so on), whoever they are. Peers in the same process
	// always may. An Authorizer decides that alone.
	AllowOperate bool
	// Announce tells others where the broker is, from Serve on until it drains; see
	// [Beacons]. If nil, nobody does. Where it fails, the logger hears of it, and the
	// broker serves on.
	Announce Announcer
	// ServerKey is the public CURVE key of the listeners, in Z85, for Announce to
	// tell. If empty, they have none.
	ServerKey string
	// Observe is handed every batch of events, in order, after the broker has
	// acted on what caused them; never two batches at the same time. It holds up
	// whoever sent the message, so it must return soon. The slice is valid until
	// it returns; what the events refer to is not copied and must not be written
	// to. Without Observe and subscriptions no events are made.
	Observe func([]Event)
	// Logger hears of peers that break the rules, at a limited rate, and of
	// listeners that fail. If nil, nobody does. Payloads are never logged.
	Logger *slog.Logger
}

// Limits bounds what a broker holds; each has a default for its zero value.
// Queue limits count what waits for a worker: what was handed over is bounded by
// the workers' capacities.
type Limits struct {
	Services         int           // services known at a time; 10,000
	MessageBytes     int           // one message; 16 MiB
	Queued           int           // requests queued in all; 1,000,000
	QueuedBytes      int64         // bytes queued in all; 1 GiB
	CallerQueued     int           // requests of one caller queued; 100,000
	CallerBytes      int64         // bytes of one caller queued; 256 MiB
	WorkerCapacity   int           // requests at once at one worker; 65,536
	WorkerServices   int           // services of one worker; 1,000
	Strays           int           // replies in a row that no request waits for, before a worker is disconnected; 3
	PartialBytes     int           // partial replies kept for a client of MDP/0.1, which takes them all at once; 1 MiB
	KeyedRequests    int           // keys remembered; 100,000
	KeyedBytes       int64         // outcomes kept for repeats; 64 MiB
	KeyedAge         time.Duration // how long an outcome is kept; 10 min
	Quarantined      int           // requests set aside; 1,000
	QuarantinedBytes int64         // bytes set aside; 64 MiB
	Listed           int           // requests of each state that a snapshot lists; 100
	ServiceMemory    time.Duration // how long a service without workers is known; 1 h
}

// ServiceLimits says what holds for one service.
type ServiceLimits struct {
	// Queued is how many requests may wait for a worker. If zero, 100,000.
	Queued int
	// QueuedBytes is how large they may be in all. If zero, 256 MiB.
	QueuedBytes int64
	// Idempotent declares every request to workers that speak plain Majordomo
	// idempotent. Workers of mesh declare it themselves, method by method.
	Idempotent bool
	// Attempts is how often an idempotent request is handed over at most, where
	// its method doesn't say. If zero, 3.
	Attempts int
	// BusyLimit is as in BrokerConfig. If zero, the broker's.
	BusyLimit time.Duration
}

// core returns the config of the state machine of a broker that listens at addrs.
func (c *BrokerConfig) core(addrs ...string) majordomo.Config {
	l := &c.Limits
	host, _ := os.Hostname() // it is for people; a broker without one works as well
	core := majordomo.Config{
		ID: c.ID, Incarnation: randomName(), Version: Version, Host: host, PID: os.Getpid(), Addrs: addrs,
		HeartbeatInterval: c.Heartbeat.Interval, Liveness: c.Heartbeat.Liveness,
		BusyLimit: c.BusyLimit, QueueTimeout: c.QueueTimeout, NoWorkerWait: c.NoWorkerWait, ServiceMemory: l.ServiceMemory,
		MaxServices: l.Services, MaxMessageBytes: l.MessageBytes, MaxQueued: l.Queued, MaxQueuedBytes: l.QueuedBytes,
		MaxCallerQueued: l.CallerQueued, MaxCallerBytes: l.CallerBytes, MaxCapacity: l.WorkerCapacity, MaxWorkerServices: l.WorkerServices,
		MaxStrays: l.Strays, MaxPartialBytes: l.PartialBytes,
		WindowEntries: l.KeyedRequests, WindowBytes: l.KeyedBytes, WindowAge: l.KeyedAge,
		MaxQuarantined: l.Quarantined, QuarantineBytes: l.QuarantinedBytes, MaxListed: l.Listed,
		Service: c.Service.core(), Services: make(map[string]majordomo.ServiceConfig, len(c.Services)),
		Operate: c.AllowOperate, Authorizer: gateOf(c.Authorizer), Observe: c.Observe != nil,
	}
	for name, s := range c.Services {
		core.Services[name] = s.core()
	}
	return core
}

func (s ServiceLimits) core() majordomo.ServiceConfig {
	return majordomo.ServiceConfig{
		MaxQueued: s.Queued, MaxQueuedBytes: s.QueuedBytes, Idempotent: s.Idempotent, Attempts: s.Attempts, BusyLimit: s.BusyLimit,
	}
}

// Broker queues requests per service, hands them to workers and relays the
// replies. It does nothing until [Broker.Serve].
//
// A broker has no goroutine of its own that messages pass through: whoever
// brings a message runs the broker's state machine if nobody does, and leaves
// the message to whoever does otherwise (docs/design.md "Goroutines").
type Broker struct {
	cfg    BrokerConfig
	logger *slog.Logger
	stage  *stage

	mu      sync.Mutex // guards what follows
	serving bool
	over    bool
	cancel  context.CancelFunc
	hush    context.CancelFunc // ends what Announce tells
	result  error              // what Serve returned
	cut     error              // why a Shutdown didn't wait for what was running
	drained chan struct{}      // closed once every running request has its reply
	ended   chan struct{}      // closed when Serve has ended
}

// NewBroker returns a broker, or what is wrong with its config.
func NewBroker(cfg BrokerConfig) (*Broker, error) {
	var err error
	if cfg.Heartbeat, err = cfg.Heartbeat.withDefaults("BrokerConfig.Heartbeat"); err != nil {
		return nil, err
	}
	cfg.ID = cmp.Or(cfg.ID, randomName())
	b := &Broker{cfg: cfg, logger: orDiscard(cfg.Logger), drained: make(chan struct{}), ended: make(chan struct{})}
	core, err := majordomo.NewBroker(cfg.core(), time.Now())
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	b.stage = newStage(core, b.logger, cfg.Observe, b.drained)
	b.stage.full = cfg.Authorizer != nil
	return b, nil
}

func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// randomName returns 16 random hexadecimal digits.
func randomName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// Serve serves the peers that connect to the listeners, until ctx ends (then
// every connection is cut), or until [Broker.Shutdown] has let them finish. It
// returns ctx's error, nil after Shutdown, or why a listener failed. It closes
// the listeners, also where it finds the broker shut down already, and returns
// when nothing of the broker is running any more. It may be called once.
func (b *Broker) Serve(ctx context.Context, listeners ...transport.Listener) error {
	if len(listeners) == 0 {
		return errors.New("mesh: Broker.Serve: no listeners")
	}
	outer := ctx
	b.mu.Lock()
	if b.serving || b.over {
		b.mu.Unlock()
		for _, l := range listeners {
			_ = l.Close() // peers must not wait at a listener that nobody serves
		}
		return fmt.Errorf("mesh: Broker.Serve: called twice, or after Shutdown: %w", ErrClosed)
	}
	addrs := make([]string, len(listeners))
	for i, l := range listeners {
		addrs[i] = l.Addr()
	}
	cfg := b.cfg.core(addrs...)
	core, err := majordomo.NewBroker(cfg, time.Now())
	if err != nil {
		b.mu.Unlock()
		return err // never: NewBroker has made one of the same config
	}
	b.serving = true
	ctx, b.cancel = context.WithCancel(ctx)
	var announcing context.Context
	announcing, b.hush = context.WithCancel(ctx)
	b.stage.begin(core) // before anybody can shut the broker down
	b.mu.Unlock()
	defer b.cancel()
	var announced sync.WaitGroup
	announced.Go(func() { b.announce(announcing, cfg.Incarnation, listeners) })

	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() {
			err := l.Serve(ctx, b.stage.accept)
			if ctx.Err() != nil {
				err = outer.Err() // nil where Shutdown or another listener ended it
			} else {
				b.logger.Error("listener failed", "addr", l.Addr(), "error", err)
				err = fmt.Errorf("mesh: listener %s: %w", l.Addr(), err)
			}
			b.cancel() // one listener that is gone ends them all
			ended <- err
		}()
	}
	var first error
	for range listeners {
		first = cmp.Or(first, <-ended)
	}
	announced.Wait()
	b.mu.Lock()
	b.over, b.result = true, first
	b.mu.Unlock()
	b.stage.end()
	close(b.ended)
	return first
}

// announce has others told where the broker listens, until ctx ends.
func (b *Broker) announce(ctx context.Context, incarnation string, listeners []transport.Listener) {
	if b.cfg.Announce == nil {
		return
	}
	a := Announcement{ID: b.cfg.ID, Incarnation: incarnation}
	for _, l := range listeners {
		a.Endpoints = append(a.Endpoints, transport.Endpoint{Addr: l.Addr(), ServerKey: b.cfg.ServerKey})
	}
	if err := b.cfg.Announce.Announce(ctx, a); ctx.Err() == nil {
		b.logger.Error("the broker isn't announced", "error", err)
	}
}

// Shutdown ends the broker without losing a request: new and queued requests are
// answered [ErrDraining], so that their callers go elsewhere, running ones get
// their replies, workers are told to leave, and then the listeners close
// (docs/protocol.md "Stopping"). If ctx ends before, everything is cut and its
// error is returned; other calls that wait return then, too, with an error that
// wraps it. If Serve ended for another reason meanwhile, its error is returned. A
// broker that was never served, or ended already, is shut down at once.
func (b *Broker) Shutdown(ctx context.Context) error {
	b.mu.Lock()
	serving, over, cancel, hush := b.serving, b.over, b.cancel, b.hush
	b.over = over || !serving
	b.mu.Unlock()
	switch {
	case !serving:
		b.stage.end()
		return nil
	case over:
		<-b.ended
		return nil
	}
	deadline, ok := ctx.Deadline()
	if ok { // what can't be told must end before everything is cut
		deadline = deadline.Add(-min(time.Until(deadline)/drainMargin, time.Second))
	}
	hush()
	b.stage.drain(deadline)
	var err error
	select {
	case <-b.drained:
		b.stage.part(ctx, b.ended)
		err = b.wasCut()
	case <-b.ended:
		err = b.wasCut()
	case <-ctx.Done():
		err = b.cutShort(ctx.Err())
	}
	cancel()
	<-b.ended
	return cmp.Or(err, b.result)
}

// cutShort notes that a Shutdown ends before what is running has, and why. It returns
// nil where nothing was running any more.
func (b *Broker) cutShort(why error) error {
	select {
	case <-b.drained:
		return nil // a result that is ready wins
	default:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = cmp.Or(b.cut, why)
	return why
}

// wasCut returns the error for a Shutdown that waited while another one cut what was
// running, or nil where none did.
func (b *Broker) wasCut() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut == nil {
		return nil
	}
	return fmt.Errorf("mesh: Broker.Shutdown: cut by another call: %w", b.cut)
}

// drainMargin is the part of the time of Shutdown that is left when the broker gives
// up the opaque requests that no worker came for.
const drainMargin = 10

// Snapshot returns the broker's state at one moment. Its cost grows with the
// number of services and peers, and the broker does nothing else meanwhile. It
// fails only where ctx is over already.
func (b *Broker) Snapshot(ctx context.Context) (*Snapshot, error) {
	var core *majordomo.Snapshot
	if err := b.stage.do(ctx, func(b *majordomo.Broker) { core = b.Snapshot() }); err != nil {
		return nil, err
	}
	return newSnapshot(core), nil
}
