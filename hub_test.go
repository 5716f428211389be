package mesh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

const hubAddr = "inproc://hub"

// hub is a broker on an in-memory network of its own, in virtual time.
type hub struct {
	t      *testing.T
	net    *inproc.Network
	broker *mesh.Broker
	served chan error // holds what Serve returned
	log    *hubLog    // of broker, workers and clients
	events *hubEvents
}

// hubRun runs a test in a bubble of virtual time, parallel to others.
func hubRun(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
}

// hubStart starts a broker. It ends with the test.
func hubStart(t *testing.T, cfg mesh.BrokerConfig) *hub {
	t.Helper()
	return hubStartOn(t, inproc.New(inproc.Config{}), cfg)
}

func hubStartOn(t *testing.T, net *inproc.Network, cfg mesh.BrokerConfig) *hub {
	t.Helper()
	h := &hub{t: t, net: net, served: make(chan error, 1), log: new(hubLog), events: new(hubEvents)}
	cfg.Logger = h.log.logger()
	if cfg.Observe == nil {
		cfg.Observe = h.events.take
	}
	broker, err := mesh.NewBroker(cfg)
	require.NoError(t, err)
	h.broker = broker
	l := h.listen(hubAddr)
	go func() { h.served <- broker.Serve(context.Background(), l) }()
	t.Cleanup(func() { _ = broker.Shutdown(hubOver()) })
	return h
}

func (h *hub) listen(addr string) transport.Listener {
	h.t.Helper()
	l, err := h.net.Listen(context.Background(), addr)
	require.NoError(h.t, err)
	return l
}

// hubOver returns a context that has ended.
func hubOver() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func hubEndpoint() transport.Endpoint { return transport.Endpoint{Addr: hubAddr} }

// client returns a client that sends every call once, so that what the broker
// answered is what is seen.
func (h *hub) client() *mesh.Client {
	h.t.Helper()
	return h.clientOf(mesh.ClientConfig{Retry: mesh.Retry{Attempts: 1}})
}

func (h *hub) clientOf(cfg mesh.ClientConfig) *mesh.Client {
	h.t.Helper()
	if cfg.Transport == nil {
		cfg.Transport = h.net
	}
	if cfg.Brokers == nil && cfg.Discovery == nil {
		cfg.Brokers = []transport.Endpoint{hubEndpoint()}
	}
	cfg.Logger = h.log.logger()
	c, err := mesh.NewClient(cfg)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { require.NoError(h.t, c.Close()) })
	return c
}

// hubWorker is a worker that runs.
type hubWorker struct {
	*mesh.Worker
	ran chan error // holds what Run returned
}

// worker runs a worker and returns when it has registered. It ends with the test.
func (h *hub) worker(cfg mesh.WorkerConfig, services ...*mesh.Service) *hubWorker {
	h.t.Helper()
	w := h.workerOf(cfg, services...)
	<-w.Ready()
	return w
}

// workerOf is worker without waiting.
func (h *hub) workerOf(cfg mesh.WorkerConfig, services ...*mesh.Service) *hubWorker {
	h.t.Helper()
	if cfg.Transport == nil {
		cfg.Transport = h.net
	}
	if cfg.Brokers == nil {
		cfg.Brokers = []transport.Endpoint{hubEndpoint()}
	}
	if cfg.Logger == nil {
		cfg.Logger = h.log.logger()
	}
	made, err := mesh.NewWorker(cfg, services...)
	require.NoError(h.t, err)
	w := &hubWorker{Worker: made, ran: make(chan error, 1)}
	go func() { w.ran <- w.Run(context.Background()) }()
	h.t.Cleanup(func() { _ = w.Shutdown(hubOver()) })
	return w
}

func (h *hub) snapshot() *mesh.Snapshot {
	h.t.Helper()
	s, err := h.broker.Snapshot(context.Background())
	require.NoError(h.t, err)
	return s
}

// hubLog is a log that is read while it is written.
type hubLog struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *hubLog) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *hubLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *hubLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// hubEvents are the events that an observer was told.
type hubEvents struct {
	mu  sync.Mutex // guards all
	all []mesh.Event
}

func (e *hubEvents) take(batch []mesh.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, batch...)
}

// list returns the events of some kinds, of all without any.
func (e *hubEvents) list(kinds ...mesh.EventKind) []mesh.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []mesh.Event
	for _, ev := range e.all {
		if len(kinds) == 0 || slices.Contains(kinds, ev.Kind) {
			found = append(found, ev)
		}
	}
	return found
}

// hubGate is a service whose method "pass" waits until somebody opens it.
type hubGate struct {
	service *mesh.Service
	inside  chan string   // holds who has entered, by the member "who" of the parameters
	open    chan struct{} // a token lets one out, closed it lets out everybody
	name    string        // part of every result
}

// hubGated returns a service with a gate. Handlers leave it with their context's
// cause, too.
func hubGated(service, name string, options ...mesh.MethodOption) *hubGate {
	g := &hubGate{service: mesh.NewService(service), inside: make(chan string, 10_000), open: make(chan struct{}), name: name}
	g.service.HandleRaw("pass", func(ctx context.Context, params json.RawMessage) (json.RawMessage, error) {
		var in struct{ Who string }
		if err := json.Unmarshal(params, &in); err != nil {
			return nil, err
		}
		g.inside <- in.Who
		select {
		case <-g.open:
			return json.RawMessage(`"` + g.name + ":" + in.Who + `"`), nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}, options...)
	g.service.HandleOpaque(func(ctx context.Context, body [][]byte) ([][]byte, error) {
		g.inside <- string(body[0])
		select {
		case <-g.open:
			return body, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	return g
}

// hubOutcome is how a call ended.
type hubOutcome struct {
	result string
	err    error
}

// hubCall calls in a goroutine of its own.
func hubCall(ctx context.Context, c *mesh.Client, method, params string, options ...mesh.CallOption) <-chan hubOutcome {
	out := make(chan hubOutcome, 1)
	go func() {
		raw, err := c.CallRaw(ctx, method, json.RawMessage(params), options...)
		out <- hubOutcome{string(raw), err}
	}()
	return out
}

// hubEcho returns a service "echo" whose method "say" returns its parameters.
func hubEcho() *mesh.Service {
	return mesh.NewService("echo").HandleRaw("say", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) {
		return params, nil
	})
}

// hubPeer is a connection on which any frames can be sent.
type hubPeer struct {
	t    *testing.T
	conn transport.Conn
	gone chan error // holds why the connection ended

	mu   sync.Mutex // guards what follows
	got  []transport.Message
	read int // how many of got were looked at
}

func (h *hub) peer() *hubPeer { return h.peerOver(h.net) }

func (h *hub) peerOver(net transport.Transport) *hubPeer {
	h.t.Helper()
	conn, err := net.Dial(context.Background(), hubEndpoint())
	require.NoError(h.t, err)
	p := &hubPeer{t: h.t, conn: conn, gone: make(chan error, 1)}
	go func() { p.gone <- conn.Serve(context.Background(), p.receive) }()
	h.t.Cleanup(func() { _ = conn.Close() })
	return p
}

func (p *hubPeer) receive(batch []transport.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, batch...)
}

// send sends a command, and waits until everybody has done with it.
func (p *hubPeer) send(c mdp.Command) {
	p.t.Helper()
	p.sendFrames(c.AppendTo(nil))
}

func (p *hubPeer) sendFrames(frames transport.Message) {
	p.t.Helper()
	require.NoError(p.t, p.conn.Send(frames))
	p.conn.Flush()
	synctest.Wait()
}

// next returns the next message that came, once everything is done that can be.
func (p *hubPeer) next() transport.Message {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Less(p.t, p.read, len(p.got), "nothing came")
	p.read++
	return p.got[p.read-1]
}

// silent says whether everything that came was looked at.
func (p *hubPeer) silent() bool {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read == len(p.got)
}

// asks sends a request as a client of MDP/0.2.
func (p *hubPeer) asks(service string, body ...string) {
	p.t.Helper()
	p.send(mdp.Command{Version: mdp.V02, Kind: mdp.ClientRequest, Service: []byte(service), Body: hubFrames(body...)})
}

// final returns the body of the next message, which is the last word on a request.
func (p *hubPeer) final() []byte {
	p.t.Helper()
	c, err := mdp.ParseClient(p.next())
	require.NoError(p.t, err)
	require.Equal(p.t, mdp.ClientFinal, c.Kind)
	return bytes.Join(c.Body, []byte("|"))
}

// refused returns the code of the error that the next message is.
func (p *hubPeer) refused() mesh.Code {
	p.t.Helper()
	body := p.final()
	var env jsonrpc.Envelope
	jsonrpc.Scan(body, &env)
	require.Equal(p.t, jsonrpc.Failure, env.Kind, "%s", body)
	code, _, _, err := jsonrpc.ParseError(env.Error)
	require.NoError(p.t, err)
	return mesh.Code(code)
}

// works makes the peer a plain worker of MDP/0.2.
func (p *hubPeer) works(service string) {
	p.t.Helper()
	p.send(mdp.Command{Version: mdp.V02, Kind: mdp.Ready, Service: []byte(service)})
}

// handed returns the next message, which is a request for a worker.
func (p *hubPeer) handed() mdp.Command {
	p.t.Helper()
	c, err := mdp.ParseWorker(p.next())
	require.NoError(p.t, err)
	require.Equal(p.t, mdp.WorkerRequest, c.Kind)
	return c
}

// replies is a plain worker's reply, partial or final.
func (p *hubPeer) replies(kind mdp.Kind, address []byte, body ...string) {
	p.t.Helper()
	p.send(mdp.Command{Version: mdp.V02, Kind: kind, Address: address, Body: hubFrames(body...)})
}

func hubFrames(body ...string) [][]byte {
	frames := make([][]byte, len(body))
	for i, f := range body {
		frames[i] = []byte(f)
	}
	return frames
}

// hubWithin returns a context that ends after d.
func hubWithin(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
