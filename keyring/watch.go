package keyring

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Watch looks at the file every so often, reads it again where it has changed, and
// calls onReload, which may be nil, with what [Keyring.Reload] returned: nil where
// the file's new rules hold, or why the old ones go on. It is called once for a
// change, and not for one that leaves the content as it is. Watch blocks until ctx
// ends, and returns its error. It fails at once where every isn't positive.
//
// It looks at the file's time, size and identity. Notifications of the operating
// system wouldn't do: they don't come from network file systems, and they are lost
// where a file or the folder above it is replaced, which is how most files of this
// kind are changed. To look costs one system call.
//
// A file that is written in place may be read half-written; write another and
// rename it.
func (k *Keyring) Watch(ctx context.Context, every time.Duration, onReload func(error)) error {
	if every <= 0 {
		return fmt.Errorf("keyring: Watch: every is %v, not positive", every)
	}
	if onReload == nil {
		onReload = func(error) {}
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if !k.changed() {
			continue
		}
		fresh, err := k.reload()
		text := ""
		if err != nil {
			text = err.Error()
		}
		if fresh && (err == nil || text != last) { // a file that is missing is told once
			onReload(err)
		}
		last = text
	}
}

// changed says whether the file may have changed since it was read.
func (k *Keyring) changed() bool {
	info, err := os.Stat(k.path)
	k.mu.Lock()
	defer k.mu.Unlock()
	return err != nil || k.seen.changed(info)
}
