package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/mdp"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// seeker is a discovery that says what a test wants.
type seeker struct {
	first []transport.Endpoint
	found chan []transport.Endpoint
	fail  chan error
	begun atomic.Int32 // Watch was called
	ended atomic.Int32 // Watch has returned
}

func newSeeker(first ...transport.Endpoint) *seeker {
	return &seeker{first: first, found: make(chan []transport.Endpoint), fail: make(chan error)}
}

func (s *seeker) Watch(ctx context.Context, found func([]transport.Endpoint)) error {
	s.begun.Add(1)
	defer s.ended.Add(1)
	found(s.first)
	for {
		select {
		case next := <-s.found:
			found(next)
		case err := <-s.fail:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// manyBrokers are brokers of a test with a worker each, which says where it is.
type manyBrokers struct {
	t       *testing.T
	network *inproc.Network
	at      map[string]*mesh.Mesh
}

func newManyBrokers(t *testing.T, names ...string) *manyBrokers {
	t.Helper()
	m := &manyBrokers{t: t, network: inproc.New(inproc.Config{}), at: make(map[string]*mesh.Mesh)}
	for _, name := range names {
		m.start(name)
	}
	return m
}

func (m *manyBrokers) start(name string) {
	m.t.Helper()
	who := mesh.NewService("who").HandleRaw("am", func(context.Context, json.RawMessage) (json.RawMessage, error) {
		return json.RawMessage(`"` + name + `"`), nil
	})
	b, err := mesh.Start(m.t.Context(), mesh.Config{
		Transport: m.network, Listen: []string{"inproc://" + name}, Broker: mesh.BrokerConfig{ID: name},
	}, who)
	require.NoError(m.t, err)
	m.at[name] = b
	m.t.Cleanup(func() { _ = b.Stop(context.Background()) })
}

func manyEndpoints(names ...string) []transport.Endpoint {
	var all []transport.Endpoint
	for _, name := range names {
		all = append(all, transport.Endpoint{Addr: "inproc://" + name})
	}
	return all
}

// ask returns how often each broker's worker answered n calls.
func (m *manyBrokers) ask(c *mesh.Client, n int) map[string]int {
	m.t.Helper()
	asked := make(map[string]int)
	for range n {
		var who string
		require.NoError(m.t, c.Call(m.t.Context(), "who.am", nil, &who))
		asked[who]++
	}
	return asked
}

// manyStates returns the states of the brokers that a client knows, by address.
func manyStates(c *mesh.Client) map[string]mesh.BrokerState {
	states := make(map[string]mesh.BrokerState)
	for _, b := range c.Snapshot().Brokers {
		states[strings.TrimPrefix(b.Addr, "inproc://")] = b.State
	}
	return states
}

func TestClientFindsBrokers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newManyBrokers(t, "a", "b", "c")
		find := newSeeker()
		c := callDial(t, mesh.ClientConfig{Transport: m.network, Discovery: find})
		require.Empty(t, c.Snapshot().Brokers)
		<-time.After(time.Minute)
		require.Zero(t, find.begun.Load(), "there is no need yet")

		start := time.Now()
		err := c.Call(t.Context(), "who.am", nil, nil, mesh.Timeout(2*time.Second))
		require.ErrorIs(t, err, mesh.ErrTimeout)
		require.ErrorContains(t, err, "no broker serves: none is known")
		require.False(t, callError(t, err).HandedOver)
		require.Equal(t, 2*time.Second, time.Since(start))

		waits := hubCall(t.Context(), c, "who.am", "null")
		synctest.Wait()
		find.found <- manyEndpoints("b")
		require.Equal(t, `"b"`, (<-waits).result)
		find.found <- manyEndpoints("a", "b", "c")
		synctest.Wait()
		require.Len(t, m.ask(c, 100), 3)
		require.Equal(t, map[string]mesh.BrokerState{"b": "serving", "a": "serving", "c": "serving"}, manyStates(c))

		// One that is gone from discovery serves on for as long as it does.
		find.found <- manyEndpoints("a", "c")
		synctest.Wait()
		require.Len(t, m.ask(c, 100), 3)
		require.NoError(t, m.at["b"].Stop(t.Context()))
		require.Len(t, m.ask(c, 100), 2)
		require.Equal(t, map[string]mesh.BrokerState{"a": "serving", "c": "serving"}, manyStates(c))
		require.EqualValues(t, 1, find.begun.Load())
	})
}

