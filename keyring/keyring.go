package keyring

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
)

// maxSize is how large a file may be: room for ten thousand peers, and not enough
// for brackets to nest deeper than the stack is.
const maxSize = 1 << 20

// Keyring holds what its file said when it was read last. Its methods may be
// called from many goroutines at once.
type Keyring struct {
	path  string
	rules atomic.Pointer[rules]

	mu   sync.Mutex // guards seen; held while the file is read
	seen sighting
}

var _ mesh.Authorizer = (*Keyring)(nil)

// Load reads the file at path. It fails where the file can't be read, is larger
// than 1 MiB, has no peers, or says anything that isn't in the package comment;
// the error names the line.
func Load(path string) (*Keyring, error) {
	k := &Keyring{path: path}
	if err := k.Reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload reads the file again. What it says holds at once and as a whole, for
// connections that exist as well. Where Reload fails, for the same reasons as
// [Load], what held before goes on.
//
// No connection is ended. A peer whose name is gone from the file may do nothing
// from its next request on, but a worker that has registered stays until it is
// disconnected or leaves. A peer whose key is gone while its name is still there
// keeps the rights of the name until it connects again.
func (k *Keyring) Reload() error {
	_, err := k.reload()
	return err
}

// Authenticate returns the name of the peer whose public key this is, or false
// where it is nobody's.
func (k *Keyring) Authenticate(key curve.Key) (name string, ok bool) {
	name, ok = k.rules.Load().names[key]
	return name, ok
}

// Allow implements [mesh.Authorizer]. A method is allowed only as a method of the
// service that was asked: the right to call "till.open" is none to ask the service
// tea for it.
func (k *Keyring) Allow(who transport.Identity, right mesh.Right, service, method []byte) bool {
	if who.Name == "" {
		return who.Local
	}
	p := k.rules.Load().peers[who.Name]
	if p == nil {
		return false
	}
	switch right {
	case mesh.RightCall:
		return p.mayCall(service, method)
	case mesh.RightRegister:
		return p.register.has(service)
	case mesh.RightSee:
		return p.see.has(service)
	case mesh.RightOperate:
		return p.operate.has(service)
	}
	return false
}

// Partly implements [mesh.Authorizer]: it says whether the file names services that
// the peer may see, or operate.
func (k *Keyring) Partly(who transport.Identity, right mesh.Right) bool {
	p := k.rules.Load().peers[who.Name]
	switch {
	case p == nil:
		return false
	case right == mesh.RightSee:
		return len(p.see.names) > 0
	}
	return right == mesh.RightOperate && len(p.operate.names) > 0
}

// ByMethod implements [mesh.Authorizer]: it says whether the file names a method of
// the service. Then a body whose method can't be read is refused to all peers, also
// to those that may call all of the service.
func (k *Keyring) ByMethod(service []byte) bool {
	return k.rules.Load().byMethod[string(service)]
}

// sighting is what a file looked like when it was read.
type sighting struct {
	info    os.FileInfo // nil where it couldn't be
	settled bool        // a later change can't have left info as it is
	sum     [sha256.Size]byte
}

// grain is the coarsest clock of a file system, that of FAT: what is changed twice
// in that time may look the same.
const grain = 2 * time.Second

// changed says whether the file may be another than was seen.
func (s *sighting) changed(now os.FileInfo) bool {
	return s.info == nil || !s.settled || !os.SameFile(s.info, now) || s.info.Size() != now.Size() || !s.info.ModTime().Equal(now.ModTime())
}

// reload reads the file, and says whether it holds anything else than before.
func (k *Keyring) reload() (fresh bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	text, seen, err := read(k.path)
	if err != nil {
		k.seen = sighting{}
		return true, fmt.Errorf("keyring: %w", err)
	}
	fresh = k.seen.info == nil || k.seen.sum != seen.sum
	k.seen = seen
	r, fault := parse(text)
	switch {
	case fault == nil:
		k.rules.Store(r)
		return fresh, nil
	case fault.line == 0:
		return fresh, fmt.Errorf("keyring: %s: %s", k.path, fault.text)
	}
	return fresh, fmt.Errorf("keyring: %s:%d: %s", k.path, fault.line, fault.text)
}

func read(path string) (text []byte, seen sighting, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, sighting{}, fmt.Errorf("%s: not a regular file", path) // to open a pipe may take for ever
	}
	f, err := os.Open(path) //nolint:gosec // the file that the broker's owner names
	if err != nil {
		return nil, sighting{}, err
	}
	defer func() { _ = f.Close() }()
	if seen.info, err = f.Stat(); err != nil {
		return nil, sighting{}, err
	}
	seen.settled = time.Since(seen.info.ModTime()) > grain
	if text, err = io.ReadAll(io.LimitReader(f, maxSize+1)); err != nil {
		return nil, sighting{}, err
	}
	if len(text) > maxSize {
		return nil, sighting{}, fmt.Errorf("%s: larger than %d bytes", path, maxSize)
	}
	seen.sum = sha256.Sum256(text)
	return text, seen, nil
}
