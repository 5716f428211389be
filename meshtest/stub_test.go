package meshtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/meshtest"
)

func TestStubs(t *testing.T) {
	t.Parallel()
	errNoSugar := errors.New("no sugar")
	var codes mesh.Errors
	codes.Add(1001, errNoSugar)
	drain := mesh.NewMethod[Order, Cup]("tea.drain")
	refill := mesh.NewStream[Order, Cup]("tea.refill")
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.Config{Worker: mesh.WorkerConfig{Errors: &codes}, Client: mesh.ClientConfig{Errors: &codes}}.New(t)
		m.Stub(
			meshtest.Func(brew, func(_ context.Context, o Order) (Cup, error) { return Cup{fmt.Sprint(o.Sugar)}, nil }),
			meshtest.Hang(boil),
			meshtest.Fail(drain, fmt.Errorf("today: %w", errNoSugar)),
			meshtest.Values(pour, mesh.ErrOverloaded, Cup{"a"}, Cup{"b"}),
			meshtest.Stream(refill, func(_ context.Context, o Order) iter.Seq2[Cup, error] {
				return func(yield func(Cup, error) bool) { yield(Cup{fmt.Sprint("refill ", o.Sugar)}, nil) }
			}),
			meshtest.Raw("tea.raw", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) { return params, nil }),
		)
		cup, err := brew.Call(t.Context(), m.Client(), Order{2})
		require.NoError(t, err)
		require.Equal(t, Cup{"2"}, cup)
		_, err = brew.Call(t.Context(), m.Client(), Order{-2})
		require.ErrorIs(t, err, mesh.ErrInvalidParams, "the contract holds for stubs")
		_, err = boil.Call(t.Context(), m.Client(), Order{}, mesh.Timeout(time.Second))
		require.ErrorIs(t, err, mesh.ErrTimeout)
		_, err = drain.Call(t.Context(), m.Client(), Order{})
		require.ErrorIs(t, err, errNoSugar)
		cups, err := collect(pour.Call(t.Context(), m.Client(), Order{}))
		require.ErrorIs(t, err, mesh.ErrOverloaded)
		require.Equal(t, []Cup{{"a"}, {"b"}}, cups)
		cups, err = collect(refill.Call(t.Context(), m.Client(), Order{3}))
		require.NoError(t, err)
		require.Equal(t, []Cup{{"refill 3"}}, cups)
		raw, err := m.Client().CallRaw(t.Context(), "tea.raw", json.RawMessage(`[1]`))
		require.NoError(t, err)
		require.JSONEq(t, `[1]`, string(raw))
		_, err = m.Client().CallRaw(t.Context(), "tea.other", nil)
		require.ErrorIs(t, err, mesh.ErrNoMethod)

		snapshot, err := m.Broker().Snapshot(t.Context())
		require.NoError(t, err)
		require.Len(t, snapshot.Workers, 2, "one for each service")
	})
}

// A reader that leaves a stubbed stream ends it.
func TestValuesEndWithTheirReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.Stub(meshtest.Values(pour, nil, make([]Cup, 1000)...))
		for _, err := range pour.Call(t.Context(), m.Client(), Order{}, mesh.Window(1)) {
			require.NoError(t, err)
			break
		}
		synctest.Wait()
		calls := meshtest.StreamCalls(m, pour)
		require.Len(t, calls, 1)
		require.True(t, calls[0].Ended)
		require.Error(t, calls[0].Err)
		require.Less(t, len(calls[0].Replies), 10)
	})
}

func TestStubsChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.Stub(meshtest.Reply(brew, Cup{"first"}), meshtest.Reply(brew, Cup{"second"}), meshtest.Values[Order, Cup](pour, nil))
		cup, err := brew.Call(t.Context(), m.Client(), Order{})
		require.NoError(t, err)
		require.Equal(t, Cup{"second"}, cup)
		m.Stub(meshtest.Fail(brew, mesh.Errorf(7, "out of tea")))
		_, err = brew.Call(t.Context(), m.Client(), Order{})
		require.ErrorIs(t, err, &mesh.Error{Code: 7})
		m.Stub(meshtest.Values(pour, nil, Cup{"third"}))
		cups, err := collect(pour.Call(t.Context(), m.Client(), Order{}))
		require.NoError(t, err)
		require.Equal(t, []Cup{{"third"}}, cups)
		require.Len(t, m.Events(meshtest.Event(mesh.EventWorkerJoined)), 1)
	})
}

func TestStubsThatCantBe(t *testing.T) {
	t.Parallel()
	tea := func() *mesh.Service { return mesh.NewService("tea").Handle(meshtestHandler("hot")) }
	for want, test := range map[string]func(m *meshtest.Mesh){
		`service "tea" is served by worker-1`: func(m *meshtest.Mesh) {
			m.Serve(tea())
			m.Stub(meshtest.Reply(brew, Cup{}))
		},
		`service "tea" has a stub`: func(m *meshtest.Mesh) {
			m.Stub(meshtest.Reply(brew, Cup{}))
			m.Serve(tea())
		},
		`the stub of service "tea" runs without method "pour"`: func(m *meshtest.Mesh) {
			m.Stub(meshtest.Reply(brew, Cup{}))
			m.Stub(meshtest.Values[Order, Cup](pour, nil))
		},
		`method "brew" of service "tea" has a stub of other types`: func(m *meshtest.Mesh) {
			m.Stub(meshtest.Reply(brew, Cup{}))
			m.Stub(meshtest.Reply(mesh.NewMethod[Order, string]("tea.brew"), ""))
		},
	} {
		require.Contains(t, failed(t, func(t testing.TB) { test(meshtest.New(t)) }), want)
	}
	require.PanicsWithValue(t, `meshtest: bad method name "brew": must be the service's name, a dot and the method's own`,
		func() { meshtest.Raw("brew", nil) })
}

func collect[V any](values iter.Seq2[V, error]) (all []V, err error) {
	for v, err := range values {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}