// What serves on after discovery has forgotten it keeps its name, whatever comes and
// goes meanwhile.
func TestClientKeepsWhoItIsConnectedTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newManyBrokers(t, "a")
		find := newSeeker(manyEndpoints("a")...)
		c := callDial(t, mesh.ClientConfig{Transport: m.network, Discovery: find})
		m.ask(c, 1)
		for i := range 20 {
			name := fmt.Sprintf("nobody%d", i)
			find.found <- manyEndpoints(name)
			<-time.After(time.Second)
			require.Equal(t, map[string]mesh.BrokerState{"a": "serving", name: "resting"}, manyStates(c))
		}
		m.ask(c, 1)
	})
}

func TestClientKnowsBrokersAndFindsMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newManyBrokers(t, "a", "b")
		find := newSeeker(manyEndpoints("b", "a")...)
		c := callDial(t, mesh.ClientConfig{Transport: m.network, Brokers: manyEndpoints("a"), Discovery: find})
		m.ask(c, 1)
		synctest.Wait()
		require.Equal(t, map[string]mesh.BrokerState{"a": "serving", "b": "serving"}, manyStates(c))
		find.found <- nil
		synctest.Wait()
		require.NoError(t, m.at["a"].Stop(t.Context()))
		require.NoError(t, m.at["b"].Stop(t.Context()))
		<-time.After(time.Second)
		require.Equal(t, map[string]mesh.BrokerState{"a": "resting"}, manyStates(c), "what is in the config is always known")
	})
}

func TestClientWithoutDiscovery(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"no interfaces": errors.New("no interfaces"),
		"the discovery": nil, // it just returns
	} {
		hubRun(t, name, func(t *testing.T) {
			network := inproc.New(inproc.Config{})
			find := newSeeker()
			c := callDial(t, mesh.ClientConfig{Transport: network, Discovery: find, Brokers: manyEndpoints("nobody")})
			go func() { find.fail <- err }()
			got := c.Call(t.Context(), "who.am", nil, nil, mesh.Timeout(time.Second))
			require.ErrorIs(t, got, mesh.ErrTimeout)
			require.ErrorContains(t, got, "inproc://nobody")
			require.ErrorContains(t, got, "brokers can't be found")
			require.ErrorContains(t, got, name)
			require.ErrorIs(t, got, transport.ErrRefused)
			if err != nil {
				require.ErrorIs(t, got, err)
				require.ErrorIs(t, c.Snapshot().Discovery, err)
			}
		})
	}
	_, err := mesh.NewClient(mesh.ClientConfig{Transport: inproc.New(inproc.Config{})})
	require.ErrorContains(t, err, "ClientConfig.Brokers or ClientConfig.Discovery")
}

