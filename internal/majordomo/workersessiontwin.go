package majordomo

import (
	"cmp"
	"encoding/json"
	"strconv"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// Several addresses may lead to one broker. It is served over one link; the others, its
// twins, are parked. They are dialled at once when that link's connection is gone, and
// at a slow pace ask who answers at their address, since that may change: names get
// other addresses, and addresses other hosts.

// twinOf returns the link over which the session serves the same run of the same broker
// already, or nil.
func (s *WorkerSession) twinOf(l *workerLink, broker, incarnation string) *workerLink {
	if incarnation == "" {
		return nil // it doesn't say which run it is
	}
	for _, other := range s.links {
		if other != l && other.state == workerServing && other.identity.Incarnation == incarnation && other.identity.Broker == broker {
			return other
		}
	}
	return nil
}

// untwin has the links that stand back for l, which is gone, try for themselves.
func (s *WorkerSession) untwin(l *workerLink) {
	for _, other := range s.spares {
		if other.twin == l {
			other.state, other.twin, other.rests = workerIdle, nil, s.now
		}
	}
	for _, other := range s.links {
		if other.twin != l {
			continue
		}
		other.twin = nil
		switch {
		case s.draining:
		case other.state == workerParked:
			other.dial()
		case other.state == workerProbing:
			other.connected()
		}
	}
}

// park has the link stand back for its twin. It asks who answers at its address after a
// random time between half the longest wait for a dial and all of it, so that workers
// that began together don't ask together for ever.
func (l *workerLink) park() {
	cfg := &l.session.cfg
	l.state = workerParked
	half := cfg.RedialMax / 2
	l.rest(l.session.now + half + backoff(half, half, 0, cfg.Random))
}

// probe asks who answers. Unlike a registration that costs neither a broker nor the
// shares anything.
func (l *workerLink) probe() {
	s := l.session
	s.asked++
	l.state, l.asked = workerProbing, s.asked
	head := jsonrpc.RequestHead{ID: s.asked, Method: mdp.MMIPing, TimeoutMS: -1, Window: -1}
	l.send(&mdp.Command{
		Version: mdp.V02, Kind: mdp.ClientRequest, Service: []byte(mdp.MMIPing),
		Body: [][]byte{jsonrpc.AppendRequest(nil, &head, nil)},
	})
	l.wakeAt(s.now + l.limit())
}

// probed takes what a broker says that was asked who it is. The same one as before is
// left; any other is told what the worker offers.
func (l *workerLink) probed(ev *WorkerEvent) {
	c, env := &ev.Command, &ev.Envelope
	switch {
	case ev.Err == nil && c.Kind == mdp.Disconnect:
		l.lost(errDisconnected, true)
		return
	case ev.Err != nil || c.Kind != mdp.ClientFinal || string(c.Service) != mdp.MMIPing:
		l.invalid(cmp.Or(ev.Err, errTooEarly))
		return
	}
	var pong Pong
	if env.Kind == jsonrpc.Result && string(env.ID) == strconv.FormatUint(l.asked, 10) && json.Unmarshal(env.Result, &pong) == nil {
		l.twin = l.session.twinOf(l, pong.Broker, pong.Incarnation)
	} else {
		l.twin = nil // a plain one, which the answer to mmi.register will show
	}
	if l.twin == nil {
		l.connected()
		return
	}
	l.redial, l.trouble = redial{}, nil
	l.hangup()
	l.disconnected()
	l.park()
}
