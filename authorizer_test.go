package mesh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// authRules is an Authorizer whose rules are lines such as "web register tea",
// "web call tea" (all of it), "web call tea.brew" or "web see".
type authRules struct {
	mu       sync.Mutex // guards what follows
	rules    map[string]bool
	byMethod map[string]bool // by service
	asked    []string
}

func newAuthRules(rules ...string) *authRules {
	a := new(authRules)
	a.set(rules...)
	return a
}

// set replaces the rules.
func (a *authRules) set(rules ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rules, a.byMethod = make(map[string]bool), make(map[string]bool)
	for _, r := range rules {
		a.rules[r] = true
		fields := bytes.Fields([]byte(r))
		if service, _, ok := bytes.Cut(fields[len(fields)-1], []byte(".")); ok {
			a.byMethod[string(service)] = true
		}
	}
}

func (a *authRules) Allow(who transport.Identity, right mesh.Right, service, method []byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	rule := who.Name + " " + right.String()
	a.asked = append(a.asked, rule+" "+string(service)+" "+string(method))
	if len(service) == 0 {
		return a.rules[rule]
	}
	return a.rules[rule] || a.rules[rule+" "+string(service)] || bytes.HasPrefix(method, append(service, '.')) && a.rules[rule+" "+string(method)]
}

// Partly says whether there is a rule of one service, such as "web see tea".
func (a *authRules) Partly(who transport.Identity, right mesh.Right) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for rule := range a.rules {
		if strings.HasPrefix(rule, who.Name+" "+right.String()+" ") {
			return true
		}
	}
	return false
}

func (a *authRules) ByMethod(service []byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.byMethod[string(service)]
}

// log returns what was asked since it was called last.
func (a *authRules) log() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked := a.asked
	a.asked = nil
	return asked
}

// authStart starts a broker that goes by the rules, with a worker "kitchen", which
// may register, of services with a method "say" that returns its parameters.
func authStart(t *testing.T, rules *authRules, services ...string) *hub {
	t.Helper()
	h := hubStart(t, mesh.BrokerConfig{Authorizer: rules})
	synctest.Wait() // until it listens
	if len(services) == 0 {
		return h
	}
	var all []*mesh.Service
	for _, name := range services {
		say := func(_ context.Context, params json.RawMessage) (json.RawMessage, error) { return params, nil }
		all = append(all, mesh.NewService(name).HandleRaw("say", say).HandleRaw("admin", say))
	}
	h.worker(mesh.WorkerConfig{Transport: h.net.As("kitchen")}, all...)
	return h
}

func (h *hub) clientAs(name string) *mesh.Client {
	h.t.Helper()
	return h.clientOf(mesh.ClientConfig{Transport: h.net.As(name), Retry: mesh.Retry{Attempts: 1}})
}

// authCalls calls a method, and reports whether that was permitted.
func authCalls(t *testing.T, c *mesh.Client, method string) bool {
	t.Helper()
	result, err := c.CallRaw(t.Context(), method, []byte(`[1]`))
	if err == nil {
		require.JSONEq(t, `[1]`, string(result))
		return true
	}
	require.ErrorIs(t, err, mesh.ErrNotPermitted)
	var refused *mesh.Error
	require.ErrorAs(t, err, &refused)
	require.False(t, refused.HandedOver)
	require.False(t, refused.Local)
	return false
}

func TestRightString(t *testing.T) {
	t.Parallel()
	for right, want := range map[mesh.Right]string{
		mesh.RightRegister: "register", mesh.RightCall: "call", mesh.RightSee: "see", mesh.RightOperate: "operate", 0: "unknown", 5: "unknown",
	} {
		require.Equal(t, want, right.String())
	}
}