// One of several discoveries ends: whoever waits for a broker is told, and what it had
// found is still known.
func TestClientWithoutADiscoveryOfSeveral(t *testing.T) {
	t.Parallel()
	const members = 3
	end := errors.New("no multicast")
	setup := func(t *testing.T, opaque bool) (*mesh.Client, *hubLog, [members]*seeker, func() error) {
		t.Helper()
		log := new(hubLog)
		finds := [members]*seeker{newSeeker(), newSeeker(manyEndpoints("nobody")...), newSeeker()}
		c := callDial(t, mesh.ClientConfig{
			Transport: inproc.New(inproc.Config{}), Logger: log.logger(), Timeout: time.Second, Brokers: manyEndpoints("fixed"),
			Discovery: mesh.Combine(finds[0], mesh.Combine(finds[1], finds[2])),
		})
		return c, log, finds, func() error {
			if opaque {
				return callLast(c.Request(t.Context(), "who", [][]byte{{}}))
			}
			return c.Call(t.Context(), "who.am", nil, nil)
		}
	}
	for name, opaque := range map[string]bool{"calls": false, "opaque": true} {
		hubRun(t, name, func(t *testing.T) {
			c, log, finds, ask := setup(t, opaque)
			require.NotContains(t, ask().Error(), "brokers can't be found")
			finds[1].fail <- end
			synctest.Wait()
			require.Equal(t, 1, strings.Count(log.String(), "a discovery has ended, the others go on"))
			require.Contains(t, log.String(), "discovery 1 of 2 ended: no multicast")
			require.ErrorIs(t, c.Snapshot().Discovery, end)
			for range 2 {
				err := ask()
				require.ErrorIs(t, err, mesh.ErrTimeout)
				require.ErrorContains(t, err, "brokers can't be found: mesh: discovery 1 of 2 ended: no multicast")
				require.ErrorContains(t, err, "inproc://fixed")
				require.ErrorContains(t, err, "inproc://nobody")
				require.ErrorIs(t, err, end)
				finds[0].found <- manyEndpoints("another") // which is no reason to forget it
				synctest.Wait()
			}
			require.ErrorContains(t, ask(), "inproc://another")

			finds[0].fail <- nil
			synctest.Wait()
			require.Equal(t, 2, strings.Count(log.String(), "a discovery has ended, the others go on"))
			require.NotContains(t, log.String(), "brokers can't be found any more")
			finds[2].fail <- errors.New("and the last")
			synctest.Wait()
			require.Equal(t, 2, strings.Count(log.String(), "a discovery has ended, the others go on"))
			require.Equal(t, 1, strings.Count(log.String(), "brokers can't be found any more"))
			require.ErrorContains(t, c.Snapshot().Discovery, "and the last")
			require.Equal(t, 1, strings.Count(c.Snapshot().Discovery.Error(), "no multicast"), "each is told once")
			require.ErrorContains(t, ask(), "inproc://another")
		})
	}
	hubRun(t, "closed", func(t *testing.T) {
		c, log, _, ask := setup(t, false)
		require.Error(t, ask())
		require.NoError(t, c.Close())
		require.NotContains(t, log.String(), "discovery")
	})
}

// A request that is the first of its kind finds the brokers of a discovery that has
// ended meanwhile.
func TestClientRequestAfterDiscovery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := inproc.New(inproc.Config{})
		callPlayAt(t, network, "inproc://a", func(r *callRequest) { r.send(mdp.ClientFinal, []byte("yes")) })
		find := newSeeker(manyEndpoints("a")...)
		c := callDial(t, mesh.ClientConfig{Transport: network, Speak: mesh.SpeakMDP02, Discovery: find})
		_ = c.Call(t.Context(), "tea.brew", nil, nil) // what was said is no JSON-RPC
		find.fail <- nil
		synctest.Wait()
		require.NoError(t, callLast(c.Request(t.Context(), "tea", [][]byte{{}})))
	})
}

func TestClientStopsDiscovery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newManyBrokers(t, "a")
		find := newSeeker(manyEndpoints("a")...)
		c := callDial(t, mesh.ClientConfig{Transport: m.network, Discovery: find})
		m.ask(c, 1)
		require.Zero(t, find.ended.Load())
		require.NoError(t, c.Close())
		require.EqualValues(t, 1, find.ended.Load())

		idle := callDial(t, mesh.ClientConfig{Transport: m.network, Discovery: find})
		require.NoError(t, idle.Close())
		require.ErrorIs(t, idle.Call(t.Context(), "who.am", nil, nil), mesh.ErrClosed)
		require.EqualValues(t, 1, find.begun.Load(), "it had no need")
	})
}

