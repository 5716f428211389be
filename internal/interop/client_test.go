package interop

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

// client is a client in any language.
type client struct {
	name string
	// frames reports that it sends any frames; the clients of the examples send
	// JSON-RPC only.
	frames bool
	// ask does what a command says and waits for the outcome.
	ask func(c command) line
}

// of makes a process a client.
func of(name string, frames bool, p *process) client {
	return client{name: name, frames: frames, ask: func(c command) line { return p.outcome(p.post(c)) }}
}

// clients starts one of each kind.
func clients(t *testing.T, addr string) []client {
	t.Helper()
	return []client{
		ofGo(t, newClient(t, addr, mesh.ClientConfig{})),
		of("python 0.1 REQ", true, startPython(t, "client.py", "req01", addr)),
		of("python 0.1 REQ correlated", true, startPython(t, "client.py", "correlate01", addr)),
		of("python 0.1 DEALER", true, startPython(t, "client.py", "dealer01", addr)),
		of("python 0.2", true, startPython(t, "client.py", "dealer02", addr)),
		of("python mesh", false, startPython(t, "client.py", "mesh", addr)),
		of("node 0.1 REQ", true, startNode(t, "client.js", "req01", addr)),
		of("node 0.2", true, startNode(t, "client.js", "dealer02", addr)),
		of("node mesh", false, startNode(t, "client.js", "mesh", addr)),
	}
}

// ofGo makes mesh's own client one.
func ofGo(t *testing.T, c *mesh.Client) client {
	t.Helper()
	return client{name: "go", frames: true, ask: func(what command) (l line) {
		timeout := mesh.Timeout(time.Duration(what.Timeout) * time.Millisecond)
		params, err := json.Marshal(what.Params)
		require.NoError(t, err)
		switch what.Do {
		case "call":
			l.Result, err = c.CallRaw(t.Context(), what.Method, params, timeout)
		case "stream":
			for value, failed := range c.StreamRaw(t.Context(), what.Method, params, timeout, mesh.Window(what.Window)) {
				if err = failed; err == nil {
					l.Values = append(l.Values, value)
				}
			}
		case "request":
			var body, reply [][]byte
			for _, text := range what.Body {
				frame, err := hex.DecodeString(text)
				require.NoError(t, err)
				body = append(body, frame)
			}
			reply, err = c.Request(within(t), what.Service, body)
			for _, frame := range reply {
				l.Body = append(l.Body, hex.EncodeToString(frame))
			}
		}
		if e, ok := errors.AsType[*mesh.Error](err); ok {
			l.Error = &wireError{Code: int(e.Code), Message: e.Message, Data: e.Data, HandedOver: e.HandedOver}
		}
		return l
	}}
}

// call calls a method.
func (c client) call(method string, params any) line {
	return c.ask(command{Do: "call", Method: method, Params: params, Timeout: int(patience.Milliseconds())})
}

// stream calls a method that streams.
func (c client) stream(method string, params any, window int) line {
	return c.ask(command{Do: "stream", Method: method, Params: params, Window: window, Timeout: int(patience.Milliseconds())})
}

// request sends frames.
func (c client) request(service string, frames ...string) line {
	var body []string
	for _, frame := range frames {
		body = append(body, hex.EncodeToString([]byte(frame)))
	}
	return c.ask(command{Do: "request", Service: service, Body: body, Timeout: int(patience.Milliseconds())})
}

// frames returns the frames of a reply.
func (l line) frames(t *testing.T) []string {
	t.Helper()
	require.False(t, l.Timeout, "there was no reply")
	require.Nil(t, l.Error)
	var frames []string
	for _, text := range l.Body {
		frame, err := hex.DecodeString(text)
		require.NoError(t, err)
		frames = append(frames, string(frame))
	}
	return frames
}

// result requires that a call succeeded.
func (l line) result(t *testing.T, want string) {
	t.Helper()
	require.False(t, l.Timeout, "there was no reply")
	require.Nil(t, l.Error)
	require.JSONEq(t, want, string(l.Result))
}

// failed requires that a call failed with a code.
func (l line) failed(t *testing.T, code mesh.Code) *wireError {
	t.Helper()
	require.False(t, l.Timeout, "there was no reply")
	require.NotNil(t, l.Error, "it succeeded: %s", l.Result)
	require.Equal(t, code, mesh.Code(l.Error.Code), l.Error.Message)
	return l.Error
}