func TestAuthorizerRegister(t *testing.T) {
	t.Parallel()
	hubRun(t, "one service of two", func(t *testing.T) {
		rules := newAuthRules("kitchen register tea", "web call tea", "web call till")
		h := authStart(t, rules, "till", "tea")
		require.Contains(t, h.log.String(), `the broker refused service \"till\": not permitted to register this service`)
		c := h.clientAs("web")
		require.True(t, authCalls(t, c, "tea.say"), "the other one is served")
		<-time.After(time.Minute)
		_, err := c.CallRaw(t.Context(), "till.say", nil)
		require.ErrorIs(t, err, mesh.ErrNoService)
		require.Contains(t, rules.log(), "kitchen register till ")
		for _, ev := range h.events.list(mesh.EventWorkerJoined) {
			require.Equal(t, "tea", ev.Service)
			require.Equal(t, "kitchen", ev.Worker)
		}
	})
	hubRun(t, "plain worker", func(t *testing.T) {
		h := authStart(t, newAuthRules("kitchen register tea"))
		stranger := h.peer()
		stranger.works("tea")
		require.Equal(t, [][]byte{[]byte("MDPW02"), {6}}, [][]byte(stranger.next()), "DISCONNECT")
		require.Empty(t, h.snapshot().Workers)
		h.peerOver(h.net.As("kitchen")).works("tea")
		require.Len(t, h.snapshot().Workers, 1)
	})
	hubRun(t, "right that was taken away", func(t *testing.T) {
		rules := newAuthRules("kitchen register tea", "web call tea", "boss operate")
		h := authStart(t, rules, "tea")
		rules.set("web call tea", "boss operate")
		require.True(t, authCalls(t, h.clientAs("web"), "tea.say"), "what was registered stays")
		instance := h.snapshot().Workers[0].Instance
		boss := h.peerOver(h.net.As("boss"))
		boss.asks("mmi.disconnect", `{"jsonrpc":"2.0","id":1,"method":"mmi.disconnect","params":{"worker":"`+instance+`"}}`)
		require.JSONEq(t, `{"jsonrpc":"2.0","id":1,"result":{}}`, string(boss.final()))
		<-time.After(time.Minute)
		require.Empty(t, h.snapshot().Services[0].Workers, "it comes back, and is refused")
	})
}

func TestAuthorizerCall(t *testing.T) {
	t.Parallel()
	hubRun(t, "by service", func(t *testing.T) {
		rules := newAuthRules("kitchen register tea", "kitchen register till", "web call tea")
		h := authStart(t, rules, "tea", "till")
		web, other, nobody := h.clientAs("web"), h.clientAs("other"), h.client()
		require.True(t, authCalls(t, web, "tea.say"))
		require.True(t, authCalls(t, web, "tea.admin"))
		require.False(t, authCalls(t, web, "till.say"))
		require.False(t, authCalls(t, other, "tea.say"))
		require.False(t, authCalls(t, nobody, "tea.say"))
		require.False(t, authCalls(t, web, "unknown.say"), "who may not call it isn't told that nobody offers it")
		require.Contains(t, rules.log(), "web call tea ", "no method is told where rights don't go by it")
	})
	hubRun(t, "by method", func(t *testing.T) {
		rules := newAuthRules("kitchen register tea", "kitchen register till", "web call tea.say", "web call till")
		h := authStart(t, rules, "tea", "till")
		web := h.clientAs("web")
		require.True(t, authCalls(t, web, "tea.say"))
		require.False(t, authCalls(t, web, "tea.admin"))
		require.True(t, authCalls(t, web, "till.admin"))
		require.Contains(t, rules.log(), "web call tea tea.admin")
		require.NoError(t, web.Notify(t.Context(), "tea.say", nil))
		synctest.Wait()
		require.Len(t, h.events.list(mesh.EventReplied), 3)
		err := web.Notify(t.Context(), "tea.admin", nil)
		require.NoError(t, err, "nothing tells a notification's sender")
		synctest.Wait()
		require.Len(t, h.events.list(mesh.EventReplied), 3)
	})
	hubRun(t, "rules that change", func(t *testing.T) {
		rules := newAuthRules("kitchen register tea")
		h := authStart(t, rules, "tea")
		web := h.clientAs("web")
		for range 3 {
			require.False(t, authCalls(t, web, "tea.say"))
			rules.set("web call tea.say")
			require.True(t, authCalls(t, web, "tea.say"))
			require.False(t, authCalls(t, web, "tea.admin"))
			rules.set("web call tea")
			require.True(t, authCalls(t, web, "tea.admin"))
			rules.set()
		}
	})
	hubRun(t, "keyed repeat", func(t *testing.T) {
		rules := newAuthRules("kitchen register tea", "web call tea", "other call tea")
		h := authStart(t, rules, "tea")
		const body = `{"jsonrpc":"2.0","id":1,"method":"tea.say","meta":{"key":"k"},"params":[1]}`
		web := h.peerOver(h.net.As("web"))
		web.asks("tea", body)
		require.JSONEq(t, `{"jsonrpc":"2.0","id":1,"result":[1]}`, string(web.final()))
		rules.set("other call tea")
		web.asks("tea", body)
		require.Equal(t, mesh.CodeNotPermitted, web.refused(), "a kept outcome is no way around the rules")
	})
}

