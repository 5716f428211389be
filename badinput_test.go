package mesh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
)

func TestBadInputFrames(t *testing.T) {
	t.Parallel()
	badInputRun(t, []badInputCase{
		{name: "invalid message", run: func(t *testing.T, b *badInputBed) {
			invalid := [][]string{
				{"hello"}, {""}, {"", ""}, {"MDPC02"}, {"MDPC03", "\x01", "tea", "x"}, {"MDPC01", "tea", "x"}, {"", "MDPC99", "tea", "x"},
				{"MDPC02", "\x01"}, {"MDPC02", "\x01", "tea"}, {"", "MDPC01", "tea"}, {"MDPC02", "\x09", "tea", "x"}, {"MDPC02", "1", "tea", "x"},
				{"MDPC02", "\x01\x01", "tea", "x"}, {"MDPC02", "\x03", "tea", "x"}, {"MDPW02", "\x01"}, {"MDPW02", "\x01", "tea", "coffee"},
				{"MDPW02", "\x05", ""}, {"MDPW02", "\x06", ""}, {"MDPW02", "\x02", "a", "", "x"}, {"MDPW02", "\x04", "a", "x"},
				{"MDPW02", "\x04", "a", ""}, {"MDPW02", "\x04", "", "", "x"}, {"", "MDPW01", "\x06"}, {"x", "", "MDPW01", "\x01", "tea"},
				{"1", "2", "3", "4", "5", "6", "7", "8", "9", "", "MDPC01", "tea", "x"},
			}
			for _, message := range invalid {
				p := b.dial()
				require.Empty(t, p.says(message...), "%q", message)
				require.Contains(t, b.log.take(), "invalid message dropped", "%q", message)
				p.alive()
			}
			require.Equal(t, mesh.Counts{Invalid: uint64(len(invalid))}, b.counted())
		}},
		{name: "header of 0.2 behind an empty frame", run: func(t *testing.T, b *badInputBed) {
			p := b.dial()
			require.Empty(t, p.says("", "MDPC02", "\x01", "tea", "x"))
			require.Contains(t, b.log.take(), "send no empty frame")
			require.Equal(t, mesh.Counts{Invalid: 1}, b.counted())
			p.alive()
		}},
		{name: "flood of invalid messages", run: func(t *testing.T, b *badInputBed) {
			p := b.dial()
			for range 100 {
				require.Empty(t, p.says("a secret"))
			}
			log := b.log.take()
			require.Equal(t, 1, strings.Count(log, "\n"), "the log is told once a second")
			require.NotContains(t, log, "secret")
			<-time.After(2 * time.Second)
			p.says("a secret")
			require.Equal(t, 1, strings.Count(b.log.take(), "\n"))
			require.Equal(t, mesh.Counts{Invalid: 101}, b.counted())
		}},
		{name: "command of a peer that is no worker", run: func(t *testing.T, b *badInputBed) {
			for _, message := range [][]string{
				{"MDPW02", "\x05"}, {"MDPW02", "\x03", "0000000000000001", "", "x"}, {"MDPW02", "\x04", "0000000000000001", "", "x"},
			} {
				require.Equal(t, badInputDisconnect, b.dial().says(message...))
			}
			require.Equal(t, [][]string{{"", "MDPW01", "\x05"}}, b.dial().says("", "MDPW01", "\x04"))
			require.Equal(t, mesh.Counts{Unexpected: 4}, b.counted())
		}},
		{name: "second READY", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().works(), b.dial()
			require.Empty(t, client.asks("tea", `{"jsonrpc":"2.0","id":1,"method":"tea.brew"}`))
			worker.handed()
			require.Equal(t, badInputDisconnect, worker.says("MDPW02", "\x01", "tea"))
			b.refusal(client.heard(), -32004, true)
			require.Equal(t, mesh.Counts{Received: 1, Failed: 1, Unexpected: 1}, b.counted())
		}},
		{name: "worker that changes its version", run: func(t *testing.T, b *badInputBed) {
			worker := b.dial().works()
			require.Equal(t, [][]string{{"", "MDPW01", "\x05"}}, worker.says("", "MDPW01", "\x04"))
			require.Equal(t, mesh.Counts{Unexpected: 1}, b.counted())
		}},
		{name: "address that was never given out", run: func(t *testing.T, b *badInputBed) {
			for _, address := range []string{"0000000900000001", "00000000000000ff", "undefined", "\x01 and something"} {
				worker, client := b.dial().works(), b.dial()
				require.Empty(t, client.asks("tea", `{"jsonrpc":"2.0","id":1,"method":"tea.brew"}`))
				worker.handed()
				require.Equal(t, badInputDisconnect, worker.finishes(address, "x"), "%q", address)
				b.refusal(client.heard(), -32004, true)
				require.Equal(t, mesh.Counts{Received: 1, Failed: 1, Unexpected: 1}, b.counted())
			}
		}},
		{name: "address of another worker", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().works(), b.dial()
			require.Empty(t, client.asks("tea", "x"))
			address := worker.handed()
			require.Equal(t, badInputDisconnect, b.dial().works().finishes(address, "not yours"))
			require.Empty(t, client.heard())
			require.Empty(t, worker.finishes(address, "y"))
			require.Equal(t, [][]string{{"MDPC02", "\x03", "tea", "y"}}, client.heard())
			require.Equal(t, mesh.Counts{Received: 1, Replied: 1, Unexpected: 1}, b.counted())
		}},
		{name: "DISCONNECT of a peer that is no worker", run: func(t *testing.T, b *badInputBed) {
			p := b.dial()
			require.Empty(t, p.says("MDPW02", "\x06"))
			require.Zero(t, b.counted())
			p.alive()
		}},
	})
}

