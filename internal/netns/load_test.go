//go:build linux

package netns

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// role is what this binary does as a worker or client. It ends when its standard input
// does: a worker finishes what it has, a client waits for what it has asked.
type role struct {
	// Role is "worker", "client", "status" (say what a broker knows, and end),
	// "workers" or "clients" (many of them, which make a call each and rest).
	Role    string   `json:"role"`
	Name    string   `json:"name"`
	Brokers []string `json:"brokers"`
	// Discover has a worker or client find brokers by their beacons as well.
	Discover bool `json:"discover,omitempty"`
	// Count is how many workers or clients there are, where there are many.
	Count int `json:"count,omitempty"`
	// Callers is how many calls a client makes at once; each waits for Pause
	// after an outcome.
	Callers int           `json:"callers,omitempty"`
	Pause   time.Duration `json:"pause,omitempty"`
	// Work is how long a handler takes.
	Work time.Duration `json:"work,omitempty"`
}

// report is a line of what a role says. Times are those of the machine's clock, which
// all processes share.
type report struct {
	// Event is "ready", "ran" (a worker begins a request of load.once, ID), "call"
	// (a call of ID has ended), "status" or "done" (Calls were made).
	Event      string         `json:"event"`
	ID         string         `json:"id,omitempty"`
	Start      int64          `json:"start,omitempty"`   // ns since 1970
	Latency    time.Duration  `json:"latency,omitempty"` // ns
	Idempotent bool           `json:"idempotent,omitempty"`
	Code       int            `json:"code,omitempty"` // 0: a reply
	Error      string         `json:"error,omitempty"`
	Calls      int            `json:"calls,omitempty"`
	Status     *mesh.Snapshot `json:"status,omitempty"`
}

// parcel is what a call carries: the call's own name, and how long it takes.
type parcel struct {
	ID   string        `json:"id"`
	Work time.Duration `json:"work"`
}

// The two methods of the load: one may run again, the other mustn't.
var (
	again = mesh.NewMethod[parcel, struct{}]("load.again", mesh.Idempotent())
	once  = mesh.NewMethod[parcel, struct{}]("load.once")
)

// Waits that bring a worker or client back soon after its broker is.
var redial = mesh.Backoff{Min: 50 * time.Millisecond, Max: time.Second}

const (
	dialTimeout = time.Second
	callTimeout = 20 * time.Second
	capacity    = 64 // of a worker
)

// play plays a role to its end, and returns the exit code.
func play(text string) int {
	var r role
	say := &voice{out: bufio.NewWriter(os.Stdout)}
	stop := say.often()
	err := json.Unmarshal([]byte(text), &r)
	if err == nil {
		err = r.play(say)
	}
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err) // there is nobody else to tell
		return 1
	}
	return 0
}

func (r *role) play(say *voice) error {
	switch r.Role {
	case "worker":
		return r.work(say)
	case "client":
		return r.load(say)
	case "status":
		return r.status(say)
	case "workers":
		return r.manyWorkers(say)
	case "clients":
		return r.manyClients(say)
	}
	return errors.New("no such role: " + r.Role)
}

// voice is a role's standard output.
type voice struct {
	mu  sync.Mutex // guards what follows
	out *bufio.Writer
}

func (v *voice) say(r *report) {
	line, err := json.Marshal(r)
	if err != nil {
		panic(err) // it is made of what JSON has
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	_, _ = v.out.Write(append(line, '\n')) // whoever would read it is gone
}

// now says it at once: it must have been heard even if this process is killed next.
func (v *voice) now(r *report) {
	v.say(r)
	v.flush()
}

func (v *voice) flush() {
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = v.out.Flush() // see say
}

// often has what was said heard every now and then, and at the end.
func (v *voice) often() (stop func()) {
	tick, over := time.NewTicker(20*time.Millisecond), make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-tick.C:
				v.flush()
			case <-over:
				return
			}
		}
	})
	return func() {
		tick.Stop()
		close(over)
		running.Wait()
		v.flush()
	}
}

// told returns what ends when this process is told to.
func told() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that it says
		cancel()
	}()
	return ctx
}

func logger() *slog.Logger { return slog.New(slog.NewTextHandler(os.Stderr, nil)) }

func (r *role) endpoints() (all []transport.Endpoint) {
	for _, addr := range r.Brokers {
		all = append(all, transport.Endpoint{Addr: addr})
	}
	return all
}

// discovery returns where brokers are found by beacons, nil where they aren't looked
// for.
func (r *role) discovery() (mesh.Discovery, error) {
	if !r.Discover {
		return nil, nil //nolint:nilnil // as a config has it
	}
	return mesh.NewBeacons(mesh.BeaconConfig{Cluster: "mesh", Insecure: true})
}

