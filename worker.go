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
	"sync/atomic"
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

// WorkerConfig says how a worker works. Transport and Brokers are required.
type WorkerConfig struct {
	// Transport connects to brokers.
	Transport transport.Transport
	// Brokers lists where brokers are. The worker serves one of them at a time,
	// and moves on to the next where one is gone.
	Brokers []transport.Endpoint
	// Speak says what the brokers speak. If zero, SpeakMesh.
	Speak Speak
	// Instance names this worker to brokers and in listings. If empty, a random
	// name.
	Instance string
	// Capacity is how many requests the worker runs at once, of all its services
	// together. If zero, 16 for each processor that Go uses (GOMAXPROCS).
	Capacity int
	// Heartbeat holds with brokers that don't say what theirs is.
	Heartbeat Heartbeat
	// Redial bounds the wait between two attempts to connect, which begins once
	// every broker was tried. If zero, 100 ms and 30 s.
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

// Worker serves services: it connects to a broker, registers what it offers, and
// runs handlers, up to its capacity at once, each in a goroutine of a pool.
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

	link     *workerLink
	pool     pool
	maxReply atomic.Int64 // bytes that the broker takes as one message

	readyOnce sync.Once
	ready     chan struct{} // closed when the first broker took the registration

	refused     chan struct{} // closed when a broker refused everything before any took it
	refusedOnce sync.Once

	mu      sync.Mutex // guards what follows
	trouble error      // the last that kept the worker from its broker
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
	case len(cfg.Brokers) == 0:
		return nil, errors.New("mesh: WorkerConfig.Brokers is required")
	case len(services) == 0:
		return nil, errors.New("mesh: NewWorker: no services")
	case cfg.Capacity < 0:
		return nil, errors.New("mesh: WorkerConfig.Capacity is negative")
	}
	var err error
	if cfg.Heartbeat, err = cfg.Heartbeat.withDefaults("WorkerConfig.Heartbeat"); err != nil {
		return nil, err
	}
	cfg.Brokers = slices.Clone(cfg.Brokers)
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
	w := &Worker{
		cfg: cfg, logger: orDiscard(cfg.Logger).With("worker", cfg.Instance),
		methods: make(map[string]*method), ownCodec: ownCodec, ready: make(chan struct{}), refused: make(chan struct{}), ended: make(chan struct{}),
	}
	reg := majordomo.Registration{Instance: cfg.Instance, Version: Version, PID: os.Getpid(), Capacity: cfg.Capacity}
	reg.Host, _ = os.Hostname() // it is for people; a worker without one works as well
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
		Brokers: len(cfg.Brokers), Speak: majordomo.Speak(cfg.Speak), Registration: reg,
		HeartbeatInterval: cfg.Heartbeat.Interval, Liveness: cfg.Heartbeat.Liveness,
		DialTimeout: cfg.DialTimeout, RedialMin: cfg.Redial.Min, RedialMax: cfg.Redial.Max, Random: rand.Uint64,
	}, time.Now())
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	w.maxReply.Store(defaultMaxMessage)
	w.link = newWorkerLink(w, session)
	return w, nil
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
			if _, own := ctx.(*handlerContext); in.credit != nil && !own {
				defer in.credit.until(ctx)()
			}
			return m.Handler.invoke(ctx, w.cfg.Codec, in)
		}
		m.invoke = recovery(w.logger)(chain(w.cfg.Interceptors, base))
		w.methods[m.service+"."+m.name] = m
	}
	return nil
}

// Run connects to a broker and serves until ctx ends, or until [Worker.Shutdown]
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

	w.link.submit(workerWork{kind: majordomo.WorkerStart})
	var err error
	select {
	case <-w.link.finished:
	case <-ctx.Done():
		err = ctx.Err()
		w.link.submit(workerWork{kind: majordomo.WorkerStop})
		<-w.link.finished
	}
	w.pool.close()
	w.link.link.tasks.Wait()
	return err
}

// Shutdown has the worker finish what is running and take nothing new, and
// returns when Run has ended. If ctx ends before, the contexts of the handlers
// that still run are cancelled, the broker is told that the worker is gone, and
// ctx's error is returned without waiting for them.
func (w *Worker) Shutdown(ctx context.Context) error {
	w.mu.Lock()
	if !w.started {
		w.started = true
		close(w.ended)
	}
	w.mu.Unlock()
	w.link.submit(workerWork{kind: majordomo.WorkerDrain})
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
	w.link.submit(workerWork{kind: majordomo.WorkerStop})
	return ctx.Err()
}

// Ready returns a channel that is closed once a broker has taken the worker's
// registration for the first time. If the worker ends before, it never is.
func (w *Worker) Ready() <-chan struct{} { return w.ready }

// troubled keeps what the worker's session says of its connection.
func (w *Worker) troubled(why error) {
	if why == nil {
		return
	}
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