func TestBadInputJSON(t *testing.T) {
	t.Parallel()
	badInputRun(t, []badInputCase{
		{name: "no JSON-RPC", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().works(), b.dial()
			for _, body := range [][]string{
				{"black, no sugar"}, {""}, {"\xff\x00"}, {`{"jsonrpc":"2.0","id":1,"method":"tea.brew"}`, ""}, {`[{"jsonrpc":"2.0","id":1,"method":"tea.brew"}]`},
				{"\ufeff" + `{"jsonrpc":"2.0","id":1,"method":"tea.brew"}`}, {`{"jsonrpc":"2.0","id":1,"id":2,"method":"tea.brew"}`},
				{`{"jsonrpc":"2.0","id":1,"\u0069d":2,"method":"tea.brew"}`}, {`{"jsonrpc":"2.0","id":{},"method":"tea.brew"}`},
				{`{"jsonrpc":"1.0","id":1,"method":"tea.brew"}`}, {`{"jsonrpc":"2.0","id":1,"method":"tea.brew","result":1}`},
				{`{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{"timeout_ms":"0"}}`}, {`{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{"key":1}}`},
				{`{"jsonrpc":"2.0","id":1,"method":"tea.brew","params":7}`}, {`{"jsonrpc":"2.0","id":1,"method":"tea.brew"} {}`},
			} {
				require.Empty(t, client.asks("tea", body...))
				got := worker.heard()
				require.Len(t, got, 1)
				require.Equal(t, body, got[0][4:], "it is carried as it is")
				require.Empty(t, worker.says(append([]string{"MDPW02", "\x04", got[0][2], ""}, body...)...))
				require.Equal(t, [][]string{append([]string{"MDPC02", "\x03", "tea"}, body...)}, client.heard())
				require.Equal(t, mesh.Counts{Received: 1, Replied: 1}, b.counted())
			}
		}},
		{name: "no JSON-RPC for a service that nobody offers", run: func(t *testing.T, b *badInputBed) {
			client := b.dial()
			require.Empty(t, client.asks("tea", "black"))
			<-time.After(time.Minute)
			require.Empty(t, client.heard(), "the broker has no words for it")
			require.Equal(t, mesh.Counts{Received: 1, TimedOut: 1}, b.counted())
		}},
		{name: "no JSON-RPC for a worker of mesh", run: func(t *testing.T, b *badInputBed) {
			b.serve(&badInputTea{})
			client := b.dial()
			for _, body := range []string{
				"black, no sugar", `[]`, `{"jsonrpc":"2.0","id":1,"id":2,"method":"tea.brew"}`,
				// The broker doesn't read what is behind the beginning of params.
				`{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{},"params":{"kind":`,
				`{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{},"params":{"kind":"black"},"id":2}`,
				`{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{},"params":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`,
			} {
				got := client.asks("tea", body)
				require.Len(t, got, 1)
				require.Equal(t, "null", string(b.reply(got[0], -32600).ID))
			}
			require.Equal(t, mesh.Counts{Received: 6, Failed: 6}, b.counted())
		}},
		{name: "unknown members", run: func(t *testing.T, b *badInputBed) {
			tea := &badInputTea{}
			b.serve(tea)
			b.dial().calls("tea.brew", `,"x":[1],"X":{},"meta":{"colour":"red","n":1},"params":{"kind":"black","size":3}`, 0)
			require.Equal(t, 1, tea.brewed())
		}},
		{name: "management request", run: func(t *testing.T, b *badInputBed) {
			p := b.dial()
			for body, code := range map[string]int{
				`{"jsonrpc":"2.0","id":1,"method":"mmi.service","params":{"service":7}}`:                 -32602,
				`{"jsonrpc":"2.0","id":1,"method":"mmi.service","params":["tea"]}`:                       -32602,
				`{"jsonrpc":"2.0","id":1,"method":"mmi.service","params":{"service":"coffee"}}`:          -32000,
				`{"jsonrpc":"2.0","id":{"x":1},"method":"mmi.service","params":{"service":"coffee"}}`:    0,
				`{"jsonrpc":"2.0","id":1,"method":"mmi.service","params":{"service":"coffee"},"id":"x"}`: 0,
			} {
				got := p.asks("mmi.service", body)
				require.Len(t, got, 1)
				if code == 0 {
					require.Equal(t, []string{"MDPC02", "\x03", "mmi.service", "404"}, got[0], "no JSON-RPC: the name of a service that nobody offers")
					continue
				}
				b.reply(got[0], code)
			}
			b.refusal(p.asks("mmi.coffee", `{"jsonrpc":"2.0","id":1,"method":"mmi.coffee"}`), -32601, false)
			require.Equal(t, [][]string{{"MDPC02", "\x03", "mmi.coffee", "501"}}, p.asks("mmi.coffee", "x"))
			require.Equal(t, [][]string{{"MDPC02", "\x03", "mmi.register", "400"}}, p.asks("mmi.register", "x", "y"))
			require.Equal(t, [][]string{{"MDPC02", "\x03", "mmi.coffee", ""}}, p.asks("mmi.coffee", `{"jsonrpc":"2.0","method":"mmi.coffee"}`))
			require.Zero(t, b.counted())
		}},
		{name: "reply that is no JSON-RPC", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().works(), b.dial()
			require.Empty(t, client.asks("tea", `{"jsonrpc":"2.0","id":1,"method":"tea.brew"}`))
			require.Empty(t, worker.finishes(worker.handed(), "a cup"))
			require.Equal(t, [][]string{{"MDPC02", "\x03", "tea", "a cup"}}, client.heard())
			require.Equal(t, mesh.Counts{Received: 1, Replied: 1}, b.counted())
		}},
	})
}

