package mesh

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// ServiceInfo is what a broker knows of a service that has workers.
type ServiceInfo struct {
	Name    string       `json:"name"`
	Doc     string       `json:"doc,omitempty"`
	Workers int          `json:"workers"`           // that serve it now
	Methods []MethodInfo `json:"methods,omitempty"` // empty where only plain workers serve it
}

// MethodInfo is the contract of a method, as its workers registered it.
type MethodInfo struct {
	Name       string          `json:"name"` // without the service's
	Doc        string          `json:"doc,omitempty"`
	Idempotent bool            `json:"idempotent,omitempty"`
	Attempts   int             `json:"attempts,omitempty"` // hand-overs at most; 0: the broker's default
	Stream     bool            `json:"stream,omitempty"`   // it replies with many values
	Params     json.RawMessage `json:"params,omitempty"`   // JSON Schema (2020-12); nil: any
	Result     json.RawMessage `json:"result,omitempty"`   // likewise
}

// BrokerInfo is what a broker says of itself.
type BrokerInfo struct {
	ID          string    // of the broker
	Incarnation string    // of this run of it
	Version     string    // of its software
	Draining    bool      // it takes nothing new
	Heartbeat   Heartbeat // what its peers adopt
}

// The management requests of a broker (docs/protocol.md "MMI"). They are asked of one
// broker, which is chosen as for any call, and need one that speaks mesh: where there is
// none they fail with [ErrNoMethod] at once.
var (
	mmiPing     = management(mdp.MMIPing)
	mmiServices = management(mdp.MMIServices)
	mmiStatus   = management(mdp.MMIStatus)
)

// Those of operators. They are sent once: a second one might reach another broker, and
// what it names may be something else there.
var (
	mmiPause      = operation(mdp.MMIPause)
	mmiResume     = operation(mdp.MMIResume)
	mmiDrain      = operation(mdp.MMIDrain)
	mmiDisconnect = operation(mdp.MMIDisconnect)
	mmiCancel     = operation(mdp.MMICancel)
	mmiRelease    = operation(mdp.MMIRelease)
	mmiDrop       = operation(mdp.MMIDrop)
)

// management returns the signature of a management request. The whole name is the
// service that is asked (RFC 8); interceptors see it split as methods are. Asking
// twice does no harm.
func management(name string) *signature {
	service, method, _ := strings.Cut(name, ".")
	return &signature{methodOptions: methodOptions{idempotent: true}, full: name, service: service, name: method, frame: []byte(name)}
}

// operation is management for what mustn't be asked twice.
func operation(name string) *signature {
	s := management(name)
	s.idempotent = false
	return s
}

// Ping asks the broker for a sign of life, connecting to one if need be. It takes no
// right. With a broker that speaks plain Majordomo it fails with [ErrNoMethod], as
// [Client.Services], [Client.Describe] and [Client.Status] do. To interceptors all of
// these are calls like any other, of the service "mmi" and a method such as "ping".
//
// It asks one broker, as all methods do that are about a broker: where the client knows
// several, the next call may ask another. To ask a certain one, or each, use a client
// that knows that broker alone, as the example of [Client.Pause] does.
func (c *Client) Ping(ctx context.Context, options ...CallOption) (*BrokerInfo, error) {
	var pong majordomo.Pong
	if err := c.manage(ctx, mmiPing, nil, &pong, options); err != nil {
		return nil, err
	}
	return &BrokerInfo{
		ID: pong.Broker, Incarnation: pong.Incarnation, Version: pong.Version, Draining: pong.Draining,
		Heartbeat: Heartbeat{Interval: milliseconds(pong.HeartbeatMS), Liveness: pong.Liveness},
	}, nil
}

// Services returns the services that have workers, by name, with their contracts; the
// list is empty where there are none. It takes the right to see ([RightSee]), and has the
// services that it is over. It asks one broker, and another may have other workers; those
// of mesh register with every broker that they know. See [Client.Ping].
func (c *Client) Services(ctx context.Context, options ...CallOption) ([]ServiceInfo, error) {
	var all []ServiceInfo
	if err := c.manage(ctx, mmiServices, nil, &all, options); err != nil {
		return nil, err
	}
	return all, nil
}

// Describe returns one service. It fails with [ErrNoService] where the broker knows
// no worker of it, and takes the right to see. It asks one broker; see [Client.Ping].
func (c *Client) Describe(ctx context.Context, service string, options ...CallOption) (*ServiceInfo, error) {
	if err := checkServiceName(service); err != nil { // without a name the broker would list all
		return nil, &Error{Code: CodeNoService, Local: true, Message: err.Error(), cause: err}
	}
	var found []ServiceInfo
	if err := c.manage(ctx, mmiServices, map[string]string{"service": service}, &found, options); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &Error{Code: CodeNoService, Message: "no worker serves " + quote(service)}
	}
	return &found[0], nil
}

// Status returns a broker's state at one moment. It takes the right to see, and has what
// is of the services that the right is over ([Snapshot].Partial). It asks one broker, and
// says nothing of others; see [Client.Ping].
func (c *Client) Status(ctx context.Context, options ...CallOption) (*Snapshot, error) {
	var core majordomo.Snapshot
	if err := c.manage(ctx, mmiStatus, nil, &core, options); err != nil {
		return nil, err
	}
	return newSnapshot(&core), nil
}

