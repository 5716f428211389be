package meshtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/meshtest"
)

func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.Stub(meshtest.Reply(brew, Cup{}), meshtest.Fail(boil, mesh.Errorf(7, "cold")))
		for range 3 {
			_, err := brew.Call(t.Context(), m.Client(), Order{})
			require.NoError(t, err)
		}
		_, err := boil.Call(t.Context(), m.Client(), Order{})
		require.Error(t, err)

		// What came before is found, whatever it was.
		require.Equal(t, "stub-tea", m.Wait(meshtest.Event(mesh.EventWorkerJoined).Service("tea")).Instance)
		require.Equal(t, "water", m.Wait(meshtest.Event(mesh.EventWorkerJoined).Worker("stub-water")).Service)
		second := m.Wait(meshtest.Event(mesh.EventReceived).Method("tea.brew").Nth(2))
		require.EqualValues(t, 2, second.Request)
		require.Equal(t, "client-1", second.Caller)
		require.EqualValues(t, 3, m.Wait(meshtest.Event(mesh.EventReceived).Caller("client-1").After(second)).Request)
		require.EqualValues(t, 2, m.Wait(meshtest.Event(mesh.EventReplied, mesh.EventFailed).Of(second)).Request)
		require.EqualValues(t, 4, m.Wait(meshtest.Event().Code(7)).Request)
		require.Equal(t, mesh.EventServiceAppeared, m.Wait(meshtest.Event()).Kind)

		require.Len(t, m.Events(meshtest.Event(mesh.EventReceived)), 4)
		require.Len(t, m.Events(meshtest.Event(mesh.EventReceived).After(second)), 2)
		require.Empty(t, m.Events(meshtest.Event(mesh.EventWorkerLeft).Broker("broker-2")))
		require.Empty(t, m.Events(meshtest.Event().Of(m.Wait(meshtest.Event(mesh.EventWorkerJoined)))))

		// What is to come is waited for.
		time.AfterFunc(time.Second, func() { m.Kill("stub-tea") })
		left := m.Wait(meshtest.Event(mesh.EventWorkerLeft).Broker("broker-1"))
		require.Equal(t, time.Second, left.At)
		require.Equal(t, "tea", left.Service)
		require.Equal(t, "broker-1", left.Broker)
	})
}

// A pattern that is extended is another one.
func TestPatternsAreValues(t *testing.T) {
	t.Parallel()
	tea := meshtest.Event(mesh.EventReceived).Service("tea")
	one, two := tea.Caller("one"), tea.Caller("two").Nth(3)
	require.Equal(t, `event "received", of service tea`, tea.String())
	require.Equal(t, `event "received", of service tea, of one`, one.String())
	require.Equal(t, `no. 3 of event "received", of service tea, of two`, two.String())
	require.Equal(t, `event "queued" or "requeued", of broker-1, of method tea.brew, at kettle, with code expired`,
		meshtest.Event(mesh.EventQueued, mesh.EventRequeued).Broker("broker-1").Method("tea.brew").Worker("kettle").Code(mesh.CodeTimeout).String())
}

func TestWaitInVain(t *testing.T) {
	t.Parallel()
	text := failed(t, func(t testing.TB) {
		m := meshtest.Config{Patience: time.Millisecond}.New(t)
		m.Wait(meshtest.Event(mesh.EventReceived).Where("with luck", func(meshtest.Observed) bool { return true }))
	})
	require.Contains(t, text, `no event "received", with luck came within 1ms; there were no events`)
}