// badInputTea is a service of mesh that counts its cups.
type badInputTea struct {
	mu   sync.Mutex // guards cups
	cups int
}

type badInputOrder struct {
	Kind  string `json:"kind" enum:"black,green"`
	Sugar int    `json:"sugar" minimum:"0" maximum:"5" default:"1"`
	Notes []int  `json:"notes,omitempty"`
}

var badInputBrew = mesh.NewMethod[badInputOrder, int]("tea.brew")

func (s *badInputTea) brew(context.Context, badInputOrder) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cups++
	return s.cups, nil
}

func (s *badInputTea) brewed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cups
}

// serve starts a worker of mesh with the services tea and till.
func (b *badInputBed) serve(s *badInputTea) {
	tea := mesh.NewService("tea").Handle(badInputBrew.With(s.brew))
	till := mesh.NewService("till").HandleRaw("open", func(context.Context, json.RawMessage) (json.RawMessage, error) { return nil, nil })
	worker, err := mesh.NewWorker(mesh.WorkerConfig{Transport: b.net, Brokers: []transport.Endpoint{b.endpoint()}}, tea, till)
	require.NoError(b.t, err)
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(b.t.Context()) }()
	b.t.Cleanup(func() { require.ErrorIs(b.t, <-ended, context.Canceled) })
	<-worker.Ready()
}