// Pause stops the hand-over of a service's requests to workers, until [Client.Resume] or
// the end of this run of the broker. What comes is queued, what runs goes on. It fails with
// [ErrNoService] where the broker doesn't know the service.
//
// Like all methods for operators it changes one broker. Where the client knows several,
// that is one that is chosen at random, as for any call, and the others go on as before: to
// pause a service everywhere, do it with a client for each broker, which knows that one
// alone ([ClientConfig].Brokers). The example does that; a broker that doesn't know the
// service is none that failed, if another does. The command "mesh pause" works so.
//
// The methods for operators take the right to operate ([RightOperate]), over the services
// that are concerned at least, and fail with [ErrNotPermitted] without it. They are sent
// once, so that one that fails with [ErrBrokerLost] may have been carried out. The broker
// tells each to its observers ([EventOperated]), also those that it refuses.
func (c *Client) Pause(ctx context.Context, service string, options ...CallOption) error {
	return c.operate(ctx, mmiPause, operationParams{Service: service}, nil, options)
}

// Resume ends a pause of a service. It takes the same right, and fails in the same
// ways, as [Client.Pause]; resuming what isn't paused does nothing. It changes one broker,
// which of several need not be the one that paused: use a client for each.
func (c *Client) Resume(ctx context.Context, service string, options ...CallOption) error {
	return c.operate(ctx, mmiResume, operationParams{Service: service}, nil, options)
}

// DrainWorker has the broker hand nothing more to the workers that registered as this
// instance ([WorkerConfig].Instance). What they have goes on, and they stay connected:
// once [WorkerStatus].Running is 0, the worker may be stopped with nothing lost. It
// holds for as long as the worker's connection lasts; [Client.DisconnectWorker] ends it
// sooner, as the worker comes back on a new one. It takes the right to operate, and
// fails with [ErrNotFound] where no such worker is connected. Workers that speak plain
// Majordomo have no instance. It changes one broker, and the others hand over to the worker
// as before: before it is stopped, drain it at each, as [Client.Pause] says.
func (c *Client) DrainWorker(ctx context.Context, instance string, options ...CallOption) error {
	return c.operate(ctx, mmiDrain, operationParams{Worker: instance}, nil, options)
}

// DisconnectWorker ends the broker's conversation with the workers that registered as
// this instance, at once: what they have is lost with them, and runs again elsewhere
// only where it is idempotent. Workers of mesh connect again. It takes the right to
// operate, and fails with [ErrNotFound] where no such worker is connected. It changes one
// broker, and the worker's conversations with others go on; see [Client.Pause].
func (c *Client) DisconnectWorker(ctx context.Context, instance string, options ...CallOption) error {
	return c.operate(ctx, mmiDisconnect, operationParams{Worker: instance}, nil, options)
}

// CancelRequest cancels anybody's request, by its serial number at the broker
// ([RequestStatus].Request, [Event].Request), whether it is queued or runs. Its caller
// gets [ErrCancelled], and the context of its handler is cancelled. It takes the right
// to operate, and fails with [ErrNotFound] where the request has its outcome already.
// Serial numbers are of one broker, and begin anew when it is started again. So use a
// client that knows the broker of this request alone: of several, another may be asked,
// where the number is that of another request.
func (c *Client) CancelRequest(ctx context.Context, request uint64, options ...CallOption) error {
	return c.operate(ctx, mmiCancel, operationParams{Request: request}, nil, options)
}

// Release runs a request from quarantine once more, with nobody who waits for its
// outcome, and returns the serial number of the new run. It takes the right to operate.
// It fails with [ErrNotFound] where the request isn't in quarantine, and where it can't
// run now (no worker, queue full, broker draining) with the error that a caller would
// get; it stays there then. As with [Client.CancelRequest] the number is of one broker, so
// use a client that knows that one alone.
func (c *Client) Release(ctx context.Context, request uint64, options ...CallOption) (uint64, error) {
	var released struct {
		Request uint64 `json:"request"`
	}
	err := c.operate(ctx, mmiRelease, operationParams{Request: request}, &released, options)
	return released.Request, err
}

// Drop removes a request from quarantine for good. It takes the right to operate, and
// fails with [ErrNotFound] where the request isn't there. As with [Client.CancelRequest]
// the number is of one broker, so use a client that knows that one alone.
func (c *Client) Drop(ctx context.Context, request uint64, options ...CallOption) error {
	return c.operate(ctx, mmiDrop, operationParams{Request: request}, nil, options)
}

// operationParams are the params of what operators ask for.
type operationParams struct {
	Service string `json:"service,omitempty"`
	Worker  string `json:"worker,omitempty"`
	Request uint64 `json:"request,omitempty"`
}

// operate makes a management request of an operator; result may be nil.
func (c *Client) operate(ctx context.Context, s *signature, params operationParams, result any, options []CallOption) error {
	if result == nil {
		result = new(struct{})
	}
	return c.manage(ctx, s, params, result, append(slices.Clip(options), NoRetry()))
}

// manage makes a management request. What brokers say is JSON whatever the codec of
// the client is.
func (c *Client) manage(ctx context.Context, s *signature, params, result any, options []CallOption) error {
	var raw json.RawMessage
	if params != nil {
		var err error
		if raw, err = json.Marshal(params); err != nil {
			return &Error{Code: CodeInvalidParams, Local: true, Message: err.Error(), cause: err}
		}
	}
	reply, err := c.call(ctx, s, raw, nil, options)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(reply, result); err != nil {
		return &Error{Code: CodeInternal, Local: true, Message: "the broker's answer to " + s.full + " can't be read: " + err.Error(), cause: err}
	}
	return nil
}
