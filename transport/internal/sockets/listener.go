package sockets

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/mdpmesh/mesh/transport"
)

// Listener accepts connections at an address.
type Listener struct {
	Addr string // resolved, in the form in which it is dialled

	net net.Listener
	dir string // made for a wildcard; empty: none
	log *slog.Logger

	mu        sync.Mutex // guards noteAfter
	noteAfter time.Time
}

// Listen takes the address that addr names. A Unix socket that a listener left
// behind that is no more is replaced, and for the wildcard there is a path in a
// directory for this user alone. What is wrong with the address wraps
// [transport.ErrAddress].
func Listen(ctx context.Context, addr string, log *slog.Logger) (*Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	at, err := Parse(addr, true)
	if err != nil {
		return nil, err
	}
	l := &Listener{log: log}
	switch {
	case at.Network != "unix":
	case at.Host == wildcard:
		if l.dir, err = os.MkdirTemp("", "mesh-"); err != nil {
			return nil, err
		}
		at.Host = filepath.Join(l.dir, "socket")
	default:
		if err := removeStale(ctx, at.Host); err != nil {
			return nil, err
		}
	}
	var lc net.ListenConfig
	if l.net, err = lc.Listen(ctx, at.Network, at.String()); err != nil {
		l.removeDir()
		return nil, listenError(err)
	}
	l.Addr = TCP + l.net.Addr().String()
	if at.Network == "unix" {
		l.Addr = IPC + l.net.Addr().String()
	}
	return l, nil
}

// removeStale removes the socket that a listener left behind that is no more: it
// exists, and nobody accepts at it.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil // what is wrong with the path, Listen says
	}
	d := net.Dialer{Timeout: time.Second}
	opened, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = opened.Close() // it only asked whether somebody is there
		return fmt.Errorf("%w: already in use", transport.ErrAddress)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return nil
}

// listenError returns what is wrong where an address can't be listened at.
func listenError(err error) error {
	var dns *net.DNSError
	var addr *net.AddrError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: already in use", transport.ErrAddress)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EACCES), errors.Is(err, os.ErrNotExist),
		errors.Is(err, syscall.ENOTDIR), errors.As(err, &dns), errors.As(err, &addr):
		return fmt.Errorf("%w: %w", transport.ErrAddress, err)
	}
	return err
}

// Accept gives the connections that come to take, one at a time, until done is
// closed and the listener with it.
func (l *Listener) Accept(done <-chan struct{}, take func(net.Conn)) {
	const first, longest = 5 * time.Millisecond, time.Second
	wait := first
	for {
		opened, err := l.net.Accept()
		if err == nil {
			wait = first
			take(opened)
			continue
		}
		select {
		case <-done:
			return
		default:
		}
		// Mostly the process has too many files open, which passes.
		l.Note("connection not accepted", "", err)
		select {
		case <-done:
			return
		case <-time.After(wait):
			wait = min(2*wait, longest)
		}
	}
}

// Note has the log told of a connection that failed, at most once a second.
func (l *Listener) Note(text, peer string, err error) {
	l.mu.Lock()
	now := time.Now()
	quiet := now.Before(l.noteAfter)
	if !quiet {
		l.noteAfter = now.Add(time.Second)
	}
	l.mu.Unlock()
	if !quiet {
		l.log.Warn(text, "listener", l.Addr, "peer", peer, "error", err)
	}
}

// Close frees the address. Connections that were accepted live on.
func (l *Listener) Close() {
	_ = l.net.Close() // the address is free, whatever else it says
	l.removeDir()
}

func (l *Listener) removeDir() {
	if l.dir != "" {
		_ = os.RemoveAll(l.dir) // a leftover in the directory for temporary files
	}
}