func TestBadInputParameters(t *testing.T) {
	t.Parallel()
	// faulty returns a case in which parameters have those faults, and don't
	// reach the handler.
	faulty := func(name, params string, faults ...mesh.Fault) badInputCase {
		return badInputCase{name: name, run: func(t *testing.T, b *badInputBed) {
			tea := &badInputTea{}
			b.serve(tea)
			require.Equal(t, faults, b.dial().calls("tea.brew", params, -32602).Error.Data.Faults)
			require.Zero(t, tea.brewed())
			require.Equal(t, mesh.Counts{Received: 1, Failed: 1}, b.counted())
		}}
	}
	many := make([]mesh.Fault, 32)
	for i := range many {
		many[i] = mesh.Fault{Path: "/notes/" + strconv.Itoa(i), Message: "must be an integer, not a string"}
	}
	badInputRun(t, []badInputCase{
		faulty("faults", `,"params":{"kind":"red","sugar":-1,"notes":[1,"x"]}`,
			mesh.Fault{Path: "/kind", Message: `must be one of "black", "green"`},
			mesh.Fault{Path: "/sugar", Message: "must be at least 0"},
			mesh.Fault{Path: "/notes/1", Message: "must be an integer, not a string"}),
		faulty("none", ``, mesh.Fault{Path: "/kind", Message: "is required"}),
		faulty("array for an object", `,"params":["black"]`, mesh.Fault{Message: "must be an object, not an array"}),
		faulty("member twice", `,"params":{"kind":"black","k\u0069nd":"green"}`, mesh.Fault{Path: "/kind", Message: "stands there twice"}),
		faulty("nested too deep", `,"params":{"kind":"black","x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`,
			mesh.Fault{Path: "/x" + strings.Repeat("/0", 511), Message: "is nested deeper than 1000 levels"}),
		faulty("more faults than are told", `,"params":{"kind":"black","notes":["x"`+strings.Repeat(`,"x"`, 99)+`]}`, many...),
		{name: "unknown method", run: func(_ *testing.T, b *badInputBed) {
			b.serve(&badInputTea{})
			for _, method := range []string{"tea.pour", "brew", "tea.", ".brew", "", "tea.brew.twice"} {
				b.dial().calls(method, "", -32601)
			}
		}},
		{name: "method of another service", run: func(_ *testing.T, b *badInputBed) {
			b.serve(&badInputTea{})
			b.dial().calls("till.open", "", -32601)
		}},
	})
}