// Opaque requests find brokers, and choose among them, as calls do.
func TestClientRequestsOfManyBrokers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := inproc.New(inproc.Config{})
		var asked [3]atomic.Int32
		for i, name := range []string{"a", "b", "c"} {
			callPlayAt(t, network, "inproc://"+name, func(r *callRequest) {
				asked[i].Add(1)
				time.AfterFunc(time.Millisecond, func() { r.send(mdp.ClientFinal, []byte("yes")) })
			})
		}
		c := callDial(t, mesh.ClientConfig{
			Transport: network, Speak: mesh.SpeakMDP02, Discovery: mesh.Static(manyEndpoints("a", "b", "c")...), MaxOpaque: 8,
		})
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				for range 30 {
					got, err := c.Request(t.Context(), "tea", [][]byte{[]byte("?")})
					if err != nil || string(got[0]) != "yes" {
						t.Errorf("%q, %v", got, err)
					}
				}
			})
		}
		calls.Wait()
		total := int32(0)
		for i := range asked {
			total += asked[i].Load()
			require.Positive(t, asked[i].Load(), "broker %d", i)
		}
		require.EqualValues(t, 240, total)
	})
}

func TestClientSaysWhatItLookedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range 30 {
			names = append(names, fmt.Sprintf("nobody%d", i))
		}
		c := callDial(t, mesh.ClientConfig{Transport: inproc.New(inproc.Config{}), Brokers: manyEndpoints(names...)})
		err := c.Call(t.Context(), "who.am", nil, nil, mesh.Timeout(time.Second))
		require.ErrorIs(t, err, mesh.ErrTimeout)
		require.ErrorIs(t, err, transport.ErrRefused)
		require.ErrorContains(t, err, "inproc://nobody0: ")
		require.ErrorContains(t, err, "inproc://nobody7: ")
		require.ErrorContains(t, err, "and 22 more")
		require.Less(t, len(err.Error()), 2000)
	})
}

func TestClientPresence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := inproc.New(inproc.Config{})
		b := callPlay(t, network, func(r *callRequest) { r.result("1") })
		c := callDial(t, mesh.ClientConfig{Transport: network, Instance: "till-1"})
		require.NoError(t, c.Call(t.Context(), "tea.brew", nil, nil))
		<-time.After(10 * time.Second)
		b.cut()
		<-time.After(time.Second)
		require.NoError(t, c.Call(t.Context(), "tea.brew", nil, nil))
		b.mu.Lock()
		defer b.mu.Unlock()
		said := 0
		for i, params := range b.presence {
			if params == "" {
				continue
			}
			said++
			var who struct {
				Instance, Host, Version string
				PID                     int
			}
			require.NoError(t, json.Unmarshal([]byte(params), &who), "ping %d", i)
			require.Equal(t, "till-1", who.Instance)
			require.Equal(t, os.Getpid(), who.PID)
			require.Equal(t, mesh.Version, who.Version)
		}
		require.Equal(t, 2, said, "once for each connection")
		require.Greater(t, len(b.presence), said)
		require.Equal(t, "till-1", c.Snapshot().Instance)
	})
}

