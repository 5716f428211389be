//go:build cgo && unix

package zmq

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/pebbe/zmq4"

	"github.com/mdpmesh/mesh/transport/curve"
)

// zap is the handler of the authentication protocol (RFC 27): libzmq asks it about
// each connection with CURVE. The domain that is asked for is the connection's own,
// so the handler's answer is known to be about that connection.
//
// libzmq lets everybody in where there is no handler. So no listener shows a peer
// that the handler hasn't let in.
type zap struct {
	socket       *socket
	authenticate func(curve.Key) (string, bool)
	stop         chan struct{}
	task         sync.WaitGroup

	mu       sync.Mutex // guards verdicts
	verdicts map[string]verdict
}

// verdict is what the handler said of a connection: whether it was let in, and by
// which name.
type verdict struct {
	name string
	ok   bool
}

// zapEndpoint is where libzmq asks.
const zapEndpoint = "inproc://zeromq.zap.01"

const zapVersion = "1.0"

// newZap starts a handler, which must be there before the sockets that need it.
func newZap(within *instance, authenticate func(curve.Key) (string, bool)) (*zap, error) {
	s, err := newSocket(within.Context, zmq4.REP)
	if err != nil {
		return nil, err
	}
	if err := s.Bind(zapEndpoint); err != nil {
		s.close()
		return nil, err
	}
	z := &zap{socket: s, authenticate: authenticate, stop: make(chan struct{}), verdicts: make(map[string]verdict)}
	z.task.Go(z.run)
	return z, nil
}

func (z *zap) close() {
	close(z.stop)
	z.task.Wait()
}

// expect has the handler answer for a connection with the domain.
func (z *zap) expect(domain string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.verdicts[domain] = verdict{}
}

// forget has it not answer any more.
func (z *zap) forget(domain string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.verdicts, domain)
}

// verdict returns what was said of the connection with the domain.
func (z *zap) verdict(domain string) verdict {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.verdicts[domain]
}

// let lets the connection with the domain in, if it is expected.
func (z *zap) let(domain, name string) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	if _, ok := z.verdicts[domain]; !ok {
		return false
	}
	z.verdicts[domain] = verdict{name, true}
	return true
}

func (z *zap) run() {
	defer z.socket.close()
	for {
		for {
			request, err := z.socket.RecvMessageBytes(zmq4.DONTWAIT)
			if err != nil {
				break // there is none
			}
			_, _ = z.socket.SendMessageDontwait(z.answer(request)) // who asked may be gone
		}
		select {
		case <-z.socket.ready:
		case <-z.stop:
			return
		}
	}
}

// The frames of a request (RFC 27, ZAP Request), after the delimiter that a REP
// socket takes away.
const (
	zapRequestVersion = iota
	zapRequestID
	zapRequestDomain
	zapRequestAddress
	zapRequestIdentity
	zapRequestMechanism
	zapRequestKey
	zapRequestFrames
)

// answer returns the reply to a request: version, request id, status, text, user
// id and metadata. With the delimiter that the socket adds these are the seven
// frames that libzmq insists on.
func (z *zap) answer(request [][]byte) []string {
	if len(request) != zapRequestFrames || string(request[zapRequestVersion]) != zapVersion {
		id := ""
		if len(request) > zapRequestID {
			id = string(request[zapRequestID])
		}
		return []string{zapVersion, id, "500", "malformed request", "", ""}
	}
	id := string(request[zapRequestID])
	name, err := z.admit(request)
	if err == nil && !z.let(string(request[zapRequestDomain]), name) {
		err = errGone
	}
	if err != nil {
		return []string{zapVersion, id, "400", err.Error(), "", ""}
	}
	return []string{zapVersion, id, "200", "", name, ""}
}

// admit returns the name of the peer, or why it isn't let in.
func (z *zap) admit(request [][]byte) (string, error) {
	key := request[zapRequestKey]
	if string(request[zapRequestMechanism]) != "CURVE" || len(key) != curve.KeySize {
		return "", fmt.Errorf("no %d bytes of a CURVE key", curve.KeySize)
	}
	if z.authenticate == nil || !curve.Key(key).Canonical() {
		return "", errUnknownKey
	}
	name, ok := z.authenticate(curve.Key(key))
	if !ok || strings.ContainsRune(name, 0) { // libzmq would cut the name at a NUL
		return "", errUnknownKey
	}
	return name, nil
}

var (
	errUnknownKey = errors.New("unknown key")
	errGone       = errors.New("no such connection")
)