func TestBadInputNames(t *testing.T) {
	t.Parallel()
	bad := map[string]string{
		"empty": "", "too long": strings.Repeat("x", 256), "control character": "te\na", "not UTF-8": "te\xffa", "space of another kind": "te\u00a0a",
		"reserved": "mmi.tea",
	}
	badInputRun(t, []badInputCase{
		{name: "READY", run: func(t *testing.T, b *badInputBed) {
			for what, name := range bad {
				require.Equal(t, badInputDisconnect, b.dial().says("MDPW02", "\x01", name), what)
				require.Equal(t, [][]string{{"", "MDPW01", "\x05"}}, b.dial().says("", "MDPW01", "\x01", name), what)
			}
			require.Equal(t, mesh.Counts{Unexpected: uint64(2 * len(bad))}, b.counted())
		}},
		{name: "registration", run: func(t *testing.T, b *badInputBed) {
			for what, name := range bad {
				quoted, err := json.Marshal(name)
				require.NoError(t, err)
				worker, client := b.dial(), b.dial()
				got := worker.asks("mmi.register", `{"jsonrpc":"2.0","id":1,"method":"mmi.register","params":{"capacity":1,"services":[{"name":`+
					string(quoted)+`},{"name":"tea"}]}}`)
				require.Len(t, got, 1)
				var result struct {
					Refused []struct {
						Service string
						Code    int
						Reason  string
					}
				}
				require.NoError(t, json.Unmarshal(b.reply(got[0], 0).Result, &result))
				if what == "not UTF-8" {
					continue // JSON can't say it
				}
				require.Len(t, result.Refused, 1, what)
				require.Equal(t, name, result.Refused[0].Service)
				require.Equal(t, -32602, result.Refused[0].Code)
				require.NotEmpty(t, result.Refused[0].Reason)
				worker.works()
				require.Empty(t, client.asks("tea", "x"), "the other service is served")
				require.Empty(t, worker.finishes(worker.handed(), "y"))
				require.Len(t, client.heard(), 1)
				worker.says("MDPW02", "\x06")
			}
		}},
		{name: "registration that can't be taken", run: func(t *testing.T, b *badInputBed) {
			p := b.dial()
			for _, params := range []string{
				``, `,"params":[]`, `,"params":{}`, `,"params":{"capacity":1,"services":[]}`, `,"params":{"capacity":-1,"services":[{"name":"tea"}]}`,
				`,"params":{"capacity":1e99,"services":[{"name":"tea"}]}`, `,"params":{"capacity":1,"services":["tea"]}`,
			} {
				b.refusal(p.asks("mmi.register", `{"jsonrpc":"2.0","id":1,"method":"mmi.register"`+params+`}`), -32602, false)
			}
			require.Equal(t, [][]string{{"MDPW02", "\x06"}}, p.says("MDPW02", "\x01", "tea"), "it makes no plain worker")
			p = b.dial().works()
			b.refusal(p.asks("mmi.register", `{"jsonrpc":"2.0","id":1,"method":"mmi.register","params":{"capacity":1,"services":[{"name":"tea"}]}}`), -32600, false)
			require.Zero(t, b.counted())
		}},
		{name: "READY for a service that was not registered", run: func(t *testing.T, b *badInputBed) {
			p := b.dial()
			p.asks("mmi.register", `{"jsonrpc":"2.0","id":1,"method":"mmi.register","params":{"capacity":1,"services":[{"name":"tea"}]}}`)
			require.Equal(t, badInputDisconnect, p.says("MDPW02", "\x01", "coffee"))
			require.Equal(t, mesh.Counts{Unexpected: 1}, b.counted())
		}},
		{name: "request", run: func(t *testing.T, b *badInputBed) {
			for _, name := range []string{"", strings.Repeat("x", 256), "te\na", "te\xffa", "nobody"} {
				b.refusal(b.dial().asks(name, `{"jsonrpc":"2.0","id":1,"method":"tea.brew"}`), -32000, false)
			}
			require.Equal(t, mesh.Counts{Received: 5, Failed: 5}, b.counted())
		}},
		{name: "reserved method", run: func(_ *testing.T, b *badInputBed) {
			b.serve(&badInputTea{})
			b.dial().calls("rpc.cancel", "", -32601)
		}},
	})
}

