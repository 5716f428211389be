package meshtest_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/meshtest"
)

func TestCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tea := mesh.NewService("tea").Handle(
			brew.With(func(_ context.Context, o Order) (Cup, error) {
				switch o.Sugar {
				case 9:
					panic("too sweet")
				case 8:
					return Cup{}, mesh.Errorf(1, "no")
				}
				return Cup{"hot"}, nil
			}),
		)
		m := meshtest.New(t, tea)
		require.Empty(t, meshtest.Calls(m, brew))
		<-time.After(time.Second)
		ctx := mesh.WithStrings(t.Context(), map[string]string{"table": "7"})
		for _, sugar := range []int{1, 8, 9, -1} {
			_, _ = brew.Call(ctx, m.Client(), Order{sugar}, mesh.Key("k"+string(rune('a'+sugar)))) // the calls say how it went
		}
		_, err := m.Client().CallRaw(t.Context(), "tea.none", nil)
		require.ErrorIs(t, err, mesh.ErrNoMethod)

		calls := meshtest.Calls(m, brew)
		require.Len(t, calls, 4)
		first := calls[0]
		require.Equal(t, Order{1}, first.Params)
		require.Equal(t, []Cup{{"hot"}}, first.Replies)
		require.NoError(t, first.Err)
		require.Equal(t, mesh.Request{
			Service: "tea", Method: "brew", Caller: "client-1", Attempt: 1, Key: "kb", Strings: map[string]string{"table": "7"},
		}, first.Request)
		require.Equal(t, "worker-1", first.Worker)
		require.Equal(t, time.Second, first.At)
		require.ErrorIs(t, calls[1].Err, &mesh.Error{Code: 1})
		require.ErrorIs(t, calls[2].Err, mesh.ErrInternal)
		require.ErrorIs(t, calls[3].Err, mesh.ErrInvalidParams)
		require.Equal(t, Order{-1}, calls[3].Params)
		for _, c := range calls {
			require.True(t, c.Ended)
		}
		raw := m.Calls("tea.brew")
		require.Len(t, raw, 4)
		require.JSONEq(t, `{"sugar":1}`, string(raw[0].Params))
		require.JSONEq(t, `{"text":"hot"}`, string(raw[0].Replies[0]))
	})
}

// A call is seen before it has ended.
func TestCallsThatRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.Stub(meshtest.Hang(brew))
		pending := brew.Go(t.Context(), m.Client(), Order{})
		m.Wait(meshtest.Event(mesh.EventDispatched).Method("tea.brew"))
		synctest.Wait()
		calls := meshtest.Calls(m, brew)
		require.Len(t, calls, 1)
		require.False(t, calls[0].Ended)
		_, err := pending.Wait()
		require.ErrorIs(t, err, mesh.ErrTimeout)
		synctest.Wait()
		require.Error(t, meshtest.Calls(m, brew)[0].Err)
	})
}

func TestCallsOfOtherTypes(t *testing.T) {
	t.Parallel()
	other := mesh.NewMethod[map[string]string, int]("tea.brew")
	text := failed(t, func(t testing.TB) {
		m := meshtest.New(t)
		m.Stub(meshtest.Raw("tea.brew", func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(`"hot"`), nil
		}))
		if _, err := m.Client().CallRaw(context.Background(), "tea.brew", json.RawMessage(`{"sugar":1}`)); err != nil {
			t.Fatalf("%v", err)
		}
		calls := meshtest.Calls(m, other)
		require.Len(t, calls, 1)
		require.Nil(t, calls[0].Params)
	})
	require.Contains(t, text, "a reply of tea.brew doesn't fit its type")
}