// Whatever a peer puts into its body, no worker is handed a call of a method that
// the peer may not call, as any reader of that body may understand it.
func TestAuthorizerSmuggling(t *testing.T) {
	t.Parallel()
	// The caller may call tea.say and all of till. Each body is sent to tea.
	for name, bodies := range map[string][][]string{
		"two methods": {
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","method":"tea.admin"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.admin","method":"tea.say"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","meta":{},"params":[1],"method":"tea.admin"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","params":{"method":"tea.admin"},"method":"tea.admin"}`},
		},
		"two methods, one with escapes": {
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","\u006dethod":"tea.admin"}`},
			{`{"jsonrpc":"2.0","id":1,"m\u0065thod":"tea.admin","meta":{},"params":[1],"method":"tea.say"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","meta":{},"params":[1],"metho\u0064":"tea.admin"}`},
		},
		"two methods to those who ignore case": {
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","Method":"tea.admin"}`},
			{`{"jsonrpc":"2.0","id":1,"METHOD":"tea.admin","method":"tea.say"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","meta":{},"params":[1],"M\u0065thod":"tea.admin"}`},
		},
		"the same by escapes": {
			{`{"jsonrpc":"2.0","id":1,"m\u0065thod":"tea.\u0061dmin"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say\u0000.admin"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea\u002eadmin"}`},
		},
		"other members twice": {
			{`{"jsonrpc":"2.0","id":1,"id":2,"method":"tea.say"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","meta":{},"params":[1],"params":[2]}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","meta":{},"meta":{},"params":[1]}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","meta":{},"params":[1],"result":1}`},
		},
		"byte-order mark": {
			{"\ufeff" + `{"jsonrpc":"2.0","id":1,"method":"tea.say"}`},
			{"\xff\xfe{\x00}\x00"},
		},
		"batch": {
			{`[{"jsonrpc":"2.0","id":1,"method":"tea.say"},{"jsonrpc":"2.0","id":2,"method":"tea.admin"}]`},
			{`[{"jsonrpc":"2.0","id":1,"method":"tea.say"}]`},
			{`[]`},
		},
		"two documents": {
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say"}{"jsonrpc":"2.0","id":2,"method":"tea.admin"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","meta":{},"params":[1]} x`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say"}`, `{"jsonrpc":"2.0","id":2,"method":"tea.admin"}`},
			{"", `{"jsonrpc":"2.0","id":2,"method":"tea.admin"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say"}`, ""},
		},
		"cut": {
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","meta":{},"params":[1]`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say","meta":{},"params":[`},
		},
		"no request": {
			{"tea.say"}, {""}, {"{}"}, {`null`}, {`{"jsonrpc":"2.0","id":1,"result":1}`}, {`{"jsonrpc":"2.0","id":1}`},
			{`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"tea.say"}}`}, {`{"jsonrpc":"1.0","id":1,"method":"tea.say"}`},
			{`{"jsonrpc":"2.0","id":1,"method":["tea.say"]}`}, {`{"jsonrpc":"2.0","id":1,"method":null}`},
		},
		"method of another service": {
			{`{"jsonrpc":"2.0","id":1,"method":"till.say"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"till.tea.say"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say.say"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"say"}`},
			{`{"jsonrpc":"2.0","id":1,"method":".say"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea."}`},
			{`{"jsonrpc":"2.0","id":1,"method":""}`},
			{`{"jsonrpc":"2.0","method":"rpc.cancel"}`},
		},
		"nearly the method": {
			{`{"jsonrpc":"2.0","id":1,"method":"tea.Say"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.say "}`},
			{`{"jsonrpc":"2.0","id":1,"method":" tea.say"}`},
			{`{"jsonrpc":"2.0","id":1,"method":"tea.sa\u0443"}`},
		},
	} {
		hubRun(t, name, func(t *testing.T) {
			rules := newAuthRules("kitchen register tea", "web call tea.say", "web call till")
			h := authStart(t, rules)
			worker := h.peerOver(h.net.As("kitchen"))
			worker.works("tea")
			web := h.peerOver(h.net.As("web"))
			for i, body := range bodies {
				web.asks("tea", body...)
				require.True(t, worker.silent(), "%q", body)
				failed := h.events.list(mesh.EventFailed)
				require.Len(t, failed, i+1)
				require.Equal(t, mesh.CodeNotPermitted, failed[i].Code)
				require.Zero(t, failed[i].Attempt)
				require.Equal(t, failed[i].Method, h.events.list(mesh.EventReceived)[i].Method, "a body is understood once")
			}
			web.asks("tea", `{"jsonrpc":"2.0","id":1,"method":"tea.say","params":{"method":"tea.admin"}}`)
			require.Contains(t, string(worker.handed().Body[0]), "tea.say", "what is permitted isn't held up by that")
		})
	}
	hubRun(t, "where rights go by service", func(t *testing.T) {
		h := authStart(t, newAuthRules("kitchen register tea", "web call tea"))
		worker := h.peerOver(h.net.As("kitchen"))
		worker.works("tea")
		web := h.peerOver(h.net.As("web"))
		web.asks("tea", "opaque", "two frames")
		require.Equal(t, hubFrames("opaque", "two frames"), worker.handed().Body)
		web.asks("till", "opaque")
		require.True(t, web.silent())
		require.Len(t, h.events.list(mesh.EventFailed), 1, "refused, though nobody can be told")
	})
}