func TestBadInputSizes(t *testing.T) {
	t.Parallel()
	small := mesh.BrokerConfig{Limits: mesh.Limits{MessageBytes: 1000, PartialBytes: 500}}
	large := strings.Repeat("x", 1000)
	const brew = `{"jsonrpc":"2.0","id":1,"method":"tea.brew"}`
	badInputRun(t, []badInputCase{
		{name: "request", cfg: small, run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().works(), b.dial()
			b.refusal(client.asks("tea", `{"jsonrpc":"2.0","id":1,"method":"tea.brew","params":{"x":"`+large+`"}}`), -32011, false)
			require.Empty(t, client.asks("tea", large))
			require.Empty(t, worker.heard())
			require.Equal(t, mesh.Counts{Received: 2, Failed: 2}, b.counted())
		}},
		{name: "reply", cfg: small, run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().works(), b.dial()
			for range 2 {
				require.Empty(t, client.asks("tea", brew))
				require.Empty(t, worker.finishes(worker.handed(), large), "the worker has room again")
				b.refusal(client.heard(), -32011, true)
			}
		}},
		{name: "part of a stream", cfg: small, run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().registers(), b.dial()
			require.Empty(t, client.asks("tea", brew))
			address := worker.handed()
			cancel := []string{"MDPW02", "\x02", address, "", `{"jsonrpc":"2.0","method":"rpc.cancel"}`}
			require.Equal(t, [][]string{cancel}, worker.says("MDPW02", "\x03", address, "", large))
			b.refusal(client.heard(), -32011, true)
			require.Empty(t, worker.finishes(address, "x"))
			require.Empty(t, client.heard())
			require.Equal(t, mesh.Counts{Received: 1, Failed: 1, Late: 1}, b.counted())
		}},
		{name: "stream for a client of 0.1", cfg: small, run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().registers(), b.dial()
			require.Empty(t, client.says("", "MDPC01", "tea", brew))
			address := worker.handed()
			part := strings.Repeat("x", 400)
			require.Empty(t, worker.says("MDPW02", "\x03", address, "", part))
			require.Len(t, worker.says("MDPW02", "\x03", address, "", part), 1, "it is told to stop")
			got := client.heard()
			require.Len(t, got, 1)
			require.Equal(t, []string{"", "MDPC01", "tea"}, got[0][:3])
			require.Contains(t, got[0][3], `"code":-32011`)
		}},
		{name: "queue", cfg: mesh.BrokerConfig{Service: mesh.ServiceLimits{Queued: 2}}, run: func(t *testing.T, b *badInputBed) {
			b.dial().works()
			client := b.dial()
			for range 3 { // one is handed over
				require.Empty(t, client.asks("tea", brew))
			}
			require.Positive(t, b.refusal(client.asks("tea", brew), -32002, false).Error.Data.RetryAfterMS)
			require.Empty(t, client.asks("tea", "opaque"))
			require.Equal(t, mesh.Counts{Received: 5, Failed: 2, Overloaded: 2}, b.counted())
		}},
		{name: "queue of one caller", cfg: mesh.BrokerConfig{Limits: mesh.Limits{CallerQueued: 1}}, run: func(t *testing.T, b *badInputBed) {
			b.dial().works()
			client := b.dial()
			require.Empty(t, client.asks("tea", brew))
			require.Empty(t, client.asks("tea", brew))
			b.refusal(client.asks("tea", brew), -32002, false)
			require.Empty(t, b.dial().asks("tea", brew), "others have room")
		}},
		{name: "services", cfg: mesh.BrokerConfig{Limits: mesh.Limits{Services: 1, WorkerServices: 2}}, run: func(t *testing.T, b *badInputBed) {
			b.dial().works()
			require.Equal(t, badInputDisconnect, b.dial().says("MDPW02", "\x01", "coffee"))
			p := b.dial()
			got := p.asks("mmi.register", `{"jsonrpc":"2.0","id":1,"method":"mmi.register","params":{"capacity":1,"services":[{"name":"tea"},{"name":"coffee"}]}}`)
			require.Contains(t, got[0][3], `"refused":[{"service":"coffee","code":-32002`)
			b.refusal(p.asks("mmi.register", `{"jsonrpc":"2.0","id":1,"method":"mmi.register","params":{"capacity":1,"services":[{},{},{}]}}`), -32602, false)
		}},
		{name: "capacity", cfg: mesh.BrokerConfig{Limits: mesh.Limits{WorkerCapacity: 2}}, run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().registers(), b.dial()
			for range 4 {
				client.asks("tea", brew)
			}
			require.Len(t, worker.heard(), 2)
		}},
	})
}

