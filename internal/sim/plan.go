package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/mdpmesh/mesh/internal/majordomo"
)

// Plan is what is chosen of a world before it begins.
type Plan struct {
	Seed uint64

	Brokers  int
	Workers  []workerPlan
	Clients  []clientPlan
	Services []servicePlan

	Load    time.Duration // how long calls are made and faults happen
	Broker  majordomo.Config
	Network networkPlan
	Faults  faultPlan
	Handler handlerPlan
}

// servicePlan is one service, with the same contract wherever it is offered.
type servicePlan struct {
	name       string
	plain      bool            // offered by plain workers, which take one request at a time
	speak      majordomo.Speak // of plain workers
	opaque     bool            // takes what isn't JSON-RPC
	idempotent bool            // plain: what the broker's configuration says; opaque likewise
	attempts   int             // how often an idempotent request is handed over
}

// workerPlan is one worker.
type workerPlan struct {
	services []int
	capacity int
	speak    majordomo.Speak
}

// clientPlan is one client.
type clientPlan struct {
	speak  majordomo.Speak
	opaque bool
	name   string        // that the transport vouches for
	every  time.Duration // mean time between two calls; 0: it makes none by itself
	burst  int           // calls at a time, at most
}

// networkPlan says what connections are like.
type networkPlan struct {
	latency time.Duration // at least
	jitter  time.Duration // more, at most
	queue   int           // messages on their way in one direction, at most
	wild    bool          // a bad wire: messages get lost, doubled and out of order
}

// handlerPlan says what handlers are like.
type handlerPlan struct {
	mean  time.Duration // how long one takes
	slow  float64       // how many of them take twenty times as long
	stuck float64       // how many are stuck until long after everything else
	deaf  float64       // how many don't heed that they are cancelled
	fails float64       // how many end with an error
}

// faultPlan holds the mean time between two faults of each kind; zero: none.
type faultPlan struct {
	brokerCrash time.Duration
	workerCrash time.Duration
	clientCrash time.Duration
	brokerDrain time.Duration
	workerDrain time.Duration
	freeze      time.Duration
	clockJump   time.Duration
	cut         time.Duration
	partition   time.Duration
}

// What all sessions of a world are made with.
const (
	shortestRedial = 50 * time.Millisecond
	longestRedial  = 2 * time.Second
	liveness       = 3
)

// Draw returns the plan of a seed. Most worlds are small, since small ones find
// more in the same time.
func Draw(seed uint64) Plan {
	d := dice{newRand(seed, 0)}
	p := Plan{Seed: seed}
	var workers, clients int
	switch n := d.IntN(200); {
	case n < 150:
		p.Brokers, workers, clients = d.between(1, 3), d.between(1, 5), d.between(1, 5)
	case n < 190:
		p.Brokers, workers, clients = d.between(1, 5), d.between(3, 16), d.between(3, 16)
	case n < 199:
		p.Brokers, workers, clients = d.between(2, 8), d.between(10, 50), d.between(10, 50)
	default:
		p.Brokers, workers, clients = d.between(3, 12), d.between(100, 200), d.between(100, 200)
	}
	nodes := p.Brokers + workers + clients
	p.Load = time.Duration(d.between(2, 15)) * time.Second
	if nodes > 50 {
		p.Load = time.Duration(d.between(2, 5)) * time.Second
	}
	p.Broker = drawBroker(d)
	p.Network = drawNetwork(d)
	p.Handler = handlerPlan{
		mean: pick(d, time.Millisecond, 10*time.Millisecond, 60*time.Millisecond),
		slow: d.maybe(0.1), stuck: d.maybe(0.02), deaf: d.maybe(0.3), fails: d.maybe(0.1),
	}
	p.Faults = drawFaults(d, nodes)
	p.drawServices(d)
	for range workers {
		p.Workers = append(p.Workers, p.drawWorker(d))
	}
	for at := range clients {
		p.Clients = append(p.Clients, drawClient(d, at))
	}
	return p
}

