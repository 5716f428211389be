//go:build cgo && unix

package zmq

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pebbe/zmq4"
)

// library has libzmq loaded, as a context, while somebody uses it.
type library struct {
	cfg *Config

	mu    sync.Mutex // guards what follows
	now   *instance
	users int
}

// instance is a context with its ZAP handler.
type instance struct {
	*zmq4.Context
	zap    *zap          // nil: the mechanism is NULL
	number atomic.Uint64 // gives names to what is inside
}

// maxSockets is how many sockets a context has room for: all that libzmq allows.
const maxSockets = 65535

// enter returns the context. Who enters has to leave, after the last socket.
func (l *library) enter() (*instance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil {
		opened, err := l.open()
		if err != nil {
			return nil, fmt.Errorf("zmq: no context: %w", err)
		}
		l.now = opened
	}
	l.users++
	return l.now, nil
}

// leave ends the context after the last user. It waits for as long as sockets
// linger, which all do for a short time only.
func (l *library) leave() {
	l.mu.Lock()
	l.users--
	last := l.now
	if l.users > 0 {
		l.mu.Unlock()
		return
	}
	l.now = nil
	l.mu.Unlock()
	last.close()
}

func (l *library) open() (*instance, error) {
	opened, err := zmq4.NewContext()
	if err != nil {
		return nil, err
	}
	i := &instance{Context: opened}
	err = opened.SetMaxSockets(maxSockets)
	if err == nil && l.cfg.Keys != nil {
		if !zmq4.HasCurve() {
			err = errors.New("this libzmq was built without CURVE")
		} else {
			i.zap, err = newZap(i, l.cfg.Authenticate)
		}
	}
	if err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

func (i *instance) close() {
	if i.zap != nil {
		i.zap.close()
	}
	_ = i.Term() // nobody could do anything about it
}
