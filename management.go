package mesh

import (
	"context"
	"encoding/json"
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

// The management requests of a broker (docs/protocol.md "MMI"). They are asked of
// whichever broker the client is connected to, and need one that speaks mesh: with
// another they fail with [ErrNoMethod] at once.
var (
	mmiPing     = management(mdp.MMIPing)
	mmiServices = management(mdp.MMIServices)
	mmiStatus   = management(mdp.MMIStatus)
)

// management returns the signature of a management request. The whole name is the
// service that is asked (RFC 8); interceptors see it split as methods are. Asking
// twice does no harm.
func management(name string) *signature {
	service, method, _ := strings.Cut(name, ".")
	return &signature{methodOptions: methodOptions{idempotent: true}, full: name, service: service, name: method, frame: []byte(name)}
}

// Ping asks the broker for a sign of life, connecting to one if need be. It takes no
// right. With a broker that speaks plain Majordomo it fails with [ErrNoMethod], as
// [Client.Services], [Client.Describe] and [Client.Status] do. To interceptors all of
// these are calls like any other, of the service "mmi" and a method such as "ping".
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
// list is empty where there are none. It takes the right to see ([RightSee]).
func (c *Client) Services(ctx context.Context, options ...CallOption) ([]ServiceInfo, error) {
	var all []ServiceInfo
	if err := c.manage(ctx, mmiServices, nil, &all, options); err != nil {
		return nil, err
	}
	return all, nil
}

// Describe returns one service. It fails with [ErrNoService] where the broker knows
// no worker of it, and takes the right to see.
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

// Status returns the broker's state at one moment. It takes the right to see.
func (c *Client) Status(ctx context.Context, options ...CallOption) (*Snapshot, error) {
	var core majordomo.Snapshot
	if err := c.manage(ctx, mmiStatus, nil, &core, options); err != nil {
		return nil, err
	}
	return newSnapshot(&core), nil
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