func TestBadInputLate(t *testing.T) {
	t.Parallel()
	const brew = `{"jsonrpc":"2.0","id":1,"method":"tea.brew"}`
	badInputRun(t, []badInputCase{
		{name: "reply after the deadline", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().registers(), b.dial()
			require.Empty(t, client.asks("tea", `{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{"timeout_ms":100}}`))
			address := worker.handed()
			<-time.After(time.Second)
			b.refusal(client.heard(), -32003, true)
			require.Equal(t, [][]string{{"MDPW02", "\x02", address, "", `{"jsonrpc":"2.0","method":"rpc.cancel"}`}}, worker.heard())
			require.Empty(t, worker.says("MDPW02", "\x03", address, "", "x"))
			require.Empty(t, worker.finishes(address, "x"))
			require.Empty(t, client.heard())
			require.Equal(t, mesh.Counts{Received: 1, TimedOut: 1, Late: 2}, b.counted())
		}},
		{name: "reply after a cancel", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().works(), b.dial()
			require.Empty(t, client.asks("tea", brew))
			address := worker.handed()
			got := client.asks("mmi.cancel", `{"jsonrpc":"2.0","method":"mmi.cancel","params":{"id":1}}`)
			require.Len(t, got, 2)
			b.refusal(got[:1], -32005, true)
			require.Empty(t, worker.heard(), "a plain worker can't be told")
			require.Empty(t, client.asks("tea", "next"))
			require.Empty(t, worker.heard(), "it is still busy")
			require.Len(t, worker.finishes(address, "x"), 1, "now it has the next")
			require.Empty(t, client.heard())
			require.Equal(t, mesh.Counts{Received: 2, Cancelled: 1, Late: 1}, b.counted())
		}},
		{name: "reply to a caller that is gone", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().registers(), b.dial()
			require.Empty(t, client.asks("tea", brew))
			address := worker.handed()
			require.NoError(t, client.conn.Close())
			require.Equal(t, [][]string{{"MDPW02", "\x02", address, "", `{"jsonrpc":"2.0","method":"rpc.cancel"}`}}, worker.heard())
			require.Empty(t, worker.finishes(address, "x"))
			require.Equal(t, mesh.Counts{Received: 1, Cancelled: 1, Late: 1}, b.counted())
		}},
		{name: "second FINAL", run: func(t *testing.T, b *badInputBed) {
			for _, again := range []string{"\x04", "\x03"} { // a PARTIAL behind it, too
				worker, client := b.dial().works(), b.dial()
				require.Empty(t, client.asks("tea", brew))
				address := worker.handed()
				require.Empty(t, worker.finishes(address, "x"))
				require.Len(t, client.heard(), 1)
				for range 3 {
					require.Empty(t, worker.says("MDPW02", again, address, "", "x"))
				}
				require.Equal(t, badInputDisconnect, worker.says("MDPW02", again, address, "", "x"))
				require.Empty(t, client.heard())
				require.Equal(t, mesh.Counts{Received: 1, Replied: 1, Strays: 4, Unexpected: 1}, b.counted())
			}
		}},
		{name: "reply to nobody after a good one", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().works(), b.dial()
			for range 5 { // each FINAL makes up for the stray before it
				require.Empty(t, client.asks("tea", brew))
				require.Empty(t, worker.finishes(worker.handed(), "x"))
				require.Empty(t, worker.says("MDPW02", "\x03", "undefined", "", ""))
				require.Len(t, client.heard(), 1)
			}
			require.Equal(t, mesh.Counts{Received: 5, Replied: 5, Strays: 5}, b.counted())
		}},
		{name: "keyed request twice", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().registers(), b.dial()
			keyed := func(id int) string {
				return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tea.brew","meta":{"key":"k"}}`, id)
			}
			require.Empty(t, client.asks("tea", keyed(1)))
			require.Empty(t, client.asks("tea", keyed(2)), "it joins")
			require.Empty(t, worker.finishes(worker.handed(), `{"jsonrpc":"2.0","id":1,"result":5}`))
			require.Equal(t, [][]string{
				{"MDPC02", "\x03", "tea", `{"jsonrpc":"2.0","id":1,"result":5}`}, {"MDPC02", "\x03", "tea", `{"jsonrpc":"2.0","id":2,"result":5}`},
			}, client.heard())
			require.Equal(t, [][]string{{"MDPC02", "\x03", "tea", `{"jsonrpc":"2.0","id":3,"result":5}`}}, client.asks("tea", keyed(3)))
			require.Empty(t, worker.heard(), "it runs once")
			require.Equal(t, mesh.Counts{Received: 3, Replied: 3, Repeats: 2}, b.counted())
		}},
		{name: "key with other parameters", run: func(t *testing.T, b *badInputBed) {
			b.dial().registers()
			client := b.dial()
			require.Empty(t, client.asks("tea", `{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{"key":"k"},"params":[1]}`))
			b.refusal(client.asks("tea", `{"jsonrpc":"2.0","id":2,"method":"tea.brew","meta":{"key":"k"},"params":[ 1]}`), -32010, false)
		}},
		{name: "repeat that nobody remembers", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().registers(), b.dial()
			got := client.asks("tea", `{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{"key":"k","attempt":2}}`)
			require.Len(t, got, 1)
			b.reply(got[0], -32009)
			require.Empty(t, worker.heard())
		}},
		{name: "id twice", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().registers(), b.dial()
			require.Empty(t, client.asks("tea", brew))
			require.Empty(t, client.asks("tea", brew))
			got := worker.heard()
			require.Len(t, got, 2)
			require.Empty(t, worker.finishes(got[1][2], "second"))
			require.Empty(t, worker.finishes(got[0][2], "first"))
			require.Equal(t, [][]string{{"MDPC02", "\x03", "tea", "second"}, {"MDPC02", "\x03", "tea", "first"}}, client.heard())
		}},
		{name: "registration twice", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().registers(), b.dial()
			require.Empty(t, client.asks("tea", brew))
			address := worker.handed()
			got := worker.asks("mmi.register", `{"jsonrpc":"2.0","id":2,"method":"mmi.register","params":{"capacity":0,"services":[{"name":"coffee"}]}}`)
			require.Len(t, got, 1)
			b.reply(got[0], 0)
			require.Empty(t, worker.finishes(address, "x"), "what runs goes on")
			require.Len(t, client.heard(), 1)
			require.Equal(t, [][]string{{"MDPC02", "\x03", "mmi.service", "404"}}, client.asks("mmi.service", "tea"))
			require.Equal(t, [][]string{{"MDPC02", "\x03", "mmi.service", "200"}}, client.asks("mmi.service", "coffee"))
		}},
		{name: "cancel or credit for nothing", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().registers(), b.dial()
			require.Empty(t, client.asks("tea", brew))
			worker.handed()
			for _, params := range []string{`{"id":2,"n":1}`, `{"id":1.0,"n":1}`, `{"id":"1","n":1}`, `{}`} {
				for _, name := range []string{"mmi.cancel", "mmi.credit"} {
					got := client.asks(name, `{"jsonrpc":"2.0","id":9,"method":"`+name+`","params":`+params+`}`)
					require.Len(t, got, 1)
					b.reply(got[0], -32013)
				}
			}
			other := b.dial()
			require.Len(t, other.asks("mmi.cancel", `{"jsonrpc":"2.0","method":"mmi.cancel","params":{"id":1}}`), 1, "a request of another connection")
			require.Empty(t, client.heard())
			require.Empty(t, worker.heard())
		}},
		{name: "request whose time is over", run: func(t *testing.T, b *badInputBed) {
			worker, client := b.dial().registers(), b.dial()
			b.refusal(client.asks("tea", `{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{"timeout_ms":0}}`), -32003, false)
			require.Empty(t, worker.heard())
			require.Equal(t, mesh.Counts{Received: 1, TimedOut: 1}, b.counted())
		}},
	})
}
