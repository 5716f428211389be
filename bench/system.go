package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
)

// system is one of the things that are compared.
type system struct {
	name string
	// against names the system that its ratios refer to.
	against string
	// prepare makes what the processes need, keys for example, in a directory.
	// An error says why the system can't run here. It may be nil.
	prepare func(ctx context.Context, dir string) error
	// broker and worker start a process's part, which goes on until ctx ends, and
	// return the address that those who start later connect to. Either may be nil.
	broker, worker func(ctx context.Context, s setting) (address string, err error)
	// client connects, or starts everything where all is in one process.
	client func(ctx context.Context, s setting) ([]connection, error)
	// program returns the program that plays the three roles instead. It may be
	// nil.
	program func(dir string) string
}

// setting is what a process is told.
type setting struct {
	Address  string `json:"address"`  // to connect to
	Dir      string `json:"dir"`      // what prepare made
	Clients  int    `json:"clients"`  // connections of the client
	Workers  int    `json:"workers"`  // connections of the worker
	Capacity int    `json:"capacity"` // the most calls in flight
	Profile  string `json:"profile"`  // file for a CPU profile, none where empty
}

// connection returns a function that makes one call with a payload of the size
// and checks the size of its reply. It is called for each goroutine.
type connection func(size int) (call func() error)

// roles returns the roles that are processes of their own, in the order in
// which they start.
func (s system) roles() []string {
	switch {
	case s.program != nil || s.broker != nil:
		return []string{"broker", "worker", "client"}
	case s.worker != nil:
		return []string{"worker", "client"}
	}
	return []string{"client"}
}

// allSystems returns every system, in the order of the report.
func allSystems() []system {
	return []system{
		{name: natsRaw, against: natsRaw, broker: natsBroker, worker: natsWorker, client: natsClient},
		{name: "mesh-zmtp-raw", against: natsRaw, broker: zmtpNetwork.broker, worker: zmtpNetwork.worker, client: zmtpNetwork.raw},
		{name: "mesh-zmq-raw", against: natsRaw, prepare: zmqAvailable, broker: zmqNetwork.broker, worker: zmqNetwork.worker, client: zmqNetwork.raw},
		{name: "c-libzmq", against: natsRaw, prepare: compileForwarder, program: forwarderProgram},
		{name: "grpc", against: natsRaw, worker: grpcWorker, client: grpcClient},
		{name: natsTyped, against: natsTyped, broker: natsBroker, worker: natsTypedWorker, client: natsTypedClient},
		{name: "mesh-zmtp-typed", against: natsTyped, broker: zmtpNetwork.broker, worker: zmtpNetwork.worker, client: zmtpNetwork.typed},
		{name: natsTLS, against: natsTLS, prepare: makeCertificate, broker: natsTLSBroker, worker: natsTLSWorker, client: natsTLSClient},
		{name: "mesh-zmtp-curve", against: natsTLS, prepare: makeCurveKeys, broker: curveNetwork.broker, worker: curveNetwork.worker, client: curveNetwork.raw},
		{name: natsInproc, against: natsInproc, client: natsAlone},
		{name: "mesh-inproc-raw", against: natsInproc, client: meshAlone(rawConnections(echoRaw))},
		{name: "mesh-inproc-raw-inline", against: natsInproc, client: meshAlone(rawConnections(echoRawInline))},
		{name: "mesh-inproc-typed", against: natsInproc, client: meshAlone(typedConnections(echoTyped))},
		{name: "mesh-inproc-typed-inline", against: natsInproc, client: meshAlone(typedConnections(echoTypedInline))},
		{name: "grpc-bufconn", against: natsInproc, client: grpcAlone},
	}
}

// The systems that others are compared with.
const (
	natsRaw    = "nats-raw"
	natsTyped  = "nats-typed"
	natsTLS    = "nats-tls"
	natsInproc = "nats-inproc"
)

func names(systems []system) []string {
	out := make([]string, len(systems))
	for i, s := range systems {
		out[i] = s.name
	}
	return out
}

// smallestPayload is the least size of a payload: what a message needs.
const smallestPayload = 128

// payload returns a JSON value of the size, an array since JSON-RPC wants one.
func payload(size int) []byte {
	return fmt.Appendf(nil, `["%s"]`, bytes.Repeat([]byte{'x'}, size-4))
}

// message is what the typed systems exchange, the same both ways.
type message struct {
	ID    int64    `json:"id" minimum:"1"`
	Kind  string   `json:"kind" enum:"black,green,white"`
	Sugar int      `json:"sugar" minimum:"0" maximum:"9"`
	Price float64  `json:"price"`
	Tags  []string `json:"tags"`
	Hot   bool     `json:"hot"`
	Text  string   `json:"text" minLength:"1"`
}

// newMessage returns a message whose JSON has the size.
func newMessage(size int) message {
	m := message{ID: 1234567, Kind: "green", Sugar: 2, Price: 12.5, Tags: []string{"warm", "loose"}, Hot: true}
	bare, err := json.Marshal(m)
	if err != nil {
		panic(err) // a struct of plain fields
	}
	m.Text = string(bytes.Repeat([]byte{'x'}, size-len(bare)))
	return m
}

// checkSize returns an error where a reply isn't the echo of a request.
func checkSize(got, want int) error {
	if got != want {
		return fmt.Errorf("a reply of %d bytes to a request of %d", got, want)
	}
	return nil
}