func drawBroker(d dice) majordomo.Config {
	cfg := majordomo.Config{
		HeartbeatInterval: pick(d, 200*time.Millisecond, 500*time.Millisecond, time.Second),
		Liveness:          liveness,
		BusyLimit:         pick(d, 4*time.Second, 8*time.Second),
		QueueTimeout:      pick(d, time.Second, 3*time.Second),
		NoWorkerWait:      pick(d, 300*time.Millisecond, time.Second, 3*time.Second),
		Services:          make(map[string]majordomo.ServiceConfig),
	}
	if d.chance(0.25) { // tight
		cfg.MaxQueued = d.between(4, 20)
		cfg.MaxCallerQueued = d.between(2, 10)
		cfg.Service.MaxQueued = d.between(2, 10)
		cfg.MaxQuarantined = d.between(1, 3)
	}
	return cfg
}

func drawNetwork(d dice) networkPlan {
	p := networkPlan{
		latency: pick(d, 20*time.Microsecond, time.Millisecond, 10*time.Millisecond),
		queue:   100_000,
		wild:    d.chance(0.12),
	}
	p.jitter = time.Duration(d.between(0, 4)) * p.latency
	if d.chance(0.1) {
		p.queue = d.between(5, 60)
	}
	return p
}

func drawFaults(d dice, nodes int) faultPlan {
	// A fault of one kind in 2 to 20 s, and more of them where there are more nodes.
	draw := func() time.Duration {
		if d.chance(0.6) {
			return 0
		}
		return d.exponential(5*time.Second)/time.Duration(1+nodes/12) + 200*time.Millisecond
	}
	return faultPlan{
		brokerCrash: draw(), workerCrash: draw(), clientCrash: draw(), brokerDrain: draw(), workerDrain: draw(),
		freeze: draw(), clockJump: draw(), cut: draw(), partition: draw(),
	}
}

func (p *Plan) drawServices(d dice) {
	for at := range d.between(1, 4) {
		s := servicePlan{name: fmt.Sprintf("s%d", at), attempts: d.between(1, 3)}
		if at > 0 { // the first takes all kinds of JSON-RPC
			s.plain, s.opaque = d.chance(0.4), d.chance(0.3)
			s.idempotent = d.chance(0.5)
			if d.chance(0.4) {
				s.speak = majordomo.SpeakMDP01
			} else {
				s.speak = majordomo.SpeakMDP02
			}
		}
		p.Services = append(p.Services, s)
		if s.plain {
			p.Broker.Services[s.name] = majordomo.ServiceConfig{
				Idempotent: s.idempotent, Attempts: s.attempts, MaxQueued: p.Broker.Service.MaxQueued,
			}
		}
	}
}

func (p *Plan) drawWorker(d dice) workerPlan {
	at := d.IntN(len(p.Services))
	if s := p.Services[at]; s.plain {
		return workerPlan{services: []int{at}, capacity: 1, speak: s.speak}
	}
	w := workerPlan{capacity: pick(d, 1, 2, 5, 20)}
	for i, s := range p.Services {
		if !s.plain && (i == at || d.chance(0.5)) {
			w.services = append(w.services, i)
		}
	}
	return w
}

func drawClient(d dice, at int) clientPlan {
	c := clientPlan{
		every: pick(d, 40*time.Millisecond, 150*time.Millisecond, 600*time.Millisecond),
		burst: pick(d, 1, 1, 1, 5),
	}
	switch n := d.IntN(20); {
	case n < 14:
	case n < 16:
		c.opaque = true
	case n < 18:
		c.speak = majordomo.SpeakMDP02
	default:
		c.speak = majordomo.SpeakMDP01
	}
	if d.chance(0.3) {
		c.name = fmt.Sprintf("caller%d", at%3)
	}
	return c
}

// newRand returns one of the random sequences of a seed.
func newRand(seed, sequence uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, sequence)) // #nosec G404 -- a world is to be repeatable
}

// dice draws what a world needs.
type dice struct{ *rand.Rand }

// between returns a number from low to high.
func (d dice) between(low, high int) int { return low + d.IntN(high-low+1) }

func (d dice) chance(p float64) bool { return d.Float64() < p }

// maybe returns p or nothing.
func (d dice) maybe(p float64) float64 {
	if d.chance(0.5) {
		return 0
	}
	return p
}

// exponential returns a random time of that mean, and of ten times that at most.
func (d dice) exponential(mean time.Duration) time.Duration {
	return time.Duration(min(d.ExpFloat64(), 10) * float64(mean))
}

// upTo returns a random time below limit.
func (d dice) upTo(limit time.Duration) time.Duration {
	return time.Duration(d.Int64N(int64(max(limit, 1))))
}

// pick returns one of list.
func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }
