package mesh_test

import (
	"context"
	"encoding/json"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// callAddr is where the broker of a test listens.
const callAddr = "inproc://mesh"

// callStart starts a mesh that ends with the test.
func callStart(t *testing.T, cfg mesh.Config, services ...*mesh.Service) *mesh.Mesh {
	t.Helper()
	m, err := mesh.Start(t.Context(), cfg, services...)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, m.Stop(ctx))
	})
	return m
}

// callDial returns a client of the broker at [callAddr] that ends with the test.
func callDial(t *testing.T, cfg mesh.ClientConfig) *mesh.Client {
	t.Helper()
	if cfg.Brokers == nil && cfg.Discovery == nil {
		cfg.Brokers = []transport.Endpoint{{Addr: callAddr}}
	}
	c, err := mesh.NewClient(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// callClient returns another client of the mesh that ends with the test.
func callClient(t *testing.T, m *mesh.Mesh, cfg mesh.ClientConfig) *mesh.Client {
	t.Helper()
	c, err := m.NewClient(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// callOrder and callCup are the parameters and the result of most typed methods.
type (
	callOrder struct {
		Kind  string `json:"kind" enum:"black,green"`
		Sugar int    `json:"sugar" minimum:"0"`
	}
	callCup struct {
		Text string `json:"text"`
	}
)

// callEcho returns its parameters.
func callEcho(_ context.Context, params json.RawMessage) (json.RawMessage, error) { return params, nil }

// callBlock waits until nobody waits for it any more.
func callBlock(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// callLast returns the error of two results.
func callLast[T any](_ T, err error) error { return err }

// callDrain reads a stream to its end and returns its error.
func callDrain[T any](values iter.Seq2[T, error]) error {
	_, err := callCollect(values)
	return err
}

// callCollect returns the values of a stream, and its error.
func callCollect[T any](values iter.Seq2[T, error]) (all []T, err error) {
	for value, err := range values {
		if err != nil {
			return all, err
		}
		all = append(all, value)
	}
	return all, nil
}

// callError returns err as the error that calls return.
func callError(t *testing.T, err error) *mesh.Error {
	t.Helper()
	var e *mesh.Error
	require.ErrorAs(t, err, &e)
	return e
}

// callBroker is a broker that a test plays by itself. It answers mmi.ping; without a
// pong it is a plain one that doesn't know it.
type callBroker struct {
	t     *testing.T
	pong  string
	serve func(r *callRequest)

	mu       sync.Mutex // guards what follows
	peers    []transport.Peer
	presence []string // the params of every mmi.ping
}

// callRequest is one request at a callBroker.
type callRequest struct {
	peer transport.Peer
	mdp.Command
	jsonrpc.Envelope
}

// callPlay plays a broker at [callAddr] until the test ends. serve gets every request
// but mmi.ping, one at a time, and must not block.
func callPlay(t *testing.T, network *inproc.Network, serve func(r *callRequest)) *callBroker {
	t.Helper()
	return callPlayAt(t, network, callAddr, serve)
}

// callPlayAt is callPlay at another address.
func callPlayAt(t *testing.T, network *inproc.Network, addr string, serve func(r *callRequest)) *callBroker {
	t.Helper()
	l, err := network.Listen(t.Context(), addr)
	require.NoError(t, err)
	b := &callBroker{t: t, pong: `{"broker":"b","incarnation":"i","heartbeat_ms":2500,"liveness":3}`, serve: serve}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = l.Serve(context.Background(), b.accept) // it ends by Close
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		<-ended
	})
	return b
}

func (b *callBroker) accept(p transport.Peer) transport.Receiver {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.peers = append(b.peers, p)
	return &callPeer{broker: b, peer: p}
}

func (b *callBroker) pinged(params []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.presence = append(b.presence, string(params))
}

// cut ends every connection.
func (b *callBroker) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.peers {
		_ = p.Close()
	}
	b.peers = nil
}

type callPeer struct {
	broker *callBroker
	peer   transport.Peer
}

func (p *callPeer) Receive(batch []transport.Message) {
	for _, m := range batch {
		r := &callRequest{peer: p.peer}
		var err error
		r.Command, err = mdp.ParseBroker(m)
		if err != nil {
			p.broker.t.Errorf("invalid message: %v", err)
			continue
		}
		jsonrpc.Scan(r.Body[0], &r.Envelope)
		if string(r.Service) == mdp.MMIPing {
			p.broker.pinged(r.Params)
			if p.broker.pong == "" {
				r.send(mdp.ClientFinal, []byte("501"))
				continue
			}
			r.result(p.broker.pong)
			continue
		}
		p.broker.serve(r)
	}
}

func (p *callPeer) Gone(error) {}

// send sends frames as an answer to the request.
func (r *callRequest) send(kind mdp.Kind, body ...[]byte) {
	c := mdp.Command{Version: r.Version, Kind: kind, Service: r.Service, Body: body}
	if r.peer.Send(c.AppendTo(nil)) == nil {
		r.peer.Flush()
	}
}

// result replies with raw JSON.
func (r *callRequest) result(result string) {
	r.send(mdp.ClientFinal, jsonrpc.AppendResult(nil, r.ID, []byte(result)))
}

// refuse replies with an error, as a broker has it.
func (r *callRequest) refuse(code mesh.Code, data string) {
	r.send(mdp.ClientFinal, jsonrpc.AppendFailure(nil, r.ID, int(code), "refused", []byte(data)))
}
