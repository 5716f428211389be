package keyring

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// watched is a keyring that is watched in virtual time.
type watched struct {
	*Keyring
	t   *testing.T
	now time.Time // of the file; a bubble begins in 2000

	mu   sync.Mutex // guards told
	told []error
}

func watch(t *testing.T, text string) *watched {
	t.Helper()
	w := &watched{t: t, now: time.Now().Add(-time.Hour)}
	path := filepath.Join(t.TempDir(), "keys.toml")
	w.put(path, text)
	k, err := Load(path)
	require.NoError(t, err)
	w.Keyring = k
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Watch(ctx, time.Second, w.tell) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
	return w
}

// put writes a file whose time is a little later than that of the one before.
func (w *watched) put(path, text string) {
	w.t.Helper()
	write(w.t, path, text)
	w.now = w.now.Add(time.Millisecond)
	require.NoError(w.t, os.Chtimes(path, w.now, w.now))
}

func (w *watched) tell(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, err)
}

// next returns what was told within the next few seconds, and forgets it.
func (w *watched) next() []error {
	<-time.After(5 * time.Second)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.told
	w.told = nil
	return told
}

func TestWatch(t *testing.T) {
	t.Parallel()
	const boss = "[peer.boss]\nkey = \"$A\"\n"
	for name, test := range map[string]func(t *testing.T){
		"written in place": func(t *testing.T) {
			w := watch(t, peerA)
			require.Empty(t, w.next())
			w.put(w.path, boss)
			require.Equal(t, []error{nil}, w.next())
			require.Equal(t, "boss", named(w.Keyring, keyA))
			require.Empty(t, w.next())
		},
		"replaced by one of the same size and time": func(t *testing.T) {
			w := watch(t, peerA+"see = true")
			next := w.path + ".next"
			write(t, next, peerA+"sea = true")
			require.NoError(t, os.Chtimes(next, w.now, w.now))
			require.NoError(t, os.Rename(next, w.path))
			told := w.next()
			require.Len(t, told, 1)
			require.EqualError(t, told[0], "keyring: "+w.path+`:3: peer "web": "sea" is no member of a peer`)
		},
		"written twice within the grain of the clock": func(t *testing.T) {
			w := watch(t, peerA)
			w.now = time.Now()
			w.put(w.path, boss)
			<-time.After(time.Second + time.Millisecond)
			synctest.Wait()
			require.Equal(t, "boss", named(w.Keyring, keyA))
			write(t, w.path, "[peer.cook]\nkey = \"$A\"\n")
			require.NoError(t, os.Chtimes(w.path, w.now, w.now))
			require.Equal(t, []error{nil, nil}, w.next())
			require.Equal(t, "cook", named(w.Keyring, keyA))
		},
		"touched": func(t *testing.T) {
			w := watch(t, peerA)
			w.put(w.path, peerA)
			require.Empty(t, w.next())
		},
		"from the future": func(t *testing.T) {
			w := watch(t, peerA)
			w.now = time.Now().Add(time.Hour)
			w.put(w.path, boss)
			require.Equal(t, []error{nil}, w.next(), "once")
		},
		"bad, then good": func(t *testing.T) {
			w := watch(t, peerA)
			w.put(w.path, "[peer.web]")
			told := w.next()
			require.Len(t, told, 1)
			require.EqualError(t, told[0], "keyring: "+w.path+`:1: peer "web" has no key`)
			require.Equal(t, "web", named(w.Keyring, keyA))
			require.Empty(t, w.next())
			w.put(w.path, peerA)
			require.Equal(t, []error{nil}, w.next())
		},
		"gone, then back": func(t *testing.T) {
			w := watch(t, peerA)
			for range 2 {
				require.NoError(t, os.Remove(w.path))
				told := w.next()
				require.Len(t, told, 1, "once")
				require.ErrorIs(t, told[0], os.ErrNotExist)
				require.Equal(t, "web", named(w.Keyring, keyA))
				w.put(w.path, peerA)
				require.Equal(t, []error{nil}, w.next())
			}
		},
		"behind a link that is turned": func(t *testing.T) {
			w := watch(t, peerA)
			dir := filepath.Dir(w.path)
			w.put(filepath.Join(dir, "old"), peerA)
			w.put(filepath.Join(dir, "new"), boss)
			require.NoError(t, os.Remove(w.path))
			require.NoError(t, os.Symlink("old", w.path))
			require.Empty(t, w.next())
			require.NoError(t, os.Symlink("new", w.path+".next"))
			require.NoError(t, os.Rename(w.path+".next", w.path))
			require.Equal(t, []error{nil}, w.next())
			require.Equal(t, "boss", named(w.Keyring, keyA))
		},
		"read by hand": func(t *testing.T) {
			w := watch(t, peerA)
			w.put(w.path, boss)
			require.NoError(t, w.Reload())
			require.Empty(t, w.next())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, test)
		})
	}
}

func TestWatchIsRefused(t *testing.T) {
	t.Parallel()
	k := load(t, peerA)
	require.EqualError(t, k.Watch(t.Context(), 0, nil), "keyring: Watch: every is 0s, not positive")
	require.EqualError(t, k.Watch(t.Context(), -time.Second, nil), "keyring: Watch: every is -1s, not positive")
}

func TestWatchWithoutListener(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := load(t, peerA)
		write(t, k.path, "[peer.boss]\nkey = \"$A\"\n")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.ErrorIs(t, k.Watch(ctx, time.Second, nil), context.DeadlineExceeded)
		require.Equal(t, "boss", named(k, keyA))
	})
}
