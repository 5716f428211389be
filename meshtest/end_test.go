package meshtest_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/meshtest"
)

func TestReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		log, passed := attempt(t, dir, func(t testing.TB) {
			for range 2 {
				m := meshtest.Config{Seed: 0x5eed}.New(t)
				m.Stub(meshtest.Reply(brew, Cup{strings.Repeat("hot ", 100)}))
				_, err := brew.Call(context.Background(), m.Client(), Order{7})
				require.NoError(t, err)
				m.Kill("stub-tea")
			}
			t.Errorf("so it fails")
		})
		require.False(t, passed)
		require.Contains(t, log, "so it fails")
		require.Contains(t, log, "seed 0x5eed; the last ")
		require.Contains(t, log, "  0s client-1#1 > broker-1: dialled\n")
		require.Contains(t, log, `no. 2, 0s, broker-1: worker joined tea at stub-tea`)
		require.Contains(t, log, "meshtest: all messages and events are in "+dir)

		for _, name := range []string{"messages.txt", "messages-2.txt"} {
			messages := read(t, filepath.Join(dir, name))
			for _, line := range []string{
				`0s stub-tea#1 > broker-1: client request mmi.register id 1, `,
				`0s stub-tea#1 > broker-1: ready tea`,
				`0s client-1#1 > broker-1: client request tea.brew id `,
				`0s broker-1 > stub-tea#1: worker request tea.brew id `,
				` token 1 within 30s, `,
				`"params":{"sugar":7}}`,
				`0s stub-tea#1 > broker-1: worker final id `,
				`0s broker-1 > client-1#1: client final tea id `,
				`…(4`,
				`0s stub-tea#1 > broker-1: crashed`,
			} {
				require.Contains(t, messages, line)
			}
			require.NotContains(t, messages, "client-1#1 > broker-1: closed", "what the end of the mesh brings isn't part of it")
		}
		for _, name := range []string{"events.txt", "events-2.txt"} {
			require.Contains(t, read(t, filepath.Join(dir, name)), "0s, broker-1: replied request 1 of client-1 tea.brew at stub-tea\n")
		}
	})
}

func TestReportIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, passed := attempt(t, dir, func(t testing.TB) {
		m := meshtest.Config{MaxMessages: 100}.New(t)
		m.Stub(meshtest.Reply(brew, Cup{}))
		for range 100 {
			_, err := brew.Call(context.Background(), m.Client(), Order{})
			require.NoError(t, err)
		}
		t.Errorf("so it fails")
	})
	require.False(t, passed)
	require.Contains(t, log, "the last 50 of 407 messages")
	messages := read(t, filepath.Join(dir, "messages.txt"))
	require.Contains(t, messages, "307 earlier ones are left out\n")
	require.Equal(t, 101, strings.Count(messages, "\n"))
}

// A test that passes leaves nothing behind.
func TestNoReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, passed := attempt(t, dir, func(t testing.TB) { meshtest.New(t) })
	require.True(t, passed)
	require.Empty(t, log)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, files)
}

func TestReportCantBeWritten(t *testing.T) {
	t.Parallel()
	log, _ := attempt(t, filepath.Join(t.TempDir(), "none"), func(t testing.TB) {
		meshtest.New(t)
		t.Errorf("so it fails")
	})
	require.Contains(t, log, "no such file or directory")
}

// A handler that doesn't heed its context is named.
func TestHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		text := failed(t, func(t testing.TB) {
			m := meshtest.New(t)
			m.Stub(meshtest.Func(brew, func(context.Context, Order) (Cup, error) {
				<-release
				return Cup{}, nil
			}))
			brew.Go(context.Background(), m.Client(), Order{})
			m.Wait(meshtest.Event(mesh.EventDispatched))
		})
		close(release)
		require.Contains(t, text, "the mesh didn't end within 30s\n  tea.brew, called at 0s, still runs at stub-tea\n\ngoroutine ")
		require.Contains(t, text, "TestHang")
		require.Contains(t, text, "the last ")
	})
}

// Whatever happened to a mesh before, it ends.
func TestEndAfterFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*meshtest.Mesh){
		"partition":     func(m *meshtest.Mesh) { m.Partition(meshtest.Any, meshtest.Any) },
		"crash":         func(m *meshtest.Mesh) { m.Crash("broker-1"); m.Crash("broker-2") },
		"kill":          func(m *meshtest.Mesh) { m.Kill("broker-1"); m.Kill("broker-2") },
		"crash, kill":   func(m *meshtest.Mesh) { m.Crash("broker-1"); m.Kill("broker-1") },
		"kill, crash":   func(m *meshtest.Mesh) { m.Kill("broker-1"); m.Crash("broker-1") },
		"kill a worker": func(m *meshtest.Mesh) { m.Kill("stub-tea"); m.Crash("stub-tea") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := meshtest.Config{Brokers: 2}.New(t)
			m.Stub(meshtest.Hang(brew))
			pending := brew.Go(t.Context(), m.Client(), Order{})
			m.Wait(meshtest.Event(mesh.EventDispatched))
			fault(m)
			t.Cleanup(func() { <-pending.Done() }) // before the mesh's own
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}