func (r *role) newWorker(name string, log *slog.Logger, s *mesh.Service) (*mesh.Worker, error) {
	found, err := r.discovery()
	if err != nil {
		return nil, err
	}
	return mesh.NewWorker(mesh.WorkerConfig{
		Transport: zmtp.New(zmtp.Config{}), Brokers: r.endpoints(), Discovery: found, Instance: name, Capacity: capacity,
		Redial: redial, DialTimeout: dialTimeout, Logger: log,
	}, s)
}

func (r *role) newClient(name string, log *slog.Logger) (*mesh.Client, error) {
	found, err := r.discovery()
	if err != nil {
		return nil, err
	}
	return mesh.NewClient(mesh.ClientConfig{
		Transport: zmtp.New(zmtp.Config{}), Brokers: r.endpoints(), Discovery: found, Name: name, Timeout: callTimeout,
		Redial: redial, DialTimeout: dialTimeout, Logger: log,
	})
}

// work is a worker of the load.
func (r *role) work(say *voice) error {
	w, err := r.newWorker(r.Name, logger(), mesh.NewService("load").Handle(
		again.With(func(ctx context.Context, p parcel) (struct{}, error) { return struct{}{}, spend(ctx, p.Work) }),
		once.With(func(ctx context.Context, p parcel) (struct{}, error) {
			say.now(&report{Event: "ran", ID: p.ID})
			return struct{}{}, spend(ctx, p.Work)
		}),
	))
	if err != nil {
		return err
	}
	over := told()
	ran := make(chan error, 1)
	go func() { ran <- w.Run(context.Background()) }()
	select {
	case <-w.Ready():
		say.now(&report{Event: "ready"})
	case err := <-ran:
		return err
	case <-over.Done():
	}
	<-over.Done()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := errors.Join(w.Shutdown(ctx), <-ran); err != nil && !errors.Is(err, mesh.ErrClosed) {
		return err
	}
	say.say(&report{Event: "done"})
	return nil
}

// spend lets time pass.
func spend(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// load is a client that makes calls, every other of them idempotent.
func (r *role) load(say *voice) error {
	c, err := r.newClient(r.Name, logger())
	if err != nil {
		return err
	}
	over := told()
	var calls atomic.Int64
	var callers sync.WaitGroup
	for range r.Callers {
		callers.Go(func() {
			for over.Err() == nil {
				r.call(c, int(calls.Add(1)), say)
				_ = spend(over, r.Pause) // the loop looks whether it is over
			}
		})
	}
	callers.Wait()
	if err := c.Close(); err != nil {
		return err
	}
	say.say(&report{Event: "done", Calls: int(calls.Load())})
	return nil
}

// call makes a call, and says how it ended.
func (r *role) call(c *mesh.Client, n int, say *voice) {
	method, what := once, parcel{ID: fmt.Sprintf("%s-%d", r.Name, n), Work: r.Work}
	if n%2 == 0 {
		method = again
	}
	start := time.Now()
	_, err := method.Call(context.Background(), c, what)
	say.say(outcome(what.ID, start, method == again, err))
}

func outcome(id string, start time.Time, idempotent bool, err error) *report {
	l := &report{Event: "call", ID: id, Start: start.UnixNano(), Latency: time.Since(start), Idempotent: idempotent}
	var failed *mesh.Error
	switch {
	case errors.As(err, &failed):
		l.Code, l.Error = int(failed.Code), failed.Error()
	case err != nil:
		l.Code, l.Error = 1, err.Error()
	}
	return l
}

// status asks a broker for its state.
func (r *role) status(say *voice) error {
	c, err := r.newClient(r.Name, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := c.Status(ctx)
	if err == nil {
		say.say(&report{Event: "status", Status: s})
	}
	return errors.Join(err, c.Close())
}

// manyWorkers are workers that idle, once all are there.
func (r *role) manyWorkers(say *voice) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := told()
	ended := make(chan error, r.Count)
	for i := range r.Count {
		w, err := r.newWorker(fmt.Sprintf("%s-%d", r.Name, i), nil, mesh.NewService("load").Handle(
			again.With(func(context.Context, parcel) (struct{}, error) { return struct{}{}, nil })))
		if err != nil {
			return err
		}
		go func() { ended <- w.Run(ctx) }()
		select {
		case <-w.Ready():
		case err := <-ended:
			return err
		}
	}
	say.now(&report{Event: "ready"})
	<-over.Done()
	cancel()
	for range r.Count {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			return fmt.Errorf("a worker: %w", err)
		}
	}
	return nil
}

// manyClients are clients that idle, once each has made a call.
func (r *role) manyClients(say *voice) error {
	over := told()
	var all []*mesh.Client
	for i := range r.Count {
		c, err := r.newClient(fmt.Sprintf("%s-%d", r.Name, i), nil)
		if err != nil {
			return err
		}
		all = append(all, c)
		if _, err := again.Call(context.Background(), c, parcel{}); err != nil {
			return err
		}
	}
	say.now(&report{Event: "ready"})
	<-over.Done()
	for _, c := range all {
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}
