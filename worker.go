package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/transport"
)

// Speak says which protocol the brokers speak.
type Speak uint8

// What brokers speak.
const (
	// SpeakMesh is MDP/0.2 with mesh's extensions. A broker that knows only
	// MDP/0.2 says so, and is served all the same.
	SpeakMesh = Speak(majordomo.SpeakMesh)
	// SpeakMDP02 is plain MDP/0.2 (RFC 18): nothing else is sent.
	SpeakMDP02 = Speak(majordomo.SpeakMDP02)
	// SpeakMDP01 is plain MDP/0.1 (RFC 7), as the brokers of the ZeroMQ guide
	// speak it.
	SpeakMDP01 = Speak(majordomo.SpeakMDP01)
)

// String returns "mesh", "MDP/0.2" or "MDP/0.1".
func (s Speak) String() string { return majordomo.Speak(s).String() }

// WorkerConfig says how a worker works. Transport is required, and Brokers or
// Discovery.
type WorkerConfig struct {
	// Transport connects to brokers.
	Transport transport.Transport
	// Brokers lists where brokers are. The worker serves all of them at the same time,
	// up to MaxBrokers, and comes back to one that was gone.
	Brokers []transport.Endpoint
	// Discovery finds brokers, which are served beside those of Brokers. One that it
	// takes back is served on as long as the connection lasts, unless that makes more
	// than MaxBrokers. It may be nil.
	Discovery Discovery
	// MaxBrokers is to how many brokers the worker is connected at the same time, of
	// all that it knows; which ones is random, and one that can't be reached gives way
	// to another. If zero, 64: a client, which is connected to 16 of all brokers, only
	// finds workers that one of these has, so workers should be connected to all.
	MaxBrokers int
	// Speak says what the brokers speak. If zero, SpeakMesh.
	Speak Speak
	// Instance names this worker to brokers and in listings: 255 bytes at most, of
	// printable text. If empty, a random name.
	Instance string
	// Capacity is how many requests the worker runs at once, of all its services and
	// all brokers together. If zero, 16 for each processor that Go uses (GOMAXPROCS).
	// Each broker gets a share of it; what it leaves unused moves to those that need
	// more.
	Capacity int
	// Shift bounds how soon after one another the share of one broker is changed: by
	// Min, and up to Max where it goes up and down. Min is also how long use is
	// watched before a change. If zero, 50 ms and 1 s.
	Shift Backoff
	// Heartbeat holds with brokers that don't say what theirs is.
	Heartbeat Heartbeat
	// Redial bounds the wait between two attempts to connect to a broker. If zero,
	// 100 ms and 30 s.
	Redial Backoff
	// DialTimeout bounds one attempt to connect. If zero, 5 s.
	DialTimeout time.Duration
	// Codec reads parameters and writes results. If nil, [JSON].
	Codec Codec
	// Errors gives the application's errors their codes. It may be nil.
	Errors *Errors
	// Interceptors wrap every handler of a method; see [Interceptor] for their order.
	Interceptors []Interceptor
	// Context is the parent of the contexts of handlers. If nil,
	// context.Background.
	Context context.Context
	// Logger hears of connections, refusals and panics. If nil, nobody does.
	Logger *slog.Logger
}

// Backoff is how waits between attempts grow: each is random between zero and a
// ceiling, which doubles from Min to Max (full jitter).
type Backoff struct {
	Min time.Duration // ceiling of the first wait
	Max time.Duration // ceiling of the longest
}

// Worker serves services: it connects to every broker that it knows, registers what it
// offers, and runs handlers, up to its capacity at once, each in a goroutine of a pool,
// or in that of its caller (see [Inline]).
//
// A worker is made, run once with [Worker.Run], and ended with [Worker.Shutdown]
// or by the context of Run.
type Worker struct {
	cfg     WorkerConfig
	logger  *slog.Logger
	methods map[string]*method // by full name
	opaque  []OpaqueHandler    // by index of the service
	names   []string
	// ownCodec reports that the codec is the application's.
	ownCodec bool

	link   *workerLink
	pool   pool
	inline *inliner // of the mesh that the worker is of; may be nil

	readyOnce sync.Once
	ready     chan struct{} // closed when the first broker took the registration

	refused     chan struct{} // closed when a broker refused everything before any took it
	refusedOnce sync.Once

	mu      sync.Mutex // guards what follows
	trouble error      // the last that kept the worker from a broker
	started bool
	ended   chan struct{} // closed when Run has ended
}

// method is a handler with the interceptors of its worker around it.
type method struct {
	Handler
	at     int  // index of the service
	unsure bool // the application writes its results by itself, so that they may be no JSON
	invoke Invoker
}

// NewWorker returns a worker of the services, or what is wrong with its config.
func NewWorker(cfg WorkerConfig, services ...*Service) (*Worker, error) {
	switch {
	case cfg.Transport == nil:
		return nil, errors.New("mesh: WorkerConfig.Transport is required")
	case len(cfg.Brokers) == 0 && cfg.Discovery == nil:
		return nil, errors.New("mesh: WorkerConfig.Brokers is required, or Discovery")
	case len(services) == 0:
		return nil, errors.New("mesh: NewWorker: no services")
	case cfg.Capacity < 0:
		return nil, errors.New("mesh: WorkerConfig.Capacity is negative")
	case cfg.MaxBrokers < 0:
		return nil, errors.New("mesh: WorkerConfig.MaxBrokers is negative")
	}
	var err error
	if cfg.Heartbeat, err = cfg.Heartbeat.withDefaults("WorkerConfig.Heartbeat"); err != nil {
		return nil, err
	}
	cfg.Brokers = distinct(cfg.Brokers)
	cfg.Instance = cmp.Or(cfg.Instance, randomName())
	cfg.Capacity = cmp.Or(cfg.Capacity, 16*runtime.GOMAXPROCS(0))
	cfg.DialTimeout = cmp.Or(cfg.DialTimeout, 5*time.Second)
	ownCodec := cfg.Codec != nil
	if !ownCodec {
		cfg.Codec = JSON()
	}
	if cfg.Context == nil {
		cfg.Context = context.Background()
	}
	if err := checkInstance("WorkerConfig", cfg.Instance); err != nil {
		return nil, err
	}
	w := &Worker{
		cfg: cfg, logger: orDiscard(cfg.Logger).With("worker", cfg.Instance),
		methods: make(map[string]*method), ownCodec: ownCodec, ready: make(chan struct{}), refused: make(chan struct{}), ended: make(chan struct{}),
	}
	reg := majordomo.Registration{Instance: cfg.Instance, Version: Version, PID: os.Getpid(), Capacity: cfg.Capacity}
	reg.Host = hostname()
	for i, s := range services {
		if s == nil {
			return nil, errors.New("mesh: NewWorker: a service is nil")
		}
		if err := w.add(i, s); err != nil {
			return nil, err
		}
		reg.Services = append(reg.Services, s.document())
	}
	session, err := majordomo.NewWorkerSession(majordomo.WorkerConfig{
		Brokers: len(cfg.Brokers), MaxBrokers: cfg.MaxBrokers, Speak: majordomo.Speak(cfg.Speak), Registration: reg,
		HeartbeatInterval: cfg.Heartbeat.Interval, Liveness: cfg.Heartbeat.Liveness,
		DialTimeout: cfg.DialTimeout, RedialMin: cfg.Redial.Min, RedialMax: cfg.Redial.Max,
		ShiftMin: cfg.Shift.Min, ShiftMax: cfg.Shift.Max, Random: rand.Uint64,
	}, time.Now())
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	w.link = newWorkerLink(w, session)
	return w, nil
}

// checkInstance returns an error for an instance that brokers would refuse, which would
// keep the worker or client from all of them.
func checkInstance(config, instance string) error {
	if err := (&majordomo.Presence{Instance: instance}).Check(); err != nil {
		return fmt.Errorf("mesh: %s.Instance: %w", config, err)
	}
	return nil
}

// hostname returns this machine's name, or "" where there is none that brokers take: it
// is for people, and what is without one works as well.
func hostname() string {
	host, err := os.Hostname()
	if err != nil || (&majordomo.Presence{Host: host}).Check() != nil {
		return ""
	}
	return host
}

// distinct returns endpoints, each once.
func distinct(endpoints []transport.Endpoint) []transport.Endpoint {
	var once []transport.Endpoint
	for _, e := range endpoints {
		if !slices.Contains(once, e) {
			once = append(once, e)
		}
	}
	return once
}

// add makes the methods of a service w's.
func (w *Worker) add(at int, s *Service) error {
	if slices.Contains(w.names, s.name) {
		return fmt.Errorf("mesh: NewWorker: two services named %q", s.name)
	}
	w.names = append(w.names, s.name)
	w.opaque = append(w.opaque, s.opaque)
	for i := range s.handlers {
		m := &method{Handler: s.handlers[i], at: at}
		m.unsure = m.raw || w.ownCodec || len(w.cfg.Interceptors) > 0
		base := func(ctx context.Context, in *Invocation) (_ json.RawMessage, err error) {
			if in.Params, err = m.complete(in.Params); err != nil {
				return nil, err
			}
			if m.stream && in.Part == nil {
				return nil, errNoPart
			}
			if _, own := ctx.(*handlerContext); in.credit != nil && !own {
				defer in.credit.until(ctx)()
			}
			return m.Handler.invoke(ctx, w.cfg.Codec, in)
		}
		if len(w.cfg.Interceptors) > 0 {
			base = recovery(w.logger)(apart(base))
		}
		m.invoke = recovery(w.logger)(chain(w.cfg.Interceptors, base))
		w.methods[m.service+"."+m.name] = m
	}
	return nil
}

// Run connects to the brokers and serves until ctx ends, or until [Worker.Shutdown]
// has let what is running finish. When ctx ends the contexts of running handlers
// are cancelled. Run returns when the last handler has: ctx's error, or nil after
// Shutdown. It may be called once; a second call, or one after Shutdown, returns
// [ErrClosed].
//
// That no broker can be reached is no error: Run goes on trying.
func (w *Worker) Run(ctx context.Context) error {
	w.mu.Lock()
	if w.started {
		w.mu.Unlock()
		return fmt.Errorf("mesh: Worker.Run: called twice, or after Shutdown: %w", ErrClosed)
	}
	w.started = true
	w.mu.Unlock()
	defer close(w.ended)

	w.link.work.submit(workerWork{kind: majordomo.WorkerStart})
	defer w.discover(ctx)()
	var err error
	select {
	case <-w.link.finished:
	case <-ctx.Done():
		err = ctx.Err()
		w.link.work.submit(workerWork{kind: majordomo.WorkerStop})
		<-w.link.finished
	}
	w.pool.close()
	w.link.link.tasks.Wait()
	w.link.work.relays.Wait()
	return err
}