func TestClientHedges(t *testing.T) {
	t.Parallel()
	const after = 50 * time.Millisecond
	play := func(t *testing.T, names ...string) (*inproc.Network, map[string]chan *callRequest) {
		t.Helper()
		network := inproc.New(inproc.Config{})
		got := make(map[string]chan *callRequest)
		for _, name := range names {
			requests := make(chan *callRequest, 100)
			got[name] = requests
			b := callPlayAt(t, network, "inproc://"+name, func(r *callRequest) { requests <- r })
			b.pong = `{"broker":"` + name + `","incarnation":"i"}`
		}
		return network, got
	}
	next := func(got map[string]chan *callRequest) (first, other *callRequest, where string) {
		select {
		case first = <-got["a"]:
			other, where = <-got["b"], "b"
		case first = <-got["b"]:
			other, where = <-got["a"], "a"
		}
		return first, other, where
	}
	connect := func(t *testing.T, network *inproc.Network, cfg mesh.ClientConfig) *mesh.Client {
		t.Helper()
		cfg.Transport, cfg.Brokers = network, manyEndpoints("a", "b")
		c := callDial(t, cfg)
		_, _ = c.Ping(t.Context()) // so that it connects
		synctest.Wait()
		return c
	}
	for name, test := range map[string]struct {
		retry   mesh.Retry
		options []mesh.CallOption
	}{
		"by option":       {options: []mesh.CallOption{mesh.Hedge(after)}},
		"by default":      {retry: mesh.Retry{Hedge: after}},
		"the option wins": {retry: mesh.Retry{Hedge: time.Hour}, options: []mesh.CallOption{mesh.Hedge(after)}},
	} {
		hubRun(t, name, func(t *testing.T) {
			network, got := play(t, "a", "b")
			c := connect(t, network, mesh.ClientConfig{Retry: test.retry})
			start := time.Now()
			outcome := make(chan error, 1)
			var result json.RawMessage
			go func() {
				var err error
				result, err = c.CallRaw(t.Context(), "tea.brew", nil, append(test.options, mesh.Idempotent())...)
				outcome <- err
			}()
			first, second, where := next(got)
			require.Equal(t, after, time.Since(start))
			second.result(`"cup"`)
			require.NoError(t, <-outcome)
			require.Equal(t, `"cup"`, string(result))
			var lost *callRequest
			if where == "a" {
				lost = <-got["b"]
			} else {
				lost = <-got["a"]
			}
			require.Equal(t, mdp.MMICancel, string(lost.Service))
			require.JSONEq(t, `{"id":`+string(first.ID)+`}`, string(lost.Params))
			first.result(`"too late"`)
			synctest.Wait()
			counts := c.Snapshot().Counts
			require.EqualValues(t, 1, counts.Hedges)
			require.EqualValues(t, 1, counts.Late)
		})
	}
	hubRun(t, "never", func(t *testing.T) {
		network, got := play(t, "a", "b")
		c := connect(t, network, mesh.ClientConfig{Retry: mesh.Retry{Hedge: after}, Timeout: time.Second})
		for name, options := range map[string][]mesh.CallOption{
			"not idempotent": nil,
			"keyed":          {mesh.Idempotent(), mesh.Key("k")},
			"told not to":    {mesh.Idempotent(), mesh.Hedge(0)},
			"sent once":      {mesh.Idempotent(), mesh.NoRetry()},
		} {
			before := c.Snapshot().Counts.Sent
			require.ErrorIs(t, c.Call(t.Context(), "tea.brew", nil, nil, options...), mesh.ErrTimeout, name)
			require.Equal(t, before+1, c.Snapshot().Counts.Sent, name)
		}
		require.ErrorIs(t, callDrain(c.StreamRaw(t.Context(), "tea.pour", nil, mesh.Idempotent())), mesh.ErrTimeout)
		require.NoError(t, c.Notify(t.Context(), "tea.brew", nil, mesh.Idempotent()))
		require.Zero(t, c.Snapshot().Counts.Hedges)
		require.NotEmpty(t, got)
	})
	hubRun(t, "refused", func(t *testing.T) {
		network, got := play(t, "a", "b")
		c := connect(t, network, mesh.ClientConfig{})
		before := c.Snapshot().Counts.Sent
		hedge := mesh.Hedge(after)
		for name, err := range map[string]error{
			"not idempotent": c.Call(t.Context(), "tea.brew", nil, nil, hedge),
			"keyed":          c.Call(t.Context(), "tea.brew", nil, nil, hedge, mesh.Idempotent(), mesh.Key("k")),
			"a stream":       callDrain(c.StreamRaw(t.Context(), "tea.pour", nil, hedge, mesh.Idempotent())),
			"a notification": c.Notify(t.Context(), "tea.brew", nil, hedge, mesh.Idempotent()),
		} {
			e := callError(t, err)
			require.Equal(t, mesh.CodeInvalidRequest, e.Code, name)
			require.True(t, e.Local, name)
		}
		require.Equal(t, before, c.Snapshot().Counts.Sent)
		require.NotEmpty(t, got)
		_, err := mesh.NewClient(mesh.ClientConfig{Transport: network, Brokers: manyEndpoints("a"), Retry: mesh.Retry{Hedge: -1}})
		require.ErrorContains(t, err, "Retry.Hedge")
	})
}

func TestClientSnapshotOfRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := inproc.New(inproc.Config{})
		answer := make(chan struct{})
		callPlayAt(t, network, "inproc://a", func(r *callRequest) {
			go func() {
				<-answer
				r.send(mdp.ClientFinal, []byte("yes"))
			}()
		})
		c := callDial(t, mesh.ClientConfig{Transport: network, Speak: mesh.SpeakMDP02, Brokers: manyEndpoints("a", "nobody")})
		require.Empty(t, c.Snapshot().Opaque)
		ask := func() <-chan error {
			outcome := make(chan error, 1)
			go func() { outcome <- callLast(c.Request(t.Context(), "tea", [][]byte{{}})) }()
			synctest.Wait()
			return outcome
		}
		first, second := ask(), ask()
		s := c.Snapshot()
		require.Zero(t, s.Pending)
		require.Len(t, s.Opaque, 2)
		for _, o := range s.Opaque {
			require.True(t, o.Busy)
			require.EqualValues(t, 1, o.Counts.Sent)
			require.Len(t, o.Brokers, 2)
			require.Equal(t, "inproc://a", o.Brokers[0].Addr)
			require.Equal(t, mesh.BrokerServing, o.Brokers[0].State)
			require.Equal(t, 1, o.Brokers[0].Outstanding)
			require.Equal(t, "inproc://nobody", o.Brokers[1].Addr)
			require.ErrorIs(t, o.Brokers[1].Trouble, transport.ErrRefused)
		}
		close(answer)
		require.NoError(t, errors.Join(<-first, <-second))
		require.NoError(t, <-ask())
		s = c.Snapshot()
		require.Len(t, s.Opaque, 2, "one of them was used again")
		require.False(t, s.Opaque[0].Busy || s.Opaque[1].Busy)
		require.EqualValues(t, 3, s.Opaque[0].Counts.Sent+s.Opaque[1].Counts.Sent)
		require.NoError(t, c.Close())
		require.Empty(t, c.Snapshot().Opaque)
	})
}

func TestClientSnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newManyBrokers(t, "a")
		block := mesh.NewService("tea").HandleRaw("block", callBlock)
		_, err := m.at["a"].AddWorker(t.Context(), mesh.WorkerConfig{}, block)
		require.NoError(t, err)
		c := callDial(t, mesh.ClientConfig{Transport: m.network, Brokers: manyEndpoints("a", "nobody")})
		require.Len(t, c.Snapshot().Brokers, 2)
		require.NotEmpty(t, c.Snapshot().Instance)
		synctest.Wait()
		require.Equal(t, "resting", string(c.Snapshot().Brokers[0].State), "a snapshot connects nobody")

		m.ask(c, 10)
		ctx, cancel := context.WithCancel(t.Context())
		hubCall(ctx, c, "tea.block", "null")
		synctest.Wait()
		s := c.Snapshot()
		require.Equal(t, 1, s.Pending)
		a, nobody := s.Brokers[0], s.Brokers[1]
		require.Equal(t, "inproc://a", a.Addr)
		require.Equal(t, "a", a.ID)
		require.NotEmpty(t, a.Incarnation)
		require.Equal(t, mesh.BrokerServing, a.State)
		require.Equal(t, 1, a.Outstanding)
		require.NoError(t, a.Trouble)
		require.Equal(t, "inproc://nobody", nobody.Addr)
		require.Equal(t, mesh.BrokerResting, nobody.State)
		require.ErrorIs(t, nobody.Trouble, transport.ErrRefused)
		require.GreaterOrEqual(t, s.Counts.Sent, uint64(11))
		cancel()
		synctest.Wait()
		require.NoError(t, c.Close())
		require.Zero(t, c.Snapshot().Pending)
	})
}