func TestAuthorizerSee(t *testing.T) {
	t.Parallel()
	hubRun(t, "by right", func(t *testing.T) {
		rules := newAuthRules("kitchen register tea", "boss see")
		h := authStart(t, rules, "tea")
		boss, web := h.peerOver(h.net.As("boss")), h.peerOver(h.net.As("web"))
		rules.log()
		for _, ask := range []struct{ name, params, service string }{
			{"mmi.services", `{}`, ""}, {"mmi.services", `{"service":"tea"}`, "tea"}, {"mmi.status", `{}`, ""},
			{"mmi.status", `{"service":"tea"}`, ""}, // it shows all, whatever the asker calls a service
		} {
			body := `{"jsonrpc":"2.0","id":1,"method":"` + ask.name + `","params":` + ask.params + `}`
			web.asks(ask.name, body)
			require.Equal(t, mesh.CodeNotPermitted, web.refused(), ask)
			require.Equal(t, []string{"web see " + ask.service + " "}, rules.log())
			boss.asks(ask.name, body)
			require.Contains(t, string(boss.final()), `"result"`, ask)
			rules.log()
		}
		web.asks("mmi.status", "")
		require.Equal(t, "403", string(web.final()))
		rules.log()
		for _, name := range []string{"mmi.ping", "mmi.service"} { // they are everybody's
			web.asks(name, `{"jsonrpc":"2.0","id":1,"method":"`+name+`","params":{"service":"tea"}}`)
			require.Contains(t, string(web.final()), `"result"`)
		}
		require.Empty(t, rules.log())
	})
	hubRun(t, "by service", func(t *testing.T) {
		h := authStart(t, newAuthRules("kitchen register tea", "kitchen register till", "web see tea"), "tea", "till")
		web := h.clientAs("web")
		_, err := web.Describe(t.Context(), "tea")
		require.NoError(t, err)
		_, err = web.Describe(t.Context(), "till")
		require.ErrorIs(t, err, mesh.ErrNotPermitted)
		all, err := web.Services(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, "tea", all[0].Name)
		s, err := web.Status(t.Context())
		require.NoError(t, err)
		require.True(t, s.Partial)
		require.Equal(t, []string{"tea"}, s.Workers[0].Services)
		require.False(t, h.snapshot().Partial)
	})
}