// discover watches where brokers are, until the function that it returns is called,
// which waits for the end of that.
func (w *Worker) discover(ctx context.Context) (end func()) {
	if w.cfg.Discovery == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		err := watchDiscovery(ctx, w.cfg.Discovery, func(found []transport.Endpoint) {
			w.link.work.submit(workerWork{kind: majordomo.WorkerBrokers, found: slices.Clone(found)})
		}, func(why error) {
			w.troubled(why)
			w.logger.Error(textMemberEnded, "error", why)
		})
		if ctx.Err() == nil {
			w.troubled(fmt.Errorf("discovery ended: %w", cmp.Or(err, errNoReason)))
			w.logger.Error("discovery ended", "error", err)
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

var errNoReason = errors.New("it didn't say why")

// Shutdown has the worker finish what is running and take nothing new, and
// returns when Run has ended. If ctx ends before, the contexts of the handlers
// that still run are cancelled, the brokers are told that the worker is gone, and
// ctx's error is returned without waiting for them.
func (w *Worker) Shutdown(ctx context.Context) error {
	w.mu.Lock()
	if !w.started {
		w.started = true
		close(w.ended)
	}
	w.mu.Unlock()
	w.link.work.submit(workerWork{kind: majordomo.WorkerDrain})
	select {
	case <-w.ended:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-w.ended:
		return nil // that it is over counts for more than that ctx is, too
	default:
	}
	w.link.work.submit(workerWork{kind: majordomo.WorkerStop})
	return ctx.Err()
}

// Ready returns a channel that is closed once a broker has taken the worker's
// registration for the first time. If the worker ends before, it never is. How the
// worker stands with all brokers says [Worker.Brokers].
func (w *Worker) Ready() <-chan struct{} { return w.ready }

// WorkerBrokerState says how far a worker is with a broker.
type WorkerBrokerState string

// How far a worker is with a broker.
const (
	// WorkerWaiting: it isn't connected, and tries again after a while.
	WorkerWaiting WorkerBrokerState = "waiting"
	// WorkerConnecting: it is being connected, or waits for a share of the capacity.
	WorkerConnecting WorkerBrokerState = "connecting"
	// WorkerRegistering: the broker hasn't answered its registration yet.
	WorkerRegistering WorkerBrokerState = "registering"
	// WorkerServing: it serves what the broker hands over.
	WorkerServing WorkerBrokerState = "serving"
	// WorkerLeaving: it finishes what the broker has handed over, and gets nothing new,
	// as it is being shut down, or an operator drained it at that broker.
	WorkerLeaving WorkerBrokerState = "leaving"
	// WorkerStandby: another address leads to the same broker, which is served there.
	// This one is connected at once when that connection is lost, and asked at times
	// whether it still leads there.
	WorkerStandby WorkerBrokerState = "standby"
	// WorkerSpare: it isn't connected, as [WorkerConfig.MaxBrokers] others are. It is when
	// one of those can't be reached.
	WorkerSpare WorkerBrokerState = "spare"
)

var workerBrokerStates = map[majordomo.WorkerPhase]WorkerBrokerState{
	majordomo.WorkerWaits: WorkerWaiting, majordomo.WorkerConnects: WorkerConnecting,
	majordomo.WorkerRegisters: WorkerRegistering, majordomo.WorkerServes: WorkerServing,
	majordomo.WorkerLeaves: WorkerLeaving, majordomo.WorkerStands: WorkerStandby, majordomo.WorkerSpares: WorkerSpare,
}

// WorkerBroker is how a worker stands with one broker.
type WorkerBroker struct {
	Endpoint transport.Endpoint
	State    WorkerBrokerState
	// Broker is what the broker calls itself, and Incarnation this run of it. Both are
	// empty where it hasn't said so, as plain ones don't.
	Broker, Incarnation string
	// Plain says that it speaks MDP without mesh's extensions.
	Plain bool
	// Share is how many requests at once it may hand over, of the worker's capacity.
	Share int
	// Running is how many of its requests the worker runs.
	Running int
	// Trouble is the last that was had with it since it took the worker, or nil.
	Trouble error
}

// Brokers returns how the worker stands with each broker that it knows. It doesn't wait
// for any broker.
func (w *Worker) Brokers() []WorkerBroker {
	done := make(chan []WorkerBroker, 1)
	w.link.work.submit(workerWork{look: func() { done <- w.link.brokers() }})
	return <-done
}

// troubled keeps why the worker has trouble with a broker, or to find any.
func (w *Worker) troubled(why error) {
	w.mu.Lock()
	w.trouble = why
	w.mu.Unlock()
	select {
	case <-w.ready:
	default:
		if errors.Is(why, majordomo.ErrRefused) {
			w.refusedOnce.Do(func() { close(w.refused) })
		}
	}
}

// notReady returns the error of a worker that didn't register because of why.
func (w *Worker) notReady(why error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.trouble == nil:
		return fmt.Errorf("mesh: the worker didn't register: %w", why)
	case why == nil:
		return fmt.Errorf("mesh: the worker didn't register: %w", w.trouble)
	}
	return fmt.Errorf("mesh: the worker didn't register: %w (last: %w)", why, w.trouble)
}