func TestAuthorizerOperate(t *testing.T) {
	t.Parallel()
	requests := []struct{ name, params, service string }{
		{"mmi.pause", `{"service":"tea"}`, "tea"}, {"mmi.resume", `{"service":"tea"}`, "tea"}, {"mmi.drain", `{"worker":"k","service":"tea"}`, ""},
		{"mmi.disconnect", `{"worker":"k"}`, ""}, {"mmi.release", `{"request":1}`, ""}, {"mmi.drop", `{"request":1,"service":"tea"}`, ""},
		{"mmi.cancel", `{"request":1,"service":"tea"}`, ""},
	}
	hubRun(t, "by right", func(t *testing.T) {
		rules := newAuthRules("kitchen register tea", "boss operate", "web see", "web call tea")
		h := authStart(t, rules, "tea")
		boss, web, nobody := h.peerOver(h.net.As("boss")), h.peerOver(h.net.As("web")), h.peer()
		for _, ask := range requests {
			body := `{"jsonrpc":"2.0","id":1,"method":"` + ask.name + `","params":` + ask.params + `}`
			for _, p := range []*hubPeer{web, nobody} {
				p.asks(ask.name, body)
				require.Equal(t, mesh.CodeNotPermitted, p.refused(), "also in process: the Authorizer decides")
			}
			rules.log()
			boss.asks(ask.name, body)
			require.NotContains(t, string(boss.final()), "not permitted", ask)
			require.Equal(t, []string{"boss operate " + ask.service + " "}, rules.log())
			require.Equal(t, ask.name == "mmi.pause", h.snapshot().Services[0].Paused)
		}
	})
	hubRun(t, "by service", func(t *testing.T) {
		h := authStart(t, newAuthRules("kitchen register tea", "kitchen register till", "web operate tea"), "tea", "till")
		web := h.clientAs("web")
		require.NoError(t, web.Pause(t.Context(), "tea"))
		require.NoError(t, web.Resume(t.Context(), "tea"))
		require.ErrorIs(t, web.Pause(t.Context(), "till"), mesh.ErrNotPermitted)
		require.ErrorIs(t, web.DrainWorker(t.Context(), h.snapshot().Workers[0].Instance), mesh.ErrNotPermitted, "it has another service")
		require.ErrorIs(t, web.DrainWorker(t.Context(), "k"), mesh.ErrNotFound)
	})
	hubRun(t, "without an Authorizer", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, hubEcho())
		p := h.peer()
		p.asks("mmi.pause", `{"jsonrpc":"2.0","id":1,"method":"mmi.pause","params":{"service":"echo"}}`)
		require.JSONEq(t, `{"jsonrpc":"2.0","id":1,"result":{}}`, string(p.final()), "who is in the process may")
	})
	for _, allowed := range []bool{false, true} {
		name := "from outside without an Authorizer"
		if allowed {
			name += ", with AllowOperate"
		}
		hubRun(t, name, func(t *testing.T) {
			h := &hub{t: t, net: inproc.New(inproc.Config{}), log: new(hubLog), events: new(hubEvents)}
			h.broker = hubBroker(t, mesh.BrokerConfig{AllowOperate: allowed})
			go func() { _ = h.broker.Serve(context.Background(), authFar{h.listen(hubAddr)}) }()
			t.Cleanup(func() { _ = h.broker.Shutdown(hubOver()) })
			synctest.Wait()
			h.worker(mesh.WorkerConfig{}, hubEcho())
			p := h.peer()
			p.asks("mmi.pause", `{"jsonrpc":"2.0","id":1,"method":"mmi.pause","params":{"service":"echo"}}`)
			if allowed {
				require.JSONEq(t, `{"jsonrpc":"2.0","id":1,"result":{}}`, string(p.final()))
			} else {
				require.Equal(t, mesh.CodeNotPermitted, p.refused())
			}
			p.asks("mmi.status", `{"jsonrpc":"2.0","id":1,"method":"mmi.status"}`)
			require.Contains(t, string(p.final()), `"result"`, "all may see")
		})
	}
}

// authFar is a listener whose peers aren't in this process.
type authFar struct{ transport.Listener }

func (l authFar) Serve(ctx context.Context, accept func(transport.Peer) transport.Receiver) error {
	return l.Listener.Serve(ctx, func(p transport.Peer) transport.Receiver { return accept(authFarPeer{p}) })
}

type authFarPeer struct{ transport.Peer }

func (p authFarPeer) Identity() transport.Identity {
	id := p.Peer.Identity()
	id.Local = false
	return id
}

// The broker records who called by what the transport vouches for, and tells the
// worker the same.
func TestAuthorizerEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{Authorizer: newAuthRules("kitchen register who", "web call who")})
		who := mesh.NewService("who").HandleRaw("am", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
			info, _ := mesh.RequestFrom(ctx)
			return json.Marshal([]string{info.Caller, info.Claimed})
		})
		h.worker(mesh.WorkerConfig{Transport: h.net.As("kitchen")}, who)
		for name, permitted := range map[string]bool{"web": true, "boss": false, "": false} {
			c := h.clientOf(mesh.ClientConfig{Transport: h.net.As(name), Name: "boss", Retry: mesh.Retry{Attempts: 1}})
			result, err := c.CallRaw(t.Context(), "who.am", nil)
			if permitted {
				require.NoError(t, err)
				require.JSONEq(t, `["web","boss"]`, string(result))
			} else {
				require.ErrorIs(t, err, mesh.ErrNotPermitted)
			}
			for _, ev := range h.events.list(mesh.EventReceived, mesh.EventDispatched, mesh.EventReplied, mesh.EventFailed) {
				require.Equal(t, name, ev.Caller)
				require.Equal(t, "boss", string(ev.Claimed))
				require.NotEmpty(t, ev.CallerAddr)
			}
			h.events.mu.Lock()
			h.events.all = nil
			h.events.mu.Unlock()
		}
	})
}
